//! A compiler for guests, installed where there is none.

use std::process::Command;

use anyhow::{Context, Result};
use autoexec_packaging::{DEBIAN_PACKAGES, TARGET, Toolchain};

use crate::packages;
use crate::step::{self, say};

/// The first way that works; installs what is missing where that is possible.
pub(super) fn find_or_install() -> Result<Toolchain> {
    if let Some(found) = Toolchain::find() {
        return Ok(found);
    }
    say(format_args!("no compiler for {TARGET}: trying `rustup target add {TARGET}`"));
    let rustup = step::run(Command::new("rustup").args(["target", "add", TARGET]));
    if let Some(found) = Toolchain::find() {
        return Ok(found);
    }
    if let Err(error) = rustup {
        // No rustup, or one that cannot download: Debian has a compiler with the sources of its library.
        say(format_args!("{error:#}; installing Debian's {}", DEBIAN_PACKAGES.join(", ")));
    }
    packages::install(&DEBIAN_PACKAGES)?;
    Toolchain::find().with_context(|| {
        format!(
            "no compiler for {TARGET}. Either install rustup and run `rustup target add {TARGET}`, \
             or on Debian `apt-get install {}`",
            DEBIAN_PACKAGES.join(" ")
        )
    })
}

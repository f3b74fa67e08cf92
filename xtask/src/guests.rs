//! `cargo xtask guests`: from the tool crates to installable components.
//!
//! Finds a compiler for `wasm32-unknown-unknown`, builds the guest workspaces with it, makes a component of each core
//! module and puts the manifest from `tool.toml` into it (wasm-facts §2.1).

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

mod build;
mod encode;
mod foreign;
mod toolchain;

use autoexec_packaging::Toolchain;
use build::GuestCrate;

use crate::workspace;

/// What to build and where to put it.
#[derive(Default, clap::Args)]
pub(crate) struct Options {
    /// Directory for the tools of plugins-wasm, as `<bundle>/<name>.wasm` [default: target/plugins/wasm].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Leave out the guests that only the tests use.
    #[arg(long)]
    no_fixtures: bool,
}

impl Options {
    /// The tools of plugins-wasm alone, in the usual place.
    pub(crate) fn tools_only() -> Self {
        Self { no_fixtures: true, ..Self::default() }
    }
}

/// Builds everything that is out of date.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = workspace::root()?;
    let toolchain = toolchain::find_or_install()?;
    // One for both workspaces, so that the standard library is built once.
    let target_dir = root.join("target/plugins");
    let out = options.out.clone().unwrap_or_else(|| target_dir.join("wasm"));
    build_and_encode(&toolchain, &root.join("plugins-wasm"), &target_dir, &out)?;
    if !options.no_fixtures {
        let out = root.join("target/guests/wasm");
        build_and_encode(&toolchain, &root.join("tests/fixtures/guests"), &target_dir, &out)?;
        foreign::build(&root, &out)?;
    }
    Ok(())
}

/// A tool of plugins-wasm, built or not.
pub(crate) struct ToolFiles {
    /// Where its component is or will be.
    pub(crate) component: PathBuf,
    /// The file that describes it.
    pub(crate) source: PathBuf,
}

impl ToolFiles {
    /// Whether the component is there and newer than the description.
    pub(crate) fn is_built(&self) -> bool {
        encode::is_up_to_date(&self.component, &[&self.source])
    }
}

/// The tools of plugins-wasm in the usual place. Builds nothing.
pub(crate) fn tools() -> Result<Vec<ToolFiles>> {
    let root = workspace::root()?;
    let out = root.join("target/plugins/wasm");
    let crates = build::guest_crates(&root.join("plugins-wasm"))?;
    let tool = |guest: &GuestCrate| {
        let source = guest.tool_file();
        let manifest = autoexec_packaging::read_tool_file(&source)?;
        Ok(ToolFiles { component: out.join(format!("{}.wasm", manifest.name)), source })
    };
    crates.iter().map(tool).collect()
}

fn build_and_encode(toolchain: &Toolchain, workspace: &Path, target_dir: &Path, out: &Path) -> Result<()> {
    let crates = build::guest_crates(workspace)?;
    build::build(toolchain, workspace, target_dir)?;
    for guest in &crates {
        let core = guest.core_module(target_dir);
        encode::component(guest, &core, out)
            .with_context(|| format!("guest {} ({})", guest.package, guest.dir.display()))?;
    }
    Ok(())
}

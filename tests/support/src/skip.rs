//! What tests leave out where the machine lacks something.

use std::fmt::Display;

/// Says that something is left out, for it needs `what`.
///
/// # Panics
/// In CI: there the suite installs what it needs and runs as root, so that nothing may be left out unnoticed.
#[expect(clippy::print_stdout, reason = "whoever reads the tests' output is to know")]
#[track_caller]
pub fn skipped(what: impl Display) {
    assert!(std::env::var_os("CI").is_none(), "the suite provides it in CI, and it is missing: {what}");
    println!("SKIPPED, needs {what}");
}

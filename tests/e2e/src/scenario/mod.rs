//! Scenario folders: a job, what is to happen to it, and everything that is to come of it.
//!
//! `scenarios/README.md` describes the files of a folder. A scenario runs against any executor that keeps to the
//! contract, so it looks only at what others can see: calls, exit codes, logs, and the files of the job directory whose
//! names do not begin with a dot.

mod expected;
mod observed;
mod stage;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

pub use expected::Expected;
pub use observed::Observed;
pub use stage::Stage;

/// All scenario folders, by name.
pub fn all() -> Result<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(&root).with_context(|| root.display().to_string())?;
    let mut folders: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    if folders.is_empty() {
        bail!("{} has no scenarios", root.display());
    }
    Ok(folders)
}

/// Runs the scenario in `folder` and compares. With `UPDATE_SCENARIOS=1` what came of it becomes what is expected.
///
/// # Errors
/// A diff per file that differs, or why it could not be run.
pub fn check(folder: &Path) -> Result<()> {
    let observed = Stage::set(folder)?.play()?;
    let expected = Expected::at(folder);
    if std::env::var_os("UPDATE_SCENARIOS").is_some_and(|value| value == "1") {
        return expected.replace(&observed);
    }
    let differences = expected.differences(&observed)?;
    if differences.is_empty() {
        return Ok(());
    }
    bail!(
        "{differences}\nIf this is right, run it with UPDATE_SCENARIOS=1 and read what changed against the spec."
    )
}

//! The source tree: where it is, which files are part of it, and the cargo that works on it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The directory with the root `Cargo.toml`; xtask is a direct child of it.
pub(crate) fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask has no parent directory")?.to_owned())
}

/// Cargo, the one that started us where one did, working in the source tree.
pub(crate) fn cargo() -> Result<Command> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut cargo = Command::new(program);
    cargo.current_dir(root()?);
    for (name, _) in std::env::vars_os().filter(|(name, _)| describes_us(&name.to_string_lossy())) {
        cargo.env_remove(name);
    }
    Ok(cargo)
}

/// Whether a variable is what `cargo run` tells xtask about xtask. Build scripts look at some of them (that of `ring`
/// does), so that everything behind them would be compiled anew whenever cargo is used with and without xtask in turn.
fn describes_us(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"]
        .iter()
        .any(|start| variable.starts_with(start))
}

/// All files that are, or would be, under version control, relative to the root.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    let root = root()?;
    let mut git = Command::new("git");
    git.arg("-C").arg(&root).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().context("git could not be started")?;
    if !output.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let names = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    let files = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    // A file that was deleted but is still in the index is no file.
    Ok(files.filter(|file| root.join(file).is_file()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_not_told_that_it_builds_xtask() {
        // Cargo sets it for tests as it does for programs that it runs.
        assert!(std::env::var_os("CARGO_PKG_NAME").is_some());
        let cargo = cargo().unwrap();
        let removed = |name: &str| cargo.get_envs().any(|(key, value)| key == name && value.is_none());
        assert!(removed("CARGO_PKG_NAME") && removed("CARGO_MANIFEST_DIR"));
        assert!(!describes_us("CARGO_TARGET_DIR") && !describes_us("CARGO_INCREMENTAL"));
    }

    #[test]
    fn the_files_of_the_tree_are_those_of_git() {
        let files = files().unwrap();
        assert!(files.contains(&PathBuf::from("xtask/src/workspace.rs")));
        assert!(!files.iter().any(|file| file.starts_with("target") || file.starts_with(".git")));
    }
}

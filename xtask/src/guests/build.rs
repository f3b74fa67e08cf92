//! Finds the tool crates of a guest workspace and builds them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use autoexec_packaging::{TARGET, Toolchain};
use serde_json::Value;

use crate::step;

/// File beside `Cargo.toml` that makes a crate a tool.
pub(super) const TOOL_FILE: &str = "tool.toml";

/// A crate that becomes a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuestCrate {
    /// Its package name.
    pub(super) package: String,
    /// Its directory.
    pub(super) dir: PathBuf,
    /// Name of its library, which is the name of the core module.
    library: String,
}

impl GuestCrate {
    /// Where cargo puts the core module.
    pub(super) fn core_module(&self, target_dir: &Path) -> PathBuf {
        target_dir.join(TARGET).join("release").join(format!("{}.wasm", self.library))
    }

    /// The tool's description.
    pub(super) fn tool_file(&self) -> PathBuf {
        self.dir.join(TOOL_FILE)
    }
}

/// All crates of the workspace with a `tool.toml`.
pub(super) fn guest_crates(workspace: &Path) -> Result<Vec<GuestCrate>> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"])
        .arg(workspace.join("Cargo.toml"))
        .output()
        .context("cargo metadata could not be started")?;
    if !output.status.success() {
        bail!(
            "cargo metadata of {}: {}",
            workspace.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo metadata is not JSON")?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    Ok(packages.iter().filter_map(guest_crate).collect())
}

fn guest_crate(package: &Value) -> Option<GuestCrate> {
    let dir = Path::new(package["manifest_path"].as_str()?).parent()?.to_owned();
    let is_cdylib = |target: &&Value| {
        target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "cdylib"))
    };
    let library = package["targets"].as_array()?.iter().find(is_cdylib)?["name"].as_str()?;
    dir.join(TOOL_FILE).is_file().then(|| GuestCrate {
        package: package["name"].as_str().unwrap_or_default().to_owned(),
        library: library.replace('-', "_"),
        dir,
    })
}

/// Builds the workspace. Cargo decides what is out of date.
pub(super) fn build(toolchain: &Toolchain, workspace: &Path, target_dir: &Path) -> Result<()> {
    step::say(format_args!("building the guests of {}", workspace.display()));
    let mut cargo = toolchain.cargo_build();
    cargo.arg("--manifest-path").arg(workspace.join("Cargo.toml")).arg("--target-dir").arg(target_dir);
    step::run(&mut cargo)
}

//! A throw-away home: the built program where it is installed, and the tools a job needs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::{step, workspace};

/// How the program is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Fast to build.
    Debug,
    /// As it is delivered.
    Release,
}

/// Builds the program and says where it is.
pub(crate) fn build(profile: Profile) -> Result<PathBuf> {
    let mut cargo = workspace::cargo()?;
    // Features as in a build of everything, so that tests and demo share what is compiled.
    cargo.args(["build", "--workspace", "--bin", "autoexec"]);
    if profile == Profile::Release {
        cargo.arg("--release");
    }
    step::say(format_args!("building autoexec ({profile:?})"));
    step::run(&mut cargo)?;
    let directory = match profile {
        Profile::Debug => "debug",
        Profile::Release => "release",
    };
    Ok(target()?.join(directory).join("autoexec"))
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(workspace::root()?.join(target))
}

/// A home in a temporary directory; it is removed when dropped.
#[derive(Debug)]
pub(crate) struct StagedHome {
    dir: TempDir,
}

impl StagedHome {
    /// Installs `program` and the WebAssembly tools that `cargo xtask guests` has built.
    pub(crate) fn new(program: &Path, tools: &[&str]) -> Result<Self> {
        // On the file system of the build: the program is linked and not copied, and files can be moved out.
        let dir = tempfile::Builder::new().prefix("home.").tempdir_in(target()?).context("making a home")?;
        let home = Self { dir };
        for directory in ["bin", "conf", "data", "logs"] {
            fs::create_dir(home.path().join(directory))
                .with_context(|| format!("making {directory} of a home"))?;
        }
        install(program, &home.program())?;
        let built = workspace::root()?.join("target/plugins/wasm");
        for tool in tools {
            let file = format!("{tool}.wasm");
            install(&built.join(&file), &home.path().join("plugins/wasm").join(&file))?;
        }
        Ok(home)
    }

    /// Installs the scripts for targets.
    pub(crate) fn install_remote(&self) -> Result<()> {
        let from = workspace::root()?.join("plugins-native/remote");
        for entry in walkdir::WalkDir::new(&from) {
            let entry = entry.context("reading plugins-native/remote")?;
            if entry.file_type().is_file() {
                let relative = entry.path().strip_prefix(&from).context("a path outside of its tree")?;
                install(entry.path(), &self.path().join("plugins/remote").join(relative))?;
            }
        }
        Ok(())
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The installed program.
    pub(crate) fn program(&self) -> PathBuf {
        self.path().join("bin/autoexec")
    }

    /// Writes a file below the home. `mode` is that of the file.
    pub(crate) fn write(&self, relative: &str, content: &str, mode: u32) -> Result<PathBuf> {
        let path = self.path().join(relative);
        let named = || format!("writing {}", path.display());
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(named)?;
        }
        fs::write(&path, content).with_context(named)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).with_context(named)?;
        Ok(path)
    }

    /// Leaves the home where it is.
    pub(crate) fn keep(self) -> PathBuf {
        self.dir.keep()
    }
}

/// Builds replace files and never change them, so a link keeps what it was made of.
fn install(from: &Path, to: &Path) -> Result<()> {
    ensure!(from.is_file(), "{} is missing: it was not built", from.display());
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).with_context(|| format!("copying {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

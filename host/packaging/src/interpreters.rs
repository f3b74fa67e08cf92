//! The tool chains that make components of Python and JavaScript. They come from `PyPI` and npm once, in fixed versions, and are
//! kept in a directory that all projects share.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes components of Python.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

/// Makes components of JavaScript, and bundles what a tool imports.
const NPM_PACKAGES: [&str; 2] = ["@bytecodealliance/componentize-js@0.23.0", "esbuild@0.28.2"];

/// Names the directory of the tool chains, if it is set.
pub const TOOLCHAINS: &str = "AUTOEXEC_TOOLCHAINS";

/// Where the tool chains are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interpreters {
    dir: PathBuf,
}

/// A tool chain that is not there and can not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A program that is needed for it is not there.
    #[error("{program} can not be started: {source}")]
    NotStarted {
        /// Its name.
        program: String,
        /// What the system says.
        source: io::Error,
    },
    /// A program that is needed for it failed. Its messages went to standard error.
    #[error("the tool chain for {language} could not be installed: see the messages of {program} above")]
    Failed {
        /// Of what.
        language: &'static str,
        /// Which one.
        program: String,
    },
    /// The directory can not be used.
    #[error("can not write {}: {source}", path.display())]
    Directory {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Interpreters {
    /// In this directory.
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// In the directory that [`TOOLCHAINS`] names, if it is set.
    pub fn named() -> Option<Self> {
        absolute(TOOLCHAINS).map(Self::at)
    }

    /// In [`TOOLCHAINS`], else in the user's cache, else in `fallback`.
    pub fn of_user(fallback: PathBuf) -> Self {
        Self::named().unwrap_or_else(|| {
            let cache =
                absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
            Self::at(cache.map_or(fallback, |cache| cache.join("autoexec/toolchains")))
        })
    }

    /// The Python that has `componentize-py` beside it. Installs it at the first use, and says so before.
    pub fn python(&self, say: impl Fn(&str)) -> Result<PathBuf, InstallError> {
        let dir = self.dir.join(COMPONENTIZE_PY.replace("==", "-"));
        let python = dir.join("bin/python");
        self.once(&dir, || {
            say(&format!("installing {COMPONENTIZE_PY} in {} (once)", dir.display()));
            let mut venv = Command::new(program("PYTHON", "python3"));
            install("Python", venv.args(["-m", "venv"]).arg(&dir))?;
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", COMPONENTIZE_PY]);
            install("Python", &mut pip)
        })?;
        Ok(python)
    }

    /// A directory with `componentize-js` and `esbuild` in its `node_modules`. Installs them at the first use, and says so before.
    pub fn javascript(&self, say: impl Fn(&str)) -> Result<PathBuf, InstallError> {
        let version = NPM_PACKAGES[0].rsplit('@').next().unwrap_or_default();
        let dir = self.dir.join(format!("componentize-js-{version}"));
        self.once(&dir, || {
            say(&format!("installing {} in {} (once)", NPM_PACKAGES.join(" and "), dir.display()));
            let package = dir.join("package.json");
            fs::create_dir_all(&dir)
                .and_then(|()| fs::write(&package, "{\"private\": true}\n"))
                .map_err(|source| InstallError::Directory { path: package, source })?;
            let mut npm = Command::new(program("NPM", "npm"));
            npm.args(["install", "--no-audit", "--no-fund", "--silent"]).args(NPM_PACKAGES).current_dir(&dir);
            install("JavaScript", &mut npm)
        })?;
        Ok(dir)
    }

    /// Two builds at the same time install once; what was left half-done is done again.
    fn once(&self, dir: &Path, act: impl FnOnce() -> Result<(), InstallError>) -> Result<(), InstallError> {
        let done = dir.join("complete");
        if done.is_file() {
            return Ok(());
        }
        let lock = self.dir.join("lock");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| InstallError::Directory { path, source }
        };
        fs::create_dir_all(&self.dir).map_err(failed(&self.dir))?;
        let held = File::create(&lock).and_then(|file| file.lock().map(|()| file)).map_err(failed(&lock))?;
        if !done.is_file() {
            act()?;
            fs::write(&done, "").map_err(failed(&done))?;
        }
        drop(held);
        Ok(())
    }
}

/// The program to use: the one of the environment variable, where it is set.
fn program(variable: &str, name: &str) -> OsString {
    std::env::var_os(variable).filter(|value| !value.is_empty()).unwrap_or_else(|| name.into())
}

fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}

fn install(language: &'static str, command: &mut Command) -> Result<(), InstallError> {
    let program = command.get_program().to_string_lossy().into_owned();
    // Standard output belongs to the result of whoever builds.
    command.stdout(io::stderr());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(InstallError::Failed { language, program }),
        Err(source) => Err(InstallError::NotStarted { program, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_complete_is_not_installed_again_and_what_failed_is() {
        let dir = tempfile::tempdir().unwrap();
        let chains = Interpreters::at(dir.path());
        let chain = dir.path().join("x");
        fs::create_dir(&chain).unwrap();
        let failed = chains.once(&chain, || Err(InstallError::Failed { language: "x", program: "y".into() }));
        assert!(failed.unwrap_err().to_string().contains("see the messages of y above"));
        let mut runs = 0;
        for _ in 0..2 {
            chains
                .once(&chain, || {
                    runs += 1;
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!(runs, 1);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = install("Python", &mut Command::new("/nonexistent/python")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/python can not be started"), "{error}");
    }
}

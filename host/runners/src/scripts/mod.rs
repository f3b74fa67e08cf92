//! Custom scripts: files of the job that operations run (`spec/plugin-contract.md` §8.6).
//!
//! [`InlineScripts`] writes scripts whose text stands in the job's parameters; [`ServerScripts`] also downloads those
//! that the server keeps, with the libraries they use. Both put them below `<job>/script/[<bundle>/]`, always through
//! a temporary name, so that a running operation or an upload sees an old or a new file, never a half one.

mod error;
mod fetcher;
mod inline;
mod library;
mod lock;
mod names;
mod package;
mod server;
mod shelf;

use std::path::PathBuf;

use async_trait::async_trait;
use autoexec_model::Operation;
use autoexec_plan::PlannedPhase;

pub use error::ScriptError;
pub use fetcher::{FetchedScript, ScriptAbout, ScriptFetcher, ScriptRequest};
pub use inline::InlineScripts;
pub use package::PackageProblem;
pub use server::ServerScripts;

/// Mode of scripts and libraries, here and on targets: only the owner, who may run them.
pub(crate) const SCRIPT_MODE: u32 = 0o700;

/// A script that is ready to run or to be sent to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptFile {
    /// The file on this machine, mode 0700.
    pub path: PathBuf,
    /// Its name on a target.
    pub name: String,
    /// What has to stand beside it on a target, in the order of upload. A package is listed by its members.
    pub libraries: Vec<LibraryFile>,
}

/// A file that a script needs beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryFile {
    /// The file on this machine.
    pub path: PathBuf,
    /// Its path on a target, relative to the script's directory; a member of a package may lie in sub-directories.
    pub name: String,
    /// Permission bits on the target.
    pub mode: u32,
}

/// Brings custom scripts to the job directory.
#[async_trait]
pub trait Scripts: Send + Sync {
    /// Makes all scripts of a phase available.
    ///
    /// # Errors
    /// A text for people.
    async fn prepare(&self, phase: &PlannedPhase) -> Result<(), String>;

    /// The script of an operation, after [`Self::prepare`].
    ///
    /// # Errors
    /// A text for people.
    fn script(&self, operation: &Operation) -> Result<ScriptFile, String>;
}

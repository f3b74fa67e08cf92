//! What can go wrong with custom scripts.

use std::io;
use std::path::{Path, PathBuf};

use autoexec_model::OpId;
use autoexec_store::StoreError;

use super::package::PackageProblem;

/// An error about a custom script.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// The operating system refused.
    #[error("cannot {action} `{path}`: {cause}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file it was tried on.
        path: PathBuf,
        /// The answer of the system; part of the text, so not a `source`.
        cause: io::Error,
    },
    /// A file could not be written, or a name cannot be a file name.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operation does not say which script it is.
    #[error("operation `{operation}`: `scriptId` {problem}; save the job's definition again at the server")]
    ScriptId {
        /// The operation.
        operation: OpId,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The script is at a server, and there is none.
    #[error(
        "the script of operation `{0}` is at a server, and this run has none: put its text into `scriptContent`"
    )]
    NoServer(OpId),
    /// The server did not give the script.
    #[error("cannot fetch {what}: {problem}")]
    Fetch {
        /// Which script.
        what: String,
        /// What the server or the network said.
        problem: String,
    },
    /// More libraries than any script needs: the server would never stop naming new ones.
    #[error("script {script} uses more than {limit} libraries; remove some")]
    TooManyLibraries {
        /// The script.
        script: i64,
        /// The limit.
        limit: usize,
    },
    /// Another process of the job holds the lock for longer than a download may take.
    #[error(
        "`{path}` is locked by another process of this job that fetches the same script; try again later"
    )]
    Busy {
        /// The lock file.
        path: PathBuf,
    },
    /// A package that must not or cannot be unpacked.
    #[error("the package `{archive}` cannot be unpacked: {problem}")]
    Package {
        /// The tar file.
        archive: PathBuf,
        /// What is wrong with it.
        problem: PackageProblem,
    },
    /// A package where a script is needed.
    #[error(
        "operation `{0}` is a package of several files and cannot be run: use it as a library of a script"
    )]
    PackageIsNoScript(OpId),
    /// The script was not brought before the operation.
    #[error("the script of operation `{operation}` is missing: there is no `{path}`")]
    Missing {
        /// The operation.
        operation: OpId,
        /// Where it should be.
        path: PathBuf,
    },
}

/// Turns an [`io::Error`] into a [`ScriptError`] with what was tried on which path.
pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ScriptError {
    move |cause| ScriptError::Io { action, path: path.to_owned(), cause }
}

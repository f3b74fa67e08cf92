//! What can go wrong with a log file.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use autoexec_store::MAX_FILE_NAME;

/// An error of a log file. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The operating system refused.
    #[error("cannot {action} `{path}`: {cause}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file it was tried on.
        path: PathBuf,
        /// The answer of the system. Part of the message and therefore not a `source`: it would be shown twice.
        cause: io::Error,
    },
    /// Names of phase, node or user add up to more than a file system takes.
    #[error(
        "the name of log file `{path}` has {length} bytes, but at most 255 are possible; \
         shorten the phase name, the host name or the user name"
    )]
    NameTooLong {
        /// The file that was to be created.
        path: PathBuf,
        /// Length of the offending part in bytes.
        length: usize,
    },
    /// No free name for a history file within an hour after the start of the run.
    #[error("`{path}` holds a history file for every second after the start; remove the ones not needed")]
    HistoryFull {
        /// The history directory.
        path: PathBuf,
    },
}

pub(super) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LogError {
    move |cause| LogError::Io { action, path: path.to_owned(), cause }
}

/// Refuses a path with a part that no file system takes, instead of the system's bare "File name too long".
pub(super) fn check_names(path: &Path) -> Result<(), LogError> {
    match path.iter().map(OsStr::len).find(|length| *length > MAX_FILE_NAME) {
        Some(length) => Err(LogError::NameTooLong { path: path.to_owned(), length }),
        None => Ok(()),
    }
}

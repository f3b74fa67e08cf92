//! What can go wrong with files of a job.

use std::io;
use std::path::{Path, PathBuf};

/// An error of the store. Every variant names the file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("cannot {action} `{path}`: {cause}")]
    Io {
        /// What was tried, as a verb: `create`, `read`, `rename`.
        action: &'static str,
        /// The file or directory it was tried on.
        path: PathBuf,
        /// The answer of the system. Part of the message and therefore not a `source`: it would be shown twice.
        cause: io::Error,
    },
    /// The content is not what the format asks for. The reason never quotes the content, which may be secret.
    #[error("`{path}` cannot be used: {reason}; correct or remove the file")]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        reason: String,
    },
    /// A file that a plugin or a target made is larger than we are ready to hold in memory.
    #[error("`{path}` is larger than {limit} bytes; make the tool write less, or write it as a file output")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// A journal written by a later version of this program.
    #[error(
        "`{path}` is a journal of format version {found}, but only up to {supported} is understood; use the newer autoexec"
    )]
    JournalVersion {
        /// The journal.
        path: PathBuf,
        /// The version it declares.
        found: u64,
        /// The newest version this program reads.
        supported: u64,
    },
    /// Another process works on the same thing.
    #[error("`{path}` is locked by {}; wait for it to end, or abort it first", holder(*pid))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The process that holds the lock, where it left its id.
        pid: Option<u32>,
    },
    /// A text that cannot be a file name.
    #[error("`{text}` cannot be used as {what}: expected a plain file name of at most 255 bytes without `/`")]
    Name {
        /// What the text was meant for.
        what: &'static str,
        /// The text as given.
        text: String,
    },
    /// A store beside the files refused or cannot be reached.
    #[error("cannot {action}: {reason}")]
    Database {
        /// What was tried, with its object: `read the status of a node`.
        action: &'static str,
        /// What the database or the driver said. Names the hosts.
        reason: String,
    },
    /// A value could not be turned into JSON.
    #[error("cannot turn the content for `{path}` into JSON: {reason}")]
    Encode {
        /// The file that was to be written.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}

/// Turns an [`io::Error`] into a [`StoreError`] with what was tried on which path.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    move |cause| StoreError::Io { action, path: path.to_owned(), cause }
}

/// Says what is wrong with JSON text without quoting it: a data error of `serde_json` repeats the value.
pub(crate) fn json_reason(error: &serde_json::Error) -> String {
    if error.is_data() {
        format!("an entry does not have the expected type (line {} column {})", error.line(), error.column())
    } else {
        format!("it is not valid JSON ({error})")
    }
}

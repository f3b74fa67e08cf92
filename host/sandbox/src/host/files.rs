//! Granted directories of the runner.

use std::io;
use std::path::PathBuf;

use autoexec_grants::DataDirection;

/// A directory that the policy gives to the tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedDirectory {
    /// Its absolute path.
    pub path: PathBuf,
    /// Whether it may only be read or also be written.
    pub direction: DataDirection,
}

/// Files that the executor has fetched for the job: they lie in a cache of its own, and the job has links to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedFiles {
    /// The directory with the links, absolute. Tools can not make links.
    pub links: PathBuf,
    /// The directory that holds the files themselves, absolute.
    pub cache: PathBuf,
}

/// Why a file can not be used (`file-error` in the WIT).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Outside what is granted.
    #[error("{0}")]
    Denied(String),
    /// There is no such file or directory.
    #[error("there is no such file or directory")]
    NotFound,
    /// It is there already.
    #[error("it exists already")]
    Exists,
    /// Neither a regular file nor a directory, or one where the other is needed.
    #[error("{0}")]
    WrongKind(String),
    /// More than a limit, in bytes.
    #[error("more than the limit of {0} bytes")]
    TooLarge(u64),
    /// No space or quota left.
    #[error("no space left")]
    NoSpace,
    /// Anything else the system said.
    #[error("{0}")]
    Other(String),
}

impl From<io::Error> for FileError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::AlreadyExists => Self::Exists,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace,
            io::ErrorKind::PermissionDenied => Self::Denied(error.to_string()),
            io::ErrorKind::IsADirectory => Self::WrongKind("it is a directory".into()),
            io::ErrorKind::NotADirectory => Self::WrongKind("it is no directory".into()),
            _ => Self::Other(error.to_string()),
        }
    }
}

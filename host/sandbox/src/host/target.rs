//! Commands and files on the node that the step is for, over the executor's own connection.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;

use super::{FileError, SecretValue};

/// The connection to the step's node. A method whose future is dropped ends what it began: the call was stopped.
#[async_trait]
pub trait TargetHost: Send + Sync {
    /// Runs a command and hands its output over; more than `limit` bytes of it are [`TargetError::TooLarge`], and the command
    /// is ended.
    async fn capture(&self, command: TargetCommand, limit: u64) -> Result<Captured, TargetError>;

    /// Runs a command, its output going to the node's log as it comes.
    async fn run(&self, command: TargetCommand) -> Result<Ending, TargetError>;

    /// Copies to the node: a file to the path `remote`, or what a directory holds into the directory `remote`. Written
    /// beside and renamed. Returns the bytes of content.
    async fn upload(&self, source: UploadSource, remote: &str, keep_times: bool) -> Result<u64, TargetError>;

    /// Copies the file or directory `remote` into `sink`. Returns the bytes of content.
    async fn download(
        &self,
        remote: &str,
        sink: Box<dyn DownloadSink>,
        keep_times: bool,
    ) -> Result<u64, TargetError>;

    /// The entries of a directory, in the order of their names; files and directories only.
    async fn list_directory(&self, path: &str) -> Result<Vec<TargetEntry>, TargetError>;

    /// What is known of a file or directory; follows links.
    async fn stat(&self, path: &str) -> Result<TargetEntry, TargetError>;

    /// Opens an interactive session with a terminal of that size.
    async fn open_session(&self, columns: u16, rows: u16) -> Result<Box<dyn TargetSession>, TargetError>;
}

/// An interactive session. Dropping it ends it.
#[async_trait]
pub trait TargetSession: Send + Sync {
    /// Types text, in which references to secrets have been replaced by their values.
    async fn send(&mut self, text: SecretValue) -> Result<(), TargetError>;

    /// Waits for output; empty when nothing came in time. [`TargetError::Disconnected`] when the session has ended.
    async fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>, TargetError>;
}

/// A command line for the login shell of the account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetCommand {
    /// The command line.
    pub line: String,
    /// Variables set for it. Without secrets.
    pub environment: Vec<(String, String)>,
    /// Its standard input, in which references to secrets have been replaced by their values.
    pub input: SecretValue,
    /// The longest it may run; none is no limit of its own.
    pub timeout: Option<Duration>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With this status.
    Exited(i32),
    /// By a signal, named without `SIG`.
    Signalled(String),
}

/// What a command wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// How it ended.
    pub ending: Ending,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// A file or directory on the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetEntry {
    /// Name without the directory.
    pub name: String,
    /// Whether it is a directory.
    pub is_directory: bool,
    /// Bytes; 0 for directories.
    pub size: u64,
    /// Last change in seconds since 1970.
    pub modified: i64,
    /// Permission bits.
    pub mode: u32,
}

/// What is copied to the node. Opened below a granted directory of the runner without following links, so reading it reaches
/// nothing else; it is read on a thread that may block.
pub enum UploadSource {
    /// One file.
    File(SourceFile),
    /// What a directory holds, parents before their children.
    Directory(Box<dyn Iterator<Item = Result<SourceEntry, FileError>> + Send>),
}

/// An entry of a directory that is copied to the node.
#[derive(Debug)]
pub struct SourceEntry {
    /// Its path relative to the directory, without `..`.
    pub path: PathBuf,
    /// What it is.
    pub kind: SourceKind,
}

/// What an entry is.
#[derive(Debug)]
pub enum SourceKind {
    /// A directory.
    Directory(SourceFacts),
    /// A regular file.
    File(SourceFile),
}

/// A regular file, opened for reading.
#[derive(Debug)]
pub struct SourceFile {
    /// Its content.
    pub file: File,
    /// Bytes when it was opened; it may have become longer or shorter since.
    pub size: u64,
    /// Times and permissions.
    pub facts: SourceFacts,
}

/// Times and permissions of what is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceFacts {
    /// Last change.
    pub modified: SystemTime,
    /// Permission bits, the lower nine.
    pub mode: u32,
}

/// Where something that comes from the node is written: a granted directory of the runner. Called on a thread that may block.
pub trait DownloadSink: Send {
    /// Makes a directory. `path` is relative to the destination, and empty for the destination itself.
    fn directory(&mut self, path: &Path, facts: SourceFacts) -> Result<(), FileError>;

    /// Writes a file with what `content` gives, beside and renamed, and returns its bytes. `path` is relative to the
    /// destination, and empty when one file is copied. Fails when the call is over.
    fn file(&mut self, path: &Path, facts: SourceFacts, content: &mut dyn Read) -> Result<u64, FileError>;
}

/// Why something on the node could not be done (`target-error` in the WIT). A command that ran and failed is no error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not allowed.
    #[error("{0}")]
    Denied(String),
    /// No connection to the node.
    #[error("the node can not be reached: {0}")]
    Unreachable(String),
    /// The node does not accept the executor's account.
    #[error("the node does not accept the account: {0}")]
    NotAuthenticated(String),
    /// There is no such file or directory.
    #[error("not found: {0}")]
    NotFound(String),
    /// It took longer than it may.
    #[error("timed out")]
    TimedOut,
    /// The connection ended in between.
    #[error("disconnected: {0}")]
    Disconnected(String),
    /// More bytes than the limit.
    #[error("more than {0} bytes")]
    TooLarge(u64),
    /// The protocol of the node can not do this.
    #[error("not supported: {0}")]
    Unsupported(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<FileError> for TargetError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Denied(why) => Self::Denied(why),
            FileError::NotFound => Self::NotFound("no such granted file on the runner".into()),
            FileError::TooLarge(limit) => Self::TooLarge(limit),
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<io::Error> for TargetError {
    fn from(error: io::Error) -> Self {
        FileError::from(error).into()
    }
}

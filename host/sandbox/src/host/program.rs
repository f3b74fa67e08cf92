//! Programs of the runner that the policy names.

use std::os::fd::OwnedFd;
use std::time::Duration;

use async_trait::async_trait;

use super::SecretValue;

/// A way to run them. Each was permitted by name before.
#[async_trait]
pub trait ProgramHost: Send + Sync {
    /// Runs one without a shell and waits for its end. More than `limit` bytes of output are [`ProgramError::TooLarge`], and the
    /// program is ended; so it is when the future is dropped.
    async fn run(&self, program: ProgramCall, limit: u64) -> Result<Completed, ProgramError>;
}

/// What to run.
#[derive(Debug)]
pub struct ProgramCall {
    /// The name under which the policy grants it.
    pub name: String,
    /// Its arguments, without the program itself.
    pub arguments: Vec<String>,
    /// Variables set for it, beside the few that the host gives every program.
    pub environment: Vec<(String, String)>,
    /// Where it runs: a granted directory that was opened without following links (`/proc/self/fd/N` is its path in this
    /// process). None is a private empty one.
    pub directory: Option<OwnedFd>,
    /// Its standard input, in which references to secrets have been replaced by their values.
    pub input: SecretValue,
    /// The longest it may run; none is no limit of its own.
    pub timeout: Option<Duration>,
}

/// How it ended and what it wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// Exit status; 128 plus its number when a signal ended it.
    pub status: i32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// Why it did not run (`program-error` in the WIT).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProgramError {
    /// Not allowed.
    #[error("{0}")]
    Denied(String),
    /// It is not installed where the policy says.
    #[error("the program is not installed")]
    NotFound,
    /// It took longer than it may, and was ended.
    #[error("timed out")]
    TimedOut,
    /// It wrote more than the limit, in bytes.
    #[error("it wrote more than {0} bytes")]
    TooLarge(u64),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

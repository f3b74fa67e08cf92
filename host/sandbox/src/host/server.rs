//! The console server: its calls and its locks.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

/// Calls of the console server. Each was permitted by name before.
#[async_trait]
pub trait ServerHost: Send + Sync {
    /// Sends one signed call, `name` being its path below the API, and returns the data of the answer.
    async fn call(&self, name: &str, parameters: Value) -> Result<Value, ServerError>;
}

/// Why the server gave no data (`server-error` in the WIT).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// Not allowed.
    #[error("{0}")]
    Denied(String),
    /// There is no server here.
    #[error("the job runs without a server")]
    None,
    /// It could not be reached, or failed.
    #[error("{0}")]
    Unavailable(String),
    /// It answered no.
    #[error("{0}")]
    Refused(String),
}

/// Global locks.
#[async_trait]
pub trait LockHost: Send + Sync {
    /// Waits for a lock at most this long. A future that is dropped takes the request back.
    async fn acquire(
        &self,
        name: &str,
        mode: LockMode,
        wait: Duration,
    ) -> Result<Box<dyn HeldLock>, LockError>;
}

/// A lock that is held. Dropping it gives it back.
pub trait HeldLock: Send + Sync {}

/// Shared or exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Others may read.
    Read,
    /// Nobody else.
    Write,
}

/// Why there is no lock (`lock-error` in the WIT).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// Not allowed.
    #[error("{0}")]
    Denied(String),
    /// Somebody else has it.
    #[error("somebody else has the lock")]
    TimedOut,
    /// It can not be asked for now.
    #[error("{0}")]
    Unavailable(String),
}

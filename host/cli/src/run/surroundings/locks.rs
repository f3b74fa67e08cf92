//! Global locks for tools.

use std::time::Duration;

use async_trait::async_trait;
use autoexec_control::{self as control, NoLock, ToolLock, ToolLocks};
use autoexec_sandbox::{HeldLock, LockError, LockHost, LockMode};

/// The locks of this process.
pub(super) struct JobLocks(pub(super) ToolLocks);

#[async_trait]
impl LockHost for JobLocks {
    async fn acquire(
        &self,
        name: &str,
        mode: LockMode,
        wait: Duration,
    ) -> Result<Box<dyn HeldLock>, LockError> {
        let mode = match mode {
            LockMode::Read => control::LockMode::Read,
            LockMode::Write => control::LockMode::Write,
        };
        match self.0.acquire(name, mode, wait).await {
            Ok(lock) => Ok(Box::new(Held { _lock: lock })),
            Err(NoLock::TimedOut(_)) => Err(LockError::TimedOut),
            Err(why) => Err(LockError::Unavailable(why.to_string())),
        }
    }
}

/// Given back when it is dropped.
struct Held {
    _lock: ToolLock,
}

impl HeldLock for Held {}

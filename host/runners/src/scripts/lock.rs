//! Lock files beside scripts: one process of a job at a time fetches a script.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::ScriptError;
use super::error::io_error;

/// Longer than a download of a large package takes.
const LONGEST_FETCH: Duration = Duration::from_mins(10);
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Fetching a script, alone. Released when dropped or when the process ends.
///
/// Those who start or upload a script take no lock: they open one file, and files are replaced as a whole.
#[derive(Debug)]
pub(super) struct FetchLock(File);

impl FetchLock {
    /// Waits for whoever fetches the same script.
    pub(super) async fn take(path: &Path) -> Result<Self, ScriptError> {
        Self::take_within(path, LONGEST_FETCH).await
    }

    async fn take_within(path: &Path, limit: Duration) -> Result<Self, ScriptError> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io_error("open the lock file", path))?;
        let deadline = Instant::now() + limit;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(TryLockError::WouldBlock) => return Err(ScriptError::Busy { path: path.to_owned() }),
                Err(TryLockError::Error(cause)) => return Err(io_error("lock", path)(cause)),
            }
        }
    }
}

impl Drop for FetchLock {
    fn drop(&mut self) {
        // Closing is not enough while a child that is just being started holds a copy of the descriptor.
        let _ = self.0.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_fetches_and_the_next_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("7.lock");
        let held = FetchLock::take(&path).await.unwrap();
        let refused = FetchLock::take_within(&path, Duration::from_millis(60)).await;
        assert!(matches!(refused, Err(ScriptError::Busy { .. })));
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { FetchLock::take(&path).await }
        });
        drop(held);
        let _next = waiting.await.unwrap().unwrap();
    }
}

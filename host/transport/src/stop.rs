//! Telling running work to stop: an ordered level that only rises.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// How urgently work has to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum StopLevel {
    /// Go on.
    #[default]
    Run,
    /// Ask the process to end (TERM), wait for a grace time, then kill it.
    Terminate,
    /// Kill it now.
    Kill,
}

/// The side that tells. Clones raise the same level.
#[derive(Debug, Clone)]
pub struct StopHandle(watch::Sender<StopLevel>);

impl StopHandle {
    /// A handle at level [`StopLevel::Run`].
    pub fn new() -> Self {
        Self(watch::Sender::new(StopLevel::Run))
    }

    /// A token that sees this handle's level.
    pub fn token(&self) -> StopToken {
        StopToken(self.0.subscribe())
    }

    /// Raises the level; a lower or equal level changes nothing.
    pub fn raise(&self, level: StopLevel) {
        self.0.send_if_modified(|current| {
            let raised = level > *current;
            if raised {
                *current = level;
            }
            raised
        });
    }
}

impl Default for StopHandle {
    fn default() -> Self {
        Self::new()
    }
}

/// The side that is told. When every handle is gone the level stays what it was.
#[derive(Debug, Clone)]
pub struct StopToken(watch::Receiver<StopLevel>);

impl StopToken {
    /// A token nobody can raise.
    pub fn never() -> Self {
        StopHandle::new().token()
    }

    /// The level now.
    pub fn level(&self) -> StopLevel {
        *self.0.borrow()
    }

    /// Returns when the level is `level` or higher; never, if no handle is left to raise it.
    pub async fn reached(&self, level: StopLevel) {
        let mut receiver = self.0.clone();
        if receiver.wait_for(|current| *current >= level).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Returns when the level has risen above `level`; never, if that cannot happen any more.
    pub(crate) async fn above(&self, level: StopLevel) {
        match level {
            StopLevel::Run => self.reached(StopLevel::Terminate).await,
            StopLevel::Terminate => self.reached(StopLevel::Kill).await,
            StopLevel::Kill => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_level_only_rises() {
        let handle = StopHandle::new();
        let token = handle.token();
        handle.raise(StopLevel::Kill);
        handle.clone().raise(StopLevel::Terminate);
        assert_eq!(token.level(), StopLevel::Kill);
    }

    #[tokio::test]
    async fn a_higher_level_reaches_the_lower_one() {
        let handle = StopHandle::new();
        let token = handle.token();
        let waiting = tokio::spawn(async move { token.reached(StopLevel::Terminate).await });
        handle.raise(StopLevel::Kill);
        waiting.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_handle_is_not_a_stop() {
        let token = StopToken::never();
        let reached = token.reached(StopLevel::Terminate);
        assert!(tokio::time::timeout(Duration::from_hours(1), reached).await.is_err());
    }
}

//! How long a step may take, and what ends it early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::error::{SshErrorKind, Step};
use crate::stop::{StopLevel, StopToken};

/// What may end an operation early: the caller's stop token, or the caller having gone away.
pub(super) struct Cancel {
    stop: StopToken,
    abandoned: Arc<AtomicBool>,
}

impl Cancel {
    pub(super) fn new(stop: StopToken, abandoned: Arc<AtomicBool>) -> Self {
        Self { stop, abandoned }
    }

    pub(super) fn level(&self) -> StopLevel {
        if self.abandoned.load(Ordering::Acquire) { StopLevel::Kill } else { self.stop.level() }
    }
}

/// How long a step may take, and which stop level ends it.
pub(super) struct Patience<'a> {
    pub(super) step: Step,
    limit: Duration,
    until: Instant,
    cancel: &'a Cancel,
    ends_at: Option<StopLevel>,
}

impl<'a> Patience<'a> {
    /// Ends at `level`; with none, only by time.
    pub(super) fn new(step: Step, limit: Duration, cancel: &'a Cancel, level: Option<StopLevel>) -> Self {
        Self { step, limit, until: Instant::now() + limit, cancel, ends_at: level }
    }

    /// The same limit and moment for another step of the same whole.
    pub(super) fn at(&self, step: Step) -> Self {
        Self { step, ..*self }
    }

    /// Starts the limit again: there was progress.
    pub(super) fn renew(&mut self) {
        self.until = Instant::now() + self.limit;
    }

    pub(super) fn until(&self) -> Instant {
        self.until
    }

    pub(super) fn check(&self) -> Result<(), SshErrorKind> {
        if self.ends_at.is_some_and(|level| self.cancel.level() >= level) {
            return Err(SshErrorKind::Stopped);
        }
        if Instant::now() >= self.until {
            return Err(SshErrorKind::Timeout { step: self.step, limit: self.limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abandoned_operation_is_to_be_killed() {
        let abandoned = Arc::new(AtomicBool::new(false));
        let cancel = Cancel::new(StopToken::never(), Arc::clone(&abandoned));
        assert_eq!(cancel.level(), StopLevel::Run);
        abandoned.store(true, Ordering::Release);
        assert_eq!(cancel.level(), StopLevel::Kill);
    }
}

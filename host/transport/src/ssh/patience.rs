//! How long a step may take, and what ends it early.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::error::{SshErrorKind, Step};
use crate::entry::PROGRESS;
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

    /// True when nobody waits for the outcome any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.abandoned.load(Ordering::Acquire)
    }

    pub(super) fn level(&self) -> StopLevel {
        if self.is_abandoned() { StopLevel::Kill } else { self.stop.level() }
    }
}

/// How long a step may take, and which stop level ends it.
pub(super) struct Patience<'a> {
    pub(super) step: Step,
    limit: Duration,
    until: Instant,
    cancel: &'a Cancel,
    ends_at: Option<StopLevel>,
    /// Bytes since the limit began.
    moved: usize,
    /// Bytes that count as progress.
    enough: usize,
    /// Bytes that can still be counted.
    room: u64,
}

impl<'a> Patience<'a> {
    /// Ends at `level`; with none, only by time.
    pub(super) fn new(step: Step, limit: Duration, cancel: &'a Cancel, level: Option<StopLevel>) -> Self {
        Self {
            step,
            limit,
            until: Instant::now() + limit,
            cancel,
            ends_at: level,
            moved: 0,
            enough: PROGRESS,
            room: u64::MAX,
        }
    }

    /// The limit is one on silence: every byte starts it again.
    pub(super) fn on_silence(self) -> Self {
        Self { enough: 1, ..self }
    }

    /// So many bytes can be progress, and what goes beyond is none: a peer that sends without end gets no more time for it.
    pub(super) fn up_to(self, bytes: u64) -> Self {
        Self { room: bytes, ..self }
    }

    /// The same limit and moment for another step of the same whole.
    pub(super) fn at(&self, step: Step) -> Self {
        Self { step, ..*self }
    }

    /// A step of the same whole with a limit of its own, which ends no later.
    pub(super) fn within(&self, step: Step, limit: Option<Duration>) -> Self {
        let own = limit.map(|limit| (limit, Instant::now() + limit));
        match own.filter(|(_, until)| *until < self.until) {
            Some((limit, until)) => Self { step, limit, until, ..*self },
            None => self.at(step),
        }
    }

    /// Starts the limit again: there was progress.
    pub(super) fn renew(&mut self) {
        self.until = Instant::now() + self.limit;
        self.moved = 0;
    }

    /// Starts the limit again once enough has moved: a peer that sends one byte a second makes no progress.
    pub(super) fn moved(&mut self, bytes: usize) {
        let counted = usize::try_from(self.room).unwrap_or(usize::MAX).min(bytes);
        self.room = self.room.saturating_sub(counted as u64);
        self.moved = self.moved.saturating_add(counted);
        if self.moved >= self.enough {
            self.renew();
        }
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
    fn a_trickle_is_no_progress() {
        let cancel = Cancel::new(StopToken::never(), Arc::default());
        let mut patience = Patience::new(Step::Output, Duration::from_hours(1), &cancel, None);
        let until = patience.until();
        for _ in 0..PROGRESS - 1 {
            patience.moved(1);
        }
        assert_eq!(patience.until(), until);
        patience.moved(1);
        assert!(patience.until() > until);
    }

    #[test]
    fn more_than_was_asked_for_is_no_progress() {
        let cancel = Cancel::new(StopToken::never(), Arc::default());
        let mut patience = Patience::new(Step::Output, Duration::from_hours(1), &cancel, None).up_to(10_000);
        for renewed in [true, true, false, false] {
            let until = patience.until();
            patience.moved(4_999);
            assert_eq!(patience.until() > until, renewed);
        }
        let mut none = Patience::new(Step::Output, Duration::from_hours(1), &cancel, None).up_to(0);
        let until = none.until();
        none.moved(usize::MAX);
        assert_eq!(none.until(), until);
    }

    #[test]
    fn a_step_ends_no_later_than_the_whole() {
        let cancel = Cancel::new(StopToken::never(), Arc::default());
        let whole = Patience::new(Step::Connect, Duration::from_secs(10), &cancel, None);
        assert_eq!(whole.within(Step::Auth, Some(Duration::from_hours(1))).until(), whole.until());
        assert_eq!(whole.within(Step::Auth, None).until(), whole.until());
        assert!(whole.within(Step::Auth, Some(Duration::from_secs(1))).until() < whole.until());
    }

    #[test]
    fn an_abandoned_operation_is_to_be_killed() {
        let abandoned = Arc::new(AtomicBool::new(false));
        let cancel = Cancel::new(StopToken::never(), Arc::clone(&abandoned));
        assert_eq!(cancel.level(), StopLevel::Run);
        abandoned.store(true, Ordering::Release);
        assert_eq!(cancel.level(), StopLevel::Kill);
    }
}

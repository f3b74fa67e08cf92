//! The time of one call: when it must have ended, and how much of the processor it has used.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

/// The deadline of a call. It stands still while a person is asked.
#[derive(Debug)]
pub(crate) struct CallClock {
    deadline: watch::Sender<Deadline>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deadline {
    Never,
    At(Instant),
    /// Stands still; so much is left.
    Paused(Duration),
}

impl CallClock {
    /// Starts now.
    pub(crate) fn start(limit: Duration) -> Self {
        let deadline = Instant::now().checked_add(limit).map_or(Deadline::Never, Deadline::At);
        Self { deadline: watch::channel(deadline).0 }
    }

    /// Whether the time is over.
    pub(crate) fn is_over(&self) -> bool {
        match *self.deadline.borrow() {
            Deadline::At(at) => Instant::now() >= at,
            Deadline::Never | Deadline::Paused(_) => false,
        }
    }

    /// Resolves when the time is over.
    pub(crate) async fn over(&self) {
        let mut changes = self.deadline.subscribe();
        loop {
            let deadline = *changes.borrow_and_update();
            let changed = match deadline {
                Deadline::At(at) => tokio::select! {
                    () = tokio::time::sleep_until(at.into()) => return,
                    changed = changes.changed() => changed,
                },
                Deadline::Never | Deadline::Paused(_) => changes.changed().await,
            };
            if changed.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// What is left; the longest time when there is no end.
    pub(crate) fn left(&self) -> Duration {
        match *self.deadline.borrow() {
            Deadline::At(at) => at.saturating_duration_since(Instant::now()),
            Deadline::Paused(left) => left,
            Deadline::Never => Duration::MAX,
        }
    }

    /// Stops the clock until the guard is dropped.
    pub(crate) fn pause(&self) -> Paused<'_> {
        let left = self.left();
        self.deadline.send_modify(|deadline| {
            if matches!(deadline, Deadline::At(_)) {
                *deadline = Deadline::Paused(left);
            }
        });
        Paused(self)
    }
}

/// A clock that stands still.
pub(crate) struct Paused<'a>(&'a CallClock);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.deadline.send_modify(|deadline| {
            if let Deadline::Paused(left) = *deadline {
                *deadline = Instant::now().checked_add(left).map_or(Deadline::Never, Deadline::At);
            }
        });
    }
}

/// Processor time of a call, in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct CpuMeter {
    used: AtomicU64,
    /// The thread's processor time when the turn that runs now began.
    turn_began: AtomicU64,
}

impl CpuMeter {
    /// Used so far. Only for the thread on which the call has its turn.
    pub(crate) fn used(&self) -> Duration {
        let turn = thread_time().saturating_sub(self.turn_began.load(Ordering::Relaxed));
        Duration::from_nanos(self.used.load(Ordering::Relaxed).saturating_add(turn))
    }

    /// Runs a future and counts the processor time of each of its turns.
    pub(crate) fn measure<F: Future>(self: &Arc<Self>, inner: F) -> Measured<F> {
        Measured { meter: Arc::clone(self), inner: Box::pin(inner) }
    }
}

fn thread_time() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or_default())
}

/// See [`CpuMeter::measure`].
pub(crate) struct Measured<F> {
    meter: Arc<CpuMeter>,
    inner: Pin<Box<F>>,
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let began = thread_time();
        self.meter.turn_began.store(began, Ordering::Relaxed);
        let polled = self.inner.as_mut().poll(context);
        self.meter.used.fetch_add(thread_time().saturating_sub(began), Ordering::Relaxed);
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = false)]
    async fn a_paused_clock_does_not_run_out() {
        let clock = CallClock::start(Duration::from_millis(30));
        let paused = clock.pause();
        tokio::select! {
            () = clock.over() => panic!("ran out while it stood still"),
            () = tokio::time::sleep(Duration::from_millis(60)) => {}
        }
        assert!(!clock.is_over());
        drop(paused);
        clock.over().await;
        assert!(clock.is_over() && clock.left() == Duration::ZERO);
    }

    #[test]
    fn an_endless_limit_is_no_overflow() {
        let clock = CallClock::start(Duration::MAX);
        assert!(!clock.is_over());
        assert_eq!(clock.left(), Duration::MAX);
    }
}

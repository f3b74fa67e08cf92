//! When a call is tried again, and after how long.

use std::time::Duration;

use crate::ConsoleError;
use crate::call::Repeat;

/// Longest `Retry-After` that is believed. A proxy that asks for hours must not hold a job for hours.
const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(5);

/// Exponential back-off with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts altogether, the first one included; 0 counts as 1.
    pub attempts: u32,
    /// Pause after the first failure; doubles with each further one.
    pub first_pause: Duration,
    /// Longest pause, unless the server asks for more with `Retry-After`.
    pub longest_pause: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { attempts: 4, first_pause: Duration::from_millis(500), longest_pause: Duration::from_secs(10) }
    }
}

impl RetryPolicy {
    /// Pause before the next attempt when attempt `attempt` (from 1) ended with `error`; none to give up.
    pub(crate) fn next_pause(&self, error: &ConsoleError, attempt: u32, repeat: Repeat) -> Option<Duration> {
        let allowed = match repeat {
            Repeat::Always => error.is_transient(),
            Repeat::IfUnsent => error.is_unsent(),
        };
        (allowed && attempt < self.attempts)
            .then(|| pause_after(attempt, self.first_pause, self.longest_pause, error.retry_after()))
    }
}

/// Pause after failure number `failures` (from 1): doubling, capped, between half and all of it at random so that
/// many runners do not come back in step; never shorter than what the server asked for.
pub(crate) fn pause_after(
    failures: u32,
    first: Duration,
    longest: Duration,
    asked: Option<Duration>,
) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let whole = first.saturating_mul(1 << doublings).min(longest);
    let jittered = whole.mul_f64(fastrand::f64().mul_add(0.5, 0.5));
    jittered.max(asked.unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_keep_half_of_it_at_least() {
        let (first, longest) = (Duration::from_millis(100), Duration::from_secs(1));
        for (failures, whole) in [(1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (u32::MAX, 1000)] {
            for _ in 0..50 {
                let pause = pause_after(failures, first, longest, None).as_millis();
                assert!((whole / 2..=whole).contains(&pause), "{failures}: {pause}");
            }
        }
    }

    #[test]
    fn the_server_may_ask_for_more_within_reason() {
        let pause = |asked| pause_after(1, Duration::from_millis(1), Duration::from_millis(1), Some(asked));
        assert_eq!(pause(Duration::from_secs(7)), Duration::from_secs(7));
        assert_eq!(pause(Duration::from_hours(24)), LONGEST_RETRY_AFTER);
    }
}

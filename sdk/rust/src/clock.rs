//! Time: what `std::time` can not give in a tool.

use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::local_time;
#[cfg(target_arch = "wasm32")]
use crate::bindings::wasi::clocks::{monotonic_clock, wall_clock};
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::clock::{local_time, monotonic_clock, wall_clock};

/// A moment of the steady clock, for measuring how long something takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(u64);

impl Instant {
    /// This moment.
    pub fn now() -> Self {
        Self(monotonic_clock::now())
    }

    /// Time since then.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(monotonic_clock::now().saturating_sub(self.0))
    }
}

/// A moment of the wall clock with the runner's time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalTime {
    /// Seconds since 1970, UTC.
    pub unix_seconds: i64,
    /// Seconds to add to UTC for local time.
    pub utc_offset: i32,
}

/// Now, with the runner's time zone.
pub fn local_now() -> LocalTime {
    let unix_seconds = i64::try_from(wall_clock::now().seconds).unwrap_or(i64::MAX);
    LocalTime { unix_seconds, utc_offset: local_time::utc_offset(unix_seconds) }
}

/// Time since 1970, UTC.
pub fn since_epoch() -> Duration {
    let now = wall_clock::now();
    Duration::new(now.seconds, now.nanoseconds)
}

/// Waits. Costs no processor time, but counts as running time.
pub fn sleep(length: Duration) {
    let nanos = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    monotonic_clock::subscribe_duration(nanos).block();
}

/// A time limit as the interfaces of the host take it.
pub(crate) fn millis(length: Duration) -> u32 {
    u32::try_from(length.as_millis()).unwrap_or(u32::MAX)
}

//! Local time for line prefixes and history names.

use std::fmt;
use std::sync::Arc;

use autoexec_store::history_stamp;
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Where log lines take their time from. The time zone is read once: reading it per line would cost more than
/// the line.
#[derive(Clone)]
pub struct LogClock {
    zone: TimeZone,
    now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
}

impl LogClock {
    /// The machine's clock and time zone.
    pub fn system() -> Self {
        Self::new(TimeZone::system(), Timestamp::now)
    }

    /// A clock of the caller's choice.
    pub fn new(zone: TimeZone, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self { zone, now: Arc::new(now) }
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.now)()
    }

    pub(super) fn history_stamp(&self, moment: Timestamp) -> String {
        history_stamp(moment, &self.zone)
    }
}

impl fmt::Debug for LogClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogClock").field("zone", &self.zone).finish_non_exhaustive()
    }
}

/// The prefix `HH:MM:SS ` of the current second.
#[derive(Debug, Default)]
pub(super) struct LinePrefix {
    second: Option<i64>,
    text: String,
}

impl LinePrefix {
    /// Brings the prefix up to date; formats only when the second has changed.
    pub(super) fn refresh(&mut self, clock: &LogClock) {
        let now = clock.now();
        if self.second != Some(now.as_second()) {
            self.second = Some(now.as_second());
            let time = now.to_zoned(clock.zone.clone()).time();
            self.text = format!("{:02}:{:02}:{:02} ", time.hour(), time.minute(), time.second());
        }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

#[cfg(test)]
pub(super) mod testing {
    use super::{LogClock, TimeZone, Timestamp};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// 2023-11-14 22:13:20 UTC, moved on by the returned handle (seconds).
    pub(in super::super) fn manual_clock() -> (LogClock, Arc<AtomicI64>) {
        let offset = Arc::new(AtomicI64::new(0));
        let moved = Arc::clone(&offset);
        let now = move || Timestamp::from_second(1_700_000_000 + moved.load(Ordering::SeqCst)).unwrap();
        (LogClock::new(TimeZone::UTC, now), offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    #[test]
    fn the_prefix_has_nine_characters_and_follows_the_clock() {
        let (clock, offset) = testing::manual_clock();
        let mut prefix = LinePrefix::default();
        prefix.refresh(&clock);
        assert_eq!(prefix.as_bytes(), b"22:13:20 ");
        offset.store(41 * 60 + 42, Ordering::SeqCst);
        prefix.refresh(&clock);
        assert_eq!(prefix.as_bytes(), b"22:55:02 ");
        let shanghai = LogClock { zone: TimeZone::fixed(jiff::tz::offset(8)), ..clock };
        let mut prefix = LinePrefix::default();
        prefix.refresh(&shanghai);
        assert_eq!(prefix.as_bytes(), b"06:55:02 ");
    }
}

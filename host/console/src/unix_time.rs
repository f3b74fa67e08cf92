//! Points in time as the server writes them: seconds since 1970 with a fraction.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01 UTC, with a fraction.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(f64);

impl UnixTime {
    /// The present moment.
    pub fn now() -> Self {
        SystemTime::now().into()
    }

    /// From seconds; a value that is not a number becomes 0, because JSON cannot carry it.
    pub fn from_secs(seconds: f64) -> Self {
        Self(if seconds.is_finite() { seconds } else { 0.0 })
    }

    /// Seconds since 1970, with fraction.
    pub fn as_secs(self) -> f64 {
        self.0
    }

    /// `lastModified` in a query or body: `0` when there is no local copy, as the server compares with it.
    pub(crate) fn last_modified(local: Option<Self>) -> serde_json::Number {
        local
            .filter(|time| time.0 != 0.0)
            .and_then(|time| serde_json::Number::from_f64(time.0))
            .unwrap_or_else(|| 0.into())
    }
}

impl From<SystemTime> for UnixTime {
    fn from(time: SystemTime) -> Self {
        Self(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => after.as_secs_f64(),
            Err(before) => -before.duration().as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn last_modified_is_zero_or_fractional_seconds() {
        assert_eq!(UnixTime::last_modified(None).to_string(), "0");
        assert_eq!(UnixTime::last_modified(Some(UNIX_EPOCH.into())).to_string(), "0");
        let time = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        assert_eq!(UnixTime::last_modified(Some(time.into())).to_string(), "1700000000.25");
        assert_eq!(UnixTime::from_secs(f64::NAN).as_secs().to_string(), "0");
    }
}

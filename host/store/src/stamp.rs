//! The time stamp in names of history files and journals.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// `moment` as local time, `yyyymmdd-HHMMSS` (`spec/workdir.md` §5.4): the runner rebuilds names from it.
pub fn history_stamp(moment: Timestamp, zone: &TimeZone) -> String {
    moment.to_zoned(zone.clone()).strftime("%Y%m%d-%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_is_local_time() {
        let moment = Timestamp::from_second(1_700_000_000).unwrap();
        assert_eq!(history_stamp(moment, &TimeZone::UTC), "20231114-221320");
        let shanghai = TimeZone::fixed(jiff::tz::offset(8));
        assert_eq!(history_stamp(moment, &shanghai), "20231115-061320");
    }
}

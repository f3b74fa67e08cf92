//! Tool `basic/sleep`: waits a number of seconds (spec/tools-behaviour/01-values-and-control.md).

use std::time::Duration;

use autoexec_sdk::clock::{self, LocalTime};
use autoexec_sdk::{Call, Failure, Outcome, Tool, ToolResult, log, options};
use jiff::tz::Offset;
use serde::Deserialize;

/// The longest that it waits: a day.
const LONGEST: f64 = 86_400.0;

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Seconds to wait; fractions are allowed.
    #[serde(default = "three", deserialize_with = "options::number")]
    seconds: f64,
}

fn three() -> f64 {
    3.0
}

struct Sleep;

impl Tool for Sleep {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let seconds = call.options.seconds;
        if !(0.0..=LONGEST).contains(&seconds) {
            let message = format!("`seconds` is {seconds}: give a number from 0 to {LONGEST}");
            return Err(Failure::invalid_option("seconds", message));
        }
        log::info(format_args!("Start : {}", shown(clock::local_now())));
        clock::sleep(Duration::from_secs_f64(seconds));
        log::info(format_args!("End : {}", shown(clock::local_now())));
        Ok(Outcome::default())
    }
}

/// The time of day where the runner is.
fn shown(time: LocalTime) -> String {
    let offset = Offset::from_seconds(time.utc_offset).unwrap_or(Offset::UTC);
    match jiff::Timestamp::from_second(time.unix_seconds) {
        Ok(at) => offset.to_datetime(at).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => format!("{} s since 1970", time.unix_seconds),
    }
}

autoexec_sdk::export_tool!(Sleep);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    #[test]
    fn it_waits_and_says_from_when_to_when() {
        let host = Host::new();
        host.set_time(1_700_000_000, 8 * 3600);
        host.run::<Sleep>(json!({"seconds": "90"})).unwrap();
        assert_eq!(host.waited(), Duration::from_secs(90));
        assert_eq!(
            host.log_lines(),
            ["INFO: Start : 2023-11-15 06:13:20", "INFO: End : 2023-11-15 06:14:50"]
        );
    }

    #[test]
    fn three_seconds_without_the_option() {
        let host = Host::new();
        host.run::<Sleep>(json!({})).unwrap();
        assert_eq!(host.waited(), Duration::from_secs(3));
    }

    #[test]
    fn what_is_no_time_to_wait_fails_at_once() {
        let host = Host::new();
        for seconds in ["soon", "-1", "1e9", "NaN", "inf"] {
            assert!(host.run::<Sleep>(json!({ "seconds": seconds })).is_err(), "{seconds}");
        }
        assert_eq!(host.waited(), Duration::ZERO);
    }
}

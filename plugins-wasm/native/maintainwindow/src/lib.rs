//! Tool `native/maintainwindow`: succeeds only inside one of the given time windows
//! (spec/tools-behaviour/01-values-and-control.md).

use autoexec_sdk::clock::LocalTime;
use autoexec_sdk::{Call, Failure, FailureKind, Outcome, Tool, ToolResult, clock, log, options};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

mod window;

use window::Window;

/// Exit status outside of all windows.
const OUTSIDE: u8 = 255;

struct MaintainWindow;

impl Tool for MaintainWindow {
    type Options = serde::de::IgnoredAny;

    fn run(call: Call<Self::Options>) -> ToolResult {
        let now = local_datetime(clock::local_now())?;
        let arguments: Vec<String> = call.text_arguments().collect();
        let lines: Vec<&str> = arguments.iter().flat_map(|argument| options::lines(argument)).collect();
        let shown = now.strftime("%Y-%m-%d %H:%M:%S");
        match first_open(&lines, now) {
            Some(line) => {
                log::fine(format_args!("TimeWindow:{line} is matched."));
                Ok(Outcome::with_message(format!("Now time {shown} is in maintaince time window.")))
            }
            None => Err(Failure::new(FailureKind::CheckFailed, outside(&shown.to_string(), &lines))
                .with_exit_code(OUTSIDE)),
        }
    }
}

/// The first line whose window is open. Lines that can not be read never are, and are told.
fn first_open<'l>(lines: &[&'l str], now: DateTime) -> Option<&'l str> {
    lines.iter().copied().find(|line| match line.parse::<Window>() {
        Ok(window) => window.is_open(now),
        Err(error) => {
            log::warn(format_args!("Time window:{line} is ignored: {error}"));
            false
        }
    })
}

fn outside(now: &str, lines: &[&str]) -> String {
    lines.iter().fold(format!("Now time {now} is not in defined time window."), |text, line| {
        format!("{text}\n->{line}")
    })
}

fn local_datetime(now: LocalTime) -> Result<DateTime, Failure> {
    let at = Timestamp::from_second(now.unix_seconds).map_err(|error| clock_failure(&error))?;
    let offset = Offset::from_seconds(now.utc_offset).map_err(|error| clock_failure(&error))?;
    Ok(offset.to_datetime(at))
}

fn clock_failure(error: &jiff::Error) -> Failure {
    Failure::new(FailureKind::Other("clock".into()), format!("the runner's clock can not be used: {error}"))
}

autoexec_sdk::export_tool!(MaintainWindow);

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn local_time_is_utc_and_offset() {
        let local = local_datetime(LocalTime { unix_seconds: 1_700_000_000, utc_offset: 8 * 3600 }).unwrap();
        assert_eq!(local, date(2023, 11, 15).at(6, 13, 20, 0));
        assert!(local_datetime(LocalTime { unix_seconds: i64::MAX, utc_offset: 0 }).is_err());
    }

    #[test]
    fn the_first_open_window_counts() {
        let now = date(2026, 3, 2).at(20, 30, 0, 0);
        assert_eq!(first_open(&["08:00-09:00", "20:00-21:00", "20:00-22:00"], now), Some("20:00-21:00"));
        assert_eq!(first_open(&[], now), None);
    }

    #[test]
    fn the_text_of_a_failure_lists_the_windows() {
        let text = outside("2026-03-02 20:30:00", &["08:00-09:00", "WeekDay 7 20:00-21:00"]);
        assert_eq!(
            text,
            "Now time 2026-03-02 20:30:00 is not in defined time window.\n->08:00-09:00\n->WeekDay 7 20:00-21:00"
        );
    }
}

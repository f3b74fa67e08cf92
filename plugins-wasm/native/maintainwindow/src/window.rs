//! One window: the days it is for and the hours of those days.

use std::str::FromStr;

use jiff::civil::{Date, DateTime};

/// A line such as `WeekDay 7 20:00-21:00 23:00-03:00`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Window {
    days: Days,
    hours: Vec<Hours>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Days {
    Every,
    /// 1 is Monday.
    Weekday(i8),
    MonthDay {
        month: i8,
        day: i8,
    },
    Date(Date),
}

/// Minutes of the day, both included. An end before the start is on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hours {
    from: u16,
    to: u16,
}

/// A line that is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WindowError {
    #[error("`{0}` is not a time range such as 20:00-21:00")]
    Hours(String),
    #[error("it has no time range such as 20:00-21:00")]
    NoHours,
    #[error("`{0}` is not a day of the week from 1 (Monday) to 7 (Sunday)")]
    Weekday(String),
    #[error("`{0}` is not a day of the year such as 02-28")]
    MonthDay(String),
    #[error("`{0}` is not a date such as 2060-12-31")]
    Date(String),
}

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(line: &str) -> Result<Self, WindowError> {
        let mut words = line.split_whitespace().peekable();
        let kind = words.peek().map(|word| word.to_ascii_lowercase()).unwrap_or_default();
        let mut second_word = || words.by_ref().nth(1).unwrap_or_default();
        let days = match kind.as_str() {
            "weekday" => weekday(second_word())?,
            "monthday" => month_day(second_word())?,
            "date" => date(second_word())?,
            _ => Days::Every,
        };
        let hours = words.map(hours).collect::<Result<Vec<_>, _>>()?;
        if hours.is_empty() { Err(WindowError::NoHours) } else { Ok(Self { days, hours }) }
    }
}

impl Window {
    /// Whether the window is open at that local time.
    pub(crate) fn is_open(&self, now: DateTime) -> bool {
        let minute = minute_of(now);
        let today = self.days.has(now.date());
        let yesterday = || now.date().yesterday().is_ok_and(|date| self.days.has(date));
        self.hours.iter().any(|hours| {
            if hours.from <= hours.to {
                today && (hours.from..=hours.to).contains(&minute)
            } else {
                // Only the part before midnight belongs to the day itself, and only the part after it to the next.
                (today && minute >= hours.from) || (minute <= hours.to && yesterday())
            }
        })
    }
}

impl Days {
    fn has(self, date: Date) -> bool {
        match self {
            Self::Every => true,
            Self::Weekday(day) => date.weekday().to_monday_one_offset() == day,
            Self::MonthDay { month, day } => (date.month(), date.day()) == (month, day),
            Self::Date(day) => date == day,
        }
    }
}

fn minute_of(time: DateTime) -> u16 {
    u16::try_from(i32::from(time.hour()) * 60 + i32::from(time.minute())).unwrap_or_default()
}

fn weekday(word: &str) -> Result<Days, WindowError> {
    match word.parse() {
        Ok(day @ 1..=7) => Ok(Days::Weekday(day)),
        _ => Err(WindowError::Weekday(word.to_owned())),
    }
}

fn month_day(word: &str) -> Result<Days, WindowError> {
    // A leap year, so that 29 February can be written.
    let date: Option<Date> = format!("2024-{word}").parse().ok();
    let day = date.map(|date| Days::MonthDay { month: date.month(), day: date.day() });
    day.ok_or_else(|| WindowError::MonthDay(word.to_owned()))
}

fn date(word: &str) -> Result<Days, WindowError> {
    word.parse().map(Days::Date).map_err(|_| WindowError::Date(word.to_owned()))
}

fn hours(word: &str) -> Result<Hours, WindowError> {
    let ends =
        word.split_once('-').and_then(|(from, to)| Some(Hours { from: minutes(from)?, to: minutes(to)? }));
    ends.ok_or_else(|| WindowError::Hours(word.to_owned()))
}

fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let in_range = |text: &str, end: u16| text.parse::<u16>().ok().filter(|number| *number < end);
    Some(in_range(hour, 24)? * 60 + in_range(minute, 60)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil;

    /// 2026-03-02 is a Monday.
    fn is_open(line: &str, day: i8, hour: i8, minute: i8) -> bool {
        line.parse::<Window>().unwrap().is_open(civil::date(2026, 3, day).at(hour, minute, 59, 0))
    }

    #[test]
    fn both_ends_are_included() {
        let line = "20:00-21:00";
        assert!(is_open(line, 2, 20, 0) && is_open(line, 2, 21, 0));
        assert!(!is_open(line, 2, 19, 59) && !is_open(line, 2, 21, 1));
    }

    #[test]
    fn several_ranges_stand_on_one_line() {
        let line = "20:00-21:00 23:00-03:00";
        assert!(is_open(line, 2, 20, 30) && is_open(line, 2, 23, 30) && is_open(line, 2, 2, 30));
        assert!(!is_open(line, 2, 22, 0));
    }

    #[test]
    fn a_range_over_midnight_belongs_to_the_day_it_starts_on() {
        let line = "weekday 1 23:00-06:00";
        assert!(is_open(line, 2, 23, 30), "Monday late");
        assert!(is_open(line, 3, 5, 59), "Tuesday early");
        assert!(!is_open(line, 3, 23, 30), "Tuesday late, which the old tool took");
        assert!(!is_open(line, 2, 5, 0), "Monday early");
    }

    #[test]
    fn days_of_every_kind_are_known() {
        assert!(is_open("WEEKDAY 7 00:00-23:59", 1, 12, 0) && !is_open("WeekDay 7 00:00-23:59", 2, 12, 0));
        assert!(
            is_open("MonthDay 03-02 00:00-23:59", 2, 12, 0)
                && !is_open("MonthDay 02-28 00:00-23:59", 2, 12, 0)
        );
        assert!(
            is_open("Date 2026-03-02 22:00-06:00", 3, 6, 0)
                && !is_open("Date 2026-03-02 22:00-06:00", 4, 6, 0)
        );
        assert!("MonthDay 02-29 10:00-11:00".parse::<Window>().is_ok());
    }

    #[test]
    fn malformed_lines_say_what_is_wrong() {
        let error = |line: &str| line.parse::<Window>().unwrap_err();
        assert_eq!(error(""), WindowError::NoHours);
        assert_eq!(error("WeekDay 1"), WindowError::NoHours);
        assert_eq!(error("WeekDay 8 10:00-11:00"), WindowError::Weekday("8".into()));
        assert_eq!(error("WeekDay"), WindowError::Weekday(String::new()));
        assert_eq!(error("MonthDay 02-30 10:00-11:00"), WindowError::MonthDay("02-30".into()));
        assert_eq!(error("Date tomorrow 10:00-11:00"), WindowError::Date("tomorrow".into()));
        for hours in ["10:00", "10-11", "24:00-25:00", "10:60-11:00", "x", "-"] {
            assert_eq!(error(hours), WindowError::Hours(hours.into()));
        }
    }
}

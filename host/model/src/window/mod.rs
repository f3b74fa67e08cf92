//! Maintenance windows: whether a local time is one at which work is allowed (`native/maintainwindow`).

mod parse;

pub use parse::WindowError;

use jiff::civil::{Date, DateTime};

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// A list of windows. A line that cannot be read never matches.
#[derive(Debug, Clone, Default)]
pub struct MaintenanceWindows {
    lines: Vec<Window>,
    malformed: Vec<WindowError>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Window {
    text: String,
    days: Days,
    ranges: Vec<Range>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Days {
    Every,
    /// 1 = Monday … 7 = Sunday.
    Week(i8),
    /// Month and day, each year.
    Month(i8, i8),
    One(Date),
}

/// Minutes since midnight, both included. An end before the start is on the next day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    start: u16,
    end: u16,
}

impl MaintenanceWindows {
    /// Reads the arguments of the operation: each may hold several lines, divided by line breaks or by the
    /// two characters `\n`.
    pub fn parse<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Self {
        let mut windows = Self::default();
        for argument in arguments {
            let argument = argument.replace("\\n", "\n");
            for line in argument.lines().map(str::trim).filter(|line| !line.is_empty()) {
                match parse::window(line) {
                    Ok(window) => windows.lines.push(window),
                    Err(error) => windows.malformed.push(error),
                }
            }
        }
        windows
    }

    /// The first line that `now`, a local time, is in.
    pub fn matching(&self, now: DateTime) -> Option<&str> {
        self.lines.iter().find(|window| window.contains(now)).map(|window| window.text.as_str())
    }

    /// The lines that could be read.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(|window| window.text.as_str())
    }

    /// The lines that could not be read; each is worth a warning.
    pub fn malformed(&self) -> &[WindowError] {
        &self.malformed
    }
}

impl Window {
    fn contains(&self, now: DateTime) -> bool {
        let minute = u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs());
        let today = self.days.contain(now.date());
        // a range over midnight belongs to the day it starts on
        let yesterday = now.date().yesterday().is_ok_and(|date| self.days.contain(date));
        self.ranges.iter().any(|range| {
            if range.end >= range.start {
                today && (range.start..=range.end).contains(&minute)
            } else {
                (today && minute >= range.start) || (yesterday && minute <= range.end)
            }
        })
    }
}

impl Days {
    fn contain(self, date: Date) -> bool {
        match self {
            Self::Every => true,
            Self::Week(day) => date.weekday().to_monday_one_offset() == day,
            Self::Month(month, day) => (date.month(), date.day()) == (month, day),
            Self::One(one) => date == one,
        }
    }
}

#[cfg(test)]
mod tests;

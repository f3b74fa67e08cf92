//! Reading a line of a window list.

use jiff::civil::Date;

use super::{DAY, Days, Range, Window};

/// A line that is not a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("time window `{line}` is ignored: `{part}` is not {expected}")]
pub struct WindowError {
    /// The line.
    pub line: String,
    /// The part that cannot be read; empty when something is missing.
    pub part: String,
    /// What it should be.
    pub expected: &'static str,
}

const A_RANGE: &str = "a time range such as 20:00-21:00";

pub(super) fn window(line: &str) -> Result<Window, WindowError> {
    let wrong = |part: &str, expected| WindowError { line: line.to_owned(), part: part.to_owned(), expected };
    let mut words = line.split_whitespace().peekable();
    let keyword = words.peek().map(|word| word.to_ascii_lowercase()).unwrap_or_default();
    let reader: Option<(DayReader, &'static str)> = match keyword.as_str() {
        "weekday" => Some((week_day, "a day of the week from 1 (Monday) to 7 (Sunday)")),
        "monthday" => Some((month_day, "a month and day such as 02-28")),
        "date" => Some((one_day, "a date such as 2060-12-31")),
        _ => None,
    };
    let mut days = Days::Every;
    if let Some((read, expected)) = reader {
        words.next();
        let word = words.next().unwrap_or_default();
        days = read(word).ok_or_else(|| wrong(word, expected))?;
    }
    let ranges =
        words.map(|word| range(word).ok_or_else(|| wrong(word, A_RANGE))).collect::<Result<Vec<_>, _>>()?;
    if ranges.is_empty() {
        return Err(wrong("", A_RANGE));
    }
    Ok(Window { text: line.to_owned(), days, ranges })
}

type DayReader = fn(&str) -> Option<Days>;

fn week_day(word: &str) -> Option<Days> {
    word.parse().ok().filter(|day| (1..=7).contains(day)).map(Days::Week)
}

fn month_day(word: &str) -> Option<Days> {
    let (month, day) = word.split_once('-')?;
    // a leap year, so that 02-29 is a day
    let date = Date::new(2000, number(month)?, number(day)?).ok()?;
    Some(Days::Month(date.month(), date.day()))
}

fn one_day(word: &str) -> Option<Days> {
    let mut parts = word.splitn(3, '-');
    let year = parts.next()?.parse().ok()?;
    let (month, day) = (number(parts.next()?)?, number(parts.next()?)?);
    Date::new(year, month, day).ok().map(Days::One)
}

/// `20:00-21:00`.
fn range(word: &str) -> Option<Range> {
    let (start, end) = word.split_once('-')?;
    Some(Range { start: minute(start).filter(|start| *start < DAY)?, end: minute(end)? })
}

/// Minutes since midnight; 24:00 is the end of the day.
fn minute(word: &str) -> Option<u16> {
    let (hour, minute) = word.split_once(':')?;
    let (hour, minute) = (u16::try_from(number(hour)?).ok()?, u16::try_from(number(minute)?).ok()?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= DAY).then_some(total)
}

/// One or two digits.
fn number(word: &str) -> Option<i8> {
    let digits = (1..=2).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_digit());
    if digits { word.parse().ok() } else { None }
}

//! Tables and values of a policy file, with their places, and errors that name them.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{PolicyError, PolicyProblem};
use crate::rule::RuleRef;

/// How alike a key must be to be taken for the one that was meant.
const ALIKE: f64 = 0.7;

/// A file being read: turns spans into lines.
#[derive(Clone, Copy)]
pub(super) struct File<'a> {
    pub(super) name: &'a str,
    pub(super) text: &'a str,
}

/// A table of which keys are taken one by one, so that those that nobody asked for are found.
pub(super) struct Table<'a> {
    file: File<'a>,
    /// As errors call it.
    place: String,
    pub(super) at: Range<usize>,
    entries: Vec<(String, Range<usize>, Spanned<DeValue<'a>>)>,
    known: Vec<&'static str>,
}

/// A value with its key.
pub(super) struct Item<'a> {
    pub(super) file: File<'a>,
    pub(super) key: String,
    pub(super) at: Range<usize>,
    pub(super) value: DeValue<'a>,
}

/// A text with its place.
pub(super) struct Text {
    pub(super) text: String,
    pub(super) at: Range<usize>,
}

impl<'a> File<'a> {
    pub(super) fn read(self) -> Result<Table<'a>, PolicyError> {
        let document = DeTable::parse(self.text).map_err(|error| {
            let at = error.span().unwrap_or_default();
            self.error(&at, PolicyProblem::Format(error.message().trim().replace('\n', ", ")))
        })?;
        let at = document.span();
        Ok(Table::new(self, "a policy", at, document.into_inner()))
    }

    pub(super) fn rule_ref(&self, at: &Range<usize>, text: String) -> RuleRef {
        RuleRef { file: self.name.to_owned(), line: self.position(at).0, text }
    }

    pub(super) fn error(&self, at: &Range<usize>, problem: PolicyProblem) -> PolicyError {
        let (line, column) = self.position(at);
        PolicyError { file: self.name.to_owned(), line, column, problem: Box::new(problem) }
    }

    /// Line and column of the start of a span, from 1.
    fn position(&self, at: &Range<usize>) -> (usize, usize) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

impl<'a> Table<'a> {
    fn new(file: File<'a>, place: impl Into<String>, at: Range<usize>, table: DeTable<'a>) -> Self {
        let entries = table.into_iter().map(|(key, value)| {
            let at = key.span();
            (key.into_inner().into_owned(), at, value)
        });
        Self { file, place: place.into(), at, entries: entries.collect(), known: Vec::new() }
    }

    /// The value of a key, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Item<'a>> {
        self.known.push(key);
        let index = self.entries.iter().position(|(name, ..)| name == key)?;
        let (key, _, value) = self.entries.swap_remove(index);
        Some(Item { file: self.file, key, at: value.span(), value: value.into_inner() })
    }

    pub(super) fn need(&mut self, key: &'static str) -> Result<Item<'a>, PolicyError> {
        let missing = PolicyProblem::MissingKey { key, place: self.place.clone() };
        self.take(key).ok_or_else(|| self.file.error(&self.at, missing))
    }

    /// Everything that is left, where the keys are names of the site's choice.
    pub(super) fn take_all(&mut self) -> Vec<(Text, Item<'a>)> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by_key(|(_, at, _)| at.start);
        let item = |(key, at, value): (String, Range<usize>, Spanned<DeValue<'a>>)| {
            let item =
                Item { file: self.file, key: key.clone(), at: value.span(), value: value.into_inner() };
            (Text { text: key, at }, item)
        };
        entries.into_iter().map(item).collect()
    }

    /// An error when there is a key that nobody asked for.
    pub(super) fn finish(mut self) -> Result<(), PolicyError> {
        let Some((key, _)) = self.take_all().into_iter().next() else { return Ok(()) };
        let likeness =
            |known: &&'static str| (strsim::normalized_damerau_levenshtein(&key.text, known), *known);
        let nearest = self.known.iter().map(likeness).filter(|(alike, _)| *alike >= ALIKE);
        let nearest = nearest.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, key)| key.to_owned());
        let problem =
            PolicyProblem::UnknownKey { key: key.text, place: self.place, nearest, known: self.known };
        Err(self.file.error(&key.at, problem))
    }
}

impl<'a> Item<'a> {
    pub(super) fn error(&self, problem: PolicyProblem) -> PolicyError {
        self.file.error(&self.at, problem)
    }

    /// The value is of another kind than it must be.
    pub(super) fn wrong(&self, expected: &'static str) -> PolicyError {
        let found = match &self.value {
            DeValue::String(text) => format!("\"{text}\""),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Integer(number) => number.to_string(),
            other => format!("a {}", other.type_str()),
        };
        self.error(PolicyProblem::Kind { key: self.key.clone(), found, expected })
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.value.as_bool()
    }

    pub(super) fn text(self, expected: &'static str) -> Result<Text, PolicyError> {
        match self.value {
            DeValue::String(text) => Ok(Text { text: text.into_owned(), at: self.at }),
            _ => Err(self.wrong(expected)),
        }
    }

    /// A whole number that is not 0.
    pub(super) fn number(&self, key: &'static str) -> Result<u32, PolicyError> {
        let number = self
            .value
            .as_integer()
            .and_then(|number| u32::from_str_radix(number.as_str(), number.radix()).ok());
        match number {
            Some(0) => Err(self.error(PolicyProblem::Zero(key))),
            Some(number) => Ok(number),
            None => Err(self.wrong("a whole number from 1 to 4294967295")),
        }
    }

    pub(super) fn texts(self, expected: &'static str) -> Result<Vec<Text>, PolicyError> {
        let DeValue::Array(values) = self.value else { return Err(self.wrong(expected)) };
        let text = |value: Spanned<DeValue<'a>>| {
            let item =
                Item { file: self.file, key: self.key.clone(), at: value.span(), value: value.into_inner() };
            item.text(expected)
        };
        values.into_iter().map(text).collect()
    }

    pub(super) fn table(
        self,
        place: impl Into<String>,
        expected: &'static str,
    ) -> Result<Table<'a>, PolicyError> {
        match self.value {
            DeValue::Table(table) => Ok(Table::new(self.file, place, self.at, table)),
            _ => Err(self.wrong(expected)),
        }
    }

    /// The tables of `[[…]]`.
    pub(super) fn tables(
        self,
        place: &'static str,
        expected: &'static str,
    ) -> Result<Vec<Table<'a>>, PolicyError> {
        let DeValue::Array(values) = self.value else { return Err(self.wrong(expected)) };
        let table = |value: Spanned<DeValue<'a>>| {
            let item =
                Item { file: self.file, key: self.key.clone(), at: value.span(), value: value.into_inner() };
            item.table(place, expected)
        };
        values.into_iter().map(table).collect()
    }
}

//! Files written by people: read, told apart as YAML or JSON, and complained about with file, line and field.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{Location, Spanned, UserMessageFormatter};

use crate::CliError;

/// Nobody writes a longer file by hand; the limit keeps a mistaken path (a disk image) out of memory.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// What is wrong with a file that a person wrote, and where.
#[derive(Debug, thiserror::Error)]
#[error("{file}{position}: {field}{problem}")]
pub(super) struct FileError {
    file: String,
    position: Position,
    field: String,
    problem: String,
}

impl From<FileError> for CliError {
    fn from(error: FileError) -> Self {
        Self::bad_input(error)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Unknown,
    At { line: u64, column: u64 },
}

impl Position {
    fn of(location: &Location) -> Self {
        match location.line() {
            // JSON files are read without positions for values; the field says where.
            0 => Self::Unknown,
            line => Self::At { line, column: location.column() },
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => Ok(()),
            Self::At { line, column } => write!(f, ", line {line}, column {column}"),
        }
    }
}

/// A place in a file: where the reader stands, for complaints.
#[derive(Debug, Clone)]
pub(super) struct At<'a> {
    source: &'a Source,
    position: Position,
    field: String,
}

impl<'a> At<'a> {
    /// The member `name` of this place.
    pub(super) fn field(&self, name: impl fmt::Display) -> Self {
        let dot = if self.field.is_empty() { "" } else { "." };
        Self { field: format!("{}{dot}{name}", self.field), ..self.clone() }
    }

    /// Element `index`, from 0.
    pub(super) fn index(&self, index: usize) -> Self {
        Self { field: format!("{}[{index}]", self.field), ..self.clone() }
    }

    /// The same field with the position of `value`.
    pub(super) fn of<T>(&self, value: &Spanned<T>) -> Self {
        Self { position: Position::of(&value.referenced), ..self.clone() }
    }

    /// An error about this place.
    pub(super) fn complain(&self, problem: impl fmt::Display) -> FileError {
        let colon = if self.field.is_empty() { "" } else { ": " };
        FileError {
            file: self.source.name(),
            position: self.position,
            field: format!("{}{colon}", self.field),
            problem: problem.to_string(),
        }
    }

    /// The file this place is in.
    pub(super) fn source(&self) -> &'a Source {
        self.source
    }
}

/// The text of a file and what it is written in.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<Self, CliError> {
        let refuse =
            |problem: &dyn fmt::Display| CliError::bad_input(format!("{}: {problem}", path.display()));
        let size = std::fs::metadata(path).map_err(|error| refuse(&error))?.len();
        if size > MAX_FILE {
            return Err(refuse(&format_args!("{size} bytes are too many for a file written by hand")));
        }
        let bytes = std::fs::read(path).map_err(|error| refuse(&error))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            refuse(&format_args!("not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
        })?;
        Ok(Self::new(path, text))
    }

    /// A text that was read already.
    pub(super) fn new(path: &Path, text: String) -> Self {
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        Self { path: path.to_owned(), text }
    }

    /// The name for messages.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// The directory that relative paths in the file start from.
    pub(super) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// The text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The whole file as a place.
    pub(super) fn root(&self) -> At<'_> {
        At { source: self, position: Position::Unknown, field: String::new() }
    }

    /// A line of the file as a place, counted from 1.
    pub(super) fn line(&self, line: usize) -> At<'_> {
        At { position: Position::At { line: line as u64, column: 1 }, ..self.root() }
    }

    /// By its name, else by its first character.
    pub(super) fn is_json(&self) -> bool {
        match self.path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => true,
            Some("yaml" | "yml") => false,
            _ => self.text.trim_start().starts_with(['{', '[']),
        }
    }

    /// Reads the file as a `T`.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, FileError> {
        if self.is_json() {
            return serde_json::from_str(&self.text).map_err(|error| self.json_error(&error));
        }
        let options = serde_saphyr::options! {
            // `yes`, `on` and `off` are words, 007 is a text: what people mean who write them.
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            // A snippet would show the neighbouring lines, and those may hold a password.
            with_snippet: false,
        };
        serde_saphyr::from_str_with_options(&self.text, options).map_err(|error| self.yaml_error(&error))
    }

    fn json_error(&self, error: &serde_json::Error) -> FileError {
        let position = Position::At { line: error.line() as u64, column: error.column() as u64 };
        // The library ends its text with the position, which stands in front already.
        let text = error.to_string();
        let problem = text.split(" at line ").next().unwrap_or(&text).to_owned();
        FileError { file: self.name(), position, field: String::new(), problem }
    }

    fn yaml_error(&self, error: &serde_saphyr::Error) -> FileError {
        let position = error.location().map_or(Position::Unknown, |location| Position::of(&location));
        let text = error.render_with_formatter(&UserMessageFormatter);
        FileError { file: self.name(), position, field: String::new(), problem: without_position(&text) }
    }

    /// A number as it was written: `1.10` is a version to people and 1.1 to a YAML reader.
    pub(super) fn spelling(&self, value: &Spanned<Value>) -> Option<&str> {
        if !value.value.is_number() {
            return None;
        }
        let span = value.defined.span();
        let start = usize::try_from(span.byte_offset()?).ok()?;
        let end = start.checked_add(usize::try_from(span.byte_len()?).ok()?)?;
        let written = self.text.get(start..end)?.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | '-' | '_');
        (!written.is_empty() && written.chars().all(plain)).then_some(written)
    }
}

/// The library says the position once more, in front or at the end.
fn without_position(text: &str) -> String {
    let text = text.trim();
    let text = text.split(" at line ").next().unwrap_or(text);
    let text = match text.strip_prefix("line ").and_then(|rest| rest.split_once(": ")) {
        Some((_, rest)) => rest,
        None => text,
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexmap::IndexMap;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(default)]
        values: IndexMap<String, Spanned<Value>>,
    }

    fn source(name: &str, text: &str) -> Source {
        Source::new(Path::new(name), text.to_owned())
    }

    #[test]
    fn errors_name_file_line_column_and_field() {
        for (name, text, expected) in [
            ("a.yaml", "values: {}\nvalue: {}\n", "a.yaml, line 2, column 1: unknown field `value`"),
            ("a.json", "{\"values\": {},\n \"value\": 1}", "a.json, line 2, column 8: unknown field `value`"),
            ("a.yaml", "values: {a: 1\nb: [", "a.yaml, line 2"),
            ("a.json", "{", "a.json, line 1, column 1: EOF"),
            ("a.yaml", "values: {a: 1, a: 2}", "duplicate"),
        ] {
            let error = source(name, text).parse::<Sample>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert_eq!(error.matches("line ").count(), 1, "{error}");
        }
    }

    #[test]
    fn numbers_keep_their_spelling_and_words_stay_words() {
        let source = source("a.yaml", "values: {v: 1.10, w: yes, z: 007, n: -3, t: \"1.50\"}");
        let sample: Sample = source.parse().unwrap();
        let spelling = |name: &str| source.spelling(&sample.values[name]);
        assert_eq!((spelling("v"), spelling("n")), (Some("1.10"), Some("-3")));
        assert_eq!(
            (sample.values["w"].value.as_str(), sample.values["z"].value.as_str()),
            (Some("yes"), Some("007"))
        );
        assert_eq!(sample.values["t"].value, "1.50");
    }

    #[test]
    fn places_name_the_path_and_the_line() {
        let source = source("a.yaml", "values:\n  v: 1\n");
        let sample: Sample = source.parse().unwrap();
        let at = source.root().field("values").field("v").of(&sample.values["v"]);
        assert_eq!(at.complain("wrong").to_string(), "a.yaml, line 2, column 6: values.v: wrong");
        assert_eq!(source.root().field("x").index(2).complain("wrong").to_string(), "a.yaml: x[2]: wrong");
    }
}

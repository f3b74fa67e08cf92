//! Reading files that somebody else may have written, deleted or broken in the meantime.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use serde_json::{Map, Value};

use crate::StoreError;
use crate::error::{io_error, json_reason};

/// What was found where a file of the job should be.
#[derive(Debug, Clone, PartialEq)]
pub enum Loaded<T> {
    /// No such file: never written, or removed by the runner.
    Missing,
    /// There is a file, but not one of this format.
    Broken {
        /// What is wrong with it. It never quotes the content.
        reason: String,
    },
    /// The content.
    Found(T),
}

impl<T> Loaded<T> {
    /// The content, if there is any.
    pub fn found(self) -> Option<T> {
        match self {
            Self::Found(value) => Some(value),
            Self::Missing | Self::Broken { .. } => None,
        }
    }

    pub(crate) fn and_then<U>(self, parse: impl FnOnce(T) -> Result<U, String>) -> Loaded<U> {
        match self {
            Self::Missing => Loaded::Missing,
            Self::Broken { reason } => Loaded::Broken { reason },
            Self::Found(value) => match parse(value) {
                Ok(value) => Loaded::Found(value),
                Err(reason) => Loaded::Broken { reason },
            },
        }
    }
}

/// Files of our own formats are far smaller; the limit keeps a runaway file from taking all memory.
const MAX_OWN_FILE: u64 = 256 * 1024 * 1024;

/// Reads a JSON object of ours.
pub(crate) fn load_object(path: &Path) -> Result<Loaded<Map<String, Value>>, StoreError> {
    Ok(match read_regular(path, MAX_OWN_FILE)? {
        None => Loaded::Missing,
        Some(bytes) => Loaded::Found(bytes).and_then(|bytes| parse_object(&bytes)),
    })
}

/// Parses a JSON object; the error says what is wrong without quoting the text.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    // Tools on Windows targets like to start a file with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.trim_ascii().is_empty() {
        return Err("it is empty".to_owned());
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(format!("expected a JSON object, found {}", kind_of(&other))),
        Err(error) => Err(json_reason(&error)),
    }
}

/// The JSON type of a value, for messages.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The bytes of a regular file of at most `limit` bytes; none if it does not exist.
pub(crate) fn read_regular(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(file) = open_regular(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(StoreError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(Some(bytes))
}

/// Opens without waiting, so that a FIFO put there by a plugin cannot hold us, and refuses what is not a file.
fn open_regular(path: &Path) -> Result<Option<File>, StoreError> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("open", path)(error)),
    };
    if file.metadata().map_err(io_error("inspect", path))?.is_file() {
        Ok(Some(file))
    } else {
        Err(StoreError::Broken { path: path.to_owned(), reason: "it is not a regular file".to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn reasons_say_what_is_wrong_without_quoting() {
        for (text, expected) in [
            ("", "it is empty"),
            ("\n", "it is empty"),
            ("[1]", "expected a JSON object, found an array"),
            ("\"s3cret\"", "expected a JSON object, found a text"),
        ] {
            assert_eq!(parse_object(text.as_bytes()).unwrap_err(), expected);
        }
        let reason = parse_object(b"{\"password\": \"s3cret\"").unwrap_err();
        assert!(reason.starts_with("it is not valid JSON") && !reason.contains("s3cret"), "{reason}");
        let deep = "{\"a\":".repeat(100_000);
        assert!(parse_object(deep.as_bytes()).unwrap_err().contains("recursion"));
    }

    #[test]
    fn a_fifo_or_a_large_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(matches!(read_regular(&fifo, 10), Err(StoreError::Broken { .. })));
        assert!(matches!(read_regular(dir.path(), 10), Err(StoreError::Broken { .. })));
        let file = dir.path().join("file");
        fs::write(&file, "12345678901").unwrap();
        assert!(matches!(read_regular(&file, 10), Err(StoreError::TooLarge { limit: 10, .. })));
        assert_eq!(read_regular(&file, 11).unwrap().unwrap().len(), 11);
        assert!(read_regular(&dir.path().join("none"), 1).unwrap().is_none());
    }
}

//! JSON text as the reference writes it, so that people and programs that compare files see no change.
//!
//! One formatter for both styles of Python's `json.dumps(…, ensure_ascii=False)`: on one line with `", "` and
//! `": "`, or with `indent=4`. Neither style ends with a newline.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::Formatter;

/// How JSON text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `{"a": 1, "b": [1, 2]}`
    Compact,
    /// One entry per line, indented by four blanks per level.
    Indented,
}

/// The bytes of `value` in the given style.
pub fn to_bytes<T: Serialize + ?Sized>(value: &T, style: Style) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, PythonFormatter::new(style));
    value.serialize(&mut serializer)?;
    Ok(bytes)
}

/// The text of `value` in the given style.
pub fn to_text<T: Serialize + ?Sized>(value: &T, style: Style) -> Result<String, serde_json::Error> {
    let bytes = to_bytes(value, style)?;
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

/// `serde_json` formatter for both styles.
struct PythonFormatter {
    style: Style,
    depth: usize,
    /// Whether the array or object that ends next holds something: an empty one stays on one line.
    has_entries: bool,
}

impl PythonFormatter {
    fn new(style: Style) -> Self {
        Self { style, depth: 0, has_entries: false }
    }

    fn open<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth += 1;
        self.has_entries = false;
        writer.write_all(bracket)
    }

    fn separate<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        match self.style {
            Style::Compact if first => Ok(()),
            Style::Compact => writer.write_all(b", "),
            Style::Indented => {
                writer.write_all(if first { b"\n" } else { b",\n" })?;
                self.indent(writer)
            }
        }
    }

    fn close<W: ?Sized + Write>(&mut self, writer: &mut W, bracket: &[u8]) -> io::Result<()> {
        self.depth = self.depth.saturating_sub(1);
        if self.has_entries && self.style == Style::Indented {
            writer.write_all(b"\n")?;
            self.indent(writer)?;
        }
        // The entry that held this one is complete now, so the outer one is not empty.
        self.has_entries = true;
        writer.write_all(bracket)
    }

    fn indent<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        (0..self.depth).try_for_each(|_| writer.write_all(b"    "))
    }
}

impl Formatter for PythonFormatter {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"[")
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"]")
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.separate(writer, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.has_entries = true;
        Ok(())
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open(writer, b"{")
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.close(writer, b"}")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.separate(writer, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.has_entries = true;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn compact_text_has_blanks_after_separators() {
        let value = json!({"a": 1, "空": [true, null, "x\u{1}\n\u{7f}"], "e": {}, "l": []});
        assert_eq!(
            to_text(&value, Style::Compact).unwrap(),
            "{\"a\": 1, \"空\": [true, null, \"x\\u0001\\n\u{7f}\"], \"e\": {}, \"l\": []}"
        );
    }

    #[test]
    fn indented_text_is_that_of_python() {
        let value = json!({"a": {"b": [1, {"c": {}}], "d": []}, "e": "f"});
        let expected = "{\n    \"a\": {\n        \"b\": [\n            1,\n            {\n                \"c\": {}\n            }\n        ],\n        \"d\": []\n    },\n    \"e\": \"f\"\n}";
        assert_eq!(to_text(&value, Style::Indented).unwrap(), expected);
    }
}

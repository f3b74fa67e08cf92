//! JSON as the replaced executor wrote it: `", "` and `": "` between the parts, non-ASCII kept.
//!
//! Plugins and saved jobs compare such texts, so the separators are part of the contract
//! (`spec/job-params.md` §2.6).

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// `value` as JSON text on one line, with a blank after each comma and colon.
pub fn json_text(value: &Value) -> String {
    let mut bytes = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut bytes, Spaced);
    // Writing into memory cannot fail; the compact form is a safe answer if that ever changes.
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8(bytes).unwrap_or_else(|_| value.to_string()),
        Err(_) => value.to_string(),
    }
}

/// A text as it is, anything else as JSON text.
pub fn plain_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => json_text(other),
    }
}

struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(separator(first))
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        writer.write_all(separator(first))
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

fn separator(first: bool) -> &'static [u8] {
    if first { b"" } else { b", " }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_has_a_blank_after_commas_and_colons_and_keeps_chinese() {
        for (value, text) in [
            (json!([901, 902]), "[901, 902]"),
            (json!({"a": [1, {"b": null}], "名": "值"}), r#"{"a": [1, {"b": null}], "名": "值"}"#),
            (json!([]), "[]"),
            (json!({}), "{}"),
            (json!("a\"b"), r#""a\"b""#),
            (json!(true), "true"),
        ] {
            assert_eq!(json_text(&value), text);
        }
        assert_eq!(plain_text(&json!("as it is")), "as it is");
        assert_eq!(plain_text(&json!(5)), "5");
    }
}

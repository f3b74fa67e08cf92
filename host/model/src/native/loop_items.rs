//! The items of a loop block (`spec/native-ops.md` §7.4).

use serde_json::Value;

use crate::json_text::plain_text;

/// The items that a resolved `loopItems` text stands for: the members of a JSON array, or else the parts
/// between commas and line breaks, trimmed, none empty. The two characters `\n` are a line break too, because
/// that is how a text area's value arrives.
pub fn loop_items(text: &str) -> Vec<String> {
    if let Ok(Value::Array(members)) = serde_json::from_str(text) {
        return members.iter().map(plain_text).collect();
    }
    text.replace("\\n", "\n")
        .split([',', '\n'])
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_takes_json_arrays_and_lists() {
        for (text, items) in [
            ("", vec![]),
            (" , ,\n", vec![]),
            ("a, b,,c\nd\r\n e ", vec!["a", "b", "c", "d", "e"]),
            (r"a\nb", vec!["a", "b"]),
            (r#"["a, b", 5, {"k": [1, 2]}, null, ""]"#, vec!["a, b", "5", r#"{"k": [1, 2]}"#, "null", ""]),
            (r#"["a" "b"]"#, vec![r#"["a" "b"]"#]),
            (r#"{"a": 1}"#, vec![r#"{"a": 1}"#]),
            ("5", vec!["5"]),
        ] {
            assert_eq!(loop_items(text), items, "{text}");
        }
    }
}

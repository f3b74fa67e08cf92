//! The items of a loop block (`spec/native-ops.md` §7.4).

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::JobId;
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

/// A mark of an item, 16 hexadecimal digits: in one job, equal items have equal marks. It stands in status files in the
/// item's place, because an item may be long, and may be a secret.
pub fn item_mark(job: &JobId, item: &str) -> String {
    // A key of any length will do.
    let Ok(mut mac) = <Hmac<Sha256> as KeyInit>::new_from_slice(job.as_str().as_bytes()) else {
        return String::new();
    };
    mac.update(item.as_bytes());
    let mut digest = hex::encode(mac.finalize().into_bytes());
    digest.truncate(16);
    digest
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

    #[test]
    fn a_mark_tells_items_apart_and_shows_nothing_of_them() {
        let job = |id: &str| JobId::new(id).unwrap();
        let mark = item_mark(&job("620"), "s3cret");
        assert_eq!((mark.len(), &mark), (16, &item_mark(&job("620"), "s3cret")));
        assert_ne!(mark, item_mark(&job("620"), "s3cret "));
        assert_ne!(mark, item_mark(&job("621"), "s3cret"));
    }
}

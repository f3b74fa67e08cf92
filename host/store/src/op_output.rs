//! The file a tool writes its outputs to: `output-op/<K>/<opId>.json` (`spec/plugin-contract.md` §8.4).

use std::path::Path;

use serde_json::{Map, Value};

use crate::StoreError;
use crate::read::{parse_object, read_regular};

/// The largest output file that is read, in bytes. It may come from a hostile target.
pub const MAX_OP_OUTPUT: u64 = 64 * 1024 * 1024;

/// Reads the outputs of one operation. No file or an empty one is an empty object: a tool that has nothing to
/// say need not write one.
pub fn read_op_output(path: &Path) -> Result<Map<String, Value>, StoreError> {
    match read_regular(path, MAX_OP_OUTPUT)? {
        Some(bytes) if !bytes.trim_ascii().is_empty() => {
            parse_object(&bytes).map_err(|reason| StoreError::Broken { path: path.to_owned(), reason })
        }
        _ => Ok(Map::new()),
    }
}

/// Gives declared outputs that the tool did not produce their default. A `null` the tool wrote stays.
pub fn fill_defaults<'a>(
    outputs: &mut Map<String, Value>,
    declared: impl IntoIterator<Item = (&'a str, &'a Value)>,
) {
    for (key, default) in declared {
        outputs.entry(key).or_insert_with(|| default.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    #[test]
    fn nothing_written_is_an_empty_object() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.json");
        assert!(read_op_output(&path).unwrap().is_empty());
        fs::write(&path, " \n").unwrap();
        assert!(read_op_output(&path).unwrap().is_empty());
        fs::write(&path, "\u{feff}{\"a\": 1}\r\n").unwrap();
        assert_eq!(read_op_output(&path).unwrap()["a"], 1);
    }

    #[test]
    fn what_is_no_object_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.json");
        for text in ["[1]", "{\"a\": ", "null", "\u{1}", "{} x"] {
            fs::write(&path, text).unwrap();
            let error = read_op_output(&path).unwrap_err();
            assert!(matches!(error, StoreError::Broken { .. }), "{text}");
            assert!(error.to_string().contains("o.json"), "{error}");
        }
    }

    #[test]
    fn only_absent_keys_get_a_default() {
        let mut outputs = json!({"a": 1, "b": null}).as_object().unwrap().clone();
        let (x, null) = (json!("x"), Value::Null);
        fill_defaults(&mut outputs, [("a", &x), ("b", &x), ("c", &x), ("d", &null)]);
        assert_eq!(Value::Object(outputs), json!({"a": 1, "b": null, "c": "x", "d": null}));
    }
}

//! From a document to rows.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The most rows: lists in lists multiply quickly.
const MOST: usize = 100_000;

/// Values by their dotted paths.
pub(crate) type Row = BTreeMap<String, Value>;

/// Data that are no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TableError {
    #[error("the data are neither an object nor a list of objects")]
    NoTable,
    #[error("the data have more than {MOST} rows: leave out lists that are not needed")]
    TooMany,
}

/// The rows of an object, or of a list of objects.
pub(crate) fn rows(data: &Value) -> Result<Vec<Row>, TableError> {
    match data {
        Value::Object(object) => of_object(object, ""),
        Value::Array(list) if list.iter().all(Value::is_object) => of_list(list, ""),
        _ => Err(TableError::NoTable),
    }
}

fn of_list(list: &[Value], prefix: &str) -> Result<Vec<Row>, TableError> {
    let mut rows = Vec::new();
    for object in list.iter().filter_map(Value::as_object) {
        rows.append(&mut of_object(object, prefix)?);
        if rows.len() > MOST {
            return Err(TableError::TooMany);
        }
    }
    Ok(rows)
}

fn of_object(object: &Map<String, Value>, prefix: &str) -> Result<Vec<Row>, TableError> {
    let mut plain = Row::new();
    let mut nested = Vec::new();
    for (name, value) in object {
        let path = format!("{prefix}{name}");
        match value {
            Value::Object(inner) => nested.push(of_object(inner, &format!("{path}."))?),
            Value::Array(list) if list.iter().all(Value::is_object) => {
                nested.push(of_list(list, &format!("{path}."))?);
            }
            value => {
                plain.insert(path, value.clone());
            }
        }
    }
    let mut rows = vec![plain];
    for further in nested.into_iter().filter(|further| !further.is_empty()) {
        if rows.len().saturating_mul(further.len()) > MOST {
            return Err(TableError::TooMany);
        }
        rows = rows
            .iter()
            .flat_map(|row| {
                further
                    .iter()
                    .map(move |more| row.iter().chain(more).map(|(k, v)| (k.clone(), v.clone())).collect())
            })
            .collect();
    }
    rows.retain(|row| !row.is_empty());
    Ok(rows)
}

/// A value in a line of the table.
pub(crate) fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.replace(['\t', '\n', '\r'], " "),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_lists_multiply_rows() {
        let data = json!({"a": 1, "b": {"c": 2, "d": [{"e": 3}, {"e": 4}]}, "f": [{"g": 5}, {"g": 6}], "h": ["x", "y"], "i": []});
        let rows = rows(&data).unwrap();
        let line = |row: &Row| {
            row.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            rows.iter().map(line).collect::<Vec<_>>(),
            [
                r#"a=1 b.c=2 b.d.e=3 f.g=5 h=["x","y"]"#,
                r#"a=1 b.c=2 b.d.e=3 f.g=6 h=["x","y"]"#,
                r#"a=1 b.c=2 b.d.e=4 f.g=5 h=["x","y"]"#,
                r#"a=1 b.c=2 b.d.e=4 f.g=6 h=["x","y"]"#
            ]
        );
    }

    #[test]
    fn the_number_of_rows_is_limited() {
        let list: Vec<Value> = (0..400).map(|n| json!({"n": n})).collect();
        assert_eq!(rows(&json!({"a": list, "b": list})), Err(TableError::TooMany));
        assert_eq!(rows(&json!([1])), Err(TableError::NoTable));
        assert_eq!(rows(&json!([{}])), Ok(vec![]));
    }
}

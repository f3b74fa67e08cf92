//! Reads option values that jobs write in more than one way, for `#[serde(deserialize_with = "…")]`.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::Value;

/// A number, or a text that is one: the console stores numbers as text.
pub fn number<'de, D, N>(deserializer: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: FromStr<Err: Display>,
{
    let value = Value::deserialize(deserializer)?;
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.trim()
        .parse()
        .map_err(|error| D::Error::custom(format!("\"{text}\" is not a usable number: {error}")))
}

/// A JSON document, or a text that holds one.
pub fn json<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|error| D::Error::custom(format!("not JSON: {error}")))
        }
        value => Ok(value),
    }
}

/// A text with several lines. The console stores line breaks as the two characters `\n`.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.split("\\n").flat_map(str::lines).map(str::trim).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Options {
        #[serde(deserialize_with = "number")]
        count: u16,
        #[serde(deserialize_with = "json")]
        data: Value,
    }

    fn read(text: &str) -> Result<Options, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn text_and_real_values_are_the_same() {
        for text in [r#"{"count": "7", "data": "[1]"}"#, r#"{"count": 7, "data": [1]}"#] {
            let options = read(text).unwrap();
            assert_eq!((options.count, options.data), (7, serde_json::json!([1])));
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        assert!(
            read(r#"{"count": "many", "data": 1}"#).unwrap_err().contains("\"many\" is not a usable number")
        );
        assert!(read(r#"{"count": 70000, "data": 1}"#).is_err());
        assert!(read(r#"{"count": 1, "data": "{"}"#).unwrap_err().contains("not JSON"));
    }

    #[test]
    fn both_kinds_of_line_breaks_separate() {
        assert_eq!(lines("a\\nb\n c \\n\\n").collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}

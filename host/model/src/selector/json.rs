//! Path selectors: `data["a"][0][b]`.

use std::fmt;

use serde_json::Value;

use crate::json_text::plain_text;

/// Why a selector cannot be read or finds nothing. The texts name the step, never the data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonSelectorError {
    /// Not a selector.
    #[error("selector `{selector}`, column {column}: expected {expected}")]
    Syntax {
        /// The selector.
        selector: String,
        /// Column in characters, from 1.
        column: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// The data has no such member or element.
    #[error("there is no `{step}` in {found}: selector `{selector}`, step {position}")]
    Missing {
        /// The selector.
        selector: String,
        /// The step that failed, as written.
        step: String,
        /// Its number, from 1.
        position: usize,
        /// What the step was applied to.
        found: &'static str,
    },
}

/// A parsed path selector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonSelector {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    /// Digits; also the key of an object, since nothing else tells them apart.
    Index(String),
}

impl JsonSelector {
    /// Reads `data` followed by at least one `[…]`: a quoted key, a bare key, or an index.
    pub fn parse(text: &str) -> Result<Self, JsonSelectorError> {
        let wrong = |rest: &str, expected| JsonSelectorError::Syntax {
            selector: text.to_owned(),
            column: text.chars().count() - rest.chars().count() + 1,
            expected,
        };
        let trimmed = text.trim();
        let mut rest = trimmed.strip_prefix("data").ok_or_else(|| wrong(text, "`data[`"))?.trim_start();
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let inner = rest.strip_prefix('[').ok_or_else(|| wrong(rest, "`[`"))?.trim_start();
            let (step, after) = step(inner).map_err(|expected| wrong(inner, expected))?;
            let after = after.trim_start();
            rest = after.strip_prefix(']').ok_or_else(|| wrong(after, "`]`"))?.trim_start();
            steps.push(step);
        }
        if steps.is_empty() { Err(wrong(rest, "`[`")) } else { Ok(Self { steps }) }
    }

    /// Follows the steps.
    pub fn select<'a>(&self, data: &'a Value) -> Result<&'a Value, JsonSelectorError> {
        let mut current = data;
        for (position, step) in self.steps.iter().enumerate() {
            current = step.apply(current).ok_or_else(|| JsonSelectorError::Missing {
                selector: self.to_string(),
                step: step.as_str().to_owned(),
                position: position + 1,
                found: crate::node::kind_of(current),
            })?;
        }
        Ok(current)
    }

    /// The selected value as text: an array as its members joined with `,`, other values that are not text as
    /// JSON.
    pub fn select_text(&self, data: &Value) -> Result<String, JsonSelectorError> {
        self.select(data).map(|value| match value {
            Value::Array(members) => members.iter().map(plain_text).collect::<Vec<_>>().join(","),
            other => plain_text(other),
        })
    }
}

impl fmt::Display for JsonSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("data")?;
        self.steps.iter().try_for_each(|step| match step {
            Step::Index(digits) => write!(f, "[{digits}]"),
            Step::Key(key) if key.contains('"') => write!(f, "['{key}']"),
            Step::Key(key) => write!(f, "[\"{key}\"]"),
        })
    }
}

impl Step {
    fn as_str(&self) -> &str {
        match self {
            Self::Key(text) | Self::Index(text) => text,
        }
    }

    fn apply<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match (self, value) {
            (Self::Index(digits), Value::Array(elements)) => elements.get(digits.parse::<usize>().ok()?),
            (Self::Key(key) | Self::Index(key), Value::Object(members)) => members.get(key),
            _ => None,
        }
    }
}

/// The step at the start of `text` and what follows it.
fn step(text: &str) -> Result<(Step, &str), &'static str> {
    for quote in ['"', '\''] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let (key, after) = quoted.split_once(quote).ok_or("a closing quote")?;
            return Ok((Step::Key(key.to_owned()), after));
        }
    }
    let end = text.find(['[', ']']).unwrap_or(text.len());
    let (word, after) = text.split_at_checked(end).unwrap_or((text, ""));
    let word = word.trim_end();
    if word.is_empty() {
        Err("a key or an index")
    } else if word.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok((Step::Index(word.to_owned()), after))
    } else {
        Ok((Step::Key(word.to_owned()), after))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_takes_one_value_out_of_json() {
        let data =
            json!({"a": [{"b": "text", "key with space": 5, "x]y": true}], "l": ["p", 1, "q"], "0": "zero"});
        for (selector, text) in [
            (r#"data["a"][0]["b"]"#, "text"),
            ("data[a][0][b]", "text"),
            ("data['a'][0]['key with space']", "5"),
            (r#"data["a"][0]["x]y"]"#, "true"),
            (" data [ a ] [ 0 ] [ b ] ", "text"),
            ("data[l]", "p,1,q"),
            ("data[a]", r#"{"b": "text", "key with space": 5, "x]y": true}"#),
            ("data[0]", "zero"),
        ] {
            let parsed = JsonSelector::parse(selector).unwrap();
            assert_eq!(parsed.select_text(&data).unwrap(), text, "{selector}");
            assert_eq!(JsonSelector::parse(&parsed.to_string()).unwrap(), parsed, "{selector}");
        }
    }

    #[test]
    fn a_path_that_leads_nowhere_says_at_which_step() {
        let data = json!({"a": ["x"]});
        for (selector, error) in [
            ("data[b]", r#"there is no `b` in an object: selector `data["b"]`, step 1"#),
            ("data[a][7]", r#"there is no `7` in an array: selector `data["a"][7]`, step 2"#),
            ("data[a][0][c]", r#"there is no `c` in text: selector `data["a"][0]["c"]`, step 3"#),
            (
                "data[a][99999999999999999999]",
                r#"there is no `99999999999999999999` in an array: selector `data["a"][99999999999999999999]`, step 2"#,
            ),
        ] {
            let found = JsonSelector::parse(selector).unwrap().select_text(&data);
            assert_eq!(found.unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_broken_selector_says_where() {
        for (selector, error) in [
            ("", "selector ``, column 1: expected `data[`"),
            ("date[a]", "selector `date[a]`, column 1: expected `data[`"),
            ("data", "selector `data`, column 5: expected `[`"),
            ("data[a", "selector `data[a`, column 7: expected `]`"),
            ("data[]", "selector `data[]`, column 6: expected a key or an index"),
            ("data[\"a]", "selector `data[\"a]`, column 6: expected a closing quote"),
            ("data[a].b", "selector `data[a].b`, column 8: expected `[`"),
        ] {
            assert_eq!(JsonSelector::parse(selector).unwrap_err().to_string(), error);
        }
    }
}

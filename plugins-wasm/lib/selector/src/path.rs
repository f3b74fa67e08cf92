//! Path selectors: `data[key][0]["key with space"]`.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// A parsed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path(Vec<Step>);

/// One pair of brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Key(String),
    /// A member of a list, from 0.
    Index(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => f.write_str(key),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

/// A text that is not a path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not begin with `data[`.
    #[error("selector \"{0}\" must start with `data[`, as in `data[key][0]`")]
    Start(String),
    /// Something outside of brackets, or a bracket that is not closed.
    #[error(
        "selector \"{selector}\" can not be read from \"{rest}\" on: write each part as [key], [0] or [\"key\"]"
    )]
    Part {
        /// The whole text.
        selector: String,
        /// Where reading stopped.
        rest: String,
    },
}

/// What following a path gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The value as text: strings as they are, a list as its members joined by commas, anything else as JSON.
    Value {
        /// The text.
        text: String,
        /// `Extract->key->0 = text`, for the log.
        trace: String,
    },
    /// A part that the data does not have.
    Missing {
        /// The first such part.
        step: Step,
        /// `Extract->key = null`, for the log.
        trace: String,
    },
}

impl FromStr for Path {
    type Err = PathError;

    fn from_str(selector: &str) -> Result<Self, PathError> {
        let mut rest = match selector.trim().strip_prefix("data") {
            Some(rest) if rest.starts_with('[') => rest,
            _ => return Err(PathError::Start(selector.to_owned())),
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let part = read_part(rest)
                .ok_or_else(|| PathError::Part { selector: selector.to_owned(), rest: rest.to_owned() })?;
            steps.push(part.0);
            rest = part.1;
        }
        Ok(Self(steps))
    }
}

/// One `[…]` and what follows it.
fn read_part(text: &str) -> Option<(Step, &str)> {
    let inner = text.strip_prefix('[')?;
    for quote in ['"', '\''] {
        if let Some(quoted) = inner.strip_prefix(quote) {
            // A quoted key may hold brackets, so it ends at its quote.
            let (key, after) = quoted.split_once(quote)?;
            return Some((Step::Key(key.to_owned()), after.strip_prefix(']')?));
        }
    }
    let (bare, after) = inner.split_once(']')?;
    let bare = bare.trim();
    if bare.starts_with(|c: char| c.is_ascii_digit()) {
        return Some((Step::Index(bare.parse().ok()?), after));
    }
    (!bare.is_empty()).then(|| (Step::Key(bare.to_owned()), after))
}

impl Path {
    /// Follows the path. An index beyond the end of a list is missing, like any other part.
    pub fn follow(&self, data: &Value) -> Found {
        let mut value = data;
        let mut trace = String::from("Extract");
        for step in &self.0 {
            trace.push_str("->");
            trace.push_str(&step.to_string());
            let next = match step {
                Step::Key(key) => value.get(key),
                Step::Index(index) => value.get(index),
            };
            let Some(next) = next else {
                trace.push_str(" = null");
                return Found::Missing { step: step.clone(), trace };
            };
            value = next;
        }
        let text = text_of(value);
        trace.push_str(" = ");
        trace.push_str(&text);
        Found::Value { text, trace }
    }
}

fn text_of(value: &Value) -> String {
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Array(members) => members.iter().map(plain).collect::<Vec<_>>().join(","),
        value => plain(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn select(selector: &str) -> Found {
        let data = json!({"key": ["a", {"b": 1}], "key with space": {"x]y": "v"}, "names": ["p", "q"], "0": "zero", "no": null});
        selector.parse::<Path>().unwrap().follow(&data)
    }

    fn value(text: &str, trace: &str) -> Found {
        Found::Value { text: text.into(), trace: trace.into() }
    }

    #[test]
    fn every_spelling_of_a_part_is_followed() {
        assert_eq!(select("data[key][0]"), value("a", "Extract->key->0 = a"));
        assert_eq!(select("data['key'][1][\"b\"]"), value("1", "Extract->key->1->b = 1"));
        assert_eq!(select("data[\"key with space\"]['x]y']"), value("v", "Extract->key with space->x]y = v"));
        assert_eq!(select("data[\"0\"]"), value("zero", "Extract->0 = zero"));
    }

    #[test]
    fn values_become_text() {
        assert_eq!(select("data[names]"), value("p,q", "Extract->names = p,q"));
        assert_eq!(select("data[key]"), value("a,{\"b\":1}", "Extract->key = a,{\"b\":1}"));
        assert_eq!(select("data[key][1]"), value("{\"b\":1}", "Extract->key->1 = {\"b\":1}"));
        assert_eq!(select("data[no]"), value("null", "Extract->no = null"));
    }

    #[test]
    fn what_is_not_there_is_missing() {
        let missing = |step, trace: &str| Found::Missing { step, trace: trace.into() };
        assert_eq!(select("data[nope][0]"), missing(Step::Key("nope".into()), "Extract->nope = null"));
        // The tool this replaces gave the whole list here.
        assert_eq!(select("data[names][2]"), missing(Step::Index(2), "Extract->names->2 = null"));
        assert_eq!(select("data[key][0][x]"), missing(Step::Key("x".into()), "Extract->key->0->x = null"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for selector in ["", "data", "key[0]", "dat[0]", "datax[0]"] {
            assert!(matches!(selector.parse::<Path>(), Err(PathError::Start(_))), "{selector}");
        }
        for selector in [
            "data[",
            "data[]",
            "data[a",
            "data[a]b",
            "data['a]",
            "data['a'x]",
            "data[0x]",
            "data[99999999999999999999]",
        ] {
            assert!(matches!(selector.parse::<Path>(), Err(PathError::Part { .. })), "{selector}");
        }
    }
}

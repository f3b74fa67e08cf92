//! Selectors: taking one value out of JSON or text (`spec/native-ops.md`, `native/extractoutval`).

mod json;
mod pattern;

pub use json::{JsonSelector, JsonSelectorError};
pub use pattern::{PatternSelector, PatternSelectorError};

use std::str::FromStr;

/// Which kind of selector a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SelectorKind {
    /// `data["a"][0]`.
    #[default]
    JsonObject,
    /// A regular expression.
    RegExp,
}

/// A selector kind that is not in the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a selector type: expected JsonObject or RegExp")]
pub struct UnknownSelectorKind(String);

impl FromStr for SelectorKind {
    type Err = UnknownSelectorKind;

    fn from_str(word: &str) -> Result<Self, UnknownSelectorKind> {
        match word {
            "JsonObject" => Ok(Self::JsonObject),
            "RegExp" => Ok(Self::RegExp),
            _ => Err(UnknownSelectorKind(word.to_owned())),
        }
    }
}

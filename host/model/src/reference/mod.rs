//! References in values: `${name}`, `$name`, `${phase.opId.key}` (`spec/job-params.md` §2.7).
//!
//! Substitution is one literal pass: text brought in by a reference is never looked at again (defect 67).

mod layers;
mod template;

pub use layers::Layers;
pub(crate) use template::is_word;
pub use template::{Piece, Template};

use std::borrow::Cow;
use std::fmt;

use serde_json::Value;

use crate::json_text::{json_text, plain_text};

/// What a reference stands for.
#[derive(Clone, PartialEq, Eq)]
pub struct Found<'a> {
    /// The value as text; JSON text for anything that is not text.
    pub text: Cow<'a, str>,
    /// Whether the text holds a secret and must not be shown.
    pub secret: bool,
}

impl<'a> Found<'a> {
    /// A value that may be shown.
    pub fn plain(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), secret: false }
    }

    /// A value that must not be shown.
    pub fn secret(text: impl Into<Cow<'a, str>>) -> Self {
        Self { text: text.into(), secret: true }
    }

    /// A JSON value; `None` for `null`, which counts as "not there".
    pub fn json(value: &'a Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::String(text) => Some(Self::plain(text.as_str())),
            other => Some(Self::plain(json_text(other))),
        }
    }
}

impl fmt::Debug for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_text(f, "Found", &self.text, self.secret)
    }
}

/// Where references are looked up.
pub trait Lookup {
    /// The variable `name`: a job option, global option, node variable or environment variable.
    fn variable(&self, name: &str) -> Option<Found<'_>>;

    /// The output `key` of the operation `op_id`. `None` when either is missing or the value is `null`.
    fn output(&self, op_id: &str, key: &str) -> Option<Found<'_>>;
}

/// A text whose references have been replaced.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// The text.
    pub text: String,
    /// Whether a secret came in through a reference, so that the text must not be shown.
    pub tainted: bool,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_text(f, "Resolved", &self.text, self.tainted)
    }
}

fn debug_text(f: &mut fmt::Formatter<'_>, name: &str, text: &str, secret: bool) -> fmt::Result {
    let shown: &dyn fmt::Debug = if secret { &format_args!("******") } else { &text };
    f.debug_struct(name).field("text", shown).field("secret", &secret).finish()
}

/// A reference to an output that is not there. It fails the operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "can not resolve `{written}`: there is no output `{key}` of operation `{op_id}` on this node or the runner; \
     an operation that declares this output must succeed before"
)]
pub struct UnresolvedOutput {
    /// The reference as written.
    pub written: String,
    /// Id of the operation whose output was meant.
    pub op_id: String,
    /// Name of the output.
    pub key: String,
}

/// Replaces the references of `template` (§2.7): a known name by its value, an unknown name without dots or
/// with only one by itself, an unknown dotted name is an error.
pub fn resolve(template: &Template, lookup: &dyn Lookup) -> Result<Resolved, UnresolvedOutput> {
    template.replace(|written, name| {
        if let Some(found) = lookup.variable(name) {
            return Ok(Some(found));
        }
        let Some((op_id, key)) = output_address(name) else { return Ok(None) };
        lookup.output(op_id, key).map(Some).ok_or_else(|| UnresolvedOutput {
            written: written.to_owned(),
            op_id: op_id.to_owned(),
            key: key.to_owned(),
        })
    })
}

/// Replaces the references of every text inside a JSON value, object keys included, so that a value with
/// quotes in it leaves the JSON valid. Returns the new value and whether a secret came in.
pub fn resolve_json(value: &Value, lookup: &dyn Lookup) -> Result<(Value, bool), UnresolvedOutput> {
    match value {
        Value::String(text) => {
            let resolved = resolve(&Template::parse(text), lookup)?;
            Ok((Value::String(resolved.text), resolved.tainted))
        }
        Value::Array(elements) => {
            let mut tainted = false;
            let elements = elements.iter().map(|element| {
                let (element, secret) = resolve_json(element, lookup)?;
                tainted |= secret;
                Ok(element)
            });
            Ok((Value::Array(elements.collect::<Result<_, _>>()?), tainted))
        }
        Value::Object(members) => {
            let mut tainted = false;
            let members = members.iter().map(|(key, member)| {
                let key = resolve(&Template::parse(key), lookup)?;
                let (member, secret) = resolve_json(member, lookup)?;
                tainted |= key.tainted | secret;
                Ok((key.text, member))
            });
            Ok((Value::Object(members.collect::<Result<_, _>>()?), tainted))
        }
        other => Ok((other.clone(), false)),
    }
}

/// A value as text with its references replaced: a text as such, anything else as JSON text.
pub fn resolve_to_text(value: &Value, lookup: &dyn Lookup) -> Result<Resolved, UnresolvedOutput> {
    let (value, tainted) = resolve_json(value, lookup)?;
    Ok(Resolved { text: plain_text(&value), tainted })
}

/// Operation id and key of `phase.opId.key`: cut at the first and at the last dot. The phase is not used.
fn output_address(name: &str) -> Option<(&str, &str)> {
    let (_phase, rest) = name.split_once('.')?;
    rest.rsplit_once('.')
}

#[cfg(test)]
mod tests;

//! All inputs of an operation.

use std::fmt;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::{Pending, Recipient, Resolution, ResolvedValue, ValueWarning, resolve_value};
use crate::reference::{Lookup, UnresolvedOutput};
use crate::{Call, SecretKey};

/// The resolved inputs of an operation.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Named options in order. An empty one stands here; it is left out of command lines.
    pub options: IndexMap<String, ResolvedValue>,
    /// Free arguments in order.
    pub arguments: Vec<ResolvedValue>,
}

/// Which input of an operation is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputSource {
    /// A named option.
    Option(String),
    /// A free argument, counted from 0.
    Argument(usize),
}

impl fmt::Display for InputSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Option(name) => write!(f, "option `{name}`"),
            Self::Argument(position) => write!(f, "argument {}", position + 1),
        }
    }
}

/// Inputs of which some may still need the server.
///
/// Take [`Self::take_pending`], do the work in any order, put each answer in with [`Self::put`] (or end the
/// operation), then [`Self::finish`].
#[derive(Debug)]
pub struct InputDraft {
    slots: Vec<(InputSource, Slot)>,
    warnings: Vec<ValueWarning>,
}

#[derive(Debug)]
enum Slot {
    Ready(ResolvedValue),
    Pending(Pending),
    Waiting,
}

/// An input that needed the server was not put in: a mistake of the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not resolved: its file or account was never put in")]
pub struct UnfinishedInput(pub InputSource);

/// Resolves options, then arguments, as far as it goes without the server.
pub fn resolve_inputs(
    call: &Call,
    lookup: &dyn Lookup,
    key: &SecretKey,
) -> Result<InputDraft, UnresolvedOutput> {
    let mut draft = InputDraft { slots: Vec::new(), warnings: Vec::new() };
    for option in &call.options {
        let source = InputSource::Option(option.name.clone());
        let resolution = resolve_value(&source, option.kind, &option.value, lookup, key)?;
        draft.push(source, resolution);
    }
    for (position, argument) in call.arguments.iter().enumerate() {
        let source = InputSource::Argument(position);
        let resolution = resolve_value(&source, argument.kind, &argument.value, lookup, key)?;
        draft.push(source, resolution);
    }
    Ok(draft)
}

impl InputDraft {
    fn push(&mut self, source: InputSource, resolution: Resolution) {
        let slot = match resolution {
            Resolution::Ready { value, warning } => {
                self.warnings.extend(warning);
                Slot::Ready(value)
            }
            Resolution::Pending(pending) => Slot::Pending(pending),
        };
        self.slots.push((source, slot));
    }

    /// What needs the server, each once.
    pub fn take_pending(&mut self) -> Vec<(InputSource, Pending)> {
        let mut all = Vec::new();
        for (source, slot) in &mut self.slots {
            if matches!(slot, Slot::Pending(_))
                && let Slot::Pending(pending) = std::mem::replace(slot, Slot::Waiting)
            {
                all.push((source.clone(), pending));
            }
        }
        all
    }

    /// Puts in the value that a [`Pending`] was completed to.
    pub fn put(&mut self, source: &InputSource, value: ResolvedValue, warning: Option<ValueWarning>) {
        self.warnings.extend(warning);
        if let Some((_, slot)) = self.slots.iter_mut().find(|(other, _)| other == source) {
            *slot = Slot::Ready(value);
        }
    }

    /// The inputs and what a person should know about them.
    pub fn finish(self) -> Result<(Inputs, Vec<ValueWarning>), UnfinishedInput> {
        let mut inputs = Inputs::default();
        for (source, slot) in self.slots {
            match (source, slot) {
                (InputSource::Option(name), Slot::Ready(value)) => {
                    inputs.options.insert(name, value);
                }
                (InputSource::Argument(_), Slot::Ready(value)) => inputs.arguments.push(value),
                (source, Slot::Pending(_) | Slot::Waiting) => return Err(UnfinishedInput(source)),
            }
        }
        Ok((inputs, self.warnings))
    }
}

impl Inputs {
    /// The text of an option on this machine; `None` when it is missing or empty. Secrets are plain here.
    pub fn option(&self, name: &str) -> Option<String> {
        self.options.get(name).map(|value| value.text(Recipient::Runner)).filter(|text| !text.is_empty())
    }

    /// Files that go along to a target, each once.
    pub fn uploads(&self) -> Vec<&str> {
        let mut uploads: Vec<&str> = Vec::new();
        for path in self.options.values().chain(&self.arguments).flat_map(ResolvedValue::uploads) {
            if !uploads.contains(&path.as_str()) {
                uploads.push(path);
            }
        }
        uploads
    }

    /// The inputs as shown to people, secrets masked: the operation's entry in `input/<K>.json`
    /// (`spec/workdir.md` §5.5).
    pub fn to_display_json(&self) -> Value {
        let options: Map<String, Value> =
            self.options.iter().map(|(name, value)| (name.clone(), value.to_display_json())).collect();
        let arguments: Vec<Value> = self.arguments.iter().map(ResolvedValue::to_display_json).collect();
        serde_json::json!({"options": options, "arguments": arguments})
    }
}

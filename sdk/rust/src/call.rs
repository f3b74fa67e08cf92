//! The call itself: what a tool gets, what it answers, and the way from and to the component's types.

use std::panic;

use serde_json::{Map, Value};

use crate::bindings::autoexec::tool::types as wit;
use crate::bindings::dry_run::exports::autoexec::tool::dry_run;
use crate::bindings::effect_probe::exports::autoexec::tool::effect_probe;
use crate::failure::{Failure, FailureKind};
use crate::log;
use crate::options::{Given, OptionSet};

/// What a tool does.
pub trait Tool {
    /// Its named options: a struct that derives [`Options`](crate::Options). A tool without options uses
    /// `serde::de::IgnoredAny`.
    type Options: OptionSet;

    /// Does the work once. The instance is new for each call.
    fn run(call: Call<Self::Options>) -> ToolResult;
}

/// A tool that can say what it would change. Export it with `export_tool!(Type: check)`.
pub trait Checkable: Tool {
    /// What [`Tool::run`] would change with these options. Changes nothing itself. Empty when everything is as it should be.
    fn check(call: Call<Self::Options>) -> Result<Vec<Change>, Failure>;
}

/// A tool that can say whether an earlier, interrupted run took effect. Export it with `export_tool!(Type: probe)`; its rerun
/// class is `probe`.
pub trait Probeable: Tool {
    /// Looks whether the step with these options took effect. Changes nothing.
    fn probe(call: Call<Self::Options>) -> Result<Effect, Failure>;
}

/// One thing that would be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What: a path, a user, a setting, an address.
    pub subject: String,
    /// How it is now; none when it does not exist.
    pub before: Option<String>,
    /// How it would be; none when it would be gone.
    pub after: Option<String>,
}

impl Change {
    /// Something that does not exist would be made.
    pub fn created(subject: impl Into<String>, after: impl Into<String>) -> Self {
        Self { subject: subject.into(), before: None, after: Some(after.into()) }
    }

    /// Something would be another.
    pub fn changed(subject: impl Into<String>, before: impl Into<String>, after: impl Into<String>) -> Self {
        Self { subject: subject.into(), before: Some(before.into()), after: Some(after.into()) }
    }

    /// Something would be gone.
    pub fn removed(subject: impl Into<String>, before: impl Into<String>) -> Self {
        Self { subject: subject.into(), before: Some(before.into()), after: None }
    }
}

/// What an earlier, interrupted run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// All that the step is for; it need not run again.
    Complete,
    /// Nothing, or so little that running again is safe.
    None,
    /// Can not be told; a person decides.
    Unknown,
}

/// What a tool answers.
pub type ToolResult = Result<Outcome, Failure>;

/// What the step was asked to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Call<O> {
    /// Named options.
    pub options: O,
    /// Free arguments, in order.
    pub arguments: Vec<Value>,
}

impl<O> Call<O> {
    /// The free arguments as text: strings as they are, anything else as JSON.
    pub fn text_arguments(&self) -> impl Iterator<Item = String> + '_ {
        self.arguments.iter().map(text_of)
    }
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The tool did its work. Outputs go through [`crate::output`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// One line for the operator.
    pub message: Option<String>,
}

impl Outcome {
    /// Success with a line for the operator.
    pub fn with_message(message: impl Into<String>) -> Self {
        Self { message: Some(message.into()) }
    }
}

/// What [`crate::export_tool!`] calls.
#[doc(hidden)]
pub fn run_exported<T: Tool>(invocation: wit::Invocation) -> Result<wit::Outcome, wit::Failure> {
    report_panics();
    let answer = read_call(invocation).and_then(T::run);
    answer.map(|outcome| wit::Outcome { message: outcome.message }).map_err(wit::Failure::from)
}

/// What [`crate::export_tool!`] calls for `check`.
#[doc(hidden)]
pub fn check_exported<T: Checkable>(
    invocation: wit::Invocation,
) -> Result<Vec<dry_run::Change>, wit::Failure> {
    report_panics();
    let changes = read_call(invocation).and_then(T::check)?;
    let change = |Change { subject, before, after }| dry_run::Change { subject, before, after };
    Ok(changes.into_iter().map(change).collect())
}

/// What [`crate::export_tool!`] calls for `probe`.
#[doc(hidden)]
pub fn probe_exported<T: Probeable>(
    invocation: wit::Invocation,
) -> Result<effect_probe::Effect, wit::Failure> {
    report_panics();
    Ok(match read_call(invocation).and_then(T::probe)? {
        Effect::Complete => effect_probe::Effect::Complete,
        Effect::None => effect_probe::Effect::None,
        Effect::Unknown => effect_probe::Effect::Unknown,
    })
}

/// Without this a panic ends as a bare `unreachable`: on this target nothing prints the text.
fn report_panics() {
    panic::set_hook(Box::new(|panic| log::error(format_args!("the tool has a defect: {panic}"))));
}

pub(crate) fn read_call<O: OptionSet>(invocation: wit::Invocation) -> Result<Call<O>, Failure> {
    let options = invocation
        .options
        .into_iter()
        .map(|option| Ok((option.name.clone(), read_json(&option.name, &option.value)?)))
        .collect::<Result<Map<String, Value>, Failure>>()?;
    let arguments =
        invocation.arguments.iter().map(|text| read_json("arguments", text)).collect::<Result<_, _>>()?;
    Ok(Call { options: O::read_all(Given::new(options))?, arguments })
}

fn read_json(name: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::new(FailureKind::InvalidOption(name.to_owned()), format!("`{name}` is not JSON: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Options {
        who: String,
        #[serde(default)]
        tags: Vec<String>,
    }

    fn invocation(options: &[(&str, &str)], arguments: &[&str]) -> wit::Invocation {
        let option =
            |(name, value): &(&str, &str)| wit::OptionValue { name: (*name).into(), value: (*value).into() };
        wit::Invocation {
            options: options.iter().map(option).collect(),
            arguments: arguments.iter().map(|&argument| argument.into()).collect(),
        }
    }

    #[test]
    fn options_become_the_tools_type() {
        let call: Call<Options> =
            read_call(invocation(&[("who", "\"you\""), ("tags", "[\"a\"]")], &["\"x\"", "{\"y\":1}"]))
                .unwrap();
        assert_eq!(call.options, Options { who: "you".into(), tags: vec!["a".into()] });
        assert_eq!(call.text_arguments().collect::<Vec<_>>(), ["x", "{\"y\":1}"]);
    }

    #[test]
    fn what_is_wrong_with_options_is_said() {
        let missing = read_call::<Options>(invocation(&[], &[])).unwrap_err();
        assert!(missing.message().contains("missing field `who`"), "{missing:?}");
        assert_eq!(missing.exit_code(), 2);
        let broken = read_call::<Options>(invocation(&[("who", "you")], &[])).unwrap_err();
        assert_eq!(broken.kind(), &FailureKind::InvalidOption("who".into()));
    }
}

//! The call itself: what a tool gets, what it answers, and the way from and to the component's types.

use std::panic;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::bindings::autoexec::tool::types as wit;
use crate::log;

/// What a tool does.
pub trait Tool {
    /// Its named options. Derive `Deserialize`; fields have the names in `tool.toml`. An option that the job leaves
    /// empty is absent, so optional ones are `Option` or have `#[serde(default)]`. A tool without options uses
    /// `serde::de::IgnoredAny`.
    type Options: DeserializeOwned;

    /// Does the work once. The instance is new for each call.
    fn run(call: Call<Self::Options>) -> ToolResult;
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

/// Why a tool gave up. The message is written to the node's log as an error; do not log it as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    kind: FailureKind,
    message: String,
    exit_code: u8,
}

/// Kinds of failure, for programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FailureKind {
    /// A required option is missing or a value can not be used; holds the option's name.
    InvalidOption(String),
    /// The thing looked for does not exist.
    NotFound,
    /// A check was made and its answer is no.
    CheckFailed,
    /// A peer could not be reached.
    Unreachable,
    /// Something took longer than it may.
    TimedOut,
    /// Policy or a peer said no.
    Denied,
    /// A kind of the tool's own, as a lower-case word with dashes.
    Other(String),
}

impl Failure {
    /// A failure with exit status 1. The message says what went wrong, to what, and what to do next.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), exit_code: 1 }
    }

    /// The exit status a program in the tool's place would have had; 0 becomes 1.
    #[must_use]
    pub fn with_exit_code(mut self, code: u8) -> Self {
        self.exit_code = code.max(1);
        self
    }

    /// The kind.
    pub fn kind(&self) -> &FailureKind {
        &self.kind
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The exit status, 1 to 255.
    pub fn exit_code(&self) -> u8 {
        self.exit_code
    }
}

/// What [`crate::export_tool!`] calls.
#[doc(hidden)]
pub fn run_exported<T: Tool>(invocation: wit::Invocation) -> Result<wit::Outcome, wit::Failure> {
    report_panics();
    let answer = read_call(invocation).and_then(T::run);
    answer.map(|outcome| wit::Outcome { message: outcome.message }).map_err(wit::Failure::from)
}

/// Without this a panic ends as a bare `unreachable`: on this target nothing prints the text.
fn report_panics() {
    panic::set_hook(Box::new(|panic| log::error(format_args!("the tool has a defect: {panic}"))));
}

fn read_call<O: DeserializeOwned>(invocation: wit::Invocation) -> Result<Call<O>, Failure> {
    let options = invocation
        .options
        .into_iter()
        .map(|option| Ok((option.name.clone(), read_json(&option.name, &option.value)?)))
        .collect::<Result<Map<String, Value>, Failure>>()?;
    let arguments =
        invocation.arguments.iter().map(|text| read_json("arguments", text)).collect::<Result<_, _>>()?;
    Ok(Call { options: read_options(options)?, arguments })
}

fn read_json(name: &str, text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::new(FailureKind::InvalidOption(name.to_owned()), format!("`{name}` is not JSON: {error}"))
    })
}

fn read_options<O: DeserializeOwned>(options: Map<String, Value>) -> Result<O, Failure> {
    // Exit status 2 is what the tools replaced by components give for wrong options.
    serde_json::from_value(Value::Object(options)).map_err(|error| {
        Failure::new(
            FailureKind::InvalidOption(String::new()),
            format!("the options can not be used: {error}"),
        )
        .with_exit_code(2)
    })
}

impl From<Failure> for wit::Failure {
    fn from(failure: Failure) -> Self {
        let kind = match failure.kind {
            FailureKind::InvalidOption(name) => wit::FailureKind::InvalidOption(name),
            FailureKind::NotFound => wit::FailureKind::NotFound,
            FailureKind::CheckFailed => wit::FailureKind::CheckFailed,
            FailureKind::Unreachable => wit::FailureKind::Unreachable,
            FailureKind::TimedOut => wit::FailureKind::TimedOut,
            FailureKind::Denied => wit::FailureKind::Denied,
            FailureKind::Other(kind) => wit::FailureKind::Other(kind),
        };
        Self { kind, message: failure.message, exit_code: failure.exit_code }
    }
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

    #[test]
    fn a_failure_never_looks_like_success() {
        assert_eq!(Failure::new(FailureKind::Denied, "no").with_exit_code(0).exit_code(), 1);
    }
}

//! What goes into a call and what a tool answers.

use serde_json::Value;

/// Options and arguments of one call, references resolved, types as the manifest declares them.
#[derive(Clone, Default, PartialEq)]
pub struct ToolCall {
    /// Options in the order of the step. Leave out empty and null ones.
    pub options: Vec<(String, Value)>,
    /// Free arguments in the order of the step.
    pub arguments: Vec<Value>,
}

/// Values may be secrets, so only their number and names are shown.
impl std::fmt::Debug for ToolCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.options.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ToolCall").field("options", &names).field("arguments", &self.arguments.len()).finish()
    }
}

/// The tool's answer. Outputs went to the [`crate::ToolHost`] before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolOutcome {
    /// It did its work.
    Succeeded {
        /// One line for the operator.
        message: Option<String>,
    },
    /// It ran and says that it could not do its work.
    Failed(ToolFailure),
}

/// Why the tool gave up, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ToolFailure {
    /// For programs.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
    /// The exit status a program in its place would have had, 1 to 255.
    pub exit_code: u8,
}

/// Kinds of failure (`failure-kind` in the WIT).
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
    /// A kind of the tool's own.
    Other(String),
}

/// One thing that a tool would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What: a path, a user, a setting, an address.
    pub subject: String,
    /// How it is now; none when it does not exist.
    pub before: Option<String>,
    /// How it would be; none when it would be gone.
    pub after: Option<String>,
}

/// What an earlier run of a tool did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// All that the step is for.
    Complete,
    /// Nothing, or so little that running again is safe.
    None,
    /// Can not be told.
    Unknown,
}

/// Which export is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    Run,
    Check,
    Probe,
}

/// What it answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Run(ToolOutcome),
    Check(Result<Vec<Change>, ToolFailure>),
    Probe(Result<Effect, ToolFailure>),
}

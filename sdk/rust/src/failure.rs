//! Why a tool gives up: failures, errors of host functions, and the way from one to the other with `?`.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use crate::bindings::autoexec::tool::types as wit;

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

    /// An option whose value can not be used.
    pub fn invalid_option(name: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FailureKind::InvalidOption(name.into()), message)
    }

    /// The thing looked for does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(FailureKind::NotFound, message)
    }

    /// A check was made and its answer is no.
    pub fn check_failed(message: impl Into<String>) -> Self {
        Self::new(FailureKind::CheckFailed, message)
    }

    /// A peer could not be reached.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Unreachable, message)
    }

    /// Something took longer than it may.
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(FailureKind::TimedOut, message)
    }

    /// A failure of a kind of the tool's own: a lower-case word with dashes.
    pub fn other(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(FailureKind::Other(kind.into()), message)
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

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

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

/// Data from elsewhere that is not JSON, or not of the shape expected.
impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::other("invalid-data", format!("the data can not be used: {error}"))
    }
}

/// Bytes from elsewhere that are no text.
impl From<std::string::FromUtf8Error> for Failure {
    fn from(error: std::string::FromUtf8Error) -> Self {
        Self::other("invalid-data", format!("not a text in UTF-8: {}", error.utf8_error()))
    }
}

/// What a host function could not do: the reason, and what it was about.
///
/// Match on [`reason`](Self::reason) to handle it, or let `?` make a [`Failure`] of it, whose message says what was
/// tried, to what, and why it did not work.
#[derive(Debug, Clone, PartialEq)]
pub struct HostError<R> {
    /// Why.
    pub reason: R,
    /// What was tried, and to what: `connecting to db:5432`.
    pub doing: String,
}

impl<R> HostError<R> {
    pub(crate) fn new(reason: R, doing: impl fmt::Display) -> Self {
        Self { reason, doing: doing.to_string() }
    }
}

impl<R: Reason> fmt::Display for HostError<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, self.reason.explain())
    }
}

impl<R: Reason + fmt::Debug> Error for HostError<R> {}

impl<R: Reason> From<HostError<R>> for Failure {
    fn from(error: HostError<R>) -> Self {
        Self::new(error.reason.kind(), error.to_string())
    }
}

/// Why a host function did not do what it was asked for.
pub trait Reason {
    /// In words, for people.
    fn explain(&self) -> Cow<'_, str>;

    /// The kind of failure that it is when the tool gives up because of it.
    fn kind(&self) -> FailureKind;
}

/// Implements [`Reason`] for the error variant of an interface: one line for each case.
macro_rules! reasons {
    ($type:ty { $($pattern:pat => $kind:expr, $text:expr;)+ }) => {
        impl $crate::failure::Reason for $type {
            fn explain(&self) -> ::std::borrow::Cow<'_, str> {
                #[allow(unused_imports, reason = "not every reason has a case without a text")]
                #[allow(clippy::allow_attributes, reason = "an expectation would fail for the others")]
                use $crate::failure::said;
                match self {
                    $($pattern => ::std::borrow::Cow::from($text),)+
                }
            }

            fn kind(&self) -> $crate::FailureKind {
                #[allow(unused_variables, reason = "only the text needs what a case holds")]
                #[allow(clippy::allow_attributes, reason = "an expectation would fail for the others")]
                match self {
                    $($pattern => $kind,)+
                }
            }
        }
    };
}
pub(crate) use reasons;

/// "denied: why", or "denied" when nothing more was said.
pub(crate) fn said<'a>(what: &'a str, why: &str) -> Cow<'a, str> {
    if why.is_empty() { Cow::Borrowed(what) } else { Cow::Owned(format!("{what}: {why}")) }
}

/// Says more about an error on its way out of the tool.
pub trait FailureContext<T>: Sized {
    /// Puts what the tool was doing in front of the message.
    fn context(self, doing: impl fmt::Display) -> Result<T, Failure>;

    /// Gives the failure an exit status, where jobs know one.
    fn exit_code(self, code: u8) -> Result<T, Failure>;
}

impl<T, E: Into<Failure>> FailureContext<T> for Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T, Failure> {
        self.map_err(|error| {
            let mut failure: Failure = error.into();
            failure.message = format!("{doing}: {}", failure.message);
            failure
        })
    }

    fn exit_code(self, code: u8) -> Result<T, Failure> {
        self.map_err(|error| error.into().with_exit_code(code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net_probe::ProbeError;

    #[test]
    fn a_failure_never_looks_like_success() {
        assert_eq!(Failure::new(FailureKind::Denied, "no").with_exit_code(0).exit_code(), 1);
    }

    #[test]
    fn an_error_of_the_host_becomes_a_failure_that_says_what_to_what_and_why() {
        let refused: Result<(), _> = Err(HostError::new(ProbeError::Refused, "connecting to db:5432"));
        let failure = refused.context("the database of shop").exit_code(3).unwrap_err();
        assert_eq!(failure.kind(), &FailureKind::Unreachable);
        assert_eq!(
            failure.message(),
            "the database of shop: connecting to db:5432: refused, nobody listens there"
        );
        assert_eq!(failure.exit_code(), 3);
        let denied = HostError::new(ProbeError::Denied("no rule for db".into()), "connecting to db:1");
        assert_eq!(denied.to_string(), "connecting to db:1: not granted: no rule for db");
        assert_eq!(Failure::from(denied).kind(), &FailureKind::Denied);
    }
}

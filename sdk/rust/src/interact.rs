//! Asks the person who watches the job. Needs the capability `interact` in `tool.toml`.

use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::interact as host;
pub use crate::bindings::autoexec::tool::interact::{Answer, InteractError, QuestionKind};
use crate::failure::{HostError, reasons};
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::interact as host;

/// What the host could not do, and why.
pub type Error = HostError<InteractError>;

reasons!(InteractError {
    InteractError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    InteractError::Unavailable(why) => crate::FailureKind::Other("unavailable".into()), said("nobody can be asked", why);
    InteractError::TimedOut => crate::FailureKind::TimedOut, "nobody answered in time";
    InteractError::Invalid(why) => crate::FailureKind::Other("invalid-question".into()), why;
});

/// A question, to be put together and then asked.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a question is asked with `ask`"]
pub struct Question(crate::bindings::autoexec::tool::interact::Question);

impl Question {
    /// A choice of one out of several buttons.
    pub fn buttons<C: Into<String>>(title: impl Into<String>, choices: impl IntoIterator<Item = C>) -> Self {
        Self::new(QuestionKind::Button, title, choices)
    }

    /// A choice of one out of a list.
    pub fn select<C: Into<String>>(title: impl Into<String>, choices: impl IntoIterator<Item = C>) -> Self {
        Self::new(QuestionKind::Select, title, choices)
    }

    /// A choice of any number out of a list.
    pub fn select_many<C: Into<String>>(
        title: impl Into<String>,
        choices: impl IntoIterator<Item = C>,
    ) -> Self {
        Self::new(QuestionKind::Mselect, title, choices)
    }

    /// A free text.
    pub fn text(title: impl Into<String>) -> Self {
        Self::new::<String>(QuestionKind::Input, title, [])
    }

    /// A question whose kind is known at run time.
    pub fn new<C: Into<String>>(
        kind: QuestionKind,
        title: impl Into<String>,
        choices: impl IntoIterator<Item = C>,
    ) -> Self {
        Self(crate::bindings::autoexec::tool::interact::Question {
            kind,
            title: title.into(),
            message: String::new(),
            choices: choices.into_iter().map(Into::into).collect(),
            role: None,
            timeout_ms: 0,
        })
    }

    /// What it is about.
    pub fn message(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Only this role of the server may answer; everybody who may see the job without it.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.0.role = Some(role.into());
        self
    }

    /// The longest to wait; the host's limit without it. The call's own time limit does not run meanwhile.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Asks and waits. The job shows that it waits for input.
    pub fn ask(&self) -> Result<Answer, Error> {
        host::ask(&self.0)
            .map_err(|reason| HostError::new(reason, format_args!("asking \"{}\"", self.0.title)))
    }
}

//! Questions to the person who watches the job.

use std::time::Duration;

use async_trait::async_trait;

/// A way to ask. The use was permitted before.
#[async_trait]
pub trait InteractHost: Send + Sync {
    /// Asks and waits. A future that is dropped takes the question back.
    async fn ask(&self, question: Question) -> Result<Answer, InteractError>;
}

/// How a question is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuestionKind {
    /// One of several buttons.
    Button,
    /// One entry of a list.
    Select,
    /// Any number of entries of a list.
    MultiSelect,
    /// Free text.
    Input,
}

/// A question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// How it is shown.
    pub kind: QuestionKind,
    /// Heading.
    pub title: String,
    /// What it is about.
    pub message: String,
    /// What can be chosen; none for [`QuestionKind::Input`].
    pub choices: Vec<String>,
    /// The role that may answer; everybody who may see the job without it.
    pub role: Option<String>,
    /// The longest to wait; none is the host's limit.
    pub timeout: Option<Duration>,
}

/// What the person said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What was chosen or entered.
    Given(Vec<String>),
    /// The person went on without an answer.
    Skipped,
}

/// Why there is no answer (`interact-error` in the WIT).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InteractError {
    /// Not allowed.
    #[error("{0}")]
    Denied(String),
    /// Nobody can be asked here.
    #[error("{0}")]
    Unavailable(String),
    /// Nobody answered in time.
    #[error("nobody answered in time")]
    TimedOut,
    /// A question that can not be asked.
    #[error("{0}")]
    Invalid(String),
}

//! One check and how it is shown.

use std::fmt;

use autoexec_events::ExitCode;
use serde::{Serialize, Serializer};

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// Works, but somebody should know.
    Warning,
    /// Jobs will fail, or somebody can do what they should not.
    Failed,
    /// Does not apply here.
    Skipped,
}

/// A check.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    /// What was looked at, in a word.
    pub(super) name: &'static str,
    pub(super) status: Status,
    /// What was found.
    pub(super) text: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) advice: Option<String>,
    /// Exit code if it failed.
    #[serde(rename = "exitCode", serialize_with = "number")]
    pub(super) code: ExitCode,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn number<S: Serializer>(code: &ExitCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u8(code.code())
}

impl Check {
    pub(super) fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, text: text.into(), advice: None, code: ExitCode::Success }
    }

    pub(super) fn skipped(name: &'static str, text: impl Into<String>) -> Self {
        Self { status: Status::Skipped, ..Self::ok(name, text) }
    }

    pub(super) fn warning(name: &'static str, text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { status: Status::Warning, advice: Some(advice.into()), ..Self::ok(name, text) }
    }

    pub(super) fn failed(
        name: &'static str,
        code: ExitCode,
        text: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        Self { status: Status::Failed, code, ..Self::warning(name, text, advice) }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Warning => "WARNING",
            Status::Failed => "FAILED",
            Status::Skipped => "skipped",
        };
        // Further lines stand under the first.
        let indent = format!("\n{:23}", "");
        writeln!(f, "{status:8} {:13} {}", self.name, self.text.trim_end().replace('\n', &indent))?;
        match &self.advice {
            Some(advice) => writeln!(f, "{:23}to do: {}", "", advice.replace('\n', &indent)),
            None => Ok(()),
        }
    }
}

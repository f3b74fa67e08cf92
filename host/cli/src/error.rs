//! Errors as people see them: what happened, to what, what to do next, and the exit code.

use std::fmt;
use std::io::Write;

use autoexec_events::ExitCode;

/// Advice that goes with an error, on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint(pub String);

/// An error that ends the process.
#[derive(Debug)]
pub struct CliError {
    code: ExitCode,
    text: String,
    hint: Option<Hint>,
}

impl CliError {
    /// An error with its exit code.
    pub fn new(code: ExitCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hint: None }
    }

    /// Parameters, nodes or configuration that cannot be used.
    pub fn bad_input(text: impl fmt::Display) -> Self {
        Self::new(ExitCode::BadInput, text.to_string())
    }

    /// A file that cannot be created, read or written.
    pub fn files(text: impl fmt::Display) -> Self {
        Self::new(ExitCode::Files, text.to_string())
    }

    /// The server cannot be reached or refused a needed call.
    pub fn server(text: impl fmt::Display) -> Self {
        Self::new(ExitCode::ServerUnavailable, text.to_string())
    }

    /// An error that has been told already; only its code is left to give.
    pub(crate) fn silent(code: ExitCode) -> Self {
        Self::new(code, "")
    }

    /// Adds advice.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(Hint(hint.into()));
        self
    }

    /// What happened, without hint.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The exit code.
    pub fn code(&self) -> ExitCode {
        self.code
    }

    /// Writes the error to standard error and gives back the exit code.
    pub fn print(&self) -> ExitCode {
        if !self.text.is_empty() {
            // Nobody reads it if standard error is closed; the code still tells.
            let _ = writeln!(std::io::stderr().lock(), "{self}");
        }
        self.code
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ERROR: {}", self.text)?;
        if let Some(Hint(hint)) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CliError {}

//! Runs programs of the runner that the policy names. No shell is involved. Needs the capability `program` in
//! `tool.toml`.

use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::program as host;
use crate::bindings::autoexec::tool::program::Invocation;
pub use crate::bindings::autoexec::tool::program::{Completed, ProgramError};
use crate::clock::millis;
use crate::failure::{HostError, reasons};
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::program as host;

/// What the host could not do, and why.
pub type Error = HostError<ProgramError>;

reasons!(ProgramError {
    ProgramError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    ProgramError::NotFound => crate::FailureKind::NotFound, "not installed where the policy says";
    ProgramError::TimedOut => crate::FailureKind::TimedOut, "took longer than it may, and was ended";
    ProgramError::TooLarge(limit) => crate::FailureKind::Other("too-large".into()), format!("wrote more than {limit} bytes");
    ProgramError::Other(why) => crate::FailureKind::Other("program".into()), why;
});

/// A program to run, put together and then run. Its name is the one under which the policy grants it.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a program is run with `run`"]
pub struct Program(Invocation);

impl Program {
    /// The program of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self(Invocation {
            name: name.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            input: Vec::new(),
            timeout_ms: 0,
        })
    }

    /// One more argument. Not for secrets: others see it in `ps`.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.0.arguments.push(argument.into());
        self
    }

    /// More arguments.
    pub fn args<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.0.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// A variable, beside the few that the host gives every program. The policy has to name it for the program
    /// (`environment`). Not for secrets.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.environment.push((name.into(), value.into()));
        self
    }

    /// Where it runs: a directory granted for writing. A private empty one without it.
    pub fn directory(mut self, path: impl Into<String>) -> Self {
        self.0.directory = Some(path.into());
        self
    }

    /// Its standard input. May hold references to secrets.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.input = bytes.into();
        self
    }

    /// The longest it may run.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = millis(timeout).max(1);
        self
    }

    /// Runs it and waits for its end. That it ended with another status than 0 is no error.
    pub fn run(&self) -> Result<Completed, Error> {
        host::run(&self.0).map_err(|reason| HostError::new(reason, format_args!("running {}", self.0.name)))
    }
}

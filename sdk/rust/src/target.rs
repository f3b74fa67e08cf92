//! Commands and files on the node that the step is for, over the executor's own connection to it. Needs the capability
//! `target` in `tool.toml`.

use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::target as host;
use crate::bindings::autoexec::tool::target as wit;
pub use crate::bindings::autoexec::tool::target::{Captured, Ending, Entry, TargetError};
use crate::clock::millis;
use crate::dialogue::{Arrived, Dialogue, Talk};
use crate::failure::{Failure, HostError, reasons};
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::target as host;

/// What the host could not do, and why.
pub type Error = HostError<TargetError>;

reasons!(TargetError {
    TargetError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    TargetError::Unreachable(why) => crate::FailureKind::Unreachable, said("no connection to the node", why);
    TargetError::NotAuthenticated(why) => crate::FailureKind::Denied, said("the node does not accept the account", why);
    TargetError::NotFound(why) => crate::FailureKind::NotFound, said("not found", why);
    TargetError::TimedOut => crate::FailureKind::TimedOut, "took longer than it may";
    TargetError::Disconnected(why) => crate::FailureKind::Unreachable, said("the connection has ended", why);
    TargetError::TooLarge(limit) => crate::FailureKind::Other("too-large".into()), format!("more than {limit} bytes");
    TargetError::Unsupported(why) => crate::FailureKind::Other("unsupported".into()), said("the node's protocol can not do this", why);
    TargetError::Other(why) => crate::FailureKind::Other("target".into()), why;
});

/// Puts a text into single quotes for a POSIX shell, so that it is one word whatever it holds.
pub fn quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A command for the login shell of the account, put together and then run.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a command is run with `run` or `capture`"]
pub struct Command(wit::Command);

impl Command {
    /// A command line as the shell gets it. Quote what comes from elsewhere, see [`quote`].
    pub fn new(line: impl Into<String>) -> Self {
        Self(wit::Command { line: line.into(), environment: Vec::new(), input: Vec::new(), timeout_ms: 0 })
    }

    /// A program with arguments, each of which is quoted.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(words.into_iter().map(quote).collect::<Vec<_>>().join(" "))
    }

    /// A variable for it. Not for secrets.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.environment.push((name.into(), value.into()));
        self
    }

    /// Its standard input. May hold references to secrets.
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.input = bytes.into();
        self
    }

    /// The longest it may run. The call's own time limit holds as well.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_ms = millis(timeout).max(1);
        self
    }

    /// Runs it and hands its output over. That it ended with another status than 0 is no error.
    pub fn capture(&self) -> Result<Captured, Error> {
        host::capture(&self.0).map_err(|reason| self.error(reason))
    }

    /// Runs it, its output going to the node's log as it comes.
    pub fn run(&self) -> Result<Ending, Error> {
        host::run(&self.0).map_err(|reason| self.error(reason))
    }

    /// Runs it and returns its standard output as text. Fails unless it ends with status 0; the failure then ends with
    /// what it wrote to standard error.
    pub fn text(&self) -> Result<String, Failure> {
        let captured = self.capture()?;
        if captured.ending.is_success() {
            return Ok(captured.stdout_text());
        }
        let errors = captured.stderr_text();
        let errors = errors.trim();
        let separator = if errors.is_empty() { "" } else { ": " };
        let message =
            format!("`{}` on the node {}{separator}{errors}", self.0.line, captured.ending.explain());
        Err(Failure::other("command-failed", message))
    }

    fn error(&self, reason: TargetError) -> Error {
        HostError::new(reason, format_args!("running `{}` on the node", self.0.line))
    }
}

impl Ending {
    /// Whether it ended by itself, with status 0.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Exited(0))
    }

    /// In words: `ended with status 2`.
    pub fn explain(&self) -> String {
        match self {
            Self::Exited(status) => format!("ended with status {status}"),
            Self::Signalled(signal) => format!("was ended by the signal {signal}"),
        }
    }
}

impl Captured {
    /// Standard output; what is not UTF-8 becomes a replacement character.
    pub fn stdout_text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error; what is not UTF-8 becomes a replacement character.
    pub fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// Whether a copy keeps the times of last change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// As at the source.
    Keep,
    /// The time of the copy.
    New,
}

/// Copies a file or the contents of a directory of the runner (granted for reading) to the node. Returns the bytes sent.
pub fn upload(local: &str, remote: &str, times: Times) -> Result<u64, Error> {
    host::upload(local, remote, times == Times::Keep)
        .map_err(|reason| HostError::new(reason, format_args!("copying {local} to {remote} on the node")))
}

/// Copies a file or the contents of a directory of the node to the runner (granted for writing). Returns the bytes received.
pub fn download(remote: &str, local: &str, times: Times) -> Result<u64, Error> {
    host::download(remote, local, times == Times::Keep)
        .map_err(|reason| HostError::new(reason, format_args!("copying {remote} of the node to {local}")))
}

/// The entries of a directory of the node, in the order of their names.
pub fn list_directory(path: &str) -> Result<Vec<Entry>, Error> {
    host::list_directory(path)
        .map_err(|reason| HostError::new(reason, format_args!("listing {path} on the node")))
}

/// What is known of a file or directory of the node; follows links.
pub fn stat(path: &str) -> Result<Entry, Error> {
    host::stat(path).map_err(|reason| HostError::new(reason, format_args!("looking at {path} on the node")))
}

/// An interactive terminal session on the node, for devices that know nothing else. [`Session::dialogue`] answers prompts.
#[derive(Debug)]
pub struct Session(host::Session);

impl Session {
    /// Opens a session with a terminal of that size. Many columns keep devices from breaking lines.
    pub fn open(columns: u16, rows: u16) -> Result<Self, Error> {
        host::open_session(columns, rows)
            .map(Self)
            .map_err(|reason| HostError::new(reason, "opening a terminal session on the node"))
    }

    /// Types text. May hold references to secrets.
    pub fn send(&self, text: &[u8]) -> Result<(), Error> {
        self.0.send(text).map_err(|reason| HostError::new(reason, "typing into the terminal session"))
    }

    /// Waits for output. Empty when nothing came in time.
    pub fn receive(&self, timeout: Duration) -> Result<Vec<u8>, Error> {
        self.0
            .receive(millis(timeout))
            .map_err(|reason| HostError::new(reason, "waiting for output of the terminal session"))
    }

    /// Goes on with waiting for prompts and answering them.
    pub fn dialogue(self, timeout: Duration) -> Dialogue<Self> {
        Dialogue::new(self, timeout)
    }
}

impl Talk for Session {
    fn say(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.send(bytes)?)
    }

    fn hear(&mut self, timeout: Duration) -> Result<Arrived, Failure> {
        match self.receive(timeout) {
            Ok(bytes) if bytes.is_empty() => Ok(Arrived::Nothing),
            Ok(bytes) => Ok(Arrived::Bytes(bytes)),
            Err(HostError { reason: TargetError::Disconnected(_), .. }) => Ok(Arrived::End),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_one_word() {
        assert_eq!(quote("/etc/hosts"), "/etc/hosts");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(Command::of(["ls", "-l", "a b"]), Command::new("ls -l 'a b'"));
    }
}

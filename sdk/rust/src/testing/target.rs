//! The capability `target`: commands, copies and sessions on the node.

use std::cell::RefCell;
use std::time::Duration;

use super::script::{Heard, Running};
use super::{Expected, Host, Script, invoke};
use crate::bindings::autoexec::tool::target as wit;
use crate::target::{Captured, Ending, Entry, TargetError};

/// Expectations of the capability `target`.
#[derive(Debug)]
pub struct Target<'h>(&'h Host);

/// Expectations of one command.
pub type Commands<'h, R> = Expected<'h, wit::Command, Result<R, TargetError>>;

impl Host {
    /// Expects commands, copies and sessions on the node.
    pub fn target(&self) -> Target<'_> {
        Target(self)
    }
}

type Copy = (String, String, bool);

impl<'h> Target<'h> {
    /// Expects a command line whose output is captured.
    pub fn capture(&self, line: &str) -> Commands<'h, Captured> {
        self.command("target.capture", line)
    }

    /// Expects a command line whose output goes to the log.
    pub fn run(&self, line: &str) -> Commands<'h, Ending> {
        self.command("target.run", line)
    }

    fn command<R: 'static>(&self, function: &'static str, line: &str) -> Commands<'h, R> {
        let line = line.to_owned();
        self.0.expect(function, format!("`{line}`"), move |command: &wit::Command| command.line == line)
    }

    /// Expects a copy to the node; the last of the arguments is whether times are kept.
    pub fn upload(&self, local: &str, remote: &str) -> Expected<'h, Copy, Result<u64, TargetError>> {
        self.copy("target.upload", local, remote)
    }

    /// Expects a copy from the node; the last of the arguments is whether times are kept.
    pub fn download(&self, remote: &str, local: &str) -> Expected<'h, Copy, Result<u64, TargetError>> {
        self.copy("target.download", remote, local)
    }

    fn copy(
        &self,
        function: &'static str,
        from: &str,
        to: &str,
    ) -> Expected<'h, Copy, Result<u64, TargetError>> {
        let shown = format!("({from:?}, {to:?})");
        let (from, to) = (from.to_owned(), to.to_owned());
        self.0.expect(function, shown, move |copy: &Copy| copy.0 == from && copy.1 == to)
    }

    /// Expects that a directory is listed.
    pub fn list_directory(&self, path: &str) -> Expected<'h, String, Result<Vec<Entry>, TargetError>> {
        self.0.expect_exactly("target.list-directory", path.to_owned())
    }

    /// Expects that a file is looked at.
    pub fn stat(&self, path: &str) -> Expected<'h, String, Result<Entry, TargetError>> {
        self.0.expect_exactly("target.stat", path.to_owned())
    }

    /// Expects a terminal session, whose other side is this script.
    pub fn session(&self, script: Script) {
        self.session_opening().answers(Ok(script));
    }

    /// Expects a terminal session, which may be refused.
    pub fn session_opening(&self) -> Expected<'h, (u16, u16), Result<Script, TargetError>> {
        self.0.expect("target.open-session", String::new(), |_: &(u16, u16)| true)
    }
}

impl Commands<'_, Captured> {
    /// It writes this to standard output and ends with status 0.
    pub fn prints(self, output: &str) {
        let stdout = output.as_bytes().to_vec();
        self.answers(Ok(Captured { ending: Ending::Exited(0), stdout, stderr: Vec::new() }));
    }

    /// It writes this to standard error and ends with this status.
    pub fn exits(self, status: i32, errors: &str) {
        let stderr = errors.as_bytes().to_vec();
        self.answers(Ok(Captured { ending: Ending::Exited(status), stdout: Vec::new(), stderr }));
    }
}

#[derive(Debug)]
pub(crate) struct Session(RefCell<Running>);

impl Session {
    #[expect(clippy::unnecessary_wraps, reason = "the signature of the import")]
    pub(crate) fn send(&self, text: &[u8]) -> Result<(), TargetError> {
        self.0.borrow_mut().0.say(text);
        Ok(())
    }

    pub(crate) fn receive(&self, timeout_ms: u32) -> Result<Vec<u8>, TargetError> {
        match self.0.borrow_mut().0.hear(usize::MAX, Duration::from_millis(timeout_ms.into())) {
            Heard::Bytes(bytes) => Ok(bytes),
            Heard::Nothing => Ok(Vec::new()),
            Heard::End => Err(TargetError::Disconnected("the session has ended".into())),
        }
    }
}

pub(crate) fn capture(command: &wit::Command) -> Result<Captured, TargetError> {
    invoke("target.capture", command.clone())
}

pub(crate) fn run(command: &wit::Command) -> Result<Ending, TargetError> {
    invoke("target.run", command.clone())
}

pub(crate) fn upload(local: &str, remote: &str, keep_times: bool) -> Result<u64, TargetError> {
    invoke("target.upload", (local.to_owned(), remote.to_owned(), keep_times))
}

pub(crate) fn download(remote: &str, local: &str, keep_times: bool) -> Result<u64, TargetError> {
    invoke("target.download", (remote.to_owned(), local.to_owned(), keep_times))
}

pub(crate) fn list_directory(path: &str) -> Result<Vec<Entry>, TargetError> {
    invoke("target.list-directory", path.to_owned())
}

pub(crate) fn stat(path: &str) -> Result<Entry, TargetError> {
    invoke("target.stat", path.to_owned())
}

pub(crate) fn open_session(columns: u16, rows: u16) -> Result<Session, TargetError> {
    let script: Result<Script, TargetError> = invoke("target.open-session", (columns, rows));
    script.map(|script| Session(RefCell::new(Running(script))))
}

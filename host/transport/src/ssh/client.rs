//! A connection and a terminal session as their users see them. What they do happens in another process.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::arriving::Arriving;
use super::become_user::Account;
use super::digests;
use super::error::{SshError, SshErrorKind};
use super::exec::{ExecRequest, RemoteEnd};
use super::files::RemoteDir;
use super::inventory::Inventory;
use super::isolation::protocol::{Answer, Download, Operation};
use super::isolation::{Lending, Line, Listener};
use super::kept::{Stock, Stocks};
use super::remote::RemotePid;
use super::settings::SshTarget;
use super::task::{RemoteCommand, RemoteTask, TaskEnd};
use crate::entry::UploadEntry;
use crate::exit::StopOutcome;
use crate::output::OutputSink;
use crate::stop::StopToken;

/// An authenticated connection to one account. Operations are done one at a time; dropping it closes the connection,
/// after the operation under way has been stopped.
#[derive(Debug)]
pub struct SshConnection {
    line: Line,
    target: String,
}

/// Takes the answer of the kind that belongs to the operation.
macro_rules! expect {
    ($connection:expr, $answer:expr, $kind:pat => $value:expr) => {
        match $answer {
            Ok($kind) => Ok($value),
            Ok(_) => Err($connection.line.distrust().await),
            Err(kind) => Err(kind),
        }
    };
}

impl SshConnection {
    pub(super) fn new(target: &SshTarget, line: Line) -> Self {
        Self { line, target: target.to_string() }
    }

    /// What there is to tell of hosts on the way, this one included, that were not known and whose keys were recorded
    /// ([`super::HostKeyPolicy::TrustOnFirstUse`]). It is told once.
    pub fn new_hosts(&self) -> Vec<String> {
        self.line.new_hosts()
    }

    /// Runs a plain exec request. Stdout and stderr go to `sink` in the order in which they arrive.
    ///
    /// At [`crate::StopLevel::Terminate`] the channel is closed, and nothing is known about the command's processes; use
    /// [`Self::run`] for commands that must be stopped for certain. A server that closes the channel without naming
    /// an exit code is taken for exit code 0, because libssh2 does not tell; `run` has a report of its own.
    pub async fn exec(
        &mut self,
        request: ExecRequest,
        sink: Arc<dyn OutputSink>,
        stop: &StopToken,
    ) -> Result<RemoteEnd, SshError> {
        let answer = self.line.call(Operation::Exec(request), stop, Listener::to(&*sink)).await;
        let outcome = expect!(self, answer, Answer::Ended(end) => end);
        self.named(outcome)
    }

    /// Runs a command in a directory of a POSIX target, in its own process group, with empty input. `on_start` is
    /// called as soon as the group is known.
    ///
    /// At [`crate::StopLevel::Terminate`] the group gets TERM each second, then KILL after [`super::REMOTE_GRACE`]; at
    /// [`crate::StopLevel::Kill`] it gets KILL at once. A command silent for longer than the read timeout is stopped
    /// likewise and fails. A descendant that keeps the output open after the command has ended is waited for
    /// [`super::REMOTE_LINGER`] and then left alone.
    pub async fn run(
        &mut self,
        command: RemoteCommand,
        sink: Arc<dyn OutputSink>,
        stop: &StopToken,
        on_start: impl FnOnce(RemotePid) + Send + 'static,
    ) -> Result<RemoteEnd, SshError> {
        let task = RemoteTask { setup: None, command, wanted: None, detached: None, removes_dir: false };
        self.run_task(task, sink, stop, on_start).await.map(|end| end.end)
    }

    /// The same with files before the command and a file after it, in one request.
    pub async fn run_task(
        &mut self,
        task: RemoteTask,
        sink: Arc<dyn OutputSink>,
        stop: &StopToken,
        on_start: impl FnOnce(RemotePid) + Send + 'static,
    ) -> Result<TaskEnd, SshError> {
        let inventory = task.setup.as_ref().and_then(|setup| setup.inventory.clone());
        let entries = task.setup.as_ref().map(|setup| setup.entries.as_slice()).unwrap_or_default();
        let files = match &inventory {
            // They are read once for all targets.
            Some(inventory) => inventory.digests().facts(entries).await,
            None => digests::lengths(entries),
        };
        let listener = Listener {
            detached: task.detached.clone(),
            inventory,
            on_start: Some(Box::new(on_start)),
            lending: Lending::Files(digests::paths(entries)),
            ..Listener::to(&*sink)
        };
        let operation = Operation::Run { task: Box::new(task), files };
        let answer = self.line.call(operation, stop, listener).await;
        let outcome = expect!(self, answer, Answer::Task(end) => end);
        self.named(outcome)
    }

    /// Goes on with a detached task that another connection began: its output from where that one was, its end.
    pub async fn attach(
        &mut self,
        task: RemoteTask,
        sink: Arc<dyn OutputSink>,
        stop: &StopToken,
    ) -> Result<TaskEnd, SshError> {
        let Some(detached) = task.detached.clone() else {
            let detail = "it was not started detached".to_owned();
            return self.named(Err(SshErrorKind::Invalid { what: "task".into(), detail }));
        };
        let listener = Listener { detached: Some(detached), ..Listener::to(&*sink) };
        // The files are there.
        let operation = Operation::Attach(Box::new(RemoteTask { setup: None, ..task }));
        let answer = self.line.call(operation, stop, listener).await;
        let outcome = expect!(self, answer, Answer::Task(end) => end);
        self.named(outcome)
    }

    /// Stops a process group that an earlier connection of the same account started; `account` is the user that its
    /// command ran as, where that was another one.
    pub async fn stop_group(
        &mut self,
        pid: RemotePid,
        account: Option<Account>,
        stop: &StopToken,
    ) -> Result<StopOutcome, SshError> {
        if pid.group <= 1 {
            let detail = format!("{} would hit other processes", pid.group);
            return self.named(Err(SshErrorKind::Invalid { what: "process group".into(), detail }));
        }
        let answer = self.ask(Operation::StopGroup { pid, account }, stop).await;
        let outcome = expect!(self, answer, Answer::Stopped(outcome) => outcome);
        self.named(outcome)
    }

    /// Makes a new directory under `/tmp` that only this account can enter, named `prefix` plus a random ending
    /// (defects 48, 49). The prefix may hold ASCII letters, digits, `.`, `_` and `-`.
    pub async fn make_private_dir(&mut self, prefix: &str, stop: &StopToken) -> Result<RemoteDir, SshError> {
        let dir = self.named(RemoteDir::new(prefix))?;
        let answer = self.ask(Operation::MakeDir(dir.clone()), stop).await;
        let outcome = expect!(self, answer, Answer::Done => dir);
        self.named(outcome)
    }

    /// Removes a directory with all it holds and waits until it is gone (defect 50).
    pub async fn remove_dir(&mut self, dir: &RemoteDir, stop: &StopToken) -> Result<(), SshError> {
        self.remove_dir_of(dir, Vec::new(), stop).await
    }

    /// The same for a directory in which commands ran as other users.
    pub async fn remove_dir_of(
        &mut self,
        dir: &RemoteDir,
        accounts: Vec<Account>,
        stop: &StopToken,
    ) -> Result<(), SshError> {
        let answer = self.ask(Operation::RemoveDir { dir: dir.clone(), accounts }, stop).await;
        let outcome = expect!(self, answer, Answer::Done => ());
        self.named(outcome)
    }

    /// Leaves in a directory only the files that `inventory` knows of, for a later [`Setup::kept`](super::Setup::kept); those
    /// in `aside` are put away, to be had again by their content. Where that is not worth it, or not possible, the directory is
    /// removed as by [`Self::remove_dir`], and there is no stock.
    pub async fn keep_dir(
        &mut self,
        dir: &RemoteDir,
        inventory: &Inventory,
        aside: &BTreeSet<String>,
        stocks: &Stocks,
        stop: &StopToken,
    ) -> Result<Option<Stock>, SshError> {
        let Some(keeping) = inventory.keeping(aside) else {
            return self.remove_dir(dir, stop).await.map(|()| None);
        };
        let answer = self.ask(Operation::KeepDir { dir: dir.clone(), keeping: keeping.clone() }, stop).await;
        let outcome = expect!(self, answer, Answer::Kept(kept) => kept);
        self.named(outcome).map(|kept| kept.then(|| inventory.stock(&keeping, stocks)))
    }

    /// Puts files below `dir` in one stream (`tar`), or one by one over SFTP where the target has no `tar`. Parents
    /// are created, existing files replaced, modes set exactly. A failure leaves what was already written.
    pub async fn upload_tree(
        &mut self,
        entries: Vec<UploadEntry>,
        dir: &str,
        stop: &StopToken,
    ) -> Result<(), SshError> {
        let files = digests::lengths(&entries);
        let listener = Listener { lending: Lending::Files(digests::paths(&entries)), ..Listener::default() };
        let operation = Operation::Upload { entries, files, dir: dir.to_owned() };
        let answer = self.line.call(operation, stop, listener).await;
        let outcome = expect!(self, answer, Answer::Done => ());
        self.named(outcome)
    }

    /// Fetches a file of at most `max_bytes` to a temporary name beside `local` and renames it. Returns its length,
    /// or none when there is no such remote file.
    pub async fn download(
        &mut self,
        remote: &str,
        local: &Path,
        max_bytes: u64,
        stop: &StopToken,
    ) -> Result<Option<u64>, SshError> {
        let arriving = Arriving::new(local).map_err(|kind| SshError::new(&self.target, kind))?;
        self.download_on(remote, None, &arriving, max_bytes, stop).await
    }

    /// The same for a file of which a part may have arrived over an earlier connection. Where another user may have put it there,
    /// that `account` has to read it: it may be a link to what only the one that logs in can read.
    pub async fn download_on(
        &mut self,
        remote: &str,
        account: Option<Account>,
        arriving: &Arriving,
        max_bytes: u64,
        stop: &StopToken,
    ) -> Result<Option<u64>, SshError> {
        if arriving.is_whole() {
            return Ok(Some(arriving.length()));
        }
        let remote = remote.to_owned();
        let wanted = Download { remote, local: arriving.local().to_owned(), max_bytes, account };
        let listener = Listener { lending: Lending::Part(arriving.clone()), ..Listener::default() };
        let answer = self.line.call(Operation::Download(wanted), stop, listener).await;
        let outcome = expect!(self, answer, Answer::Length(length) => length);
        let length = self.named(outcome)?;
        if let Some(length) = length {
            // The worker wrote it; what came of that is looked at here.
            if length > max_bytes || length != arriving.length() {
                let distrust = self.line.distrust().await;
                return self.named(Err(distrust));
            }
            self.named(arriving.finish(length))?;
        }
        Ok(length)
    }

    /// Reads a file of at most `max_bytes`; none when there is no such file.
    pub async fn read_file(
        &mut self,
        remote: &str,
        max_bytes: u64,
        stop: &StopToken,
    ) -> Result<Option<Vec<u8>>, SshError> {
        let answer = self.ask(Operation::Read { remote: remote.to_owned(), max_bytes }, stop).await;
        let outcome = expect!(self, answer, Answer::Content(content) => content);
        self.named(outcome)
    }

    /// Opens a session with a terminal of that size.
    ///
    /// # Errors
    /// Why not; the connection is closed then.
    pub async fn open_terminal(
        mut self,
        columns: u16,
        rows: u16,
        stop: &StopToken,
    ) -> Result<SshTerminal, SshError> {
        let answer = self.ask(Operation::OpenTerminal { columns, rows }, stop).await;
        let outcome = expect!(self, answer, Answer::Done => ());
        self.named(outcome)?;
        Ok(SshTerminal { connection: self })
    }

    /// Id of the process that holds the connection, which others may share.
    pub fn process_id(&self) -> Option<u32> {
        self.line.process()
    }

    /// `user@host:port`.
    pub fn target(&self) -> &str {
        &self.target
    }

    async fn ask(&mut self, operation: Operation, stop: &StopToken) -> Result<Answer, SshErrorKind> {
        self.line.call(operation, stop, Listener::default()).await
    }

    fn named<T>(&self, result: Result<T, SshErrorKind>) -> Result<T, SshError> {
        result.map_err(|kind| SshError::new(&self.target, kind))
    }
}

/// A session on a connection of its own. Dropping it ends both.
#[derive(Debug)]
pub struct SshTerminal {
    connection: SshConnection,
}

impl SshTerminal {
    /// Types text, all of it. It may be a secret: it is dropped as soon as it is sent.
    ///
    /// # Errors
    /// When the session has ended or the peer does not take it in time.
    pub async fn send(
        &mut self,
        text: impl AsRef<[u8]> + Send + 'static,
        stop: &StopToken,
    ) -> Result<(), SshError> {
        let operation = Operation::Type(Zeroizing::new(text.as_ref().to_vec()));
        drop(text);
        let answer = self.connection.ask(operation, stop).await;
        let outcome = expect!(self.connection, answer, Answer::Done => ());
        self.connection.named(outcome)
    }

    /// Waits for output at most this long; empty when none came.
    ///
    /// # Errors
    /// [`SshErrorKind::ConnectionLost`] when the session has ended, by either side.
    pub async fn receive(&mut self, timeout: Duration, stop: &StopToken) -> Result<Vec<u8>, SshError> {
        let answer = self.connection.ask(Operation::Receive { timeout }, stop).await;
        let outcome = expect!(self.connection, answer, Answer::Output(output) => output);
        self.connection.named(outcome)
    }
}

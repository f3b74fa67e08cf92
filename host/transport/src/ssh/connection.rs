//! A connection as its users see it, and the thread behind it.

use std::cell::Cell;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::Instant;

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::become_user::Account;
use super::connector::SshConnector;
use super::error::{SshError, SshErrorKind, Step};
use super::exec::{self, ExecRequest, RemoteEnd};
use super::files::{self, Arriving, RemoteDir};
use super::jump::{Gate, Porter};
use super::link::{Link, Socket, local};
use super::patience::{Cancel, Patience};
use super::remote::{self, RemotePid};
use super::settings::{SshSettings, SshTarget};
use super::stopping;
use super::task::{RemoteCommand, RemoteTask, TaskEnd};
use super::upload;
use crate::entry::UploadEntry;
use crate::exit::StopOutcome;
use crate::output::OutputSink;
use crate::stop::{StopLevel, StopToken};

/// libssh2 and our own frames need far less; a thousand connections should not reserve gigabytes.
const STACK: usize = 512 * 1024;

type Job = Box<dyn FnOnce(&Worker) + Send>;

/// An authenticated connection to one account. Operations are done one at a time; dropping it closes the connection,
/// after the operation under way has been stopped.
#[derive(Debug)]
pub struct SshConnection {
    jobs: Sender<Job>,
    wake: Arc<EventFd>,
    target: String,
}

/// What the thread owns.
pub(super) struct Worker {
    pub(super) link: Link,
    pub(super) target: SshTarget,
    pub(super) settings: Arc<SshSettings>,
    connector: SshConnector,
    runtime: Handle,
    wake: Arc<EventFd>,
    /// Whether the target has gzip, as far as we know.
    gzip: Cell<bool>,
}

impl Worker {
    /// True unless the target was found to have no gzip.
    pub(super) fn gzip(&self) -> bool {
        self.gzip.get()
    }

    pub(super) fn forget_gzip(&self) {
        self.gzip.set(false);
    }

    /// A further connection to the same address and account, for a stop that cannot use this one.
    pub(super) fn another_link(&self, cancel: &Cancel) -> Result<Link, SshErrorKind> {
        let limit = self.settings.connect_timeout;
        let patience = Patience::new(Step::Connect, limit, cancel, None);
        let socket = match self.link.peer() {
            Some(address) => TcpStream::connect_timeout(&address, limit)
                .map(Socket::Tcp)
                .map_err(|error| SshErrorKind::Connect { tried: format!("{address}: {error}") })?,
            // The way through jump hosts is theirs to make.
            None => self.runtime.block_on(self.connector.reach(&self.target, patience.until()))?,
        };
        Link::establish(socket, &self.target, &self.settings, Arc::clone(&self.wake), &patience)
    }
}

/// Tells the thread when its caller has gone away.
struct Presence {
    abandoned: Arc<AtomicBool>,
    wake: Arc<EventFd>,
    answered: bool,
}

impl Drop for Presence {
    fn drop(&mut self) {
        if !self.answered {
            self.abandoned.store(true, Ordering::Release);
            ring(&self.wake);
        }
    }
}

pub(super) fn ring(wake: &EventFd) {
    // It fails only when the counter is full, and then the thread is awake anyway.
    let _ = wake.write(1);
}

impl SshConnection {
    /// Starts the thread on a connected socket and waits until it is logged in.
    pub(super) async fn start(
        socket: Socket,
        target: &SshTarget,
        connector: SshConnector,
        slot: Arc<OwnedSemaphorePermit>,
        stop: &StopToken,
    ) -> Result<Self, SshErrorKind> {
        let settings = connector.settings();
        let runtime = Handle::current();
        let wake = event()?;
        let (jobs, queue) = mpsc::channel();
        let (logged_in, reply) = oneshot::channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let cancel = Cancel::new(stop.clone(), Arc::clone(&abandoned));
        let presence = Presence { abandoned, wake: Arc::clone(&wake), answered: false };
        let connection = Self { jobs, wake: Arc::clone(&wake), target: target.to_string() };
        let target = target.clone();
        let serve = move || {
            let patience =
                Patience::new(Step::Connect, settings.connect_timeout, &cancel, Some(StopLevel::Terminate));
            match Link::establish(socket, &target, &settings, Arc::clone(&wake), &patience) {
                Ok(link) => {
                    if logged_in.send(Ok(())).is_ok() {
                        work(
                            &Worker {
                                link,
                                target,
                                settings,
                                connector,
                                runtime,
                                wake,
                                gzip: Cell::new(true),
                            },
                            &queue,
                        );
                    }
                }
                Err(kind) => {
                    let _ = logged_in.send(Err(kind));
                }
            }
            drop(slot);
        };
        thread(serve)?;
        await_reply(reply, presence, stop).await?;
        Ok(connection)
    }

    /// Runs a plain exec request. Stdout and stderr go to `sink` in the order in which they arrive.
    ///
    /// At [`StopLevel::Terminate`] the channel is closed, and nothing is known about the command's processes; use
    /// [`Self::run`] for commands that must be stopped for certain. A server that closes the channel without naming
    /// an exit code is taken for exit code 0, because libssh2 does not tell; `run` has a report of its own.
    pub async fn exec(
        &mut self,
        request: ExecRequest,
        sink: Arc<dyn OutputSink>,
        stop: &StopToken,
    ) -> Result<RemoteEnd, SshError> {
        self.call(stop, move |worker, cancel| {
            let settings = &worker.settings;
            exec::exec(&worker.link, &request, &*sink, cancel, settings.write_timeout, settings.read_timeout)
        })
        .await
    }

    /// Runs a command in a directory of a POSIX target, in its own process group, with empty input. `on_start` is
    /// called on the connection's thread as soon as the group is known.
    ///
    /// At [`StopLevel::Terminate`] the group gets TERM each second, then KILL after [`super::REMOTE_GRACE`]; at
    /// [`StopLevel::Kill`] it gets KILL at once. A command silent for longer than the read timeout is stopped
    /// likewise and fails. A descendant that keeps the output open after the command has ended is waited for
    /// [`super::REMOTE_LINGER`] and then left alone.
    pub async fn run(
        &mut self,
        command: RemoteCommand,
        sink: Arc<dyn OutputSink>,
        stop: &StopToken,
        on_start: impl FnOnce(RemotePid) + Send + 'static,
    ) -> Result<RemoteEnd, SshError> {
        let task = RemoteTask { setup: None, command, wanted: None, detached: None };
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
        self.call(stop, move |worker, cancel| remote::run(worker, &task, &*sink, cancel, Box::new(on_start)))
            .await
    }

    /// Goes on with a detached task that another connection began: its output from where that one was, its end.
    pub async fn attach(
        &mut self,
        task: RemoteTask,
        sink: Arc<dyn OutputSink>,
        stop: &StopToken,
    ) -> Result<TaskEnd, SshError> {
        self.call(stop, move |worker, cancel| {
            let Some(detached) = &task.detached else {
                let detail = "it was not started detached".to_owned();
                return Err(SshErrorKind::Invalid { what: "task", detail });
            };
            remote::attach(worker, &task, detached, &*sink, cancel)
        })
        .await
    }

    /// Stops a process group that an earlier connection of the same account started; `account` is the user that its
    /// command ran as, where that was another one.
    pub async fn stop_group(
        &mut self,
        pid: RemotePid,
        account: Option<Account>,
        stop: &StopToken,
    ) -> Result<StopOutcome, SshError> {
        self.call(stop, move |worker, cancel| {
            if pid.group <= 1 {
                let detail = format!("{} would hit other processes", pid.group);
                return Err(SshErrorKind::Invalid { what: "process group", detail });
            }
            let proved_dead = stopping::stop_group(worker, pid.group, account.as_ref(), cancel, None)?;
            Ok(StopOutcome { proved_dead })
        })
        .await
    }

    /// Makes a new directory under `/tmp` that only this account can enter, named `prefix` plus a random ending
    /// (defects 48, 49). The prefix may hold ASCII letters, digits, `.`, `_` and `-`.
    pub async fn make_private_dir(&mut self, prefix: &str, stop: &StopToken) -> Result<RemoteDir, SshError> {
        let prefix = prefix.to_owned();
        self.call(stop, move |worker, cancel| files::make_private_dir(worker, &prefix, cancel)).await
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
        let dir = dir.clone();
        self.call(stop, move |worker, cancel| files::remove_dir(worker, &dir, &accounts, cancel)).await
    }

    /// Puts files below `dir` in one stream (`tar`), or one by one over SFTP where the target has no `tar`. Parents
    /// are created, existing files replaced, modes set exactly. A failure leaves what was already written.
    pub async fn upload_tree(
        &mut self,
        entries: Vec<UploadEntry>,
        dir: &str,
        stop: &StopToken,
    ) -> Result<(), SshError> {
        let dir = dir.to_owned();
        self.call(stop, move |worker, cancel| upload::upload(worker, &entries, &dir, cancel)).await
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
        self.download_on(remote, &arriving, max_bytes, stop).await
    }

    /// The same for a file of which a part may have arrived over an earlier connection.
    pub async fn download_on(
        &mut self,
        remote: &str,
        arriving: &Arriving,
        max_bytes: u64,
        stop: &StopToken,
    ) -> Result<Option<u64>, SshError> {
        let (remote, arriving) = (remote.to_owned(), arriving.clone());
        self.call(stop, move |worker, cancel| files::download(worker, &remote, &arriving, max_bytes, cancel))
            .await
    }

    /// Reads a file of at most `max_bytes`; none when there is no such file.
    pub async fn read_file(
        &mut self,
        remote: &str,
        max_bytes: u64,
        stop: &StopToken,
    ) -> Result<Option<Vec<u8>>, SshError> {
        let remote = remote.to_owned();
        self.call(stop, move |worker, cancel| files::read_file(worker, &remote, max_bytes, cancel)).await
    }

    /// `user@host:port`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Has something done on the thread, without waiting for it.
    pub(super) fn post(&self, job: impl FnOnce(&Worker) + Send + 'static) {
        // Where the thread has ended, nothing is left to be done.
        let _ = self.jobs.send(Box::new(job));
        ring(&self.wake);
    }

    pub(super) async fn call<T: Send + 'static>(
        &mut self,
        stop: &StopToken,
        operation: impl FnOnce(&Worker, &Cancel) -> Result<T, SshErrorKind> + Send + 'static,
    ) -> Result<T, SshError> {
        let (answer, reply) = oneshot::channel();
        let abandoned = Arc::new(AtomicBool::new(false));
        let cancel = Cancel::new(stop.clone(), Arc::clone(&abandoned));
        let job = Box::new(move |worker: &Worker| {
            let _ = answer.send(operation(worker, &cancel));
        });
        let presence = Presence { abandoned, wake: Arc::clone(&self.wake), answered: false };
        let result = match self.jobs.send(job) {
            Ok(()) => {
                ring(&self.wake);
                await_reply(reply, presence, stop).await
            }
            Err(_) => Err(thread_gone()),
        };
        result.map_err(|kind| SshError::new(&self.target, kind))
    }
}

impl Drop for SshConnection {
    fn drop(&mut self) {
        // The queue has to be seen closed when the thread wakes.
        let (closed, _) = mpsc::channel();
        self.jobs = closed;
        ring(&self.wake);
    }
}

fn event() -> Result<Arc<EventFd>, SshErrorKind> {
    let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
    let wake = EventFd::from_value_and_flags(0, flags).map_err(|error| local("an event", &error))?;
    Ok(Arc::new(wake))
}

fn thread(work: impl FnOnce() + Send + 'static) -> Result<(), SshErrorKind> {
    let thread = std::thread::Builder::new().name("ssh".to_owned()).stack_size(STACK);
    thread.spawn(work).map(drop).map_err(|error| local("a thread", &error))
}

/// Logs in to a jump host and serves it on a thread of its own, until nobody needs it.
pub(super) async fn start_gate(
    socket: Socket,
    target: &SshTarget,
    settings: Arc<SshSettings>,
) -> Result<Gate, SshErrorKind> {
    let wake = event()?;
    let (requests, queue) = mpsc::channel();
    let (gate, ways) = Gate::new(requests, Arc::clone(&wake));
    let (logged_in, reply) = oneshot::channel();
    let stop = StopToken::never();
    let abandoned = Arc::new(AtomicBool::new(false));
    let cancel = Cancel::new(stop.clone(), Arc::clone(&abandoned));
    let presence = Presence { abandoned, wake: Arc::clone(&wake), answered: false };
    let target = target.clone();
    thread(move || {
        let patience =
            Patience::new(Step::Connect, settings.connect_timeout, &cancel, Some(StopLevel::Terminate));
        match Link::establish(socket, &target, &settings, wake, &patience) {
            Ok(link) => {
                if logged_in.send(Ok(())).is_ok() {
                    Porter::new(&link, &target.to_string(), &queue, &ways).work();
                }
            }
            Err(kind) => {
                let _ = logged_in.send(Err(kind));
            }
        }
    })?;
    await_reply(reply, presence, &stop).await?;
    Ok(gate)
}

/// Waits for the thread's answer and wakes it whenever the stop level rises.
async fn await_reply<T>(
    mut reply: oneshot::Receiver<Result<T, SshErrorKind>>,
    mut presence: Presence,
    stop: &StopToken,
) -> Result<T, SshErrorKind> {
    let mut level = StopLevel::Run;
    loop {
        tokio::select! {
            answer = &mut reply => {
                presence.answered = true;
                return answer.unwrap_or_else(|_| Err(thread_gone()));
            }
            () = stop.above(level) => {
                level = stop.level();
                ring(&presence.wake);
            }
        }
    }
}

fn thread_gone() -> SshErrorKind {
    SshErrorKind::ConnectionLost { step: Step::Start, detail: "the connection is closed".to_owned() }
}

fn work(worker: &Worker, queue: &Receiver<Job>) {
    let opened = Instant::now();
    loop {
        match queue.try_recv() {
            Ok(job) => job(worker),
            Err(TryRecvError::Disconnected) => break,
            Err(TryRecvError::Empty) => {
                if let Err(error) = worker.link.rest() {
                    tracing::warn!(target = %worker.target, %error, "a connection thread cannot wait");
                    break;
                }
            }
        }
    }
    tracing::debug!(target = %worker.target, seconds = opened.elapsed().as_secs(), "connection closed");
}

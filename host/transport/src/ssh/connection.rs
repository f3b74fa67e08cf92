//! The thread behind a connection, in the process that holds it.

use std::cell::Cell;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::time::{Duration, Instant};

use nix::sys::eventfd::{EfdFlags, EventFd};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::dialer::Dialer;
use super::error::{SshErrorKind, Step};
use super::hop::Hop;
use super::isolation::Alive;
use super::jump::{Gate, Porter};
use super::link::{Link, Socket, local};
use super::patience::{Cancel, Patience};
use super::settings::SshSettings;
use super::watch::Watch;
use crate::stop::{StopLevel, StopToken};

/// libssh2 and our own frames need far less; a thousand connections should not reserve gigabytes.
const STACK: usize = 512 * 1024;

type Job = Box<dyn FnOnce(&Worker) + Send>;

/// The thread of an authenticated connection to one account. Jobs are done one at a time; dropping it closes the
/// connection after those that were given to it.
#[derive(Debug)]
pub(super) struct Thread {
    jobs: Sender<Job>,
    wake: Arc<EventFd>,
}

/// What the thread owns.
pub(super) struct Worker {
    pub(super) link: Link,
    pub(super) target: Hop,
    pub(super) settings: Arc<SshSettings>,
    dialer: Dialer,
    runtime: Handle,
    pub(super) wake: Arc<EventFd>,
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

    /// Ends the connection if a call into libssh2 goes on after `until`.
    pub(super) fn watch(&self, until: Instant) -> Watch {
        Watch::new(&self.runtime, self.link.socket(), until)
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
            None => self.runtime.block_on(self.dialer.reach(&self.target, patience.until()))?,
        };
        Link::establish(socket, &self.target, &self.settings, Arc::clone(&self.wake), &patience)
    }
}

/// Tells the thread when nobody waits for its login any more.
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

impl Thread {
    /// Starts the thread on a connected socket and waits until it is logged in.
    pub(super) async fn start(
        socket: Socket,
        target: &Hop,
        dialer: Dialer,
        alive: Alive,
    ) -> Result<Self, SshErrorKind> {
        let settings = dialer.settings();
        let runtime = Handle::current();
        let wake = event()?;
        let (jobs, queue) = mpsc::channel();
        let (logged_in, reply) = oneshot::channel();
        let (cancel, presence) = presence(&wake);
        let connection = Self { jobs, wake: Arc::clone(&wake) };
        let target = target.clone();
        let serve = move || {
            let patience =
                Patience::new(Step::Connect, settings.connect_timeout, &cancel, Some(StopLevel::Terminate));
            match Link::establish(socket, &target, &settings, Arc::clone(&wake), &patience) {
                Ok(link) => {
                    if logged_in.send(Ok(())).is_ok() {
                        let gzip = Cell::new(true);
                        work(&Worker { link, target, settings, dialer, runtime, wake, gzip }, &queue);
                    }
                }
                Err(kind) => {
                    let _ = logged_in.send(Err(kind));
                }
            }
            drop(alive);
        };
        thread(serve)?;
        await_reply(reply, presence).await?;
        Ok(connection)
    }

    /// Has something done on the thread, without waiting for it. False when the thread has ended.
    pub(super) fn post(&self, job: impl FnOnce(&Worker) + Send + 'static) -> bool {
        let taken = self.jobs.send(Box::new(job)).is_ok();
        self.ring();
        taken
    }

    /// Has the thread look at what ends its job early.
    pub(super) fn ring(&self) {
        ring(&self.wake);
    }
}

impl Drop for Thread {
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
    target: &Hop,
    settings: Arc<SshSettings>,
) -> Result<Gate, SshErrorKind> {
    let wake = event()?;
    let (requests, queue) = mpsc::channel();
    let (gate, ways) = Gate::new(requests, Arc::clone(&wake));
    let (logged_in, reply) = oneshot::channel();
    let (cancel, presence) = presence(&wake);
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
    await_reply(reply, presence).await?;
    Ok(gate)
}

fn presence(wake: &Arc<EventFd>) -> (Cancel, Presence) {
    let abandoned = Arc::new(AtomicBool::new(false));
    let cancel = Cancel::new(StopToken::never(), Arc::clone(&abandoned));
    (cancel, Presence { abandoned, wake: Arc::clone(wake), answered: false })
}

/// Waits until the thread has logged in.
async fn await_reply(
    reply: oneshot::Receiver<Result<(), SshErrorKind>>,
    mut presence: Presence,
) -> Result<(), SshErrorKind> {
    let answer = reply.await;
    presence.answered = true;
    answer.unwrap_or_else(|_| Err(thread_gone()))
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
                if let Err(error) = worker.link.rest(Instant::now() + Duration::from_hours(1)) {
                    tracing::warn!(target = %worker.target, %error, "a connection thread cannot wait");
                    break;
                }
            }
        }
    }
    tracing::debug!(target = %worker.target, seconds = opened.elapsed().as_secs(), "connection closed");
}

//! Callbacks that must arrive: durable, in order, repeated.
//!
//! [`OutboxHandle::enqueue`] writes a callback to a file and returns; a task of its own delivers. A server that is
//! away costs nothing but time. What is left when the process ends, however it ends, is re-sent by the next process
//! that opens the same file, before anything of its own. Delivery is at least once: a callback whose answer was lost
//! is sent again, which the server takes as the same status.
//!
//! Order, as far as the server can tell:
//! * callbacks of one node of one phase, and values of one variable: one after the other;
//! * a phase status: after everything of its phase before it, before everything of its phase after it;
//! * job status and next group: after everything before, before everything after.
//!
//! Within these rules several are under way at once.

mod callback;
mod delivery;
mod journal;
mod schedule;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

pub use self::callback::Callback;
use self::delivery::{Delivery, Order};
use self::journal::Journal;
use crate::ConsoleClient;

/// Number of a callback in its outbox file, rising from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Seq(pub(crate) u64);

impl Seq {
    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// What the delivery task has to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutboxEvent {
    /// The server took a callback.
    Delivered {
        /// Which.
        seq: Seq,
    },
    /// The server refused a callback for good; it is not sent again.
    Rejected {
        /// Which.
        seq: Seq,
        /// What it said, in words.
        summary: String,
        /// Why, from the server.
        message: String,
    },
    /// A callback did not get through and will be sent again.
    Retrying {
        /// Which.
        seq: Seq,
        /// What it says, in words.
        summary: String,
        /// Why it did not get through.
        message: String,
        /// Failed attempts of this callback so far.
        attempt: u32,
        /// Pause before the next attempt of this or another callback.
        pause: Duration,
    },
    /// An older server says that a node of the phase failed on another runner.
    PeerFailed {
        /// The phase.
        phase: autoexec_model::PhaseName,
    },
    /// A callback is on its way but could not be written to the file: a crash would lose it.
    NotDurable {
        /// Which.
        seq: Seq,
        /// Why.
        message: String,
    },
}

/// How the outbox delivers.
#[derive(Debug, Clone)]
pub struct OutboxSettings {
    /// Callbacks under way at once; 0 counts as 1.
    pub in_flight: usize,
    /// Attempts after which a callback that the server answers with 500 counts as refused. With the longest pause
    /// of 30 s, the default of 60 is about half an hour. A server that is away is waited for without a limit.
    pub server_error_limit: u32,
    /// Pause after a first failure; doubles with each further one.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// Longest pause while draining, when there is a deadline to be met.
    pub longest_drain_pause: Duration,
    /// Where events go. Unbounded, so that a slow listener never holds back delivery.
    pub events: mpsc::UnboundedSender<OutboxEvent>,
}

impl OutboxSettings {
    /// Eight under way, pauses from half a second to 30 s, 2 s while draining.
    pub fn new(events: mpsc::UnboundedSender<OutboxEvent>) -> Self {
        Self {
            in_flight: 8,
            server_error_limit: 60,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            longest_drain_pause: Duration::from_secs(2),
            events,
        }
    }
}

/// What an earlier process left in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OutboxReport {
    /// Callbacks that were not acknowledged and are sent now.
    pub left_over: usize,
    /// Lines that could not be read: at most one, at the end, after a crash; more mean that the file was damaged.
    pub unreadable_lines: usize,
}

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrainReport {
    /// Callbacks without an acknowledgement; they are in the file, unless an event said otherwise.
    pub undelivered: usize,
}

/// Why an outbox cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutboxError {
    /// The file cannot be read or written.
    #[error("outbox {}: cannot {action}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Another process delivers from this file.
    #[error("outbox {} is in use by another process; each process of a job needs a file of its own", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is not an outbox, or of a release that is not known here.
    #[error(
        "outbox {} cannot be read: its first line is {found:?}; delete it if its callbacks are no longer wanted",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Its first line, cut.
        found: String,
    },
    /// Opened outside a tokio runtime.
    #[error("the outbox needs a running tokio runtime to deliver from")]
    NoRuntime,
    /// The outbox was drained.
    #[error("the outbox is closed; the callback was not accepted")]
    Closed,
}

/// The entry to the outbox; see the module's description.
#[derive(Debug)]
pub struct Outbox;

impl Outbox {
    /// Opens or creates the file at `path` (mode 0600) and starts delivering what is left in it.
    ///
    /// `passThroughEnv` and tenant are not part of the file; the client adds its present ones to what it sends.
    /// Blocks on file access: a few milliseconds, more with many thousand callbacks left.
    pub fn open(
        path: &Path,
        client: Arc<ConsoleClient>,
        settings: OutboxSettings,
    ) -> Result<(OutboxHandle, OutboxReport), OutboxError> {
        let runtime = Handle::try_current().map_err(|_| OutboxError::NoRuntime)?;
        let (journal, left) = Journal::open(path)?;
        let report = OutboxReport { left_over: left.callbacks.len(), unreadable_lines: left.unreadable };
        let journal = Arc::new(journal);
        let (orders, received) = mpsc::unbounded_channel();
        let events = settings.events.clone();
        let delivery = Delivery::new(client, Arc::clone(&journal), settings, received, left.callbacks);
        let task = Mutex::new(Some(runtime.spawn(delivery.run())));
        Ok((OutboxHandle(Arc::new(Shared { journal, orders, events, task })), report))
    }
}

/// Puts callbacks into the outbox. Clones share it; when the last one is dropped without
/// [`drain`](OutboxHandle::drain), delivery stops and the rest stays in the file. The file is free for another process
/// when the last handle is gone.
#[derive(Debug, Clone)]
pub struct OutboxHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    journal: Arc<Journal>,
    orders: mpsc::UnboundedSender<Order>,
    events: mpsc::UnboundedSender<OutboxEvent>,
    /// Taken by the drain that ends it.
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Shared {
    fn take_task(&self) -> Option<JoinHandle<()>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(task) = self.take_task() {
            task.abort();
        }
    }
}

impl OutboxHandle {
    /// Writes `callback` to the file (one system call, no network, no wait) and hands it to delivery.
    ///
    /// Calls from several threads are taken in the order in which they get the file. A full disk does not refuse the
    /// callback: it is delivered from memory, and [`OutboxEvent::NotDurable`] tells.
    pub fn enqueue(&self, callback: Callback) -> Result<Seq, OutboxError> {
        let Shared { journal, orders, events, .. } = &*self.0;
        let (seq, written) = journal.append(callback, |seq, callback| {
            // Sent under the file's lock, so that delivery sees the file's order. Without a receiver, the file
            // keeps it for the next process.
            let _ = orders.send(Order::Deliver(seq, callback));
        })?;
        if let Err(error) = written {
            let _ = events.send(OutboxEvent::NotDurable { seq, message: error.to_string() });
        }
        Ok(seq)
    }

    /// Callbacks that are not acknowledged yet.
    pub fn undelivered(&self) -> usize {
        self.0.journal.outstanding()
    }

    /// Accepts nothing more, delivers until all is acknowledged or `deadline` has passed, and stops.
    ///
    /// Pauses between attempts become shorter. A callback that is under way when the deadline passes counts as
    /// undelivered, though the server may have it.
    pub async fn drain(&self, deadline: Instant) -> DrainReport {
        let Shared { journal, orders, .. } = &*self.0;
        journal.close();
        let (done, is_done) = oneshot::channel();
        if orders.send(Order::Drain(done)).is_ok() {
            // Both ways of ending, the answer and the deadline, are told by the count.
            let _ = tokio::time::timeout_at(deadline, is_done).await;
        }
        if let Some(task) = self.0.take_task() {
            task.abort();
            // How it ended does not matter, only that it acknowledges nothing any more.
            let _ = task.await;
            journal.release();
        }
        DrainReport { undelivered: journal.outstanding() }
    }
}

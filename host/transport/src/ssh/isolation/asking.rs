//! The worker's side of what only the run can do: open files, look up names, know hosts and logins.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::outlet::Outlet;
use super::protocol::{Event, HostInfo, LONGEST_EVENT, Question, Reply};
use crate::entry::{FileFact, Lender, LentFile, UploadEntry, UploadSource};
use crate::ssh::error::{SshErrorKind, Step};
use crate::ssh::known_hosts::{HostKey, Verdict};

/// Asks the run, over one connection's socket.
pub(in crate::ssh) struct Asking {
    outlet: Arc<Outlet>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last: u32,
    /// Who waits, by the number of the question.
    replies: HashMap<u32, oneshot::Sender<Given>>,
    /// Nothing is answered any more.
    closed: bool,
}

/// What the run gave.
struct Given {
    reply: Reply,
    file: Option<OwnedFd>,
}

impl Asking {
    pub(super) fn new(outlet: Arc<Outlet>) -> Self {
        Self { outlet, waiting: Mutex::default() }
    }

    /// The addresses of the first host on the way.
    pub(in crate::ssh) async fn addresses(&self) -> Result<Vec<SocketAddr>, SshErrorKind> {
        let Some(answer) = self.ask(Question::Addresses) else { return Err(unanswered()) };
        match answer.await {
            Ok(Given { reply: Reply::Addresses(addresses), .. }) => Ok(addresses),
            other => Err(refusal(other.ok())),
        }
    }

    /// How to know and log in to a host on the way. Not to be called on a runtime, as all that follow.
    pub(in crate::ssh) fn host(&self, number: u32) -> Result<HostInfo, SshErrorKind> {
        match self.wait(Question::Host(number)) {
            Some(Given { reply: Reply::Host(info), .. }) => Ok(info),
            other => Err(refusal(other)),
        }
    }

    /// Has the key of a host on the way recorded.
    pub(in crate::ssh) fn record(&self, host: u32, key: &HostKey) -> Result<Verdict, SshErrorKind> {
        match self.wait(Question::Record { host, key: key.clone() }) {
            Some(Given { reply: Reply::Recorded(verdict), .. }) => Ok(verdict),
            other => Err(refusal(other)),
        }
    }

    /// Opens a file of the operation under way.
    pub(super) fn open_file(&self, number: u32) -> Result<File, SshErrorKind> {
        match self.wait(Question::Open(number)) {
            Some(Given { reply: Reply::Opened, file: Some(file) }) => Ok(file.into()),
            other => Err(refusal(other)),
        }
    }

    /// Has the files among these opened by the run when they are needed.
    pub(super) fn lend(self: &Arc<Self>, entries: &mut [UploadEntry], facts: &[Option<FileFact>]) {
        for (at, entry) in entries.iter_mut().enumerate() {
            if let UploadSource::File(path) = &entry.source {
                let (path, number) = (path.clone(), u32::try_from(at).unwrap_or(u32::MAX));
                let fact = facts.get(at).copied().flatten();
                let lender: Arc<dyn Lender> = Arc::<Self>::clone(self);
                entry.source = UploadSource::Lent(LentFile { path, number, fact, lender });
            }
        }
    }

    /// A reply has come.
    pub(super) fn replied(&self, number: u32, reply: Reply, file: Option<OwnedFd>) {
        let asked = self.waiting().replies.remove(&number);
        if let Some(asked) = asked {
            let _ = asked.send(Given { reply, file });
        }
    }

    /// Nobody waits for what was asked so far to be done.
    pub(super) fn give_up(&self) {
        self.waiting().replies.clear();
    }

    /// Nothing is answered any more.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.replies.clear();
    }

    fn wait(&self, question: Question) -> Option<Given> {
        self.ask(question)?.blocking_recv().ok()
    }

    fn ask(&self, question: Question) -> Option<oneshot::Receiver<Given>> {
        let (reply, answer) = oneshot::channel();
        let number = {
            let mut waiting = self.waiting();
            if waiting.closed {
                return None;
            }
            waiting.last = waiting.last.wrapping_add(1);
            let number = waiting.last;
            waiting.replies.insert(number, reply);
            number
        };
        self.outlet.event(&Event::Ask(number, question), LONGEST_EVENT);
        Some(answer)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lender for Asking {
    fn open(&self, number: u32) -> io::Result<File> {
        self.open_file(number).map_err(|kind| match kind {
            SshErrorKind::LocalFile { source, .. } => source,
            kind => io::Error::other(kind.to_string()),
        })
    }
}

fn refusal(given: Option<Given>) -> SshErrorKind {
    match given {
        Some(Given { reply: Reply::Refused(kind), .. }) => kind,
        _ => unanswered(),
    }
}

/// The run has other things to do, or is gone: nobody reads this.
fn unanswered() -> SshErrorKind {
    let detail = "it is not wanted any more".to_owned();
    SshErrorKind::ConnectionLost { step: Step::Connect, detail }
}

//! Interactive sessions: a login shell with a terminal, as a person at a keyboard has it. Network devices know nothing
//! else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ssh2::Channel;

use super::connection::Worker;
use super::error::{SshErrorKind, Step};
use super::link::{Link, Piece, SHARED_NAP};
use super::patience::{Cancel, Patience};
use crate::stop::StopLevel;

/// What devices take to be a terminal that can do nothing special.
const TERMINAL: &str = "vt100";
/// Bytes of one answer, after which the caller gets what is there.
const MOST_AT_ONCE: usize = 64 * 1024;
/// Output that is kept while the peer does not take our input.
const MOST_KEPT: usize = 8 * 1024 * 1024;

/// What the connection's thread works on.
struct Open {
    channel: Channel,
    /// What came while we were sending.
    kept: Vec<u8>,
    ended: bool,
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("kept", &self.kept.len())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// A terminal that is open, or was; only the thread of its connection works with it.
#[derive(Debug, Clone, Default)]
pub(super) struct Terminal(Arc<Mutex<Option<Open>>>);

impl Terminal {
    /// Opens a session with a terminal of that size.
    pub(super) fn open(
        &self,
        worker: &Worker,
        (columns, rows): (u16, u16),
        cancel: &Cancel,
    ) -> Result<(), SshErrorKind> {
        let channel = start(worker, columns, rows, cancel)?;
        let before = self.lock().replace(Open { channel, kept: Vec::new(), ended: false });
        Self::end(worker, before);
        Ok(())
    }

    /// Types text, all of it.
    pub(super) fn send(&self, worker: &Worker, text: &[u8], cancel: &Cancel) -> Result<(), SshErrorKind> {
        let limit = worker.settings.write_timeout;
        let patience = Patience::new(Step::Send, limit, cancel, Some(StopLevel::Terminate));
        self.with(|open| open.send(&worker.link, text, patience))
    }

    /// Waits for output at most this long; empty when none came.
    pub(super) fn receive(
        &self,
        worker: &Worker,
        timeout: Duration,
        cancel: &Cancel,
    ) -> Result<Vec<u8>, SshErrorKind> {
        let patience = Patience::new(Step::Output, timeout, cancel, Some(StopLevel::Terminate));
        self.with(|open| open.receive(&worker.link, &patience))
    }

    /// Gives the channel back: on the thread that owns the session, for freeing it talks to the peer.
    pub(super) fn close(&self, worker: &Worker) {
        let open = self.lock().take();
        Self::end(worker, open);
    }

    fn end(worker: &Worker, open: Option<Open>) {
        if let Some(mut open) = open {
            worker.link.close(&mut open.channel, open.ended);
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Open) -> Result<T, SshErrorKind>) -> Result<T, SshErrorKind> {
        self.lock().as_mut().map_or_else(|| Err(over()), act)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(worker: &Worker, columns: u16, rows: u16, cancel: &Cancel) -> Result<Channel, SshErrorKind> {
    let link = &worker.link;
    let limit = worker.settings.write_timeout;
    let patience = Patience::new(Step::Start, limit, cancel, Some(StopLevel::Terminate));
    let mut channel = link.session_channel(&patience, None)?;
    let size = (u32::from(columns), u32::from(rows), 0, 0);
    let started = link
        .drive(&patience, None, || channel.handle_extended_data(ssh2::ExtendedData::Merge))
        .and_then(|()| link.drive(&patience, None, || channel.request_pty(TERMINAL, None, Some(size))))
        .and_then(|()| link.drive(&patience, None, || channel.shell()));
    if let Err(failure) = started {
        link.close(&mut channel, false);
        return Err(failure.during(Step::Start));
    }
    Ok(channel)
}

fn over() -> SshErrorKind {
    SshErrorKind::ConnectionLost { step: Step::Output, detail: "the session has ended".to_owned() }
}

impl Open {
    fn receive(&mut self, link: &Link, patience: &Patience<'_>) -> Result<Vec<u8>, SshErrorKind> {
        loop {
            while self.kept.len() < MOST_AT_ONCE && self.pump(link)? {}
            if !self.kept.is_empty() {
                return Ok(std::mem::take(&mut self.kept));
            }
            if self.ended {
                return Err(over());
            }
            match patience.check() {
                Ok(()) => link.wait(patience.until())?,
                Err(SshErrorKind::Timeout { .. }) => return Ok(Vec::new()),
                Err(kind) => return Err(kind),
            }
        }
    }

    /// Takes output meanwhile: a peer that waits for us to read would not read from us.
    fn send(&mut self, link: &Link, bytes: &[u8], mut patience: Patience<'_>) -> Result<(), SshErrorKind> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.ended {
                return Err(over());
            }
            if let Some(sent) = link.write(&self.channel, rest)? {
                rest = rest.get(sent..).unwrap_or_default();
                patience.moved(sent);
                continue;
            }
            patience.check()?;
            if !self.pump(link)? {
                link.wait(patience.until().min(Instant::now() + SHARED_NAP))?;
            }
        }
        Ok(())
    }

    /// Takes one piece of what has arrived. True when there was one.
    fn pump(&mut self, link: &Link) -> Result<bool, SshErrorKind> {
        if self.ended {
            return Ok(false);
        }
        let kept = &mut self.kept;
        let piece = link.read(&self.channel, 0, &mut |bytes| kept.extend_from_slice(bytes))?;
        if kept.len() > MOST_KEPT {
            let detail = format!("the session shows more than {MOST_KEPT} bytes while it takes no input");
            return Err(SshErrorKind::Channel { step: Step::Send, detail });
        }
        match piece {
            Piece::Data => Ok(true),
            Piece::Blocked => Ok(false),
            Piece::End => {
                self.ended = true;
                Ok(false)
            }
        }
    }
}

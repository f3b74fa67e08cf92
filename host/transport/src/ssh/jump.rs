//! Jump hosts: connections to them, shared by all targets behind them.
//!
//! Each has a thread that owns its session and copies between `direct-tcpip` channels and socket pairs; a target's own
//! session, with its own host key check and login, speaks over the other end of a pair.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags};
use nix::sys::eventfd::EventFd;
use ssh2::Channel;
use tokio::sync::oneshot;

use super::connection::ring;
use super::error::SshErrorKind;
use super::fault::{Failure, Fault};
use super::link::Link;

/// Most ways through one connection; further ones get a further connection. It bounds what is lost with one.
const MAX_WAYS: usize = 64;
const BUFFER: usize = 32 * 1024;
const REST: Duration = Duration::from_mins(1);
/// How long a connection without a way through it is kept for the next target.
const IDLE: Duration = Duration::from_secs(10);

/// Asks for a way to a host.
pub(super) struct Request {
    host: String,
    port: u16,
    until: Instant,
    reply: oneshot::Sender<Result<UnixStream, SshErrorKind>>,
}

/// A live connection to a jump host, as those who want through see it.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    requests: Sender<Request>,
    wake: Arc<EventFd>,
    /// Ways through it, and those that are asked for; `usize::MAX` when it takes no more.
    ways: Arc<AtomicUsize>,
}

impl Gate {
    pub(super) fn new(requests: Sender<Request>, wake: Arc<EventFd>) -> (Self, Arc<AtomicUsize>) {
        let ways = Arc::new(AtomicUsize::new(0));
        (Self { requests, wake, ways: Arc::clone(&ways) }, ways)
    }

    /// Takes a place, if there is one.
    fn enter(&self) -> bool {
        let taken = self
            .ways
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |ways| (ways < MAX_WAYS).then_some(ways + 1));
        taken.is_ok()
    }

    /// A way to a host, as the near end of a socket pair. The place has to be taken before.
    pub(super) async fn way(
        &self,
        host: &str,
        port: u16,
        until: Instant,
    ) -> Result<UnixStream, SshErrorKind> {
        let gone = || SshErrorKind::ConnectionLost {
            step: super::Step::Connect,
            detail: "the connection to the jump host is gone".to_owned(),
        };
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { host: host.to_owned(), port, until, reply }).map_err(|_| gone())?;
        ring(&self.wake);
        answer.await.unwrap_or_else(|_| Err(gone()))
    }
}

/// The gates of a connector by the names of the jump hosts on the way.
#[derive(Debug, Default)]
pub(super) struct Gates {
    open: std::sync::Mutex<HashMap<String, Vec<Gate>>>,
    /// Held while a gate of that name is made, so that a thousand targets do not make one each.
    making: std::sync::Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Gates {
    /// A gate with a place taken in it.
    pub(super) fn entered(&self, name: &str) -> Option<Gate> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let gates = open.get_mut(name)?;
        gates.retain(|gate| gate.ways.load(Ordering::Acquire) != usize::MAX);
        gates.iter().find(|gate| gate.enter()).cloned()
    }

    /// Waits for the turn to make one.
    pub(super) async fn turn(&self, name: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(making.entry(name.to_owned()).or_default())
        };
        lock.lock_owned().await
    }

    /// Adds a new gate and takes a place in it.
    pub(super) fn add(&self, name: &str, gate: &Gate) {
        gate.enter();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.entry(name.to_owned()).or_default().push(gate.clone());
    }
}

/// One way through: a channel and our end of the pair, with what is on its way in either direction.
struct Way {
    channel: Channel,
    pair: UnixStream,
    inward: Buffer,
    outward: Buffer,
    /// The target's session is done sending.
    pair_ended: bool,
    eof_sent: bool,
    done: bool,
    /// The step whose packet is half sent.
    stuck: Option<usize>,
}

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    from: usize,
}

impl Buffer {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.from..).unwrap_or_default()
    }

    fn took(&mut self, length: usize) {
        self.from += length;
        if self.from >= self.bytes.len() {
            self.bytes.clear();
            self.from = 0;
        }
    }

    fn is_empty(&self) -> bool {
        self.rest().is_empty()
    }

    /// Fills the empty buffer once.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        self.bytes.resize(BUFFER, 0);
        self.from = 0;
        let length = read(&mut self.bytes);
        self.bytes.truncate(*length.as_ref().unwrap_or(&0));
        length
    }
}

/// What a step of a way did.
enum Moved {
    Some,
    Nothing,
    /// A packet is half sent: only the same step may go on.
    Stuck,
}

/// The thread's work until the connection is lost, or not needed any more.
pub(super) struct Porter<'a> {
    link: &'a Link,
    name: &'a str,
    queue: &'a Receiver<Request>,
    ways: &'a AtomicUsize,
    open: Vec<Way>,
    opening: Option<Request>,
    closed: bool,
    idle_since: Instant,
}

impl<'a> Porter<'a> {
    pub(super) fn new(
        link: &'a Link,
        name: &'a str,
        queue: &'a Receiver<Request>,
        ways: &'a AtomicUsize,
    ) -> Self {
        let idle_since = Instant::now();
        Self { link, name, queue, ways, open: Vec::new(), opening: None, closed: false, idle_since }
    }

    pub(super) fn work(mut self) {
        while !self.link.is_broken() && !self.is_over() {
            let moved = self.round();
            if !moved
                && !self.has_buffered()
                && let Err(error) = self.sleep()
            {
                tracing::warn!(jump = self.name, %error, "the thread of a jump host cannot wait");
                break;
            }
        }
        self.ways.store(usize::MAX, Ordering::Release);
        tracing::debug!(jump = self.name, "jump host let go");
    }

    fn is_over(&self) -> bool {
        let unused = self.open.is_empty() && self.opening.is_none();
        // Whoever has just taken a place will ask in a moment.
        let idle = self.idle_since.elapsed() >= IDLE
            && self.ways.compare_exchange(0, usize::MAX, Ordering::AcqRel, Ordering::Acquire).is_ok();
        unused && (self.closed || idle || self.takes_no_more())
    }

    fn takes_no_more(&self) -> bool {
        self.ways.load(Ordering::Acquire) == usize::MAX
    }

    /// Everything once. True when something moved.
    fn round(&mut self) -> bool {
        let mut moved = self.step_opening();
        if moved && self.opening.is_some() {
            return true;
        }
        let mut index = 0;
        while let Some(way) = self.open.get_mut(index) {
            match way.step(self.link) {
                Moved::Some => moved = true,
                Moved::Nothing => {}
                Moved::Stuck => {
                    self.finish_packet(index);
                    moved = true;
                }
            }
            if self.link.is_broken() {
                return true;
            }
            if self.open.get(index).is_some_and(|way| way.done) {
                drop(self.open.swap_remove(index));
                self.left();
            } else {
                index += 1;
            }
        }
        if !self.open.is_empty() || self.opening.is_some() {
            self.idle_since = Instant::now();
        }
        moved
    }

    fn left(&self) {
        let _ = self.ways.fetch_update(Ordering::AcqRel, Ordering::Acquire, |ways| {
            (ways != usize::MAX).then_some(ways.saturating_sub(1))
        });
    }

    /// Repeats the step of one way until its packet is out: no other may be begun before.
    fn finish_packet(&mut self, index: usize) {
        while self.link.is_sending() && !self.link.is_broken() {
            if self.link.wait(Instant::now() + REST).is_err() {
                return;
            }
            if let Some(way) = self.open.get_mut(index) {
                way.step(self.link);
            }
        }
    }

    fn step_opening(&mut self) -> bool {
        if self.opening.is_none() {
            match self.queue.try_recv() {
                Ok(request) => self.opening = Some(request),
                Err(TryRecvError::Empty) => return false,
                Err(TryRecvError::Disconnected) => {
                    self.closed = true;
                    return false;
                }
            }
        }
        let Some(request) = &self.opening else { return false };
        if self.takes_no_more() {
            self.answer(Err(SshErrorKind::ConnectionLost {
                step: super::Step::Connect,
                detail: "the jump host left an earlier request unanswered".to_owned(),
            }));
            return true;
        }
        let opened = self.link.session().channel_direct_tcpip(&request.host, request.port, None);
        let fault = match opened.map_err(|error| self.link.noted(error.into())) {
            Ok(channel) => {
                self.admit(channel);
                return true;
            }
            Err(fault) => fault,
        };
        if !fault.would_block {
            let refused = self.refusal(fault);
            self.answer(Err(refused));
            return true;
        }
        if Instant::now() >= request.until {
            // libssh2 would take the answer that is still to come for that of the next request.
            self.ways.store(usize::MAX, Ordering::Release);
            let to = format!("{}:{}", request.host, request.port);
            let detail = "it did not answer in time".to_owned();
            self.answer(Err(SshErrorKind::JumpRefused { jump: self.name.to_owned(), to, detail }));
            return true;
        }
        // The request itself may be half sent; then it is repeated before anything else is.
        self.link.is_sending() && !self.link.is_broken() && self.link.wait(request.until).is_ok()
    }

    fn refusal(&self, fault: Fault) -> SshErrorKind {
        let to = self.opening.as_ref().map(|request| format!("{}:{}", request.host, request.port));
        if fault.ends_connection() {
            return Failure::Fault(fault).during(super::Step::Connect);
        }
        SshErrorKind::JumpRefused {
            jump: self.name.to_owned(),
            to: to.unwrap_or_default(),
            detail: fault.detail,
        }
    }

    fn admit(&mut self, mut channel: Channel) {
        let pair = UnixStream::pair().and_then(|(ours, theirs)| {
            ours.set_nonblocking(true)?;
            Ok((ours, theirs))
        });
        match pair {
            Ok((ours, theirs)) => {
                // Such a channel has none. What nobody reads would count as arrived for ever, and hide the end.
                let _ = channel.handle_extended_data(ssh2::ExtendedData::Ignore);
                self.open.push(Way {
                    channel,
                    pair: ours,
                    inward: Buffer::default(),
                    outward: Buffer::default(),
                    pair_ended: false,
                    eof_sent: false,
                    done: false,
                    stuck: None,
                });
                if let Some(request) = self.opening.take() {
                    // Where nobody waits any more the pair's end is closed and the way ends in its next step.
                    let _ = request.reply.send(Ok(theirs));
                }
            }
            Err(error) => self.answer(Err(super::link::local("a socket pair", &error))),
        }
    }

    fn answer(&mut self, answer: Result<UnixStream, SshErrorKind>) {
        if let Some(request) = self.opening.take() {
            let _ = request.reply.send(answer);
        }
        self.left();
    }

    /// True when the session has taken bytes off the socket that no poll would tell us of.
    fn has_buffered(&self) -> bool {
        self.open.iter().any(|way| way.inward.is_empty() && way.channel.read_window().available > 0)
    }

    fn sleep(&self) -> Result<(), SshErrorKind> {
        if self.open.is_empty() && self.opening.is_none() {
            // Nobody reads what the jump host still says of ways that are gone: it would wake us again and again.
            return self.link.rest(Instant::now() + IDLE);
        }
        let mut fds = Vec::with_capacity(self.open.len() + 2);
        for way in &self.open {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::POLLIN, way.outward.is_empty() && !way.pair_ended);
            flags.set(PollFlags::POLLOUT, !way.inward.is_empty());
            if !flags.is_empty() {
                fds.push(PollFd::new(way.pair.as_fd(), flags));
            }
        }
        let until = Instant::now() + REST;
        let until = self.opening.as_ref().map_or(until, |request| until.min(request.until));
        self.link.wait_with(fds, until)
    }
}

impl Way {
    fn step(&mut self, link: &Link) -> Moved {
        let mut moved = false;
        let only = self.stuck.take();
        let parts = [Self::receive, Self::hand_in, Self::pick_up, Self::send];
        for (index, part) in parts.into_iter().enumerate() {
            if only.is_some_and(|only| only != index) {
                continue;
            }
            match part(self, link) {
                Ok(some) => moved |= some,
                Err(fault) if fault.would_block && link.is_sending() => {
                    self.stuck = Some(index);
                    return Moved::Stuck;
                }
                Err(fault) if fault.would_block => {}
                Err(fault) => {
                    tracing::debug!(detail = fault.detail, "a way through a jump host ends");
                    self.done = true;
                    return Moved::Some;
                }
            }
        }
        if self.channel.eof() && self.inward.is_empty() {
            self.done = true;
        }
        if moved { Moved::Some } else { Moved::Nothing }
    }

    fn receive(&mut self, link: &Link) -> Result<bool, Fault> {
        if !self.inward.is_empty() {
            return Ok(false);
        }
        let channel = &mut self.channel;
        let read = self.inward.fill(|bytes| channel.read(bytes));
        read.map(|length| length > 0).map_err(|error| link.noted(error.into()))
    }

    fn hand_in(&mut self, _: &Link) -> Result<bool, Fault> {
        local(&mut self.inward, &mut self.pair)
    }

    fn pick_up(&mut self, _: &Link) -> Result<bool, Fault> {
        if !self.outward.is_empty() || self.pair_ended {
            return Ok(false);
        }
        let pair = &mut self.pair;
        match self.outward.fill(|bytes| pair.read(bytes)) {
            Ok(0) => {
                self.pair_ended = true;
                Ok(true)
            }
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(gone(&error)),
        }
    }

    fn send(&mut self, link: &Link) -> Result<bool, Fault> {
        if !self.outward.is_empty() {
            let sent = self.channel.write(self.outward.rest()).map_err(|error| link.noted(error.into()))?;
            self.outward.took(sent);
            return Ok(sent > 0);
        }
        if self.pair_ended && !self.eof_sent {
            self.channel.send_eof().map_err(|error| link.noted(error.into()))?;
            self.eof_sent = true;
            // The target's session is gone: nobody reads what may still come.
            self.done = true;
            return Ok(true);
        }
        Ok(false)
    }
}

fn local(buffer: &mut Buffer, pair: &mut UnixStream) -> Result<bool, Fault> {
    if buffer.is_empty() {
        return Ok(false);
    }
    match pair.write(buffer.rest()) {
        Ok(length) => {
            buffer.took(length);
            Ok(length > 0)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(gone(&error)),
    }
}

fn gone(error: &io::Error) -> Fault {
    Fault { code: None, would_block: false, detail: error.to_string() }
}

//! The run's end of a connection: asks, listens, and tells the worker to stop.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until, timeout};

use super::answering::{Answering, Answers, Lending, give};
use super::inbox::{Frame, Inbox};
use super::pool::Seat;
use super::process::Death;
use super::protocol::{Answer, Event, LONGEST_EVENT, LONGEST_MESSAGE, Message, Operation, frame};
use crate::output::OutputSink;
use crate::ssh::dialer::THREAD_GRACE;
use crate::ssh::error::{SshErrorKind, Step};
use crate::ssh::inventory::{Inventory, State};
use crate::ssh::remote::OnStart;
use crate::ssh::settings::SshTarget;
use crate::ssh::task::DetachedRun;
use crate::stop::{StopLevel, StopToken};

/// A worker keeps the limits of connecting itself; this is for one that hangs.
const CONNECT_GRACE: Duration = THREAD_GRACE.saturating_mul(5);

/// What becomes of what a worker tells while an operation runs.
#[derive(Default)]
pub(in crate::ssh) struct Listener<'a> {
    pub(in crate::ssh) sink: Option<&'a dyn OutputSink>,
    /// Where it stands is kept here, so that another connection can go on with it.
    pub(in crate::ssh) detached: Option<DetachedRun>,
    pub(in crate::ssh) inventory: Option<Inventory>,
    pub(in crate::ssh) on_start: Option<OnStart>,
    pub(in crate::ssh) lending: Lending,
    /// Nothing but large files has been sent: another connection can send the rest.
    pub(in crate::ssh) sending: bool,
}

impl<'a> Listener<'a> {
    pub(in crate::ssh) fn to(sink: &'a dyn OutputSink) -> Self {
        Self { sink: Some(sink), ..Self::default() }
    }

    fn output(&self, bytes: &[u8]) {
        if let Some(sink) = self.sink {
            sink.output(bytes);
        }
        if let Some(detached) = &self.detached {
            detached.took(bytes.len());
        }
    }

    /// The answer, if that is what the event is.
    fn event(&mut self, event: Event) -> Option<Result<Answer, SshErrorKind>> {
        match event {
            Event::Started(pid) => {
                if let Some(detached) = &self.detached {
                    detached.started(pid.group);
                }
                if let Some(on_start) = self.on_start.take() {
                    on_start(pid);
                }
                None
            }
            Event::Sending(large) => {
                self.sending = large;
                None
            }
            // Taken out before.
            Event::Ask(..) => None,
            Event::Answer { result, inventory } => {
                self.restore(inventory);
                Some(result)
            }
        }
    }

    fn restore(&self, state: Option<Box<State>>) {
        if let (Some(inventory), Some(state)) = (&self.inventory, state) {
            inventory.restore(*state);
        }
    }
}

/// The run's end of one connection.
#[derive(Debug)]
pub(in crate::ssh) struct Line {
    socket: Option<UnixStream>,
    inbox: Inbox,
    /// Answers that are still to come, those that nobody waits for any more included.
    owed: usize,
    /// The longest event among those.
    longest: usize,
    seat: Option<Seat>,
    answering: Answering,
}

impl Line {
    pub(super) fn new(
        socket: std::os::unix::net::UnixStream,
        seat: Seat,
        answering: Answering,
    ) -> io::Result<Self> {
        let socket = Some(UnixStream::from_std(socket)?);
        Ok(Self { socket, inbox: Inbox::default(), owed: 0, longest: 0, seat: Some(seat), answering })
    }

    /// The process that serves it.
    pub(in crate::ssh) fn process(&self) -> Option<u32> {
        self.seat.as_ref().map(|seat| seat.process.id())
    }

    /// See [`Answering::new_hosts`].
    pub(in crate::ssh) fn new_hosts(&self) -> Vec<String> {
        self.answering.new_hosts()
    }

    /// Has the worker connect, and waits for that.
    pub(super) async fn connect(&mut self, target: &SshTarget, limit: Duration) -> Result<(), SshErrorKind> {
        let (message, never) = (Message::Connect(target.clone()), StopToken::never());
        let asked = self.exchange(
            &message,
            LONGEST_EVENT,
            (&never, StopLevel::Run),
            Listener::default(),
            Step::Connect,
        );
        match timeout(limit.saturating_add(CONNECT_GRACE), asked).await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(SshErrorKind::Timeout { step: Step::Connect, limit }),
        }
    }

    /// Has an operation done.
    pub(in crate::ssh) async fn call(
        &mut self,
        operation: Operation,
        stop: &StopToken,
        listener: Listener<'_>,
    ) -> Result<Answer, SshErrorKind> {
        let longest = operation.longest_answer();
        let level = stop.level();
        let message = Message::Do(operation, level);
        let answer = self.exchange(&message, longest, (stop, level), listener, Step::Output).await;
        if answer.is_ok()
            && let Some(seat) = &mut self.seat
        {
            seat.proved();
        }
        answer
    }

    async fn exchange(
        &mut self,
        message: &Message,
        longest: usize,
        stop: (&StopToken, StopLevel),
        mut listener: Listener<'_>,
        step: Step,
    ) -> Result<Answer, SshErrorKind> {
        let frame = frame(message, LONGEST_MESSAGE)
            .map_err(|detail| SshErrorKind::Invalid { what: "request".into(), detail })?;
        let Self { socket, inbox, owed, longest: most, answering, .. } = self;
        // Taken out while something is on its way: a frame that was cut off by our caller's going away ends the line.
        let Some(open) = socket.take() else { return Err(closed(step)) };
        let sent = send(&open, &frame).await;
        drop(frame);
        if sent.is_ok() {
            *most = if *owed == 0 { longest } else { longest.max(*most) };
            *owed += 1;
        }
        let open = socket.insert(open);
        let heard = match sent {
            Ok(()) => {
                let inward = Inward { inbox, owed, longest: *most, answering };
                listen(open, inward, stop, &mut listener).await
            }
            // What it said before it went is not about this operation.
            Err(_) => Err(Unheard::Closed),
        };
        inbox.rest();
        match heard {
            Ok(answer) => answer,
            Err(problem) => {
                *socket = None;
                let lost = self.lost(problem, step).await;
                Err(if listener.sending {
                    SshErrorKind::Interrupted { problem: Box::new(lost) }
                } else {
                    lost
                })
            }
        }
    }

    /// The worker answered something else than was asked.
    pub(in crate::ssh) async fn distrust(&mut self) -> SshErrorKind {
        self.socket = None;
        self.lost(Unheard::Malformed("an answer to something else".to_owned()), Step::Output).await
    }

    /// Why the line is gone.
    async fn lost(&self, problem: Unheard, step: Step) -> SshErrorKind {
        let Some(seat) = &self.seat else { return closed(step) };
        match problem {
            Unheard::Malformed(problem) => seat.process.condemn(&senseless(&problem)),
            Unheard::Hung(limit) => seat.process.condemn(&hung(limit)),
            Unheard::Closed => {}
        }
        if let Some(death) = seat.process.death().await {
            let Death { how, connections } = &*death;
            SshErrorKind::WorkerEnded { how: how.clone(), others: connections.saturating_sub(1) }
        } else {
            let detail = "the process that serves it closed it".to_owned();
            SshErrorKind::ConnectionLost { step, detail }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let (Some(socket), Some(seat)) = (self.socket.take(), self.seat.take()) else { return };
        // It fits unless the worker has stopped reading; the end of the stream says the same a little later.
        if !tell(&socket, &Message::Close) {
            let _ = rustix::net::shutdown(socket.as_fd(), rustix::net::Shutdown::Write);
        }
        // The place is free when the connection is closed, which may take a stop of what runs.
        if let Ok(runtime) = Handle::try_current() {
            let (inbox, answering) = (std::mem::take(&mut self.inbox), self.answering.clone());
            let longest = self.longest.max(LONGEST_EVENT);
            runtime.spawn(async move {
                let limit = answering.stop_limit();
                match timeout(limit, see_off(&socket, inbox, longest, &answering)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(problem)) => seat.process.condemn(&senseless(&problem)),
                    // The place would never be free again.
                    Err(_) => seat.process.condemn(&hung(limit)),
                }
            });
        }
    }
}

/// Throws away what a connection that is to be closed still says. A stop may need the run's answers.
async fn see_off(
    socket: &UnixStream,
    mut inbox: Inbox,
    longest: usize,
    answering: &Answering,
) -> Result<(), String> {
    let mut answers = Answers::default();
    loop {
        while let Some(frame) = inbox.next(longest)? {
            if let Frame::Event(event) = frame
                && let Event::Ask(number, question) = *event
            {
                answers.take(answering, number, question, None)?;
            }
        }
        let goes_on = tokio::select! {
            ready = socket.readable() => is_open(ready.and_then(|()| socket.try_read_buf(inbox.room()))),
            given = answers.next() => give(socket, given).is_ok(),
        };
        if !goes_on {
            return Ok(());
        }
    }
}

/// Whether more may come after this reading.
fn is_open(read: io::Result<usize>) -> bool {
    match read {
        Ok(length) => length > 0,
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
    }
}

/// Why there is no answer.
enum Unheard {
    Closed,
    Malformed(String),
    /// Told to stop, it did not end the operation for this long: it is in a loop of the library, or stopped itself.
    Hung(Duration),
}

fn senseless(problem: &str) -> String {
    format!("what it sent makes no sense ({problem})")
}

fn hung(limit: Duration) -> String {
    format!("it did not do within {} s what a stop asks for", limit.as_secs())
}

fn closed(step: Step) -> SshErrorKind {
    SshErrorKind::ConnectionLost { step, detail: "an earlier operation lost it".to_owned() }
}

/// Tells the worker when nobody waits for the answer any more.
struct Presence<'a> {
    socket: &'a UnixStream,
    answered: bool,
}

impl Drop for Presence<'_> {
    fn drop(&mut self) {
        if !self.answered && !tell(self.socket, &Message::Abandon) {
            // Its end says it as well.
            let _ = rustix::net::shutdown(self.socket.as_fd(), rustix::net::Shutdown::Both);
        }
    }
}

/// Sends one of the short messages, all of it or nothing. A worker reads at all times: there is room.
fn tell(socket: &UnixStream, message: &Message) -> bool {
    frame(message, LONGEST_MESSAGE)
        .is_ok_and(|frame| socket.try_write(&frame).is_ok_and(|written| written == frame.len()))
}

async fn send(socket: &UnixStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match socket.try_write(bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What comes over a line, and what is told to it.
struct Inward<'a> {
    inbox: &'a mut Inbox,
    owed: &'a mut usize,
    longest: usize,
    answering: &'a Answering,
}

/// Takes what comes until the answer to the last request is there.
async fn listen(
    socket: &UnixStream,
    inward: Inward<'_>,
    (stop, mut level): (&StopToken, StopLevel),
    listener: &mut Listener<'_>,
) -> Result<Result<Answer, SshErrorKind>, Unheard> {
    let Inward { inbox, owed, longest, answering } = inward;
    let mut presence = Presence { socket, answered: false };
    let mut answers = Answers::default();
    let limit = answering.stop_limit();
    let mut due = (level >= StopLevel::Terminate).then(|| Instant::now() + limit);
    loop {
        while let Some(frame) = inbox.next(longest).map_err(Unheard::Malformed)? {
            // Of an operation that was given up.
            let old = *owed > 1;
            let event = match frame {
                Frame::Output(_) if old => continue,
                Frame::Output(bytes) => {
                    listener.output(bytes);
                    continue;
                }
                Frame::Event(event) => *event,
            };
            match event {
                Event::Ask(number, question) => {
                    let lending = (!old).then_some(&listener.lending);
                    answers.take(answering, number, question, lending).map_err(Unheard::Malformed)?;
                }
                Event::Answer { .. } if old => *owed -= 1,
                _ if old => {}
                event => {
                    if let Some(answer) = listener.event(event) {
                        *owed = 0;
                        presence.answered = true;
                        return Ok(answer);
                    }
                }
            }
        }
        tokio::select! {
            ready = socket.readable() => {
                if !is_open(ready.and_then(|()| socket.try_read_buf(inbox.room()))) {
                    return Err(Unheard::Closed);
                }
            }
            () = stop.above(level) => {
                level = stop.level();
                if level >= StopLevel::Terminate {
                    due = Some(Instant::now() + limit);
                }
                if !tell(socket, &Message::Level(level)) {
                    return Err(Unheard::Closed);
                }
            }
            given = answers.next() => {
                if give(socket, given).is_err() {
                    return Err(Unheard::Closed);
                }
            }
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => return Err(Unheard::Hung(limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ssh::settings::SshSettings;
    use crate::stop::StopHandle;

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_does_not_stop_what_it_does_is_given_up() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let target =
            SshTarget { host: "h".into(), port: 22, user: "u".into(), auth: Vec::new(), jumps: None };
        let answering =
            Answering::new(std::sync::Arc::new(SshSettings::new("/no/such/file".into())), &target);
        let (mut inbox, mut owed) = (Inbox::default(), 1);
        let mut inward =
            Inward { inbox: &mut inbox, owed: &mut owed, longest: LONGEST_EVENT, answering: &answering };
        let stop = StopHandle::new();
        let token = stop.token();
        // As long as nobody stops it, an operation may take any time.
        let mut listener = Listener::default();
        let listening = listen(&ours, inward, (&token, StopLevel::Run), &mut listener);
        assert!(timeout(answering.stop_limit() * 10, listening).await.is_err());
        inward = Inward { inbox: &mut inbox, owed: &mut owed, longest: LONGEST_EVENT, answering: &answering };
        let begun = Instant::now();
        stop.raise(StopLevel::Terminate);
        let heard = listen(&ours, inward, (&token, StopLevel::Run), &mut listener).await;
        assert!(matches!(heard, Err(Unheard::Hung(limit)) if limit == begun.elapsed()));
    }
}

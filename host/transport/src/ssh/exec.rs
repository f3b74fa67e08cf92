//! Exec requests: a channel with a command in it, its output, its input and its end.

use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use ssh2::Channel;

use super::error::{SshErrorKind, Step, excerpt};
use super::fault::Failure;
use super::isolation::plain;
use super::link::{CLOSE_LIMIT, Link, Meanwhile, Piece, SHARED_NAP, serve};
use super::marker::{Filter, Part, Report, Token};
use super::patience::{Cancel, Patience};
use super::resident::{self, Afterwards, Line, NO_SIGNAL};
use super::script;
use crate::exit::{Exit, StopOutcome};
use crate::output::OutputSink;
use crate::stop::StopLevel;

const MAX_STDERR: usize = 4096;
/// The most that is kept of a list of checked files; what is cut off counts as changed.
const MAX_LIST: usize = 1024 * 1024;
/// How often the streams of a channel are looked at in turn before what came is left for the next time.
const MOST_TURNS: usize = 8;
/// Far enough away to mean "no limit", near enough for time arithmetic.
const NO_LIMIT: Duration = Duration::from_hours(24 * 365);

/// A command for the account's login shell.
#[derive(Clone, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Command line, as the login shell reads it. It is visible in the target's process list: no secrets.
    pub command: String,
    /// Input; the command sees its end after these bytes.
    #[serde(with = "plain::bytes")]
    pub stdin: Vec<u8>,
}

/// How a remote command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemoteEnd {
    /// Its exit; none only for a command that was stopped and of which no exit was heard.
    pub exit: Option<Exit>,
    /// Set when it was stopped by us: what is known about its processes.
    pub stopped: Option<StopOutcome>,
}

/// A file that the script sends after the command's output.
#[derive(Debug, Default)]
pub(super) struct WantedFile {
    pub(super) length: usize,
    /// Its bytes are kept.
    keep: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) complete: bool,
}

/// A shell that goes on after its line.
struct Staying {
    /// It had done another line before.
    reused: bool,
    /// Its process.
    pid: Option<i32>,
    /// What ends the line on each stream.
    mark: Vec<u8>,
    /// See [`Afterwards::StaysAlone`].
    alone: bool,
    /// Which streams have ended so.
    stdout: bool,
    stderr: bool,
}

impl Staying {
    fn is_over(&self, exit: Option<i32>) -> bool {
        let says_nothing = self.alone && exit.is_none_or(|code| code <= NO_SIGNAL);
        self.stdout && (self.stderr || says_nothing)
    }

    /// Looks for the end of the line on stderr, and takes it away.
    fn look_at(&mut self, stderr: &mut Vec<u8>) {
        let at = stderr.windows(self.mark.len()).position(|window| window == self.mark.as_slice());
        if let Some(at) = at {
            self.stderr = true;
            stderr.truncate(at);
        }
    }
}

/// A started command.
pub(super) struct Conversation {
    channel: Channel,
    filter: Option<Filter>,
    merged: bool,
    /// The command's process group.
    pub(super) group: Option<i32>,
    /// Exit code reported by our script, and when.
    pub(super) exit: Option<(i32, Instant)>,
    /// The signal that ended the command.
    pub(super) signal: Option<i32>,
    /// The last other report.
    pub(super) last: Option<Report>,
    /// A wanted file: its announced length and its bytes, and whether it is complete.
    pub(super) file: Option<WantedFile>,
    /// The most bytes that are kept of one.
    pub(super) most: u64,
    /// All output is here.
    pub(super) ended: bool,
    /// The peer has sent all that the channel will ever bring.
    closed: bool,
    staying: Option<Staying>,
    /// Stderr where it is not merged, shortened.
    pub(super) stderr: Vec<u8>,
    /// Bytes since they were last counted as progress.
    received: usize,
}

impl Conversation {
    /// Starts `command`. With a filter, output is what the script writes after its start report.
    pub(super) fn start(
        link: &Link,
        command: &str,
        filter: Option<Filter>,
        merged: bool,
        patience: &Patience<'_>,
        meanwhile: Meanwhile<'_>,
    ) -> Result<Self, SshErrorKind> {
        let channel = link.start(command, merged, patience, meanwhile)?;
        Ok(Self::on(channel, filter, merged))
    }

    fn on(channel: Channel, filter: Option<Filter>, merged: bool) -> Self {
        Self {
            channel,
            filter,
            merged,
            group: None,
            exit: None,
            signal: None,
            last: None,
            file: None,
            most: 0,
            ended: false,
            closed: false,
            staying: None,
            stderr: Vec::new(),
            received: 0,
        }
    }

    /// A shell for one line with this token: the one that stands by, or a new one.
    pub(super) fn in_shell(
        link: &Link,
        token: &Token,
        line: &Line,
        patience: &Patience<'_>,
        meanwhile: Meanwhile<'_>,
    ) -> Result<Self, SshErrorKind> {
        let filter = Some(Filter::new(token));
        let standby = link.standby();
        let reused = standby.is_some();
        let mut conversation = match standby {
            Some(channel) => Self::on(channel, filter, false),
            None => Self::start(link, resident::command(), filter, false, patience, meanwhile)?,
        };
        if line.afterwards() != Afterwards::Ends {
            let mark = token.rendered("over", 0);
            let alone = line.afterwards() == Afterwards::StaysAlone;
            conversation.staying =
                Some(Staying { reused, pid: None, mark, alone, stdout: false, stderr: false });
        }
        Ok(conversation)
    }

    /// Takes what has arrived. True when something had.
    pub(super) fn pump(&mut self, link: &Link, data: &mut dyn FnMut(&[u8])) -> Result<bool, SshErrorKind> {
        // Reading one stream takes packets of the other off the socket, which would not wake anybody for them any more. What
        // is of neither stream is never taken, so there is an end.
        for _ in 0..MOST_TURNS {
            if self.ended {
                break;
            }
            if self.turn(link, data)? {
                return Ok(true);
            }
            if self.merged || self.channel.read_window().available == 0 {
                break;
            }
        }
        Ok(false)
    }

    fn turn(&mut self, link: &Link, data: &mut dyn FnMut(&[u8])) -> Result<bool, SshErrorKind> {
        let mut moved = false;
        let received = &mut self.received;
        if !self.merged {
            let (stderr, staying) = (&mut self.stderr, &mut self.staying);
            let piece = link.read(&self.channel, ssh2::EXTENDED_DATA_STDERR, &mut |bytes| {
                *received += bytes.len();
                keep(stderr, bytes);
                forget_login(stderr);
                if let Some(staying) = staying {
                    staying.look_at(stderr);
                }
            })?;
            moved |= matches!(piece, Piece::Data);
        }
        let (filter, mut heard) = (&mut self.filter, Heard { most: self.most, ..Heard::default() });
        std::mem::swap(&mut heard.file, &mut self.file);
        let piece = link.read(&self.channel, 0, &mut |bytes| {
            *received += bytes.len();
            match filter {
                Some(filter) => filter.feed(bytes, &mut |part| heard.take(part, data)),
                None => data(bytes),
            }
        });
        if let (Ok(Piece::End), Some(filter)) = (&piece, &mut self.filter) {
            filter.finish(&mut |part| heard.take(part, data));
        }
        self.file = heard.file;
        for report in heard.reports {
            self.hear(report);
        }
        let piece = piece?;
        match piece {
            Piece::Data => moved = true,
            Piece::Blocked => {}
            Piece::End if moved => {}
            Piece::End => self.closed = true,
        }
        let exit = self.exit.map(|(code, _)| code);
        self.ended = self.closed || self.staying.as_ref().is_some_and(|staying| staying.is_over(exit));
        Ok(moved)
    }

    fn hear(&mut self, report: Report) {
        match report {
            // Only the first: a program that prints such a line itself must not choose what we signal.
            Report::Group(group) if self.group.is_none() && group > 1 => self.group = Some(group),
            Report::Exit(code) if self.exit.is_none() => self.exit = Some((code, Instant::now())),
            Report::Signal(signal) if self.signal.is_none() => self.signal = Some(signal),
            Report::Shell(pid) => {
                if let Some(staying) = &mut self.staying {
                    staying.pid = staying.pid.or(Some(pid));
                }
            }
            Report::Over => {
                if let Some(staying) = &mut self.staying {
                    staying.stdout = true;
                }
            }
            // The first one says why, a later one only that it ended.
            _ if self.last.is_some_and(Report::is_refusal) => {}
            other => self.last = Some(other),
        }
    }

    /// Whether the shell wrote something to its own stderr since it was about to start the command. Shells say there when a signal
    /// ended it, which its exit code does not tell.
    pub(super) fn remark_of_shell(&self, token: &Token) -> bool {
        let mark = token.rendered("run", 0);
        let at = self.stderr.windows(mark.len()).rposition(|window| window == mark.as_slice());
        let after = self.stderr.get(at.map_or(0, |at| at + mark.len())..);
        after.is_some_and(|text| !text.trim_ascii().is_empty())
    }

    /// True when the script has ended, or has said that it will not go on.
    pub(super) fn is_over(&self) -> bool {
        self.exit.is_some()
            || self.ended
            || matches!(
                self.last,
                Some(last) if last.is_refusal() || matches!(last, Report::Failed(_))
            )
    }

    /// Takes what is there to the end, if it has one; true when the script is over.
    pub(super) fn drained(&mut self, link: &Link) -> bool {
        let until = Instant::now() + CLOSE_LIMIT;
        while !self.ended && Instant::now() < until && matches!(self.pump(link, &mut |_| {}), Ok(true)) {}
        self.is_over()
    }

    /// True when a shell that stood by had ended before it took the line: nothing of it was done.
    pub(super) fn was_stale(&self) -> bool {
        self.closed && !self.started() && self.staying.as_ref().is_some_and(|staying| staying.reused)
    }

    /// The same, after taking what is there to the end.
    pub(super) fn proves_stale(&mut self, link: &Link) -> bool {
        self.drained(link) && self.was_stale()
    }

    /// True when the shell goes on, so that the server has nothing to say about how it ended.
    pub(super) fn shell_goes_on(&self) -> bool {
        !self.closed && self.staying.is_some()
    }

    /// True once the script has reported its start.
    pub(super) fn started(&self) -> bool {
        self.filter.as_ref().is_none_or(Filter::started)
    }

    /// What the account wrote before our script ran, or instead of it.
    pub(super) fn noise(&self) -> String {
        let noise = self.filter.as_ref().map(Filter::noise).unwrap_or_default();
        excerpt(&[noise, b" ", self.stderr.as_slice()].concat())
    }

    /// Sends all of `bytes`, taking output meanwhile: a peer that waits for us to read would not read from us.
    pub(super) fn send(
        &mut self,
        link: &Link,
        bytes: &[u8],
        patience: &mut Patience<'_>,
        data: &mut dyn FnMut(&[u8]),
    ) -> Result<(), SshErrorKind> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Some(sent) = link.write(&self.channel, rest)? {
                rest = rest.get(sent..).unwrap_or_default();
                patience.moved(sent);
                continue;
            }
            patience.check()?;
            let moved = self.pump(link, data)?;
            // A script that has ended takes nothing any more, and the server does not say so.
            if self.is_over() && !link.is_sending() {
                let detail = "the remote command has ended".to_owned();
                return Err(SshErrorKind::Channel { step: Step::Send, detail });
            }
            if !moved {
                // The write may have taken our own packets off the socket.
                link.wait(patience.until().min(Instant::now() + SHARED_NAP))?;
            }
        }
        Ok(())
    }

    /// Ends the command's input. A shell that stays keeps its own: more lines are to come.
    pub(super) fn end_input(&mut self, link: &Link, patience: &Patience<'_>) -> Result<(), SshErrorKind> {
        if self.staying.is_some() {
            return Ok(());
        }
        link.drive(patience, None, || self.channel.send_eof()).map_err(|failure| failure.during(Step::Send))
    }

    /// Pumps until the script has reported its exit or the output has ended, with a limit on silence.
    pub(super) fn until_exit(
        &mut self,
        link: &Link,
        patience: &mut Patience<'_>,
        mut meanwhile: Meanwhile<'_>,
        data: &mut dyn FnMut(&[u8]),
    ) -> Result<(), SshErrorKind> {
        while !self.is_over() {
            let moved = self.pump(link, data)?;
            let received = std::mem::take(&mut self.received);
            // What a login script says instead of ours may go on for ever.
            if self.started() {
                patience.moved(received);
            }
            patience.check()?;
            if moved {
                continue;
            }
            let until = serve(&mut meanwhile, patience.until());
            link.wait(until)?;
        }
        Ok(())
    }

    /// Takes what is still on its way to the end of the output, for at most this long: stderr goes its own way, and may come
    /// after the script's report.
    pub(super) fn take_rest(&mut self, link: &Link, limit: Duration) -> Result<(), SshErrorKind> {
        let until = Instant::now() + limit;
        while !self.ended && Instant::now() < until {
            if !self.pump(link, &mut |_| {})? {
                link.wait(until)?;
            }
        }
        Ok(())
    }

    /// Pumps until `done`, or until the script is over. What comes meanwhile does not make the time longer.
    pub(super) fn until(
        &mut self,
        link: &Link,
        patience: &Patience<'_>,
        mut meanwhile: Meanwhile<'_>,
        data: &mut dyn FnMut(&[u8]),
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), SshErrorKind> {
        while !done(self) && !self.is_over() {
            let moved = self.pump(link, data)?;
            patience.check()?;
            if !moved {
                let until = serve(&mut meanwhile, patience.until());
                link.wait(until)?;
            }
        }
        Ok(())
    }

    /// After the end of the output: waits for the peer to close, and says how the command ended.
    pub(super) fn await_exit(&mut self, link: &Link, patience: &Patience<'_>) -> Result<Exit, SshErrorKind> {
        let waited = link.drive(patience, None, || self.channel.wait_close());
        waited.map_err(|failure: Failure| failure.during(Step::Output))?;
        let signal = self.channel.exit_signal().ok().and_then(|signal| signal.exit_signal);
        if let Some(name) = signal {
            return Ok(Exit::Signal(signal_number(&name)));
        }
        let code = self.channel.exit_status();
        code.map(Exit::Code)
            .map_err(|error| SshErrorKind::Channel { step: Step::Output, detail: error.to_string() })
    }

    /// Gives the channel back, to be used again where the shell in it goes on.
    pub(super) fn close(mut self, link: &Link) {
        let Some(staying) = &self.staying else {
            let command_ended = self.ended || self.exit.is_some();
            return link.close(&mut self.channel, command_ended);
        };
        let pid = staying.pid;
        let waited = self.exit.map_or(Duration::ZERO, |(_, at)| at.elapsed());
        let settled = self.is_over() && self.take_rest(link, CLOSE_LIMIT.saturating_sub(waited)).is_ok();
        if settled && self.ended && !self.closed && !link.is_sending() {
            return link.stand_by(self.channel);
        }
        link.close(&mut self.channel, self.closed);
        // What was left behind holds the pipe of a shell that nobody waits for any more.
        if let (true, false, Some(pid)) = (settled, self.ended, pid) {
            script::end_shell(link, pid);
        }
    }
}

/// What the account wrote on stderr before the shell was ready is of no interest once it is.
fn forget_login(stderr: &mut Vec<u8>) {
    if let Some(at) = stderr.windows(resident::READY.len()).position(|window| window == resident::READY) {
        stderr.drain(..at + resident::READY.len());
    }
}

/// Keeps the end of a text.
fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    let surplus = kept.len().saturating_sub(MAX_STDERR);
    kept.drain(..surplus);
}

/// What one piece of output held.
#[derive(Default)]
struct Heard {
    reports: Vec<Report>,
    file: Option<WantedFile>,
    /// The most bytes that are kept of a file.
    most: u64,
}

impl Heard {
    fn take(&mut self, part: Part<'_>, data: &mut dyn FnMut(&[u8])) {
        match (part, &mut self.file) {
            (Part::Data(_), Some(file)) if !file.complete && !file.keep => {}
            (Part::Data(bytes), Some(file)) if !file.complete => {
                // The script has promised the length; what goes beyond it is not kept.
                let room = file.length.saturating_add(1).saturating_sub(file.bytes.len()).min(bytes.len());
                file.bytes.extend_from_slice(bytes.get(..room).unwrap_or_default());
            }
            (Part::Data(bytes), _) => data(bytes),
            (Part::Report(Report::File(length)), _) => {
                let length = usize::try_from(length).unwrap_or(0);
                // Too much is an error, whatever it is.
                let keep = length as u64 <= self.most;
                self.file = Some(WantedFile { length, keep, ..WantedFile::default() });
            }
            (Part::Report(Report::List), _) => {
                self.file = Some(WantedFile { length: MAX_LIST, keep: true, ..WantedFile::default() });
            }
            (Part::Report(Report::End), Some(file)) => file.complete = true,
            (Part::Report(report), _) => self.reports.push(report),
        }
    }
}

/// The number of a signal the peer names without `SIG`; 0 for one that is not known here.
fn signal_number(name: &str) -> i32 {
    Signal::from_str(&format!("SIG{name}")).map_or(0, |signal| signal as i32)
}

/// Runs a plain exec request to its end.
pub(super) fn exec(
    link: &Link,
    request: &ExecRequest,
    sink: &dyn OutputSink,
    cancel: &Cancel,
    write_timeout: Duration,
    read_timeout: Option<Duration>,
) -> Result<RemoteEnd, SshErrorKind> {
    let mut sending = Patience::new(Step::Start, write_timeout, cancel, Some(StopLevel::Terminate));
    let mut conversation = Conversation::start(link, &request.command, None, true, &sending, None)?;
    let result = converse(link, &mut conversation, request, sink, &mut sending, || {
        Patience::new(Step::Output, read_timeout.unwrap_or(NO_LIMIT), cancel, Some(StopLevel::Terminate))
            .on_silence()
    });
    conversation.close(link);
    match result {
        Ok(exit) => Ok(RemoteEnd { exit: Some(exit), stopped: None }),
        // Its process id is not known: closing the channel is all that can be done.
        Err(SshErrorKind::Stopped) => {
            Ok(RemoteEnd { exit: None, stopped: Some(StopOutcome { proved_dead: false }) })
        }
        Err(kind) => Err(kind),
    }
}

fn converse<'a>(
    link: &Link,
    conversation: &mut Conversation,
    request: &ExecRequest,
    sink: &dyn OutputSink,
    sending: &mut Patience<'a>,
    listening: impl Fn() -> Patience<'a>,
) -> Result<Exit, SshErrorKind> {
    let mut data = |bytes: &[u8]| sink.output(bytes);
    conversation.send(link, &request.stdin, sending, &mut data)?;
    conversation.end_input(link, sending)?;
    conversation.until_exit(link, &mut listening(), None, &mut data)?;
    conversation.await_exit(link, &listening())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_no_more_is_kept_than_is_wanted() {
        for (announced, sent, kept) in
            [(100, 100, 100), (100, 5000, 101), (101, 5000, 0), (i32::MAX, 5000, 0)]
        {
            let mut heard = Heard { most: 100, ..Heard::default() };
            let mut data = |_: &[u8]| panic!("it is no output");
            heard.take(Part::Report(Report::File(announced)), &mut data);
            for _ in 0..sent {
                heard.take(Part::Data(b"x"), &mut data);
            }
            let file = heard.file.unwrap();
            assert_eq!((file.bytes.len(), file.length), (kept, usize::try_from(announced).unwrap()));
        }
    }

    #[test]
    fn signal_names() {
        assert_eq!(signal_number("TERM"), 15);
        assert_eq!(signal_number("KILL"), 9);
        assert_eq!(signal_number("sig-xyz@ssh.com"), 0);
    }
}

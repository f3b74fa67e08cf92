//! Exec requests: a channel with a command in it, its output, its input and its end.

use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};
use ssh2::Channel;
use zeroize::Zeroizing;

use super::echo;
use super::error::{SshErrorKind, Step, excerpt};
use super::fault::Failure;
use super::hearing::{self, Heard, Staying, Tell};
use super::isolation::plain;
use super::link::{CLOSE_LIMIT, Link, Meanwhile, Piece, SHARED_NAP, Shell, serve};
use super::marker::{Filter, Part, Report, Token};
use super::patience::{Cancel, Patience};
use super::resident::{self, Line};
use super::script;
use crate::exit::{Exit, StopOutcome};
use crate::output::OutputSink;
use crate::stop::StopLevel;

const MAX_STDERR: usize = 4096;
/// How long the words of a script that failed may come after its report.
const LATE_WORDS: Duration = Duration::from_millis(500);
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

/// A started command.
pub(super) struct Conversation<'a> {
    channel: Channel,
    filter: Option<Filter>,
    merged: bool,
    pub(super) heard: Heard<'a>,
    /// All output is here.
    pub(super) ended: bool,
    /// The peer has sent all that the channel will ever bring.
    closed: bool,
    /// Stderr where it is not merged, shortened.
    pub(super) stderr: Vec<u8>,
    /// Bytes since they were last counted as progress.
    received: usize,
    /// The shell had done another line before.
    reused: bool,
    /// Definitions that the shell has.
    known: String,
    /// The line.
    sent: Zeroizing<Vec<u8>>,
}

impl<'a> Conversation<'a> {
    /// Starts `command`, and merges what it writes to stderr.
    fn start(
        link: &Link,
        command: &str,
        patience: &Patience<'_>,
        tell: Tell<'a>,
    ) -> Result<Self, SshErrorKind> {
        let channel = link.start(command, true, patience, None)?;
        Ok(Self::on(channel, None, tell))
    }

    fn on(channel: Channel, filter: Option<Filter>, tell: Tell<'a>) -> Self {
        Self {
            channel,
            merged: filter.is_none(),
            filter,
            heard: Heard::new(tell),
            ended: false,
            closed: false,
            stderr: Vec::new(),
            received: 0,
            reused: false,
            known: String::new(),
            sent: Zeroizing::default(),
        }
    }

    /// A shell for one line with this token: the one that stands by, or a new one. What the line's commands write is told
    /// from the report of the start on.
    pub(super) fn in_shell(
        link: &Link,
        token: &Token,
        line: &Line,
        patience: &Patience<'_>,
        meanwhile: Meanwhile<'_>,
        tell: Tell<'a>,
    ) -> Result<Self, SshErrorKind> {
        let standby = link.standby();
        let reused = standby.is_some();
        let Shell { channel, known } = if let Some(shell) = standby {
            shell
        } else {
            let channel = link.start(resident::command(), false, patience, meanwhile)?;
            Shell { channel, known: String::new() }
        };
        let mut conversation = Self { reused, known, ..Self::on(channel, Some(Filter::new(token)), tell) };
        conversation.heard.staying = Staying::after(line.afterwards(), token);
        Ok(conversation)
    }

    /// Takes what has arrived. True when something had.
    pub(super) fn pump(&mut self, link: &Link) -> Result<bool, SshErrorKind> {
        // Reading one stream takes packets of the other off the socket, which would not wake anybody for them any more. What
        // is of neither stream is never taken, so there is an end.
        for _ in 0..MOST_TURNS {
            if self.ended {
                break;
            }
            if self.turn(link)? {
                return Ok(true);
            }
            if self.merged || self.channel.read_window().available == 0 {
                break;
            }
        }
        Ok(false)
    }

    fn turn(&mut self, link: &Link) -> Result<bool, SshErrorKind> {
        let mut moved = false;
        let Self { channel, filter, heard, stderr, received, .. } = self;
        if !self.merged {
            let piece = link.read(channel, ssh2::EXTENDED_DATA_STDERR, &mut |bytes| {
                *received += bytes.len();
                keep(stderr, bytes);
                forget_login(stderr);
                if let Some(staying) = &mut heard.staying {
                    staying.look_at(stderr);
                }
            })?;
            moved |= matches!(piece, Piece::Data);
        }
        let piece = link.read(channel, 0, &mut |bytes| {
            *received += bytes.len();
            match filter {
                Some(filter) => filter.feed(bytes, &mut |part| heard.take(part)),
                None => heard.take(Part::Data(bytes)),
            }
        })?;
        match piece {
            Piece::Data => moved = true,
            Piece::Blocked => {}
            Piece::End => {
                if let Some(filter) = filter {
                    filter.finish(&mut |part| heard.take(part));
                }
                self.closed |= !moved;
            }
        }
        self.ended = self.closed || self.heard.line_is_over();
        Ok(moved)
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
        self.heard.exit.is_some()
            || self.ended
            || matches!(
                self.heard.last,
                Some(last) if last.is_refusal() || matches!(last, Report::Failed(_))
            )
    }

    /// Takes what is there to the end, if it has one; true when the script is over.
    pub(super) fn drained(&mut self, link: &Link) -> bool {
        let until = Instant::now() + CLOSE_LIMIT;
        while !self.ended && Instant::now() < until && matches!(self.pump(link), Ok(true)) {}
        self.is_over()
    }

    /// True when a shell that stood by had ended before it took the line: nothing of it was done.
    pub(super) fn was_stale(&self) -> bool {
        self.closed && !self.started() && self.reused
    }

    /// The same, after taking what is there to the end.
    pub(super) fn proves_stale(&mut self, link: &Link) -> bool {
        self.drained(link) && self.was_stale()
    }

    /// True when the shell goes on, so that the server has nothing to say about how it ended.
    pub(super) fn shell_goes_on(&self) -> bool {
        !self.closed && self.heard.staying.is_some()
    }

    /// True once the script has reported its start.
    pub(super) fn started(&self) -> bool {
        self.filter.as_ref().is_none_or(Filter::started)
    }

    /// Why our script has not run, from what the account wrote instead of it. The words are those of OpenSSH and PAM.
    pub(super) fn not_started(&self) -> SshErrorKind {
        let output = self.noise();
        let words = ["assword has expired", "assword change required", "required to change your password"];
        if words.iter().any(|words| output.contains(words)) {
            return SshErrorKind::PasswordExpired { output };
        }
        SshErrorKind::NotStarted { output }
    }

    /// What the account wrote before our script ran, or instead of it.
    pub(super) fn noise(&self) -> String {
        let noise = self.filter.as_ref().map(Filter::noise).unwrap_or_default();
        excerpt(&echo::without_values(&[noise, b" ", self.stderr.as_slice()].concat(), &self.sent))
    }

    /// Sends a line, see [`Self::send`].
    pub(super) fn send_line(
        &mut self,
        link: &Link,
        line: &Line,
        patience: &mut Patience<'_>,
    ) -> Result<(), SshErrorKind> {
        let bytes = Zeroizing::new(line.bytes(&self.known));
        self.known = line.known_after(std::mem::take(&mut self.known));
        let sent = self.send(link, &bytes, patience);
        self.sent = bytes;
        sent
    }

    /// Sends all of `bytes`, taking output meanwhile: a peer that waits for us to read would not read from us.
    pub(super) fn send(
        &mut self,
        link: &Link,
        bytes: &[u8],
        patience: &mut Patience<'_>,
    ) -> Result<(), SshErrorKind> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if let Some(sent) = link.write(&self.channel, rest)? {
                rest = rest.get(sent..).unwrap_or_default();
                patience.moved(sent);
                continue;
            }
            patience.check()?;
            let moved = self.pump(link)?;
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
        if self.heard.staying.is_some() {
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
    ) -> Result<(), SshErrorKind> {
        while !self.is_over() {
            let moved = self.pump(link)?;
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
            if !self.pump(link)? {
                link.wait(until)?;
            }
        }
        Ok(())
    }

    /// Takes what a script that failed still says on stderr. Its words only make the error better.
    pub(super) fn take_words(&mut self, link: &Link) {
        let failed = self.heard.exit.is_some_and(|(code, _)| code != 0);
        if failed || matches!(self.heard.last, Some(Report::Failed(_))) {
            let _ = self.take_rest(link, LATE_WORDS);
        }
    }

    /// Pumps until `done`, or until the script is over. What comes meanwhile does not make the time longer.
    pub(super) fn until(
        &mut self,
        link: &Link,
        patience: &Patience<'_>,
        mut meanwhile: Meanwhile<'_>,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), SshErrorKind> {
        while !done(self) && !self.is_over() {
            let moved = self.pump(link)?;
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
        let Some(staying) = &self.heard.staying else {
            let command_ended = self.ended || self.heard.exit.is_some();
            return link.close(&mut self.channel, command_ended);
        };
        let pid = staying.pid;
        let waited = self.heard.exit.map_or(Duration::ZERO, |(_, at)| at.elapsed());
        let settled = self.is_over() && self.take_rest(link, CLOSE_LIMIT.saturating_sub(waited)).is_ok();
        if settled && self.ended && !self.closed && !link.is_sending() {
            return link.stand_by(Shell { channel: self.channel, known: self.known });
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
    let tell = hearing::output(|bytes| sink.output(bytes));
    let mut conversation = Conversation::start(link, &request.command, &sending, tell)?;
    let result = converse(link, &mut conversation, request, &mut sending, || {
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
    conversation: &mut Conversation<'_>,
    request: &ExecRequest,
    sending: &mut Patience<'a>,
    listening: impl Fn() -> Patience<'a>,
) -> Result<Exit, SshErrorKind> {
    conversation.send(link, &request.stdin, sending)?;
    conversation.end_input(link, sending)?;
    conversation.until_exit(link, &mut listening(), None)?;
    conversation.await_exit(link, &listening())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_names() {
        assert_eq!(signal_number("TERM"), 15);
        assert_eq!(signal_number("KILL"), 9);
        assert_eq!(signal_number("sig-xyz@ssh.com"), 0);
    }
}

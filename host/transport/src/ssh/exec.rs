//! Exec requests: a channel with a command in it, its output, its input and its end.

use std::io::Write;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use ssh2::Channel;

use super::error::{SshErrorKind, Step, excerpt};
use super::fault::Failure;
use super::link::{Link, Meanwhile, Piece, serve};
use super::marker::{Filter, Report};
use super::patience::{Cancel, Patience};
use crate::exit::{Exit, StopOutcome};
use crate::output::OutputSink;
use crate::stop::StopLevel;

const MAX_STDERR: usize = 4096;
/// Far enough away to mean "no limit", near enough for time arithmetic.
const NO_LIMIT: Duration = Duration::from_hours(24 * 365);

/// A command for the account's login shell.
#[derive(Clone)]
pub struct ExecRequest {
    /// Command line, as the login shell reads it. It is visible in the target's process list: no secrets.
    pub command: String,
    /// Input; the command sees its end after these bytes.
    pub stdin: Vec<u8>,
}

/// How a remote command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteEnd {
    /// Its exit; none only for a command that was stopped and of which no exit was heard.
    pub exit: Option<Exit>,
    /// Set when it was stopped by us: what is known about its processes.
    pub stopped: Option<StopOutcome>,
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
    /// The last other report.
    pub(super) last: Option<Report>,
    /// The peer has sent all its output.
    pub(super) ended: bool,
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
        Ok(Self {
            channel,
            filter,
            merged,
            group: None,
            exit: None,
            last: None,
            ended: false,
            stderr: Vec::new(),
            received: 0,
        })
    }

    /// Takes what has arrived. True when something had.
    pub(super) fn pump(&mut self, link: &Link, data: &mut dyn FnMut(&[u8])) -> Result<bool, SshErrorKind> {
        if self.ended {
            return Ok(false);
        }
        let mut moved = false;
        let received = &mut self.received;
        if !self.merged {
            let stderr = &mut self.stderr;
            let piece = link.read(&self.channel, ssh2::EXTENDED_DATA_STDERR, &mut |bytes| {
                *received += bytes.len();
                keep(stderr, bytes);
            })?;
            moved |= matches!(piece, Piece::Data);
        }
        let (filter, mut reports) = (&mut self.filter, Vec::new());
        let piece = link.read(&self.channel, 0, &mut |bytes| {
            *received += bytes.len();
            match filter {
                Some(filter) => reports = filter.feed(bytes, data),
                None => data(bytes),
            }
        })?;
        for report in reports {
            self.hear(report);
        }
        match piece {
            Piece::Data => moved = true,
            Piece::Blocked => {}
            Piece::End if moved => {}
            Piece::End => {
                self.ended = true;
                if let Some(filter) = &mut self.filter {
                    filter.finish(data);
                }
            }
        }
        Ok(moved)
    }

    fn hear(&mut self, report: Report) {
        match report {
            // Only the first: a program that prints such a line itself must not choose what we signal.
            Report::Group(group) if self.group.is_none() && group > 1 => self.group = Some(group),
            Report::Exit(code) if self.exit.is_none() => self.exit = Some((code, Instant::now())),
            other => self.last = Some(other),
        }
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
            let mut input = self.channel.stream(0);
            let mut pumped = Ok(false);
            let sent =
                link.drive(patience, Some(&mut || pumped = self.pump(link, data)), || input.write(rest));
            pumped?;
            let sent = sent.map_err(|failure| failure.during(Step::Send))?;
            rest = rest.get(sent..).unwrap_or_default();
            patience.moved(sent);
        }
        Ok(())
    }

    /// Ends the command's input.
    pub(super) fn end_input(&mut self, link: &Link, patience: &Patience<'_>) -> Result<(), SshErrorKind> {
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
        while self.exit.is_none() && !self.ended {
            let moved = self.pump(link, data)?;
            patience.moved(std::mem::take(&mut self.received));
            patience.check()?;
            if moved {
                continue;
            }
            let until = serve(&mut meanwhile, patience.until());
            link.wait(until)?;
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

    /// Gives the channel back.
    pub(super) fn close(mut self, link: &Link) {
        let command_ended = self.ended || self.exit.is_some();
        link.close(&mut self.channel, command_ended);
    }
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = MAX_STDERR.saturating_sub(kept.len()).min(bytes.len());
    kept.extend_from_slice(bytes.get(..room).unwrap_or_default());
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
    fn signal_names() {
        assert_eq!(signal_number("TERM"), 15);
        assert_eq!(signal_number("KILL"), 9);
        assert_eq!(signal_number("sig-xyz@ssh.com"), 0);
    }
}

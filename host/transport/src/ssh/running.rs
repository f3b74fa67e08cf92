//! A command on a target while it runs: sending it, listening to it, stopping it, and what its end means.

use std::time::{Duration, Instant};

use super::connection::Worker;
use super::error::{SshErrorKind, Step, excerpt};
use super::exec::{Conversation, RemoteEnd};
use super::feed::Outcome;
use super::hearing::Told;
use super::inventory::Plan;
use super::marker::{Report, Token};
use super::patience::{Cancel, Patience};
use super::remote::{News, REMOTE_LINGER, RemotePid};
use super::resident::Line;
use super::stopping::stop_group;
use super::task::{DetachedRun, RemoteTask, TaskEnd};
use super::upload::Cargo;
use super::wrapper::{self, Making, Wrapper};
use crate::exit::{Exit, StopOutcome};
use crate::output::OutputSink;
use crate::stop::StopLevel;

/// How long a stop waits for a command that is just starting to name its process group.
const START_WAIT: Duration = Duration::from_secs(5);
/// A sleep of the reading loop; stops and output end it early.
const NAP: Duration = Duration::from_mins(1);

/// How a task ended, and whether there was room for its output.
pub(super) struct Ending {
    pub(super) task: TaskEnd,
    pub(super) cut: bool,
}

/// Why the reading loop ended.
enum Why {
    Ended,
    Stop,
    Silent(Duration),
}

/// A task on its way, from the line that is sent for it to its end.
pub(super) struct Running<'a> {
    worker: &'a Worker,
    task: &'a RemoteTask,
    token: Token,
    pub(super) conversation: Conversation<'a>,
    cancel: &'a Cancel,
}

impl<'a> Running<'a> {
    pub(super) fn begin(
        worker: &'a Worker,
        task: &'a RemoteTask,
        make: Making<'_>,
        plan: &Plan,
        cargo: &Cargo<'_>,
        sink: &'a dyn OutputSink,
        cancel: &'a Cancel,
        news: &'a dyn News,
    ) -> Result<Self, SshErrorKind> {
        let token = Token::random()?;
        let wrapper = Wrapper {
            make,
            root: task.setup.as_ref().map_or("", |setup| setup.dir.path()),
            inline: cargo.inline(),
            stream: cargo.packing(),
            check: plan.check.as_deref(),
            bring: &plan.bring,
            end: cargo.end(),
            command: Some(&task.command),
            detached: task.detached.as_ref().map(DetachedRun::dir),
            wanted: task.wanted.as_ref(),
            remove: task.removes_dir,
        };
        Self::send(worker, task, wrapper.line(&token), token, cargo, sink, cancel, news)
    }

    pub(super) fn send(
        worker: &'a Worker,
        task: &'a RemoteTask,
        line: Line,
        token: Token,
        cargo: &Cargo<'_>,
        sink: &'a dyn OutputSink,
        cancel: &'a Cancel,
        news: &'a dyn News,
    ) -> Result<Self, SshErrorKind> {
        let link = &worker.link;
        let limit = worker.settings.write_timeout;
        let mut patience = Patience::new(Step::Start, limit, cancel, Some(StopLevel::Terminate));
        let tell = Box::new(move |told: Told<'_>| match told {
            Told::Group(group) => news.started(RemotePid { group }),
            Told::Output(bytes) => sink.output(bytes),
        });
        let mut conversation = Conversation::in_shell(link, &token, &line, &patience, None, tell)?;
        conversation.heard.most = task.wanted.as_ref().map_or(0, |wanted| wanted.max_bytes);
        let mut running = Self { worker, task, token, conversation, cancel };
        let sent = running.send_all(&line, cargo, &mut patience);
        match sent {
            Ok(()) => Ok(running),
            Err(_) if running.conversation.proves_stale(link) => Ok(running),
            Err(kind) => {
                running.close();
                Err(kind)
            }
        }
    }

    /// Until the last byte of the line is sent a stop leaves a line that is cut off, and that does nothing.
    fn send_all(
        &mut self,
        line: &Line,
        cargo: &Cargo<'_>,
        patience: &mut Patience<'_>,
    ) -> Result<(), SshErrorKind> {
        let link = &self.worker.link;
        self.conversation.send_line(link, line, patience)?;
        let outcome = Outcome::default();
        let sent = cargo.stream(link, &mut self.conversation, patience.at(Step::Send), &outcome);
        // The time so far was for sending.
        patience.renew();
        match sent {
            Ok(()) => self.conversation.end_input(link, patience),
            // What the target says about its own end is the better message.
            Err(_) if outcome.remote_ended() => Ok(()),
            Err(kind) => Err(kind),
        }
    }

    pub(super) fn close(self) {
        self.conversation.close(&self.worker.link);
    }

    pub(super) fn finish(&mut self) -> Result<Ending, SshErrorKind> {
        let end = self.end()?;
        let file = match (&self.task.wanted, self.conversation.heard.file.take()) {
            (Some(wanted), Some(file)) if end.exit == Some(Exit::Code(0)) => {
                let path = || wanted.files.first().cloned().unwrap_or_default();
                if file.length as u64 > wanted.max_bytes {
                    return Err(SshErrorKind::TooLarge { path: path(), limit: wanted.max_bytes });
                }
                if !file.complete || file.bytes.len() != file.length {
                    let said = excerpt(&self.conversation.stderr);
                    let message = if said.is_empty() {
                        "what arrived is not the whole file".to_owned()
                    } else {
                        format!("what arrived is not the whole file: {said}")
                    };
                    return Err(SshErrorKind::Remote {
                        action: format!("reading {}", path()),
                        code: 1,
                        message,
                    });
                }
                Some(file.bytes)
            }
            _ => None,
        };
        let heard = &self.conversation.heard;
        let task = TaskEnd { end, file, removed: heard.removed, remark: None };
        Ok(Ending { task, cut: heard.last == Some(Report::Cut) })
    }

    fn end(&mut self) -> Result<RemoteEnd, SshErrorKind> {
        match self.listen() {
            Ok(Why::Ended) => Ok(RemoteEnd { exit: Some(self.exit()?), stopped: None }),
            Ok(Why::Stop) => self.stopped(),
            Ok(Why::Silent(limit)) => {
                let stopped = self.stopped().ok().and_then(|end| end.stopped);
                Err(SshErrorKind::Silent { limit, proved_dead: stopped.is_some_and(|stop| stop.proved_dead) })
            }
            // A stop that finds the connection gone still has to reach the processes.
            Err(_) if self.cancel.level() >= StopLevel::Terminate => self.stopped(),
            Err(kind) => Err(kind),
        }
    }

    fn listen(&mut self) -> Result<Why, SshErrorKind> {
        let settings = &self.worker.settings;
        let (limit, begin_limit) = (settings.read_timeout, settings.write_timeout);
        let begun = Instant::now();
        let mut heard = begun;
        let mut file = None;
        loop {
            let begins = (!self.conversation.started()).then(|| begin_limit.saturating_sub(begun.elapsed()));
            if begins.is_some_and(|left| left.is_zero()) && self.cancel.level() < StopLevel::Terminate {
                let output = self.conversation.noise();
                return Err(SshErrorKind::NotBegun { limit: begin_limit, output });
            }
            let moved = self.pump()?;
            if moved {
                heard = Instant::now();
                if self.cancel.level() >= StopLevel::Terminate {
                    return Ok(Why::Stop);
                }
            }
            if let Some(arrived) = self.arriving() {
                let (patience, counted) = file.get_or_insert_with(|| {
                    (Patience::new(Step::Output, settings.write_timeout, self.cancel, None), arrived)
                });
                patience.moved(arrived.saturating_sub(*counted));
                *counted = arrived;
                patience.check()?;
            } else if self.lingered(REMOTE_LINGER) || (!moved && self.over(REMOTE_LINGER)) {
                return Ok(Why::Ended);
            }
            if moved {
                continue;
            }
            if self.cancel.level() >= StopLevel::Terminate {
                return Ok(if self.conversation.heard.exit.is_some() { Why::Ended } else { Why::Stop });
            }
            if let Some(limit) = limit
                && heard.elapsed() >= limit
                && self.conversation.heard.exit.is_none()
            {
                return Ok(Why::Silent(limit));
            }
            let nap = if self.conversation.heard.exit.is_some() { Duration::from_millis(100) } else { NAP };
            let until = limit.map_or(NAP, |limit| limit.saturating_sub(heard.elapsed())).min(nap);
            let until = begins.map_or(until, |left| left.min(until));
            self.worker.link.wait(Instant::now() + until)?;
        }
    }

    /// True when nothing more is to come, or not worth waiting for.
    fn over(&self, linger: Duration) -> bool {
        self.conversation.ended || self.refused() || self.lingered(linger)
    }

    /// True so long after the command's end: what comes then is of its descendants.
    fn lingered(&self, linger: Duration) -> bool {
        self.conversation.heard.exit.is_some_and(|(_, at)| at.elapsed() >= linger)
    }

    /// How much there is of a file that is announced and may take its time; none when no more of one is to come.
    fn arriving(&self) -> Option<usize> {
        let file = self.conversation.heard.file.as_ref()?;
        (!file.complete && !self.conversation.ended && !self.refused()).then_some(file.bytes.len())
    }

    /// True when the script has given up before the command.
    fn refused(&self) -> bool {
        let last = self.conversation.heard.last;
        last.is_some_and(|last| last.is_refusal() || matches!(last, Report::Failed(_) | Report::Lost))
    }

    fn pump(&mut self) -> Result<bool, SshErrorKind> {
        self.conversation.pump(&self.worker.link)
    }

    fn exit(&mut self) -> Result<Exit, SshErrorKind> {
        match self.conversation.heard.last {
            Some(Report::NoDirectory) => {
                return Err(SshErrorKind::RemoteDirectory { dir: self.task.command.dir.clone() });
            }
            Some(Report::Failed(code)) => {
                self.conversation.take_words(&self.worker.link);
                return Err(self.failure(code));
            }
            Some(Report::Lost) => return Err(SshErrorKind::CommandGone),
            // It has said why; the caller tries something else.
            Some(last) if last.is_refusal() => return Err(SshErrorKind::NoExit),
            _ => {}
        }
        if let Some((code, _)) = self.conversation.heard.exit {
            if let (Some(account), None) = (&self.task.command.account, self.conversation.heard.group) {
                return Err(SshErrorKind::NotBecome { user: account.user.clone(), code });
            }
            return Ok(self.told_apart(code));
        }
        if !self.conversation.started() {
            return Err(self.conversation.not_started());
        }
        if self.conversation.shell_goes_on() {
            // Only the part of it that ran the command was ended.
            return Err(SshErrorKind::NoExit);
        }
        // The waiting shell itself was ended; only the server can say by what.
        let patience = Patience::new(Step::Output, self.worker.settings.write_timeout, self.cancel, None);
        match self.conversation.await_exit(&self.worker.link, &patience)? {
            Exit::Signal(signal) => Ok(Exit::Signal(signal)),
            Exit::Code(_) => Err(SshErrorKind::NoExit),
        }
    }

    /// A shell has one number for both; ksh gives signals above 256, the others remark on them.
    fn told_apart(&self, code: i32) -> Exit {
        let remarked =
            self.conversation.heard.signal.is_some() || self.conversation.remark_of_shell(&self.token);
        match code {
            257..=320 => Exit::Signal(code - 256),
            129..=192 if remarked => Exit::Signal(code - 128),
            code => Exit::Code(code),
        }
    }

    fn failure(&self, code: i32) -> SshErrorKind {
        let message = excerpt(&self.conversation.stderr);
        let dir = self.task.setup.as_ref().map(|setup| setup.dir.path().to_owned()).unwrap_or_default();
        match code {
            wrapper::NO_TOOLS => SshErrorKind::Remote {
                action: "starting a detached command".to_owned(),
                code,
                message: "the target needs setsid, and a head that takes -c".to_owned(),
            },
            super::become_user::NOT_SHARED => SshErrorKind::Remote {
                action: format!("letting another user into {dir}"),
                code,
                message: if message.contains("o such user") || message.contains("nvalid user") {
                    message
                } else {
                    format!(
                        "{message}; the target needs setfacl (package acl) and a file system with access lists"
                    )
                },
            },
            _ => SshErrorKind::Remote { action: format!("preparing {dir}"), code, message },
        }
    }

    fn stopped(&mut self) -> Result<RemoteEnd, SshErrorKind> {
        let _ = self.pump_until(START_WAIT, |running| running.conversation.heard.group.is_some());
        let Some(group) = self.conversation.heard.group else {
            let exit = self.conversation.heard.exit.map(|(code, _)| Exit::Code(code));
            return Ok(RemoteEnd { exit, stopped: Some(StopOutcome { proved_dead: false }) });
        };
        let (worker, cancel, account) = (self.worker, self.cancel, self.task.command.account.as_ref());
        let proved_dead = stop_group(
            worker,
            group,
            account,
            cancel,
            Some(&mut || {
                // A lost connection shows itself in the stop as well.
                let _ = self.pump();
            }),
        );
        let _ = self.pump_until(REMOTE_LINGER, |running| running.conversation.heard.exit.is_some());
        let exit = self.exit().ok();
        Ok(RemoteEnd { exit, stopped: Some(StopOutcome { proved_dead: proved_dead? }) })
    }

    /// Pumps until `done` or the end, for at most `limit`.
    fn pump_until(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> Result<(), SshErrorKind> {
        let until = Instant::now() + limit;
        while !done(self) && !self.over(Duration::ZERO) && Instant::now() < until {
            if !self.pump()? {
                self.worker.link.wait(until)?;
            }
        }
        Ok(())
    }
}

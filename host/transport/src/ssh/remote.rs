//! Running a command on a POSIX target (defects 46, 54, 56, 57).
//!
//! Files, directory, environment and command travel by stdin in one request (see [`super::wrapper`]). The command gets a
//! session and process group of its own, whose id it reports before it becomes the command.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::connection::Worker;
use super::digests::FileDigest;
use super::error::{SshErrorKind, Step, excerpt};
use super::exec::{Conversation, RemoteEnd};
use super::feed::Outcome;
use super::filesystem;
use super::hearing::Told;
use super::inventory::{self, Inventory, Plan};
use super::kept;
use super::large::{self, LARGE};
use super::marker::{Report, Token};
use super::patience::{Cancel, Patience};
use super::resident::Line;
use super::stopping::stop_group;
use super::task::{DetachedRun, RemoteCommand, RemoteTask, Setup, TaskEnd};
use super::upload::{self, Cargo};
use super::wrapper::{self, Making, Packing, Wrapper};
use crate::entry::UploadEntry;
use crate::exit::{Exit, StopOutcome};
use crate::output::OutputSink;
use crate::shell::is_variable_name;
use crate::stop::StopLevel;

/// How long output is still read after the command has ended while a descendant holds it open.
pub const REMOTE_LINGER: Duration = Duration::from_secs(2);

/// Exit code of shells for a program that is there and cannot be started.
const NOT_EXECUTABLE: i32 = 126;
/// How long a stop waits for a command that is just starting to name its process group.
const START_WAIT: Duration = Duration::from_secs(5);
/// A sleep of the reading loop; stops and output end it early.
const NAP: Duration = Duration::from_mins(1);

/// The process group of a remote command, for the record and for [`super::SshConnection::stop_group`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemotePid {
    /// Process group id on the target; the command itself is its leader wherever the target has `setsid`.
    pub group: i32,
}

fn check(command: &RemoteCommand) -> Result<(), SshErrorKind> {
    let invalid =
        |what: &'static str, detail: String| Err(SshErrorKind::Invalid { what: what.into(), detail });
    if let Some((name, _)) = command.env.iter().find(|(name, _)| !is_variable_name(name)) {
        return invalid("environment", format!("{name:?} is no name for a variable"));
    }
    if let Some((name, _)) = command.env.iter().find(|(_, value)| value.contains('\0')) {
        return invalid("environment", format!("the value of {name} holds a NUL byte"));
    }
    if command.dir.is_empty() || command.dir.contains('\0') {
        return invalid("remote directory", "it is empty or holds a NUL byte".to_owned());
    }
    if command.program_line.trim().is_empty() || command.program_line.contains('\0') {
        return invalid("remote command", "it is empty or holds a NUL byte".to_owned());
    }
    Ok(())
}

/// Called with the process group.
pub(super) type OnStart = Box<dyn FnOnce(RemotePid) + Send>;

/// Hears what becomes of a task before it ends.
pub(super) trait News {
    /// The command runs.
    fn started(&self, pid: RemotePid);
    /// Large files are being sent, by requests of their own, or no longer: the command has not been sent until then.
    fn sending(&self, large: bool);
}

/// Does a task to its end or until it is stopped.
pub(super) fn run(
    worker: &Worker,
    task: &RemoteTask,
    sink: &dyn OutputSink,
    cancel: &Cancel,
    news: &dyn News,
) -> Result<TaskEnd, SshErrorKind> {
    check(&task.command)?;
    let end = run_checked(worker, task, sink, cancel, news);
    let root = task.setup.as_ref().map_or(task.command.dir.as_str(), |setup| setup.dir.path());
    filesystem::explained(end.and_then(|end| complete(worker, task, end, cancel)), worker, root, cancel)
}

fn run_checked(
    worker: &Worker,
    task: &RemoteTask,
    sink: &dyn OutputSink,
    cancel: &Cancel,
    news: &dyn News,
) -> Result<Ending, SshErrorKind> {
    let mut make = making(task);
    let mut corrected = false;
    loop {
        let plan = match &task.setup {
            Some(setup) => plan(worker, setup, &mut make, cancel, news)?,
            None => Plan::default(),
        };
        let inventory = task.setup.as_ref().and_then(|setup| setup.inventory.as_ref());
        match (try_plan(worker, task, &plan, &mut make, sink, cancel, news)?, inventory) {
            (Tried::Ended { end, begun }, inventory) => {
                if let Some(inventory) = inventory.filter(|_| begun) {
                    inventory.delivered(plan);
                }
                return end;
            }
            // Once is a tool that changes files. More than that would go on for ever.
            (Tried::Stale(found), Some(inventory)) if !corrected => {
                corrected = true;
                inventory.correct(&found);
            }
            (Tried::Stale(_) | Tried::NoSums, Some(inventory)) => inventory.give_up(),
            (Tried::Gone, Some(inventory)) if make != Making::New => {
                inventory.forget();
                make = Making::New;
            }
            (Tried::Stale(_) | Tried::NoSums | Tried::Gone, _) => return Err(SshErrorKind::NoExit),
        }
    }
}

/// What becomes of the directory: a kept one is of use only where it is known what stands in it.
fn making(task: &RemoteTask) -> Making<'_> {
    match &task.setup {
        Some(Setup { make: true, kept: Some(kept), inventory: Some(_), .. }) => Making::Over(kept.path()),
        Some(Setup { make: true, .. }) => Making::New,
        _ => Making::Nothing,
    }
}

/// Sends what is large by itself, and says what goes with the command.
fn plan(
    worker: &Worker,
    setup: &Setup,
    make: &mut Making<'_>,
    cancel: &Cancel,
    news: &dyn News,
) -> Result<Plan, SshErrorKind> {
    let Some(inventory) = &setup.inventory else {
        return Ok(Plan::all(&setup.entries));
    };
    for entry in inventory::large(&setup.entries, LARGE) {
        let Some((digest, _)) = inventory.digest(&entry) else { continue };
        take_over_for(worker, setup, inventory, (&entry, &digest), make, cancel)?;
        if !inventory.has(&entry, &digest) {
            news.sending(true);
            large::send(worker, &setup.dir, *make == Making::New, &entry, &digest, cancel)?;
            *make = Making::Nothing;
            inventory.arrived(&entry, digest);
            news.sending(false);
        }
    }
    Ok(inventory.plan(&setup.entries))
}

/// A kept directory is taken over by a request of its own where a large file has to go into it by one.
fn take_over_for(
    worker: &Worker,
    setup: &Setup,
    inventory: &Inventory,
    (entry, digest): (&UploadEntry, &FileDigest),
    make: &mut Making<'_>,
    cancel: &Cancel,
) -> Result<(), SshErrorKind> {
    let (Making::Over(_), Some(kept)) = (*make, &setup.kept) else { return Ok(()) };
    if inventory.has(entry, digest) {
        return Ok(());
    }
    *make = if kept::take_over_now(worker, kept, &setup.dir, cancel)? {
        Making::Nothing
    } else {
        inventory.forget();
        Making::New
    };
    Ok(())
}

/// How a task ended, and whether there was room for its output.
struct Ending {
    task: TaskEnd,
    cut: bool,
}

/// What came of sending a plan with the command.
enum Tried {
    Ended {
        end: Result<Ending, SshErrorKind>,
        /// The command was started, so all files were there.
        begun: bool,
    },
    /// Something that was left out is not there; what the target says about each file.
    Stale(Vec<u8>),
    NoSums,
    /// The kept directory cannot be used.
    Gone,
}

fn try_plan(
    worker: &Worker,
    task: &RemoteTask,
    plan: &Plan,
    make: &mut Making<'_>,
    sink: &dyn OutputSink,
    cancel: &Cancel,
    news: &dyn News,
) -> Result<Tried, SshErrorKind> {
    let mut cargo = match &task.setup {
        Some(setup) => Cargo::of(&plan.send, setup.dir.path(), worker.gzip())?,
        None => Cargo::default(),
    };
    loop {
        let mut running = Running::begin(worker, task, *make, plan, &cargo, sink, cancel, news)?;
        let end = running.finish();
        let refused = running.conversation.heard.last;
        let begun = running.conversation.heard.group.is_some();
        let stale = running.conversation.was_stale();
        let found = running.conversation.heard.file.take();
        running.close();
        if stale {
            continue;
        }
        if refused == Some(Report::Gone) {
            return Ok(Tried::Gone);
        }
        // The first try has made the directory, whatever it lacked after that.
        *make = Making::Nothing;
        match (refused, &task.setup) {
            (Some(Report::Stale), _) => return Ok(Tried::Stale(found.unwrap_or_default().bytes)),
            (Some(Report::NoSums), _) => return Ok(Tried::NoSums),
            (Some(Report::NoGzip), Some(_)) if cargo.packing() == Some(Packing::Gzip) => {
                worker.forget_gzip();
                cargo.unpacked();
            }
            (Some(Report::NoTar), Some(setup)) if cargo.packing().is_some() => {
                tracing::debug!(target = %worker.target, "no tar on the target; uploading file by file");
                upload::one_by_one(worker, &plan.send, setup.dir.path(), cancel)?;
                cargo = Cargo::default();
            }
            _ => return Ok(Tried::Ended { end, begun }),
        }
    }
}

/// Goes on with a detached command.
pub(super) fn attach(
    worker: &Worker,
    task: &RemoteTask,
    detached: &DetachedRun,
    sink: &dyn OutputSink,
    cancel: &Cancel,
    news: &dyn News,
) -> Result<TaskEnd, SshErrorKind> {
    let token = Token::random()?;
    let line = wrapper::attach(&token, detached.dir(), detached.offset(), task.wanted.as_ref());
    let mut running = Running::send(worker, task, line, token, &Cargo::default(), sink, cancel, news)?;
    let end = running.finish();
    running.close();
    end.and_then(|end| complete(worker, task, end, cancel))
}

/// What is known once the channel is given back: why a target could not start a program, or keep its output.
fn complete(
    worker: &Worker,
    task: &RemoteTask,
    mut end: Ending,
    cancel: &Cancel,
) -> Result<TaskEnd, SshErrorKind> {
    let dir = &task.command.dir;
    let exit = end.task.end.exit;
    if end.cut && exit == Some(Exit::Code(0)) {
        let message = filesystem::complaint(worker, dir, cancel).unwrap_or_default();
        return Err(SshErrorKind::OutputCut { message });
    }
    if exit == Some(Exit::Code(NOT_EXECUTABLE)) {
        end.task.remark = filesystem::no_start(worker, dir, cancel);
    }
    Ok(end.task)
}

/// Why the reading loop ended.
enum Why {
    Ended,
    Stop,
    Silent(Duration),
}

struct Running<'a> {
    worker: &'a Worker,
    task: &'a RemoteTask,
    token: Token,
    conversation: Conversation<'a>,
    cancel: &'a Cancel,
}

impl<'a> Running<'a> {
    fn begin(
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
            last: plan.list.as_deref(),
            command: Some(&task.command),
            detached: task.detached.as_ref().map(DetachedRun::dir),
            wanted: task.wanted.as_ref(),
            remove: task.removes_dir,
        };
        Self::send(worker, task, wrapper.line(&token), token, cargo, sink, cancel, news)
    }

    fn send(
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

    fn close(self) {
        self.conversation.close(&self.worker.link);
    }

    fn finish(&mut self) -> Result<Ending, SshErrorKind> {
        let end = self.end()?;
        let file = match (&self.task.wanted, self.conversation.heard.file.take()) {
            (Some(wanted), Some(file)) if end.exit == Some(Exit::Code(0)) => {
                let path = || wanted.files.first().cloned().unwrap_or_default();
                if file.length as u64 > wanted.max_bytes {
                    return Err(SshErrorKind::TooLarge { path: path(), limit: wanted.max_bytes });
                }
                if !file.complete || file.bytes.len() != file.length {
                    let message = "what arrived is not the whole file".to_owned();
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
        loop {
            let begins = (!self.conversation.started()).then(|| begin_limit.saturating_sub(begun.elapsed()));
            if begins.is_some_and(|left| left.is_zero()) && self.cancel.level() < StopLevel::Terminate {
                let output = self.conversation.noise();
                return Err(SshErrorKind::NotBegun { limit: begin_limit, output });
            }
            if self.pump()? {
                heard = Instant::now();
                if self.cancel.level() >= StopLevel::Terminate {
                    return Ok(Why::Stop);
                }
                continue;
            }
            if self.over(REMOTE_LINGER) {
                return Ok(Why::Ended);
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
        self.conversation.ended
            || self.refused()
            || self.conversation.heard.exit.is_some_and(|(_, at)| at.elapsed() >= linger)
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
            Some(Report::Failed(code)) => return Err(self.failure(code)),
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
                message: format!(
                    "{message}; the target needs setfacl (package acl) and a file system with access lists"
                ),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_requests_are_named_without_values() {
        let mut bad = RemoteCommand::for_tests();
        bad.env = vec![("A-B".into(), "secret".into())];
        let text = check(&bad).unwrap_err().to_string();
        assert!(text.contains("A-B") && !text.contains("secret"), "{text}");
        bad.env = vec![("A".into(), "se\0cret".into())];
        let text = check(&bad).unwrap_err().to_string();
        assert!(text.contains("value of A") && !text.contains("cret"), "{text}");
        bad = RemoteCommand { program_line: " ".into(), ..RemoteCommand::for_tests() };
        assert!(check(&bad).is_err());
        bad = RemoteCommand { dir: String::new(), ..RemoteCommand::for_tests() };
        assert!(check(&bad).is_err());
    }
}

//! Running a command on a POSIX target (defects 46, 54, 56, 57).
//!
//! Files, directory, environment and command travel by stdin in one request (see [`super::wrapper`]). The command gets a
//! session and process group of its own, whose id it reports before it becomes the command.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::connection::Worker;
use super::digests::FileDigest;
use super::error::SshErrorKind;
use super::filesystem;
use super::inventory::{self, Inventory, Plan};
use super::kept;
use super::large::{self, LARGE};
use super::marker::{Report, Token};
use super::patience::Cancel;
use super::running::{Ending, Running};
use super::task::{DetachedRun, RemoteCommand, RemoteTask, Setup, TaskEnd};
use super::upload::{self, Cargo};
use super::wrapper::{self, Making, Packing};
use crate::entry::UploadEntry;
use crate::exit::Exit;
use crate::output::OutputSink;
use crate::shell::is_variable_name;

/// How long output is still read after the command has ended while a descendant holds it open.
pub const REMOTE_LINGER: Duration = Duration::from_secs(2);

/// Exit code of shells for a program that is there and cannot be started.
const NOT_EXECUTABLE: i32 = 126;

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
            large::send(worker, &setup.dir, *make == Making::New, &entry, &digest, cancel, news)?;
            *make = Making::Nothing;
            inventory.arrived(&entry, digest);
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
        Some(setup) => Cargo::of(&plan.send, setup.dir.path(), worker.gzip())?.with_end()?,
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
    let line = wrapper::attach(&token, detached.dir(), detached.offset(), task);
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

//! One operation on a target in one request: files there, a command, what it leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

use super::become_user::Account;
use super::exec::RemoteEnd;
use super::files::RemoteDir;
use super::inventory::Inventory;
use super::isolation::plain;
use crate::entry::UploadEntry;

/// A command for a POSIX target.
#[derive(Clone, Serialize, Deserialize)]
pub struct RemoteCommand {
    /// Directory to run in.
    pub dir: String,
    /// Variables added to the account's environment. They are seen only by the account itself and root.
    pub env: Vec<(String, String)>,
    /// Shell text of one simple command, quoted by the caller (see [`super::quote`]); it is run by `exec`.
    pub program_line: String,
    /// The user to run as, where it is not the one that logs in.
    pub account: Option<Account>,
}

#[cfg(test)]
impl RemoteCommand {
    pub(super) fn for_tests() -> Self {
        Self {
            dir: "/tmp".into(),
            env: vec![("A".into(), "1".into())],
            program_line: "true".into(),
            account: None,
        }
    }
}

/// What has to be on the target before the command.
#[derive(Clone, Serialize, Deserialize)]
pub struct Setup {
    /// The directory that the files go into.
    pub dir: RemoteDir,
    /// It has to be made first.
    pub make: bool,
    /// What [`super::SshConnection::keep_dir`] left, to become the directory that is to be made. Where that is not as it was
    /// left, a new one is made, and everything is sent.
    pub kept: Option<RemoteDir>,
    /// The files.
    pub entries: Vec<UploadEntry>,
    /// What stands in the directory already; without it everything is sent.
    pub inventory: Option<Inventory>,
}

/// The file that is sent back when the command succeeds.
#[derive(Clone, Serialize, Deserialize)]
pub struct Wanted {
    /// Absolute paths; the first that has something in it is meant.
    pub files: Vec<String>,
    /// The most bytes that are taken.
    pub max_bytes: u64,
}

/// One operation.
#[derive(Clone, Serialize, Deserialize)]
pub struct RemoteTask {
    /// Files before the command.
    pub setup: Option<Setup>,
    /// The command.
    pub command: RemoteCommand,
    /// What is sent back.
    pub wanted: Option<Wanted>,
    /// The command goes on when the connection breaks, and can be found again by this.
    pub detached: Option<DetachedRun>,
    /// Nothing follows in the directory: where the command succeeds, its shell removes it, and ends.
    pub removes_dir: bool,
}

/// What came of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskEnd {
    /// How the command ended.
    pub end: RemoteEnd,
    /// The wanted file, if the command succeeded and left one.
    #[serde(with = "plain::maybe_bytes")]
    pub file: Option<Vec<u8>>,
    /// The directory is gone. Where it is not, although that was wished, it has to be removed by a request of its own.
    pub removed: bool,
    /// Why it could not be started, where the exit code alone does not say so.
    pub remark: Option<String>,
}

/// A command that does not depend on its connection: where its output, its process group and its exit code stand on the
/// target, and how much of the output was received. Clones are the same run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Standing", into = "Standing")]
pub struct DetachedRun {
    dir: String,
    received: Arc<AtomicU64>,
    group: Arc<AtomicU64>,
}

/// A run as it stands at one moment.
#[derive(Serialize, Deserialize)]
struct Standing {
    dir: String,
    received: u64,
    group: u64,
}

impl From<Standing> for DetachedRun {
    fn from(run: Standing) -> Self {
        let Standing { dir, received, group } = run;
        Self { dir, received: Arc::new(received.into()), group: Arc::new(group.into()) }
    }
}

impl From<DetachedRun> for Standing {
    fn from(run: DetachedRun) -> Self {
        Self { received: run.offset(), group: run.group.load(Ordering::Acquire), dir: run.dir }
    }
}

impl DetachedRun {
    /// A run that keeps its files in the new directory `name` of `dir`; ASCII letters and digits.
    pub fn new(dir: &RemoteDir, name: &str) -> Self {
        let dir = format!("{}/{name}", dir.path());
        Self { dir, received: Arc::default(), group: Arc::default() }
    }

    /// The same with a directory of its own, which is made with it: where another user is let into that of the operation, what tells
    /// how the command ended has to be out of that user's reach.
    pub fn apart(dir: &RemoteDir) -> Self {
        Self { dir: dir.path().to_owned(), received: Arc::default(), group: Arc::default() }
    }

    /// Its process group, once that is known: from then on the run goes on without us.
    pub fn group(&self) -> Option<i32> {
        i32::try_from(self.group.load(Ordering::Acquire)).ok().filter(|group| *group > 1)
    }

    pub(super) fn dir(&self) -> &str {
        &self.dir
    }

    pub(super) fn offset(&self) -> u64 {
        self.received.load(Ordering::Acquire)
    }

    pub(super) fn took(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::AcqRel);
    }

    pub(super) fn started(&self, group: i32) {
        self.group.store(u64::try_from(group).unwrap_or(0), Ordering::Release);
    }
}

//! Locks between processes of one job.
//!
//! The server may start several processes for one job on purpose: other groups, other phases, single nodes
//! again while the rest still runs. So the unit of exclusion is one node in one phase. Locks are advisory
//! `flock`s on files in `<job>/.lock`: the kernel releases them when the process ends, however it ends.
//! The files themselves stay, since removing a locked file would let two processes lock two files of one name;
//! only [`purge_jobs`](crate::purge_jobs) removes them, together with the job.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use autoexec_model::{NodeKey, PhaseName};
use rustix::fs::{FlockOperation, flock};

use crate::atomic::PRIVATE;
use crate::error::io_error;
use crate::layout::create_dirs;
use crate::{JobDir, StoreError};

/// Pause between two tries for a lock that is held for the length of one file update.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// What is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockScope<'a> {
    /// The job directory as a whole: shared by every process that uses it, exclusive to purge it.
    Job,
    /// Running one node in one phase: taken when the unit starts, held to its end.
    Unit(&'a PhaseName, &'a NodeKey),
    /// Reading, changing and writing back the outputs of a node, which phases running side by side share.
    Output(&'a NodeKey),
    /// The same for job-wide variables.
    Env,
    /// Fetching the parameters and node files of the job.
    Fetch,
}

impl LockScope<'_> {
    fn file_in(self, locks: &Path) -> PathBuf {
        match self {
            Self::Job => locks.join("job"),
            Self::Unit(phase, node) => locks.join("unit").join(phase.as_str()).join(node.as_str()),
            Self::Output(node) => locks.join("output").join(node.as_str()),
            Self::Env => locks.join("env"),
            Self::Fetch => locks.join("fetch"),
        }
    }
}

/// A lock that is held until this value is dropped or the process ends.
#[derive(Debug)]
#[must_use = "the lock is released when this value is dropped"]
pub struct JobLock {
    file: File,
}

impl JobLock {
    /// Takes the lock for this process alone, or says who has it ([`StoreError::Held`]).
    pub fn acquire(job: &JobDir, scope: LockScope<'_>) -> Result<Self, StoreError> {
        let path = scope.file_in(&job.locks());
        let mut file = lock(&path, FlockOperation::NonBlockingLockExclusive)?;
        // For people and for the message of the process that comes second; the lock does not depend on it. Of one width:
        // it replaces another one without the file being cut first.
        file.write_all(format!("{:<10}\n", std::process::id()).as_bytes())
            .map_err(io_error("write", &path))?;
        Ok(Self { file })
    }

    /// Takes the lock together with others that share it, or says that somebody has it alone.
    pub fn share(job: &JobDir, scope: LockScope<'_>) -> Result<Self, StoreError> {
        let file = lock(&scope.file_in(&job.locks()), FlockOperation::NonBlockingLockShared)?;
        Ok(Self { file })
    }

    /// As [`acquire`](Self::acquire), waiting up to `limit` for the holder to let go.
    pub fn acquire_within(job: &JobDir, scope: LockScope<'_>, limit: Duration) -> Result<Self, StoreError> {
        let deadline = Instant::now() + limit;
        loop {
            match Self::acquire(job, scope) {
                Err(StoreError::Held { .. }) if Instant::now() < deadline => thread::sleep(RETRY_PAUSE),
                result => return result,
            }
        }
    }
}

impl Drop for JobLock {
    fn drop(&mut self) {
        // Closing would do, were it not for a child that is just being started: until its `exec` it holds a
        // copy of the descriptor, and with it the lock. An error leaves what closing does.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

fn lock(path: &Path, operation: FlockOperation) -> Result<File, StoreError> {
    loop {
        let file = match open(path) {
            // Not made yet, or purged meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(directory) = path.parent() {
                    create_dirs(directory)?;
                }
                continue;
            }
            result => result.map_err(io_error("open", path))?,
        };
        match flock(&file, operation) {
            Ok(()) if is_still_at(&file, path) => return Ok(file),
            // Purged and made anew while we waited: what we locked is not what others will lock.
            Ok(()) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(StoreError::Held { path: path.to_owned(), pid: holder(path) });
            }
            Err(error) => return Err(io_error("lock", path)(error.into())),
        }
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(PRIVATE).open(path)
}

fn is_still_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(opened), Ok(named)) => opened.ino() == named.ino() && opened.dev() == named.dev(),
        _ => false,
    }
}

fn holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn unit() -> (PhaseName, NodeKey) {
        (PhaseName::new("P").unwrap(), NodeKey::local())
    }

    #[test]
    fn a_unit_is_run_once_while_others_run_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir::at(dir.path());
        let (phase, node) = unit();
        let other = PhaseName::new("Q").unwrap();
        let held = JobLock::acquire(&job, LockScope::Unit(&phase, &node)).unwrap();
        let _beside = JobLock::acquire(&job, LockScope::Unit(&other, &node)).unwrap();
        match JobLock::acquire(&job, LockScope::Unit(&phase, &node)) {
            Err(error @ StoreError::Held { .. }) => {
                assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
            }
            other => panic!("{other:?}"),
        }
        drop(held);
        let _again = JobLock::acquire(&job, LockScope::Unit(&phase, &node)).unwrap();
    }

    #[test]
    fn a_shared_lock_keeps_the_exclusive_one_out() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir::at(dir.path());
        let first = JobLock::share(&job, LockScope::Job).unwrap();
        let second = JobLock::share(&job, LockScope::Job).unwrap();
        drop(first);
        assert!(matches!(JobLock::acquire(&job, LockScope::Job), Err(StoreError::Held { .. })));
        drop(second);
        let _alone = JobLock::acquire(&job, LockScope::Job).unwrap();
        assert!(JobLock::share(&job, LockScope::Job).is_err());
    }

    #[test]
    fn waiting_ends_with_the_holder_or_with_the_limit() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir::at(dir.path());
        let held = JobLock::acquire(&job, LockScope::Env).unwrap();
        let short = JobLock::acquire_within(&job, LockScope::Env, Duration::from_millis(30));
        assert!(matches!(short, Err(StoreError::Held { .. })));
        thread::scope(|scope| {
            let waiter =
                scope.spawn(|| JobLock::acquire_within(&job, LockScope::Env, Duration::from_secs(20)));
            drop(held);
            let _lock = waiter.join().unwrap().unwrap();
        });
    }

    #[test]
    fn the_lock_of_a_killed_process_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir::at(dir.path());
        fs::create_dir(job.locks()).unwrap();
        let script = "exec 9>>\"$1\"; flock 9; echo held; exec cat";
        let mut child = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(job.locks().join("job"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 5];
        child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        assert!(matches!(JobLock::acquire(&job, LockScope::Job), Err(StoreError::Held { pid: None, .. })));
        child.kill().unwrap();
        child.wait().unwrap();
        let _lock = JobLock::acquire(&job, LockScope::Job).unwrap();
    }
}

//! Removing what is no longer wanted: old jobs and history (`--purgejobdata`), statuses (`--cleanstatus`),
//! `spec/cli.md` §1.6.
//!
//! Job ids are cut into pieces of three characters, so the directory of job `620` also holds `620/011`, another
//! job. Only a job's own entries are removed (`spec/defects.md` 37), and no job that a process works on.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use autoexec_model::JobId;

use crate::error::io_error;
use crate::{Home, JobDir, JobLock, LockScope, StoreError};

/// Length of all pieces of a job id but the last.
const PIECE: usize = 3;

/// The one directory of a job whose name could also be a piece of an id.
const LOG_DIRECTORY: &str = "log";

/// What was done, and what could not be.
#[derive(Debug, Default)]
pub struct PurgeReport {
    /// Jobs removed.
    pub removed_jobs: Vec<JobId>,
    /// Old history files removed from jobs that stay.
    pub removed_history: u64,
    /// Jobs left alone because a process works on them.
    pub in_use: Vec<JobId>,
    /// What could not be removed or read; the rest was done nevertheless.
    pub failures: Vec<StoreError>,
}

/// Removes the statuses of all nodes of a job.
pub fn clean_status(job: &JobDir) -> Result<(), StoreError> {
    remove_tree(&job.statuses())
}

/// Removes jobs not touched for `age` before `now`, and history files that old in jobs that stay.
///
/// A job for which `is_running` is true, or whose lock a process holds, is left alone.
pub fn purge_jobs(
    home: &Home,
    age: Duration,
    now: SystemTime,
    is_running: &dyn Fn(&JobId) -> bool,
) -> PurgeReport {
    // Before the epoch there is nothing to purge.
    let before = now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH);
    let mut purge = Purge { before, is_running, top: home.jobs(), report: PurgeReport::default() };
    purge.walk(&home.jobs(), "");
    purge.report
}

struct Purge<'a> {
    before: SystemTime,
    is_running: &'a dyn Fn(&JobId) -> bool,
    top: PathBuf,
    report: PurgeReport,
}

impl Purge<'_> {
    /// Visits the jobs below `directory`, whose path stands for the id so far.
    fn walk(&mut self, directory: &Path, id: &str) {
        for entry in self.entries(directory) {
            let name = entry.file_name();
            let Some(piece) = name.to_str().filter(|name| is_piece(name)) else { continue };
            let own_log = piece == LOG_DIRECTORY && is_job(directory);
            if own_log || !is_directory(&entry) {
                continue;
            }
            let id = format!("{id}{piece}");
            if piece.len() == PIECE {
                self.walk(&entry.path(), &id);
            }
            if let Ok(id) = JobId::new(id)
                && is_job(&entry.path())
            {
                self.visit_job(&entry.path(), id);
            }
        }
    }

    fn visit_job(&mut self, root: &Path, id: JobId) {
        let job = JobDir::at(root);
        if (self.is_running)(&id) {
            self.report.in_use.push(id);
            return;
        }
        // Held while we remove: a process that starts now waits or is refused instead of losing its files.
        let _lock = match JobLock::acquire(&job, LockScope::Job) {
            Ok(lock) => lock,
            Err(StoreError::Held { .. }) => return self.report.in_use.push(id),
            Err(error) => return self.report.failures.push(error),
        };
        if last_touched(&job) < self.before {
            self.remove_job(&job, id);
        } else {
            self.remove_history(&job.logs(), false);
        }
    }

    fn remove_job(&mut self, job: &JobDir, id: JobId) {
        let failures = self.report.failures.len();
        for entry in self.entries(job.root()) {
            if belongs_to_another_job(&entry) {
                continue;
            }
            if let Err(error) = remove_tree(&entry.path()) {
                self.report.failures.push(error);
            }
        }
        if failures == self.report.failures.len() {
            self.report.removed_jobs.push(id);
            self.remove_empty_parents(job.root());
        }
    }

    fn remove_empty_parents(&self, from: &Path) {
        for directory in from.ancestors().take_while(|directory| *directory != self.top) {
            // Not empty, or just made by somebody: then it stays, and so do those above.
            if fs::remove_dir(directory).is_err() {
                return;
            }
        }
    }

    /// Removes old files in directories named `*.hislog`.
    fn remove_history(&mut self, directory: &Path, is_history: bool) {
        for entry in self.entries(directory) {
            let path = entry.path();
            if is_directory(&entry) {
                self.remove_history(&path, path.extension().is_some_and(|extension| extension == "hislog"));
            } else if is_history && modified(&path).is_some_and(|time| time < self.before) {
                match remove_tree(&path) {
                    Ok(()) => self.report.removed_history += 1,
                    Err(error) => self.report.failures.push(error),
                }
            }
        }
    }

    fn entries(&mut self, directory: &Path) -> Vec<DirEntry> {
        let listed = fs::read_dir(directory).and_then(Iterator::collect);
        match listed {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                self.report.failures.push(io_error("list", directory)(error));
                Vec::new()
            }
        }
    }
}

/// Whether the name can be a piece of a job id.
fn is_piece(name: &str) -> bool {
    name.len() <= PIECE && JobId::new(name).is_ok()
}

/// The parameters are there after the first fetch; the console log from the start, made by the runner.
fn is_job(directory: &Path) -> bool {
    let job = JobDir::at(directory);
    job.params().is_file() || job.console_log().is_file()
}

/// Whether an entry of a job directory is the way to other jobs: ids are digits in practice; other names of
/// that length (a tool's `tmp`) count only if there is a job below.
fn belongs_to_another_job(entry: &DirEntry) -> bool {
    let name = entry.file_name();
    let Some(name) = name.to_str() else { return false };
    if name == LOG_DIRECTORY || !is_piece(name) || !is_directory(entry) {
        return false;
    }
    name.bytes().all(|byte| byte.is_ascii_digit()) || holds_job(&entry.path())
}

fn holds_job(directory: &Path) -> bool {
    if is_job(directory) {
        return true;
    }
    let Ok(entries) = fs::read_dir(directory) else { return false };
    entries.flatten().any(|entry| {
        entry.file_name().to_str().is_some_and(is_piece) && is_directory(&entry) && holds_job(&entry.path())
    })
}

/// Does not follow links.
fn is_directory(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir())
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::symlink_metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// The parameters alone would make a job look old that is run again without fetching them.
fn last_touched(job: &JobDir) -> SystemTime {
    [job.params(), job.nodes(), job.console_log(), job.statuses(), job.journals()]
        .iter()
        .filter_map(|path| modified(path))
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Removes a file, a link (not what it points to) or a directory with its content. It may be gone already.
fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    const DAY: Duration = Duration::from_hours(24);

    struct Fixture {
        dir: tempfile::TempDir,
        now: SystemTime,
    }

    impl Fixture {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap(), now: SystemTime::now() }
        }

        fn home(&self) -> Home {
            Home::new(self.dir.path())
        }

        fn job(&self, id: &str, days: u32) -> JobDir {
            let job = self.home().job(&JobId::new(id).unwrap());
            job.create().unwrap();
            fs::create_dir_all(job.journals()).unwrap();
            fs::create_dir_all(job.console_history()).unwrap();
            for path in [job.params(), job.console_log(), job.console_history().join("h.txt")] {
                fs::write(&path, "x").unwrap();
                self.age(&path, days);
            }
            for path in [job.statuses(), job.journals()] {
                self.age(&path, days);
            }
            job
        }

        fn age(&self, path: &Path, days: u32) {
            File::open(path).unwrap().set_modified(self.now - DAY * days).unwrap();
        }

        fn purge(&self, is_running: &dyn Fn(&JobId) -> bool) -> PurgeReport {
            purge_jobs(&self.home(), DAY * 30, self.now, is_running)
        }
    }

    fn ids(jobs: &[JobId]) -> Vec<&str> {
        let mut ids: Vec<_> = jobs.iter().map(JobId::as_str).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn only_old_jobs_go_and_a_prefix_does_not_take_others_along() {
        let fixture = Fixture::new();
        let old = fixture.job("620", 40);
        fs::create_dir(old.root().join("tmp")).unwrap();
        let young = fixture.job("620011", 5);
        let gone = fixture.job("62001199", 40);
        let lone = fixture.job("7", 40);
        let report = fixture.purge(&|_| false);
        assert_eq!(ids(&report.removed_jobs), ["620", "62001199", "7"]);
        assert!(report.failures.is_empty(), "{:?}", report.failures);
        assert!(!old.params().exists() && !old.logs().exists() && !old.root().join("tmp").exists());
        assert!(young.params().exists() && young.console_log().exists());
        assert!(!gone.root().exists() && !lone.root().exists());
        assert!(fixture.home().jobs().is_dir());
    }

    #[test]
    fn a_running_job_and_a_locked_one_stay() {
        let fixture = Fixture::new();
        let (running, locked) = (fixture.job("1", 40), fixture.job("2", 40));
        let _lock = JobLock::share(&locked, LockScope::Job).unwrap();
        let report = fixture.purge(&|id| id.as_str() == "1");
        assert_eq!(ids(&report.in_use), ["1", "2"]);
        assert!(running.params().exists() && locked.params().exists());
    }

    #[test]
    fn a_job_that_was_run_again_is_young_and_loses_old_history_only() {
        let fixture = Fixture::new();
        let job = fixture.job("12345", 40);
        fixture.age(&job.console_log(), 1);
        let new = job.console_history().join("new.txt");
        fs::write(&new, "").unwrap();
        let report = fixture.purge(&|_| false);
        assert!(report.removed_jobs.is_empty());
        assert_eq!(report.removed_history, 1);
        assert!(new.exists() && job.params().exists() && job.console_log().exists());
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let fixture = Fixture::new();
        let job = fixture.job("9", 40);
        let outside = fixture.dir.path().join("data/cache");
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("11"), "kept").unwrap();
        std::os::unix::fs::symlink(outside.join("11"), job.files().join("a")).unwrap();
        std::os::unix::fs::symlink(&outside, job.root().join("dir")).unwrap();
        fixture.purge(&|_| false);
        assert!(!job.root().exists());
        assert!(outside.join("11").exists());
    }

    #[test]
    fn a_home_without_jobs_is_no_error() {
        let fixture = Fixture::new();
        assert!(fixture.purge(&|_| false).failures.is_empty());
    }
}

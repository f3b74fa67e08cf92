//! History files: hard links that keep the text of a log when the next run replaces it (`spec/workdir.md` §5.4).
//!
//! The server names a history file by start time, status and user, and the runner rebuilds the file name from
//! these; so the format is fixed. A stamp has a resolution of one second, and an existing file is never
//! replaced: the next free second is taken instead (`spec/defects.md` 33).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use autoexec_model::NodeStatus;
use jiff::{SignedDuration, Timestamp};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::LogError;
use super::clock::LogClock;
use super::error::{check_names, io_error};

/// How many seconds are tried.
const MAX_TRIES: i64 = 3600;

/// A history link whose name says `running` until the run ends.
#[derive(Debug)]
pub(super) struct RunningLink {
    path: PathBuf,
    started: Timestamp,
}

/// Links the console log as `<stamp>.<user>.txt`.
pub(super) fn link_console(
    log: &Path,
    directory: &Path,
    user: &str,
    clock: &LogClock,
) -> Result<(), LogError> {
    let name = |stamp: String| format!("{stamp}.{user}.txt");
    at_free_second(directory, clock.now(), clock, name, |to| fs::hard_link(log, to)).map(drop)
}

/// Links a node log as `<stamp>.running.<user>.txt`.
pub(super) fn link_running(
    log: &Path,
    directory: &Path,
    user: &str,
    clock: &LogClock,
) -> Result<RunningLink, LogError> {
    let name = |stamp: String| format!("{stamp}.running.{user}.txt");
    let (path, started) = at_free_second(directory, clock.now(), clock, name, |to| fs::hard_link(log, to))?;
    Ok(RunningLink { path, started })
}

impl RunningLink {
    /// Gives the link its final name.
    pub(super) fn finish(&self, status: NodeStatus, user: &str, clock: &LogClock) -> Result<(), LogError> {
        let directory = self.path.parent().unwrap_or(Path::new("."));
        let name = |stamp: String| format!("{stamp}.{status}.{user}.txt");
        at_free_second(directory, self.started, clock, name, |to| rename_to_free(&self.path, to)).map(drop)
    }
}

/// Lets `make` make a file under the first name from `from` on that it finds free.
fn at_free_second(
    directory: &Path,
    from: Timestamp,
    clock: &LogClock,
    name: impl Fn(String) -> String,
    make: impl Fn(&Path) -> io::Result<()>,
) -> Result<(PathBuf, Timestamp), LogError> {
    for offset in 0..MAX_TRIES {
        let Ok(moment) = from.checked_add(SignedDuration::from_secs(offset)) else { break };
        let path = directory.join(name(clock.history_stamp(moment)));
        check_names(&path)?;
        match make(&path) {
            Ok(()) => return Ok((path, moment)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error("create the history file", &path)(error)),
        }
    }
    Err(LogError::HistoryFull { path: directory.to_owned() })
}

/// Renames without replacing. File systems that cannot do that in one step get a second link first.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::io::Errno;
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(from, to).and_then(|()| fs::remove_file(from)),
        result => result.map_err(io::Error::from),
    }
}

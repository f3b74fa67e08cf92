//! Where a stand-alone run keeps its things: the home, the job id, the job directory.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use autoexec_model::JobId;
use autoexec_store::{Home, JobDir, JobLock, LockScope, StoreError};
use jiff::{ToSpan, Zoned};

use crate::CliError;

/// Tries to find an id that no job has; each is a millisecond later than the last.
const MAX_TRIES: usize = 10_000;

/// A home and why it was taken.
#[derive(Debug)]
pub(super) struct FoundHome {
    /// The home.
    pub(super) home: Home,
    /// It is the user's own, since the program is installed in none.
    pub(super) is_personal: bool,
}

/// `AUTOEXEC_HOME`, else the installation the program is in, else a directory of the user's.
pub(super) fn find_home() -> Result<FoundHome, CliError> {
    let is_named = std::env::var_os("AUTOEXEC_HOME").is_some_and(|home| !home.is_empty());
    if is_named {
        return Ok(FoundHome { home: crate::home::find()?, is_personal: false });
    }
    if let Ok(home) = crate::home::find()
        && looks_like_home(home.root())
    {
        return Ok(FoundHome { home, is_personal: false });
    }
    let root = personal(
        std::env::var_os("XDG_STATE_HOME").map(PathBuf::from),
        std::env::var_os("HOME").map(PathBuf::from),
    );
    let root = root.ok_or_else(|| {
        CliError::files(
            "there is no place for job directories: neither AUTOEXEC_HOME, XDG_STATE_HOME nor HOME is set",
        )
        .hint("set AUTOEXEC_HOME to a directory of your own")
    })?;
    Ok(FoundHome { home: Home::new(root), is_personal: true })
}

/// Where the jobs of the program are that is in `program`.
pub(crate) fn home_of_jobs(program: &Home) -> Home {
    find_home().map_or_else(|_| program.clone(), |found| found.home)
}

fn looks_like_home(root: &Path) -> bool {
    ["conf", "plugins", "data"].iter().any(|name| root.join(name).is_dir())
}

/// Relative values of `XDG_STATE_HOME` are to be ignored, says its specification.
fn personal(state: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let state = state.filter(|path| path.is_absolute());
    let home = home.filter(|path| path.is_absolute());
    state.or_else(|| Some(home?.join(".local/state"))).map(|state| state.join("autoexec"))
}

/// Makes a personal home, closed to others.
pub(super) fn make(home: &Home) -> Result<(), CliError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(home.root())
        .map_err(|error| CliError::files(format!("can not create {}: {error}", home.root().display())))
}

/// The directory of a run, held against a second run of the same job.
#[derive(Debug)]
pub(super) struct JobPlace {
    /// The id.
    pub(super) job: JobId,
    /// The directory.
    pub(super) dir: JobDir,
    /// Nothing was run under this id before.
    pub(super) is_new: bool,
    _alone: JobLock,
}

impl JobPlace {
    /// Takes the job of `id`, or a new one.
    pub(super) fn take(home: &Home, id: Option<&str>) -> Result<Self, CliError> {
        let job = match id {
            Some(text) => parse_id(text)?,
            None => new_job(home, &Zoned::now())?,
        };
        let dir = home.job(&job);
        let is_new = !dir.params().exists();
        dir.create().map_err(CliError::files)?;
        // Parameters and nodes are replaced below; a run that still reads them would get the wrong secrets.
        let alone = JobLock::acquire(&dir, LockScope::Fetch).map_err(|error| held(&job, error))?;
        Ok(Self { job, dir, is_new, _alone: alone })
    }
}

/// Checks an id from the command line.
pub(super) fn parse_id(text: &str) -> Result<JobId, CliError> {
    JobId::new(text)
        .map_err(|error| CliError::new(autoexec_events::ExitCode::Usage, format!("--id: {error}")))
}

fn held(job: &JobId, error: StoreError) -> CliError {
    match error {
        StoreError::Held { pid, .. } => {
            let pid = pid.map(|pid| format!(" by process {pid}")).unwrap_or_default();
            CliError::bad_input(format!("job {job} is being run{pid}")).hint(format!(
                "wait until it has ended, or end it: Ctrl-C where it runs, or autoexec --abort --jobid {job}"
            ))
        }
        other => CliError::files(other),
    }
}

/// An id made from the time, unique because its directory is made here and now.
fn new_job(home: &Home, now: &Zoned) -> Result<JobId, CliError> {
    let mut time = now.clone();
    for _ in 0..MAX_TRIES {
        let job = JobId::new(digits(&time)).map_err(CliError::files)?;
        let root = home.job(&job).root().to_owned();
        let complain =
            |error: std::io::Error| CliError::files(format!("can not create {}: {error}", root.display()));
        if let Some(parent) = root.parent() {
            std::fs::create_dir_all(parent).map_err(complain)?;
        }
        match std::fs::DirBuilder::new().mode(0o700).create(&root) {
            Ok(()) => return Ok(job),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(complain(error)),
        }
        time = time.saturating_add(1.millisecond());
    }
    Err(CliError::files(format!("no free job id in {}", home.jobs().display())).hint("give one with --id"))
}

/// Year to millisecond: 17 digits, so that no id is the beginning of another and their directories never nest.
fn digits(time: &Zoned) -> String {
    format!("{}{:03}", time.strftime("%Y%m%d%H%M%S"), time.millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_the_time_and_are_never_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let now: Zoned = "2026-11-22T21:58:03.999+00:00[UTC]".parse().unwrap();
        assert_eq!(new_job(&home, &now).unwrap().as_str(), "20261122215803999");
        assert_eq!(new_job(&home, &now).unwrap().as_str(), "20261122215804000");
        assert!(home.job(&JobId::new("20261122215804000").unwrap()).root().is_dir());
    }

    #[test]
    fn a_job_is_run_by_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let place = JobPlace::take(&home, Some("77")).unwrap();
        assert!(place.is_new);
        let error = JobPlace::take(&home, Some("77")).unwrap_err().to_string();
        assert!(error.contains("job 77 is being run by process"), "{error}");
        std::fs::write(place.dir.params(), "{}").unwrap();
        drop(place);
        assert!(!JobPlace::take(&home, Some("77")).unwrap().is_new);
        assert!(JobPlace::take(&home, Some("../x")).unwrap_err().to_string().contains("--id: job id `../x`"));
    }

    #[test]
    fn the_users_own_home_follows_xdg() {
        let path = |text: &str| Some(PathBuf::from(text));
        assert_eq!(personal(path("/s"), path("/h")), path("/s/autoexec"));
        assert_eq!(personal(path("s"), path("/h")), path("/h/.local/state/autoexec"));
        assert_eq!(personal(None, None), None);
    }
}

//! The job that a mode is about: its directory, its console log, its processes.

use std::sync::Arc;

use autoexec_events::{ExitCode, Level};
use autoexec_model::{JobId, JobParams};
use autoexec_report::logfile::{ConsoleLog, ConsoleStart, LogClock};
use autoexec_store::{Home, JobDir};

use super::running::{self, Running};
use super::say;
use crate::CliError;
use crate::args::DropIn;
use crate::run::{logging, tell_console};

/// A job, and what was typed about it.
pub(super) struct TargetJob {
    pub(super) home: Home,
    /// By which processes of this program know each other; another one than `home` where that is the user's own.
    program: Home,
    pub(super) id: JobId,
    pub(super) dir: JobDir,
    pub(super) flags: DropIn,
    /// None for a job that never ran here: a mode makes no directory for it.
    pub(super) console: Option<Arc<ConsoleLog>>,
}

impl TargetJob {
    pub(super) fn open(home: &Home, program: &Home, flags: DropIn) -> Result<Self, CliError> {
        let id = JobId::new(flags.jobid.clone())
            .map_err(|error| CliError::new(ExitCode::Usage, error.to_string()))?;
        let dir = home.job(&id);
        let console = if dir.logs().is_dir() {
            let user = flags.execuser.as_deref().unwrap_or("anonymous");
            // An unwritable log must not keep anybody from stopping a job.
            ConsoleLog::open(&dir, ConsoleStart::Append, user, LogClock::system())
                .map_err(|error| say(&format!("WARN: {error}")))
                .ok()
                .map(Arc::new)
        } else {
            None
        };
        Ok(Self { home: home.clone(), program: program.clone(), id, dir, flags, console })
    }

    /// Does `work`; an error goes to the console log too.
    pub(super) fn reporting(
        self,
        work: impl FnOnce(&Self) -> Result<ExitCode, CliError>,
    ) -> Result<ExitCode, CliError> {
        work(&self).map_err(|error| match &self.console {
            Some(console) => tell_console(console, error),
            None => error,
        })
    }

    /// Tells the job's owner in the console log and whoever started the command on standard error; under the runner
    /// the two are the same file.
    pub(super) fn tell(&self, level: Level, text: &str) {
        let logged = self.console.as_ref().is_some_and(|console| {
            console.message(level, text).is_ok() && logging::stderr_is(console.path())
        });
        if !logged {
            say(&format!("{} {text}", level.prefix()));
        }
    }

    /// The processes that run this job.
    pub(super) fn running(&self) -> Result<Running, CliError> {
        running::processes(&self.program, &self.id, &self.dir)
    }

    /// The job's parameters, as far as they were stored and can be read: they say under which id, tenant and
    /// runner the server knows the job.
    pub(super) fn params(&self) -> Option<JobParams> {
        let path = self.dir.params();
        let text = std::fs::read(&path).ok()?;
        JobParams::parse(&text, &path.display().to_string()).ok()
    }
}

/// `process 11` or `processes 11, 12`.
pub(super) fn named(pids: &[u32]) -> String {
    let list: Vec<String> = pids.iter().map(u32::to_string).collect();
    format!("process{} {}", if pids.len() == 1 { "" } else { "es" }, list.join(", "))
}

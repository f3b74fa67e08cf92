//! Which processes of this home run which jobs, by the very parser that reads our own command line.

use std::ffi::OsString;

use autoexec_control::processes::{self, JobProcess, ProcessError};
use autoexec_events::ExitCode;
use autoexec_model::JobId;
use autoexec_store::{Home, JobDir, JobLock, LockScope, StoreError};

use crate::CliError;
use crate::args::{self, Command, Mode};

/// The jobs that say on their command line which they are. The others are held by their locks alone.
pub(super) fn named_jobs(home: &Home) -> Result<Vec<JobId>, CliError> {
    let processes = processes::running(home, &|arguments| match run_of(arguments)? {
        RunOf::Fired(job) => Some(job),
        RunOf::StandAlone(job) => job,
    });
    let processes = processes.map_err(unexpected)?;
    Ok(processes.iter().map(|process| process.job().clone()).collect())
}

/// The processes that run one job.
pub(super) struct Running {
    pub(super) processes: Vec<JobProcess>,
    /// All of them are `autoexec run`: no server knows the job.
    pub(super) is_standalone: bool,
}

/// Finds those of a job in `dir`. `program` is the home by which processes of this program know each other.
pub(super) fn processes(program: &Home, job: &JobId, dir: &JobDir) -> Result<Running, CliError> {
    let running = |wanted: &RunOf| {
        processes::running(program, &|arguments| (run_of(arguments)? == *wanted).then(|| job.clone()))
            .map_err(unexpected)
    };
    let mut processes = running(&RunOf::Fired(job.clone()))?;
    let is_standalone = processes.is_empty();
    processes.extend(running(&RunOf::StandAlone(Some(job.clone())))?);
    let mut unnamed = running(&RunOf::StandAlone(None))?;
    if !unnamed.is_empty() {
        // They got their ids from the time. Which job one works on is known by the lock that it holds.
        let holder = holder(dir);
        unnamed.retain(|process| holder == Some(process.pid()));
        processes.extend(unnamed);
    }
    Ok(Running { processes, is_standalone })
}

/// The process that has the job of a stand-alone run to itself.
fn holder(dir: &JobDir) -> Option<u32> {
    // Asking for a lock makes its directory, and a job that never ran here is to have none.
    if !dir.locks().is_dir() {
        return None;
    }
    match JobLock::acquire(dir, LockScope::Fetch) {
        Err(StoreError::Held { pid, .. }) => pid,
        _ => None,
    }
}

/// An error of the system: never 2, which says that there is no process (defect 18).
pub(super) fn unexpected(error: ProcessError) -> CliError {
    CliError::new(ExitCode::Internal, error.to_string())
}

/// What a command line runs.
#[derive(Debug, PartialEq, Eq)]
enum RunOf {
    /// A job by the flags of the replaced program.
    Fired(JobId),
    /// A job from files, whose id it may leave to the time.
    StandAlone(Option<JobId>),
}

/// None for other modes and for what is no command line of ours.
fn run_of(arguments: &[OsString]) -> Option<RunOf> {
    let all = std::iter::once(OsString::from("autoexec")).chain(arguments.iter().cloned());
    let cli = args::understand(all).ok()?.cli;
    match cli.command {
        None if cli.drop_in.mode() == Mode::Run => JobId::new(cli.drop_in.jobid).ok().map(RunOf::Fired),
        Some(Command::Run(arguments)) => {
            arguments.job.id.map(JobId::new).transpose().ok().map(RunOf::StandAlone)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &[&str]) -> Option<RunOf> {
        let arguments: Vec<OsString> = line.iter().map(OsString::from).collect();
        run_of(&arguments)
    }

    fn job(line: &[&str]) -> Option<String> {
        match run(line)? {
            RunOf::Fired(job) => Some(job.to_string()),
            RunOf::StandAlone(_) => None,
        }
    }

    #[test]
    fn the_job_is_the_value_of_its_flag_in_every_spelling() {
        for line in [
            &["--jobid", "620"][..],
            &["--jobid=620"],
            &["-j", "620"],
            &["-j620"],
            &["-dfj", "620"],
            &["--execuser", "u", "--jobi", "620", "--firstfire"],
            &["--newflag", "--jobid", "620"],
        ] {
            assert_eq!(job(line).as_deref(), Some("620"), "{line:?}");
        }
    }

    #[test]
    fn a_stand_alone_run_is_told_apart_and_may_name_no_job() {
        let named = RunOf::StandAlone(Some(JobId::new("620").unwrap()));
        assert_eq!(run(&["run", "job.yaml", "--id", "620"]), Some(named));
        assert_eq!(run(&["run", "job.yaml", "-o", "a=--id"]), Some(RunOf::StandAlone(None)));
        assert_eq!(run(&["run", "job.yaml", "--id", "../x"]), None);
    }

    #[test]
    fn what_only_holds_the_id_is_another_job() {
        assert_eq!(job(&["--jobid", "6200", "--nodes", "620"]).as_deref(), Some("6200"));
        assert_eq!(job(&["--execid", "620"]).as_deref(), Some("0"));
        assert_eq!(job(&["--jobid", "7", "--passthroughenv", r#"{"x":"--abort"}"#]).as_deref(), Some("7"));
    }

    #[test]
    fn other_modes_run_no_job() {
        for mode in [
            "--abort",
            "-k",
            "--pause",
            "-s",
            "--cleanstatus",
            "-c",
            "--register=t",
            "--purgejobdata=3",
            "--abo",
        ] {
            assert_eq!(run(&["--jobid", "620", mode]), None, "{mode}");
        }
        for line in [&["status", "620"][..], &["--jobid"], &["--jobid", "../x"], &["--help"]] {
            assert_eq!(run(line), None, "{line:?}");
        }
    }
}

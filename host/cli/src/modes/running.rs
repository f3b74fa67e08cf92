//! Which processes of this home run which jobs, by the very parser that reads our own command line.

use std::ffi::OsString;

use autoexec_control::processes::{self, JobProcess, ProcessError};
use autoexec_events::ExitCode;
use autoexec_model::JobId;
use autoexec_store::Home;

use crate::CliError;
use crate::args::{self, Command, Mode};

/// All of them.
pub(super) fn processes(home: &Home) -> Result<Vec<JobProcess>, CliError> {
    processes::running(home, &job_of).map_err(unexpected)
}

/// An error of the system: never 2, which says that there is no process (defect 18).
pub(super) fn unexpected(error: ProcessError) -> CliError {
    CliError::new(ExitCode::Internal, error.to_string())
}

/// The job that a command line runs; none for other modes and for what is no command line of ours.
fn job_of(arguments: &[OsString]) -> Option<JobId> {
    let all = std::iter::once(OsString::from("autoexec")).chain(arguments.iter().cloned());
    let cli = args::understand(all).ok()?.cli;
    let id = match cli.command {
        None if cli.drop_in.mode() == Mode::Run => cli.drop_in.jobid,
        Some(Command::Run(arguments)) => arguments.job.id?,
        _ => return None,
    };
    JobId::new(id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(line: &[&str]) -> Option<String> {
        let arguments: Vec<OsString> = line.iter().map(OsString::from).collect();
        job_of(&arguments).map(|job| job.to_string())
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
            &["run", "job.yaml", "--id", "620"],
        ] {
            assert_eq!(job(line).as_deref(), Some("620"), "{line:?}");
        }
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
            assert_eq!(job(&["--jobid", "620", mode]), None, "{mode}");
        }
        for line in
            [&["run", "job.yaml"][..], &["status", "620"], &["--jobid"], &["--jobid", "../x"], &["--help"]]
        {
            assert_eq!(job(line), None, "{line:?}");
        }
    }
}

//! `--cleanstatus`: forgets the statuses of all nodes of a job.

use autoexec_events::{ExitCode, Level};
use autoexec_store::{FileRecords, NodeRecords};

use super::target::{TargetJob, named};
use crate::CliError;

pub(super) fn run(job: &TargetJob) -> Result<ExitCode, CliError> {
    let processes = job.processes()?;
    if !processes.is_empty() {
        let pids: Vec<u32> = processes.iter().map(autoexec_control::processes::JobProcess::pid).collect();
        let text =
            format!("Job {} is being run by {}; the nodes at work keep their status.", job.id, named(&pids));
        job.tell(Level::Warn, &text);
    }
    let cleaned = FileRecords::new(job.dir.clone()).clean_states();
    if let Err(error) = cleaned {
        return Err(CliError::new(
            ExitCode::NodeFailed,
            format!("the statuses of job {} are not forgotten: {error}", job.id),
        ));
    }
    job.tell(Level::Info, &format!("The statuses of all nodes of job {} are forgotten.", job.id));
    Ok(ExitCode::Success)
}

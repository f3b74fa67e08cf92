//! `--pause`: asks the processes of a job to stop between two operations, and waits for them.

use autoexec_control::stop;
use autoexec_events::{ExitCode, Level};
use autoexec_model::JobStatus;

use super::callback::{Found, conclude};
use super::running::{Running, unexpected};
use super::target::{TargetJob, named};
use crate::CliError;

pub(super) fn run(job: &TargetJob) -> Result<ExitCode, CliError> {
    let Running { processes, is_standalone } = job.running()?;
    if processes.is_empty() {
        job.tell(Level::Warn, &format!("Pause of job {}: no process of it runs here.", job.id));
        return conclude(job, JobStatus::Paused, Found::Nothing);
    }
    let pids: Vec<u32> = processes.iter().map(autoexec_control::processes::JobProcess::pid).collect();
    let text =
        format!("Pause of job {}: {} asked; running operations end by themselves.", job.id, named(&pids));
    job.tell(Level::Info, &text);
    stop::pause(&processes).map_err(unexpected)?;
    job.tell(Level::Info, &format!("Job {} is paused.", job.id));
    conclude(job, JobStatus::Paused, Found::stopped(is_standalone))
}

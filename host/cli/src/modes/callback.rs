//! "Job aborted" and "job paused": told to the server after whatever the ended process could not deliver.

use std::sync::Arc;
use std::time::Duration;

use autoexec_console::{Callback, ConsoleClient, JobStatusUpdate, UnixTime};
use autoexec_events::{ExitCode, Level};
use autoexec_model::JobStatus;
use autoexec_report::logfile::ConsoleLog;
use tokio::sync::{mpsc, watch};

use super::server;
use super::target::TargetJob;
use crate::CliError;
use crate::run::{outbox, runtime};

/// The runner waits for the mode to end; what is not delivered by then is kept for the next process of the job.
const LIMIT: Duration = Duration::from_secs(30);

/// Whether there was a process to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    Stopped,
    /// One of a job that no server knows.
    StandAlone,
}

impl Found {
    /// Something was stopped.
    pub(super) fn stopped(is_standalone: bool) -> Self {
        if is_standalone { Self::StandAlone } else { Self::Stopped }
    }
}

/// Sends the callback and gives the exit code that says what was found (`spec/cli.md` §1.4).
///
/// Without a process the code is 2 whatever becomes of the callback: the runner then tells the server itself.
pub(super) fn conclude(job: &TargetJob, status: JobStatus, found: Found) -> Result<ExitCode, CliError> {
    match found {
        Found::StandAlone => {
            let text = format!(
                "No server is told: the job was started from files. Go on with it by the same command and --id {}.",
                job.id
            );
            job.tell(Level::Info, &text);
            Ok(ExitCode::Success)
        }
        Found::Stopped => match send(job, status)? {
            0 => Ok(ExitCode::Success),
            _ => Ok(ExitCode::Undelivered),
        },
        Found::Nothing => {
            if let Err(error) = send(job, status) {
                job.tell(Level::Error, error.to_string().trim_start_matches("ERROR: "));
            }
            Ok(ExitCode::NoSuchProcess)
        }
    }
}

/// Returns the number of callbacks that could not be delivered and are kept.
fn send(job: &TargetJob, status: JobStatus) -> Result<u64, CliError> {
    if job.flags.devmode {
        return Ok(0);
    }
    let (client, known_as) = server::client_of(job)?;
    let update = JobStatusUpdate { job: known_as, time: UnixTime::now(), status };
    runtime()?.block_on(async {
        match &job.console {
            Some(console) => deliver(job, &client, console, update).await,
            None => client.job_status(&update).await.map(|()| 0).map_err(CliError::server),
        }
    })
}

/// Through the outbox: what the ended process left comes first, or its late "running" would be the last word.
async fn deliver(
    job: &TargetJob,
    client: &Arc<ConsoleClient>,
    console: &Arc<ConsoleLog>,
    update: JobStatusUpdate,
) -> Result<u64, CliError> {
    // Nobody here takes requests, and nobody asks this process to end early.
    let (requests, _) = mpsc::channel(1);
    let (_asking, asked_to_end) = watch::channel(false);
    let outboxes = outbox::open(&job.dir, client, console, &requests)?;
    outboxes.own.enqueue(Callback::JobStatus(update)).map_err(CliError::files)?;
    Ok(outbox::drain(&outboxes, LIMIT, asked_to_end, console).await)
}

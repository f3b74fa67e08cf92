//! The outbox of a run: what it says, and waiting for it at the end.

use std::sync::Arc;
use std::time::Duration;

use autoexec_console::{ConsoleClient, Outbox, OutboxEvent, OutboxHandle, OutboxSettings};
use autoexec_engine::Request;
use autoexec_events::Level;
use autoexec_report::logfile::ConsoleLog;
use autoexec_store::JobDir;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::CliError;

/// After an abort nobody waits long for a server that is away.
const WAIT_AFTER_ABORT: Duration = Duration::from_secs(30);

/// Opens the job's outbox. What an earlier process left is sent before anything of this one.
pub(super) fn open(
    job_dir: &JobDir,
    client: Arc<ConsoleClient>,
    console: &Arc<ConsoleLog>,
    requests: mpsc::Sender<Request>,
) -> Result<OutboxHandle, CliError> {
    let (events, receiver) = mpsc::unbounded_channel();
    let path = job_dir.root().join(".outbox.jsonl");
    let (outbox, report) =
        Outbox::open(&path, client, OutboxSettings::new(events)).map_err(CliError::files)?;
    if report.left_over > 0 {
        say(console, Level::Info, &format!("{} callback(s) of an earlier process are sent first.", report.left_over));
    }
    tokio::spawn(listen(receiver, Arc::clone(console), requests));
    Ok(outbox)
}

async fn listen(
    mut events: mpsc::UnboundedReceiver<OutboxEvent>,
    console: Arc<ConsoleLog>,
    requests: mpsc::Sender<Request>,
) {
    while let Some(event) = events.recv().await {
        match event {
            OutboxEvent::Delivered { .. } => {}
            OutboxEvent::PeerFailed { phase } => {
                // After the run there is nothing left to stop.
                let _ = requests.send(Request::PeerFailed(phase)).await;
            }
            OutboxEvent::Retrying { summary, message, attempt, .. } if attempt <= 1 => {
                say(&console, Level::Warn, &format!("The server did not take the callback ({summary}), it is tried again: {message}"));
            }
            OutboxEvent::Retrying { .. } => {}
            OutboxEvent::Rejected { summary, message, .. } => {
                say(&console, Level::Error, &format!("The server refused the callback ({summary}): {message}"));
            }
            other => say(&console, Level::Warn, &format!("{other:?}")),
        }
    }
}

fn say(console: &ConsoleLog, level: Level, text: &str) {
    // A console log that cannot be written is reported by the run's own reporter.
    let _ = console.message(level, text);
}

/// Delivers what is left. Ends early when somebody asks the process to end; what is undelivered then is kept for the
/// next process of the job.
pub(super) async fn drain(
    outbox: &OutboxHandle,
    limit: Duration,
    mut asked_to_end: watch::Receiver<bool>,
    console: &ConsoleLog,
) -> u64 {
    let aborted = *asked_to_end.borrow();
    let limit = if aborted { limit.min(WAIT_AFTER_ABORT) } else { limit };
    let waiting = outbox.drain(Instant::now() + limit);
    let undelivered = tokio::select! {
        report = waiting => report.undelivered,
        Ok(()) = asked_to_end.changed(), if !aborted => outbox.undelivered(),
    };
    if undelivered > 0 {
        say(console, Level::Error, &format!("{undelivered} callback(s) could not be delivered; they are kept and sent by the next process of the job."));
    }
    undelivered as u64
}

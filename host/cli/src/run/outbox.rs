//! The outbox of a run: what it says, and waiting for it at the end.

use std::sync::Arc;
use std::time::Duration;

use autoexec_console::{ConsoleClient, Outbox, OutboxError, OutboxEvent, OutboxHandle, OutboxSettings};
use autoexec_engine::Request;
use autoexec_events::Level;
use autoexec_report::logfile::ConsoleLog;
use autoexec_store::JobDir;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::CliError;

/// After an abort nobody waits long for a server that is away.
const WAIT_AFTER_ABORT: Duration = Duration::from_secs(30);

/// Outboxes that may be open for one job at a time: the server may start several processes of a job on purpose.
const SLOTS: u32 = 64;

/// The outboxes of a process: its own, and those that dead processes of the job left behind.
pub(crate) struct Outboxes {
    pub(crate) own: OutboxHandle,
    orphans: Vec<OutboxHandle>,
}

/// Opens the job's outbox. What an earlier process left in it is sent before anything of this one.
pub(crate) fn open(
    job_dir: &JobDir,
    client: &Arc<ConsoleClient>,
    console: &Arc<ConsoleLog>,
    requests: &mpsc::Sender<Request>,
) -> Result<Outboxes, CliError> {
    let mut found = Vec::new();
    let mut left_over = 0;
    for slot in 0..SLOTS {
        let path = job_dir.root().join(format!(".outbox-{slot}.jsonl"));
        if !found.is_empty() && !path.exists() {
            continue;
        }
        let (events, receiver) = mpsc::unbounded_channel();
        match Outbox::open(&path, Arc::clone(client), OutboxSettings::new(events)) {
            Ok((outbox, report)) => {
                left_over += report.left_over;
                tokio::spawn(listen(receiver, Arc::clone(console), requests.clone()));
                found.push(outbox);
            }
            Err(OutboxError::InUse { .. }) => {}
            Err(error) => return Err(CliError::files(error)),
        }
    }
    if left_over > 0 {
        let text =
            format!("{left_over} callback(s) of an earlier process were not delivered and are sent first.");
        say(console, Level::Info, &text);
    }
    let mut found = found.into_iter();
    let own = found
        .next()
        .ok_or_else(|| CliError::files(format!("{SLOTS} processes of this job are running already")))?;
    Ok(Outboxes { own, orphans: found.collect() })
}

async fn listen(
    mut events: mpsc::UnboundedReceiver<OutboxEvent>,
    console: Arc<ConsoleLog>,
    requests: mpsc::Sender<Request>,
) {
    while let Some(event) = events.recv().await {
        match event {
            OutboxEvent::PeerFailed { phase } => {
                // After the run there is nothing left to stop.
                let _ = requests.send(Request::PeerFailed(phase)).await;
            }
            OutboxEvent::Retrying { summary, message, attempt, .. } if attempt <= 1 => {
                say(
                    &console,
                    Level::Warn,
                    &format!(
                        "The server did not take the callback ({summary}), it is tried again: {message}"
                    ),
                );
            }
            OutboxEvent::Delivered { .. } | OutboxEvent::Retrying { .. } => {}
            OutboxEvent::Rejected { summary, message, .. } => {
                say(
                    &console,
                    Level::Error,
                    &format!("The server refused the callback ({summary}): {message}"),
                );
            }
            OutboxEvent::NotDurable { message, .. } => {
                say(
                    &console,
                    Level::Warn,
                    &format!("A callback could not be written to disk, a crash would lose it: {message}"),
                );
            }
        }
    }
}

fn say(console: &ConsoleLog, level: Level, text: &str) {
    // A console log that cannot be written is reported by the run's own reporter.
    let _ = console.message(level, text);
}

/// Delivers what is left. Ends early when somebody asks the process to end; what is undelivered then is kept for the
/// next process of the job.
pub(crate) async fn drain(
    outboxes: &Outboxes,
    limit: Duration,
    mut asked_to_end: watch::Receiver<bool>,
    console: &ConsoleLog,
) -> u64 {
    let aborted = *asked_to_end.borrow();
    let deadline = Instant::now() + if aborted { limit.min(WAIT_AFTER_ABORT) } else { limit };
    let delivered = async {
        for outbox in std::iter::once(&outboxes.own).chain(&outboxes.orphans) {
            outbox.drain(deadline).await;
        }
    };
    tokio::select! {
        () = delivered => {}
        Ok(()) = asked_to_end.changed(), if !aborted => {}
    }
    let undelivered = outboxes.own.undelivered();
    if undelivered > 0 {
        let text = format!(
            "{undelivered} callback(s) could not be delivered; they are kept and sent by the next process of the job."
        );
        say(console, Level::Error, &text);
    }
    undelivered as u64
}

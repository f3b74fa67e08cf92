//! Callbacks to the console server, through its durable outbox (`spec/server-api.md` §4.3).

use autoexec_console::{
    Callback, ExportedVariable, JobStatusUpdate, NextGroup, NodeStatusUpdate, OutboxHandle,
    PhaseStatusUpdate, UnixTime,
};
use autoexec_engine::ports::{ReportError, Reporter};
use autoexec_events::{RunEvent, Stamped};
use autoexec_model::{JobId, RunnerId};
use jiff::Timestamp;

/// Turns events into callbacks. Enqueuing writes a line to the outbox file; delivery is the outbox's.
#[derive(Debug)]
pub struct OutboxReporter {
    outbox: OutboxHandle,
    job: JobId,
    runner: RunnerId,
}

impl OutboxReporter {
    /// `job` is the id the server knows, which the parameters may have changed.
    pub fn new(outbox: OutboxHandle, job: JobId, runner: RunnerId) -> Self {
        Self { outbox, job, runner }
    }

    fn callback(&self, stamped: &Stamped) -> Option<Callback> {
        let time = unix_time(stamped.at);
        let job = self.job.clone();
        Some(match &stamped.event {
            RunEvent::NodeStatusChanged { position, node, status, fail_ignored, warnings } => {
                Callback::NodeStatus(NodeStatusUpdate {
                    job,
                    group: position.group,
                    phase: position.phase.clone(),
                    resource: node.resource,
                    host: node.host.clone(),
                    port: node.port,
                    status: *status,
                    fail_ignore: *fail_ignored,
                    warn_count: *warnings,
                    time,
                })
            }
            RunEvent::PhaseStatusChanged { position, status, counts } => {
                Callback::PhaseStatus(PhaseStatusUpdate {
                    job,
                    group: position.group,
                    phase: position.phase.clone(),
                    status: *status,
                    fail_node_count: counts.failed,
                    suc_node_count: counts.succeed,
                    skip_node_count: counts.skipped,
                    ignore_fail_node_count: counts.ignored,
                    warn_count: counts.warnings,
                    time,
                })
            }
            RunEvent::VariableExported { name, value, hidden } => {
                Callback::ExportVariable(ExportedVariable {
                    job,
                    env_name: name.clone(),
                    env_value: value.expose().to_owned(),
                    is_hidden: *hidden,
                    time,
                })
            }
            RunEvent::JobStatusChanged { status } => {
                Callback::JobStatus(JobStatusUpdate { job, time, status: *status })
            }
            RunEvent::NextGroup { group } => {
                Callback::NextGroup(NextGroup { job, runner: self.runner, group: *group, time })
            }
            RunEvent::JobStarted { .. }
            | RunEvent::GroupStarted { .. }
            | RunEvent::PhaseStarted { .. }
            | RunEvent::NodeStarted { .. }
            | RunEvent::OperationPrepared { .. }
            | RunEvent::OperationStarted { .. }
            | RunEvent::OperationFinished { .. }
            | RunEvent::OperationChecked { .. }
            | RunEvent::OperationNotChecked { .. }
            | RunEvent::OperationRefused { .. }
            | RunEvent::NodeFinished { .. }
            | RunEvent::PhaseFinished { .. }
            | RunEvent::RoundFinished { .. }
            | RunEvent::StopRequested { .. }
            | RunEvent::Message { .. }
            | RunEvent::JobFinished { .. } => return None,
        })
    }
}

impl Reporter for OutboxReporter {
    fn name(&self) -> &'static str {
        "console outbox"
    }

    fn report(&mut self, event: &Stamped) -> Result<(), ReportError> {
        match self.callback(event) {
            Some(callback) => {
                self.outbox.enqueue(callback).map(drop).map_err(|error| ReportError(error.to_string()))
            }
            None => Ok(()),
        }
    }
}

fn unix_time(at: Timestamp) -> UnixTime {
    UnixTime::from(std::time::SystemTime::from(at))
}

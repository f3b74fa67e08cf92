//! The console log of a job: what people see of the whole run (`spec/workdir.md` §5.2).

use std::sync::Arc;

use autoexec_engine::ports::{ReportError, Reporter};
use autoexec_events::{RunEvent, Stamped};
use autoexec_model::NodeStatus;

use crate::logfile::{ConsoleLog, LogError};

/// Writes the console log.
#[derive(Debug)]
pub struct ConsoleLogReporter {
    log: Arc<ConsoleLog>,
}

impl ConsoleLogReporter {
    /// `log` is shared with the part of the process that reports before and after the run.
    pub fn new(log: Arc<ConsoleLog>) -> Self {
        Self { log }
    }

    fn write(&self, event: &RunEvent) -> Result<(), LogError> {
        let log = &self.log;
        match event {
            RunEvent::JobStarted { job, .. } => log.job_start(job),
            RunEvent::PhaseStarted { position, .. } => log.phase_begin(&position.phase),
            RunEvent::NodeStatusChanged { node, status: NodeStatus::Running, .. } => {
                log.node_begin(node, NodeStatus::Running)
            }
            RunEvent::NodeFinished { node, status, .. } if status.is_failure() => {
                log.node_failed(node, *status)
            }
            RunEvent::NodeFinished { node, status, .. } if status.is_done() => log.node_succeed(node, *status),
            RunEvent::NodeFinished { node, status: NodeStatus::Paused, .. } => log.node_paused(node),
            RunEvent::PhaseFinished { position, status, counts, .. } => {
                log.phase_complete(&position.phase, *status)?;
                log.phase_finish(&position.phase, counts)
            }
            RunEvent::Message { level, text } => log.message(*level, text),
            RunEvent::GroupStarted { .. }
            | RunEvent::PhaseStatusChanged { .. }
            // Run by another process, which has been told as an error.
            | RunEvent::NodeFinished { .. }
            | RunEvent::NodeStarted { .. }
            | RunEvent::NodeStatusChanged { .. }
            | RunEvent::OperationPrepared { .. }
            | RunEvent::OperationStarted { .. }
            | RunEvent::OperationFinished { .. }
            | RunEvent::OperationChecked { .. }
            | RunEvent::OperationNotChecked { .. }
            | RunEvent::OperationRefused { .. }
            | RunEvent::RoundFinished { .. }
            | RunEvent::VariableExported { .. }
            | RunEvent::StopRequested { .. }
            | RunEvent::JobStatusChanged { .. }
            | RunEvent::NextGroup { .. }
            | RunEvent::JobFinished { .. } => Ok(()),
        }
    }
}

impl Reporter for ConsoleLogReporter {
    fn name(&self) -> &'static str {
        "console log"
    }

    fn report(&mut self, event: &Stamped) -> Result<(), ReportError> {
        self.write(&event.event).map_err(|error| ReportError(error.to_string()))
    }
}

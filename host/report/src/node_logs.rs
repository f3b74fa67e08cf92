//! Node logs in the job directory, as the engine's units see them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use autoexec_engine::ports::{FailKeys, LogLine, UnitLog, UnitLogs};
use autoexec_events::OperationRef;
use autoexec_model::{Node, NodeStatus, Operation, PhaseName};
use autoexec_store::JobDir;

use crate::logfile::{FailOperator, FailPatterns, LogClock, LogError, NodeLog, OutputStream};

/// Opens node logs under `log/<phase>/`.
#[derive(Debug)]
pub struct FileLogs {
    job: JobDir,
    exec_user: String,
    clock: LogClock,
}

impl FileLogs {
    /// `exec_user` becomes part of the names of history files.
    pub fn new(job: JobDir, exec_user: impl Into<String>, clock: LogClock) -> Self {
        Self { job, exec_user: exec_user.into(), clock }
    }
}

impl UnitLogs for FileLogs {
    fn open(&self, phase: &PhaseName, node: &Node) -> Result<Arc<dyn UnitLog>, String> {
        let log = NodeLog::create(&self.job, phase, node, &self.exec_user, self.clock.clone())
            .and_then(|log| log.launched().map(|()| log))
            .map_err(|error| error.to_string())?;
        Ok(Arc::new(FileLog { log, complained: AtomicBool::new(false) }))
    }
}

struct FileLog {
    log: NodeLog,
    /// A full disk is told once, not once per line.
    complained: AtomicBool,
}

impl FileLog {
    fn check(&self, written: Result<(), LogError>) {
        if let Err(error) = written
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            tracing::error!("{error}");
        }
    }
}

impl UnitLog for FileLog {
    fn line(&self, line: LogLine<'_>) {
        let log = &self.log;
        self.check(match line {
            LogLine::StatusChanged(status) => log.status_changed(status),
            LogLine::OperationStart(operation) => log.op_start(&reference(operation)),
            LogLine::Help(text) => log.op_help(text),
            LogLine::OperationSkipped(operation, _) => log.op_skipped(&operation.id),
            LogLine::Execute(display) => log.execute_line(display),
            LogLine::Condition(text, value) => log.if_condition(text, value),
            LogLine::OperationResult(operation, status) => log.op_result(&reference(operation), status),
            LogLine::OperationEnd(operation, millis) => {
                log.op_end(&reference(operation), Duration::from_millis(millis))
            }
            LogLine::NodeComplete(status) => log.node_complete(status),
            LogLine::Text(level, text) => log.message(level, text),
        });
    }

    fn output(&self, bytes: &[u8]) {
        self.check(self.log.output(OutputStream::Stdout, bytes));
    }

    fn show_held(&self, silent_for: Duration) {
        self.check(self.log.show_held(silent_for));
    }

    fn end_output(&self) {
        self.check(self.log.end_output());
    }

    fn arm(&self, keys: &FailKeys) -> Vec<String> {
        let operator = if keys.all { FailOperator::And } else { FailOperator::Or };
        let patterns = keys.patterns.iter().map(String::as_str);
        let (patterns, errors) =
            FailPatterns::new(patterns, operator, keys.exclude.as_deref(), keys.only_warn);
        self.log.arm(patterns);
        errors.iter().map(ToString::to_string).collect()
    }

    fn has_hit(&self) -> bool {
        self.log.failed_by_pattern()
    }

    fn warnings(&self) -> u64 {
        self.log.warnings()
    }

    fn finish(&self, status: NodeStatus, millis: u64) {
        self.check(self.log.end_output());
        self.check(self.log.ended(Duration::from_millis(millis)));
        self.check(self.log.finish(status));
    }
}

fn reference(operation: &Operation) -> OperationRef {
    OperationRef { id: operation.id.clone(), name: operation.name.clone(), place: operation.place }
}

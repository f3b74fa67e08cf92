//! One call of a tool, script or built-in, from its START line to its END line (`spec/execution.md` §6.7).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use autoexec_events::{Level, Refusal, StopReason};
use autoexec_model::command_line::Purpose;
use autoexec_model::native::NativeOp;
use autoexec_model::value::{Inputs, MASK, ResolvedValue};
use autoexec_model::{Call, NodeStatus, OpId, OpStatus, Operation, Place};
use autoexec_plan::{OperationDecision, PriorOperation, Rerun, decide_operation};
use autoexec_store::{NodeInput, StoreError, fill_defaults, read_op_output};
use serde_json::{Map, Value};

use super::{Flow, Teller, Unit, blocking, millis, native, operation_ref, unless_stopped};
use crate::dispatcher::{UnitMessageKind, UnitRequest};
use crate::ports::{LogLine, OperationCall, OperationEnd, OperationExit, OperationSink, ToolInfo, UnitLog};

/// A tool that has been silent for this long in the middle of a line may be waiting at a prompt, which is then shown.
/// Longer than what a slow tool takes between two pieces of a line, which would be cut in two.
const PROMPT: Duration = Duration::from_secs(3);

/// What became of an operation before `failIgnore` and stops are looked at.
pub(super) enum Done {
    Succeeded,
    /// With the text for the node log; empty when the log has it already.
    Failed(String),
    Stopped {
        proved_dead: bool,
    },
    /// It could not be followed to its end: not started, or the connection was lost.
    OutOfSight(String),
    /// A person has to decide whether it took effect.
    Unknown,
    /// A dry run: nobody can say what it would change, and why.
    NotChecked(String),
}

impl Done {
    /// Stopped before a process was started.
    pub(super) const NOTHING_LEFT: Self = Self::Stopped { proved_dead: true };
}

impl Unit<'_> {
    pub(super) async fn run_call(&mut self, operation: &Operation, call: &Call) -> Flow {
        let started = Instant::now();
        self.log.line(LogLine::OperationStart(operation));
        if !operation.help.is_empty() {
            self.log.line(LogLine::Help(&operation.help));
        }
        if self.node.is_local() && matches!(operation.place, Place::Target | Place::RunnerTarget) {
            // Not this node's business; the contract wants no END line and no status.
            return Flow::Continue;
        }
        let resolving = unless_stopped(self.stop_signal(), StopReason::Abort, self.resolve_call(call));
        let inputs = match self.saved_before_waiting(resolving).await {
            None => return self.conclude(operation, Done::NOTHING_LEFT, started),
            Some(Ok(inputs)) => inputs,
            Some(Err(problem)) => {
                let problem = format!("Can not resolve the inputs of {}: {problem}", operation.id);
                // In a dry run they may come from an operation that was not run.
                let done = if self.is_dry_run() { Done::NotChecked(problem) } else { Done::Failed(problem) };
                return self.conclude(operation, done, started);
            }
        };
        if self.is_recorded_success(operation) {
            self.arm_again(operation, &inputs);
            return self.skip(operation, call, started);
        }
        self.save_inputs(operation, &inputs);
        let done = self.execute(operation, call, &inputs).await;
        self.conclude(operation, done, started)
    }

    fn status_key(&self, operation: &Operation) -> OpId {
        match &self.iteration {
            // Made of a valid id and numbers, so it is one; the plain id is the fallback all the same.
            Some(n) => OpId::new(format!("{}#{n}", operation.id)).unwrap_or_else(|_| operation.id.clone()),
            None => operation.id.clone(),
        }
    }

    fn decide(&self, operation: &Operation, rerun: Rerun) -> OperationDecision {
        let prior = self.state.operations.get(&self.status_key(operation));
        let prior = prior.map(|status| PriorOperation { status: *status });
        let kind = self.teller.phase.phase.phase.kind;
        decide_operation(prior, kind, rerun, self.teller.shared.settings.force)
    }

    fn is_recorded_success(&self, operation: &Operation) -> bool {
        // The rerun class does not matter for a recorded success.
        self.decide(operation, Rerun::Safe) == OperationDecision::Skip
    }

    /// An earlier run succeeded: its outputs are loaded, so that later operations can refer to them.
    fn skip(&mut self, operation: &Operation, call: &Call, started: Instant) -> Flow {
        if call.outputs.is_some() {
            match read_op_output(&self.output_path(operation)) {
                // The process that ran it did not get to take them over: a person, or the tool, says that it succeeded.
                Ok(mut values) if !self.outputs.contains_key(operation.id.as_str()) => {
                    fill_declared(&mut values, call);
                    if let Err(problem) = self.save_output(&operation.id, Some(&values)) {
                        self.warn(&format!("Can not save the outputs of {}: {problem}", operation.id));
                    }
                }
                Ok(_) => {}
                Err(error) => self.warn(&format!("Can not load the outputs of {}: {error}", operation.id)),
            }
        }
        self.previous = Some(OpStatus::Pending);
        self.log.line(LogLine::OperationSkipped(operation, OpStatus::Succeed));
        self.finish_operation(operation, OpStatus::Succeed, true, started);
        Flow::Continue
    }

    fn output_path(&self, operation: &Operation) -> std::path::PathBuf {
        self.teller.shared.settings.job_dir.op_output(&self.teller.node.key, &operation.id)
    }

    async fn execute(&mut self, operation: &Operation, call: &Call, inputs: &Inputs) -> Done {
        if operation.place == Place::Runner && !self.node.is_local() {
            return Done::Failed(format!(
                "Operation {} is of type local and can not run for a target node: use the type runner_target, or put it into a runner phase.",
                operation.id
            ));
        }
        let tool = self.teller.shared.runners.tool(operation, call);
        if let Some(done) = self.left_out_of_dry_run(operation, inputs, tool.as_ref()) {
            return done;
        }
        if operation.place == Place::Native
            && let Some(done) = self.try_native(operation, call, inputs, tool.as_ref().ok()).await
        {
            return done;
        }
        let tool = match tool {
            Ok(tool) => tool,
            Err(problem) => {
                for refusal in problem.refusals {
                    self.refused(operation, Box::new(refusal));
                }
                return Done::Failed(problem.text);
            }
        };
        if self.is_dry_run() {
            return self.check_tool(operation, call, inputs).await;
        }
        match self.decide(operation, tool.rerun) {
            OperationDecision::AskPerson => return Done::Unknown,
            OperationDecision::Probe => {
                if let Some(done) = self.probe_tool(operation, call, inputs).await {
                    return done;
                }
            }
            OperationDecision::Run | OperationDecision::Skip => {}
        }
        let done = self.run_tool(operation, call, inputs).await;
        // Ended by us or out of sight, it may have taken effect half, and must not be taken for a failure that may
        // simply be run again.
        self.effect_unknown = tool.rerun != Rerun::Safe
            && self.has_started
            && matches!(done, Done::Stopped { .. } | Done::OutOfSight(_));
        done
    }

    /// Runs a built-in operation; `None` when there is none of that name. An installed component wins, so that a
    /// site can replace the extractors; the programs of an old plugin tree do not, since they need its MongoDB.
    async fn try_native(
        &mut self,
        operation: &Operation,
        call: &Call,
        inputs: &Inputs,
        installed: Option<&ToolInfo>,
    ) -> Option<Done> {
        if installed.is_some_and(|tool| tool.is_component) {
            return None;
        }
        let native = match NativeOp::from_operation(operation.name.tool(), inputs) {
            Ok(native) => native?,
            Err(problem) => return Some(Done::Failed(problem.to_string())),
        };
        self.prepare(operation);
        let stop = self.stop_signal();
        let is_secret = inputs.options.values().any(ResolvedValue::is_hidden);
        let applying = self.apply_native(native, operation.fail_ignore, is_secret);
        let applied = match unless_stopped(stop, StopReason::Abort, applying).await {
            None => return Some(Done::NOTHING_LEFT),
            Some(Ok(applied)) => applied,
            Some(Err(problem)) => return Some(Done::Failed(problem)),
        };
        if self.log.has_hit() {
            return Some(Done::Failed(String::new()));
        }
        if call.outputs.is_some() {
            return Some(self.keep_outputs(operation, call, applied.outputs));
        }
        let saved = if applied.variables_changed { self.save_output(&operation.id, None) } else { Ok(()) };
        Some(saved.map_or_else(Done::Failed, |()| Done::Succeeded))
    }

    /// Records that the operation is about to have effects, before it has any.
    pub(super) fn prepare(&mut self, operation: &Operation) {
        let key = self.status_key(operation);
        self.state.operations.insert(key, OpStatus::Running);
        self.state.current_op = Some(operation.id.clone());
        self.state.op_pid = None;
        self.has_started = false;
        self.save_state();
        self.teller.tell(UnitMessageKind::Prepared(operation_ref(operation)));
    }

    /// Makes the directories that a tool finds for its files.
    pub(super) fn prepare_files(&self, operation: &Operation) -> Result<(), StoreError> {
        let Teller { shared, phase, node } = self.teller;
        let job_dir = &shared.settings.job_dir;
        job_dir.prepare_operation(&node.key, &operation.id)?;
        match operation.place {
            Place::Runner | Place::RunnerTarget => {
                job_dir.prepare_live_data(&phase.position.phase, &node.key, &operation.id)
            }
            Place::Target | Place::Native => Ok(()),
        }
    }

    async fn run_tool(&mut self, operation: &Operation, call: &Call, inputs: &Inputs) -> Done {
        if let Err(error) = self.prepare_files(operation) {
            return Done::Failed(error.to_string());
        }
        self.prepare(operation);
        let end = self.run_and_listen(operation, call, inputs, Purpose::Run).await;
        self.log.end_output();
        let hit = self.log.has_hit();
        match end.exit {
            OperationExit::Code(0) if hit => Done::Failed(String::new()),
            OperationExit::Code(0) => match end.output {
                Some(values) => self.keep_outputs(operation, call, values),
                None if call.outputs.is_some() => self.keep_outputs(operation, call, Map::new()),
                None => Done::Succeeded,
            },
            OperationExit::Code(code) => {
                Done::Failed(format!("Operation {} ended with exit code {code}.", operation.id))
            }
            OperationExit::Signal(signal) => {
                Done::Failed(format!("Operation {} was ended by signal {signal}.", operation.id))
            }
            OperationExit::Stopped { proved_dead } => Done::Stopped { proved_dead },
            OperationExit::Error(problem) => Done::OutOfSight(problem),
        }
    }

    /// Runs the operation and meanwhile serves what the dispatcher asks of this unit.
    pub(super) async fn run_and_listen(
        &mut self,
        operation: &Operation,
        call: &Call,
        inputs: &Inputs,
        purpose: Purpose,
    ) -> OperationEnd {
        self.save_changes();
        let environment = self.teller.shared.environment.snapshot();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let sink = Arc::new(UnitSink { log: Arc::clone(&self.log), told });
        let stop = self.stop_signal();
        let variables = self.variables.clone();
        let node_variables = &variables;
        let call = OperationCall {
            purpose,
            operation,
            call,
            inputs,
            environment: &environment,
            node_variables,
            is_last_there: self.is_last_there(operation),
        };
        // Taken out for the time of the call: the runner and the unit's state are then borrowed apart.
        let Some(mut runner) = self.runner.take() else {
            let exit = OperationExit::Error("the runner of this node is busy".to_owned());
            return OperationEnd { exit, output: None };
        };
        let end = {
            let mut running = runner.run(call, sink, stop);
            let mut look = tokio::time::interval(PROMPT);
            look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    end = &mut running => break end,
                    _ = look.tick() => self.log.show_held(PROMPT),
                    Some(request) = self.requests.recv() => self.take_request(request),
                    Some(told) = heard.recv() => self.take_note(operation, told),
                }
            }
        };
        // One that ends at once may have ended before its start was heard of.
        while let Ok(told) = heard.try_recv() {
            self.take_note(operation, told);
        }
        while let Ok(request) = self.requests.try_recv() {
            self.take_request(request);
        }
        if self.state.interact.is_some() {
            // The plugin ended without taking its question back.
            self.take_request(UnitRequest::Interact(None));
            self.teller.tell(UnitMessageKind::Answered);
        }
        self.runner = Some(runner);
        end
    }

    /// An operation of a loop may run again.
    fn is_last_there(&self, operation: &Operation) -> bool {
        let last = self.teller.phase.phase.phase.last_on_targets();
        self.iteration.is_none() && last.is_some_and(|last| last.id == operation.id)
    }

    fn take_note(&mut self, operation: &Operation, told: Told) {
        match told {
            Told::Started(pid) => self.record_start(operation, pid),
            Told::Refused(refusal) => self.refused(operation, refusal),
        }
    }

    fn refused(&self, operation: &Operation, refusal: Box<Refusal>) {
        self.teller.tell(UnitMessageKind::Refused { operation: operation_ref(operation), refusal });
    }

    fn record_start(&mut self, operation: &Operation, pid: Option<u32>) {
        self.has_started = true;
        // Without a process of its own there is nothing that the record does not say already.
        if self.state.op_pid != pid {
            self.state.op_pid = pid;
            self.save_state();
        }
        self.teller.tell(UnitMessageKind::Started { operation: operation_ref(operation), pid });
    }

    pub(super) fn keep_outputs(
        &mut self,
        operation: &Operation,
        call: &Call,
        mut values: Map<String, Value>,
    ) -> Done {
        fill_declared(&mut values, call);
        match self.save_output(&operation.id, Some(&values)) {
            Ok(()) => Done::Succeeded,
            Err(problem) => Done::Failed(format!("Can not save the outputs of {}: {problem}", operation.id)),
        }
    }

    fn conclude(&mut self, operation: &Operation, done: Done, started: Instant) -> Flow {
        if let Done::NotChecked(reason) = done {
            self.not_checked(operation, reason);
            self.previous = Some(OpStatus::Pending);
            self.finish_operation(operation, OpStatus::Pending, true, started);
            return Flow::Continue;
        }
        let (status, flow) = self.judge(operation, done);
        let recorded = match status {
            _ if std::mem::take(&mut self.effect_unknown) => OpStatus::Unknown,
            // Stored so, an ignored failure runs again when the node does (`spec/execution.md` §6.7, 9).
            OpStatus::Ignored | OpStatus::Aborted => OpStatus::Failed,
            other => other,
        };
        if recorded == OpStatus::Failed {
            self.drop_output(operation);
        }
        let key = self.status_key(operation);
        self.state.operations.insert(key.clone(), recorded);
        if key != operation.id {
            // The user interface asks for the plain id: it shows the last iteration.
            self.state.operations.insert(operation.id.clone(), recorded);
        }
        self.state.op_pid = None;
        self.state.warn_count = self.log.warnings();
        // Written with what comes next, or before something that may take time.
        self.unsaved.store(true, Ordering::Relaxed);
        self.previous = Some(status);
        self.log.line(LogLine::OperationResult(operation, status));
        self.finish_operation(operation, status, false, started);
        flow
    }

    fn judge(&mut self, operation: &Operation, done: Done) -> (OpStatus, Flow) {
        let aborting = self.teller.shared.gate().is_aborting();
        match done {
            Done::Succeeded => (OpStatus::Succeed, Flow::Continue),
            Done::Stopped { proved_dead } => {
                let text = if proved_dead {
                    "The operation was stopped; none of its processes is left."
                } else {
                    "The operation was told to stop, but it is not proved that all of its processes are gone: look for them on the machine."
                };
                self.warn(text);
                (OpStatus::Aborted, Flow::End(NodeStatus::Aborted))
            }
            Done::Failed(text) | Done::OutOfSight(text) => {
                if !text.is_empty() {
                    self.error(&text);
                }
                match (aborting, operation.fail_ignore) {
                    (true, _) => (OpStatus::Aborted, Flow::End(NodeStatus::Aborted)),
                    (false, true) => {
                        self.any_ignored = true;
                        (OpStatus::Ignored, Flow::Continue)
                    }
                    (false, false) => (OpStatus::Failed, Flow::End(NodeStatus::Failed)),
                }
            }
            Done::NotChecked(_) => (OpStatus::Pending, Flow::Continue), // concluded without a verdict
            Done::Unknown => {
                self.error(&format!(
                    "An earlier run did not see how {} ended, and its tool must not run twice. Find out whether it took effect; \
                     then set the operation to succeed, or reset the node to run it again.",
                    operation.id
                ));
                self.teller.tell(UnitMessageKind::UnknownOutcome);
                (OpStatus::Unknown, Flow::End(NodeStatus::Failed))
            }
        }
    }

    /// The outputs of a failed operation are dropped, in memory and on disk (`spec/execution.md` §6.7, 8). Those of
    /// an earlier, good run are dropped as well: they are not what this run found.
    fn drop_output(&mut self, operation: &Operation) {
        if self.outputs.shift_remove(operation.id.as_str()).is_some()
            && let Err(problem) = self.forget_output(&operation.id)
        {
            self.warn(&format!("Can not drop the outputs of {}: {problem}", operation.id));
        }
        let path = self.output_path(operation);
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => self.warn(&format!("Can not remove {}: {error}", path.display())),
        }
    }

    fn finish_operation(&self, operation: &Operation, status: OpStatus, skipped: bool, started: Instant) {
        let millis = millis(started);
        self.log.line(LogLine::OperationEnd(operation, millis));
        let operation = operation_ref(operation);
        self.teller.tell(UnitMessageKind::Operation { operation, status, skipped, millis });
    }

    /// What the input display shows; secrets are masked.
    fn save_inputs(&self, operation: &Operation, inputs: &Inputs) {
        let job_dir = &self.teller.shared.settings.job_dir;
        let mut shown = inputs.to_display_json();
        if operation.place == Place::Native
            && native::hides_its_value(operation.name.tool(), inputs)
            && let Some(value) = shown.pointer_mut("/options/value")
        {
            *value = MASK.into();
        }
        let node = &self.teller.node.key;
        if let Err(error) = blocking(|| NodeInput::update(job_dir, node, &operation.id, shown)) {
            self.warn(&format!("Can not save the inputs of {}: {error}", operation.id));
        }
    }
}

fn fill_declared(values: &mut Map<String, Value>, call: &Call) {
    let declared = call.outputs.iter().flatten();
    fill_defaults(values, declared.map(|(name, output)| (name.as_str(), &output.default)));
}

/// What the unit has to know of an operation while it runs.
enum Told {
    /// It was started, as this process.
    Started(Option<u32>),
    /// The policy refused it something.
    Refused(Box<Refusal>),
}

/// What a runner writes to while an operation runs.
struct UnitSink {
    log: Arc<dyn UnitLog>,
    told: tokio::sync::mpsc::UnboundedSender<Told>,
}

impl OperationSink for UnitSink {
    fn output(&self, bytes: &[u8]) {
        self.log.output(bytes);
    }

    fn info(&self, level: Level, text: &str) {
        self.log.line(LogLine::Text(level, text));
    }

    fn started(&self, pid: Option<u32>) {
        // The unit listens as long as the operation runs.
        let _ = self.told.send(Told::Started(pid));
    }

    fn executing(&self, display: &str) {
        self.log.line(LogLine::Execute(display));
    }

    fn refused(&self, refusal: Refusal) {
        let _ = self.told.send(Told::Refused(Box::new(refusal)));
    }
}

//! A unit: one node in one phase, from the first look at what an earlier run left to the final status.
//!
//! A unit is a task of its own and the truth about itself. It asks for permission before it has any effect,
//! writes its log, status and outputs itself, and tells the dispatcher what became of it.

mod asking;
mod call;
mod condition;
mod inputs;
mod loops;
mod native;
mod operations;
mod outputs;

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Instant;

use autoexec_events::{Level, NodeRef, OperationRef, StopReason};
use autoexec_model::value::NodeVariables;
use autoexec_model::{Node, NodeStatus, OpStatus, Operation};
use autoexec_plan::{NodeDecision, PriorNode, decide_node};
use autoexec_store::{JobLock, Loaded, LockScope, NodeIdentity, NodeState, ProcessIdentity, StoreError};
use serde_json::{Map, Value};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{mpsc, oneshot};

use crate::dispatcher::{Input, Permission, UnitEnd, UnitMessage, UnitMessageKind, UnitRequest};
use crate::ports::{LogLine, StopSignal, UnitInfo, UnitLog, UnitRunner};
use crate::scheduler::{RunningPhase, Shared};

/// Runs one node through one phase and reports how it ended.
pub(crate) async fn run(shared: Arc<Shared>, phase: Arc<RunningPhase>, node: Node) {
    let started = Instant::now();
    shared.runners.meet(&node);
    let teller = Teller { shared, phase, node: NodeRef::from(&node) };
    let ending = Ending { teller: &teller, started, is_told: false };
    let (end, warnings) = match teller.ask_permission().await {
        Some(permission) => start(&teller, node, permission, started).await,
        None => (UnitEnd::NotStarted, 0),
    };
    ending.tell(end, warnings);
}

/// Sees to it that the end of a unit is told exactly once. A panic is a defect of ours; the server and the phase's
/// counters must hear of it as of any other failure.
struct Ending<'a> {
    teller: &'a Teller,
    started: Instant,
    is_told: bool,
}

impl Ending<'_> {
    fn tell(mut self, end: UnitEnd, warnings: u64) {
        self.is_told = true;
        self.finished(end, warnings);
    }

    fn finished(&self, end: UnitEnd, warnings: u64) {
        self.teller.tell(UnitMessageKind::Finished { end, warnings, millis: millis(self.started) });
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.is_told {
            fail_without_log(self.teller, "a defect in autoexec ended its unit");
            self.finished(UnitEnd::Ran(NodeStatus::Failed), 1);
        }
    }
}

/// Waits for something that knows of no stop by itself; `None` as soon as the run is stopped for `reason`.
pub(crate) async fn unless_stopped<T>(
    mut stop: StopSignal,
    reason: StopReason,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.reached(reason) => None,
        done = work => Some(done),
    }
}

/// Does what may wait for another process's lock, without keeping other tasks from this thread.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Speaks to the dispatcher in the name of one unit.
pub(crate) struct Teller {
    shared: Arc<Shared>,
    phase: Arc<RunningPhase>,
    node: NodeRef,
}

impl Teller {
    fn tell(&self, kind: UnitMessageKind) {
        self.shared.inbox.send(Input::Unit(UnitMessage {
            position: self.phase.position.clone(),
            node: self.node.clone(),
            kind,
        }));
    }

    fn message(&self, level: Level, text: impl Into<String>) {
        self.tell(UnitMessageKind::Message { level, text: text.into() });
    }

    async fn ask_permission(&self) -> Option<Permission> {
        let (reply, permission) = oneshot::channel();
        self.tell(UnitMessageKind::Start(reply));
        permission.await.ok()
    }
}

/// Looks at what an earlier run left, and runs the operations if there is something to do.
async fn start(teller: &Teller, node: Node, permission: Permission, started: Instant) -> (UnitEnd, u64) {
    match Claim::make(teller) {
        Ok(Claim::Run { lock, prior }) => {
            let result = Unit::open(teller, node, permission, *prior);
            let end = match result {
                Ok(unit) => unit.run(started).await,
                Err(text) => {
                    fail_without_log(teller, &text);
                    (UnitEnd::Ran(NodeStatus::Failed), 1)
                }
            };
            drop(lock);
            end
        }
        Ok(Claim::Skip { status, warnings }) => {
            let fail_ignored = status == NodeStatus::Ignored;
            teller.tell(UnitMessageKind::Status { status, fail_ignored, warnings });
            (UnitEnd::Skipped(status), 0)
        }
        Ok(Claim::RunsElsewhere(text)) => {
            teller.message(Level::Error, text);
            (UnitEnd::RunsElsewhere, 0)
        }
        Err(error) => {
            fail_without_log(teller, &error.to_string());
            (UnitEnd::Ran(NodeStatus::Failed), 1)
        }
    }
}

/// The unit could not even write its files: people and the server must hear of it all the same.
fn fail_without_log(teller: &Teller, text: &str) {
    teller.message(Level::Error, format!("Node({}) can not be run: {text}", teller.node.resource));
    let status = NodeStatus::Failed;
    record_failure(teller);
    teller.tell(UnitMessageKind::Status { status, fail_ignored: false, warnings: 1 });
}

/// The file should say what the server hears. It may be the very file that cannot be written: then the message above
/// has to do.
fn record_failure(teller: &Teller) {
    let (phase, node) = (&teller.phase.position.phase, identity(&teller.node));
    let records = &teller.shared.records;
    let mut state = records.load_state(phase, &node).ok().and_then(Loaded::found).unwrap_or_default();
    state.status = NodeStatus::Failed;
    if let Err(error) = records.save_state(phase, &node, &state) {
        tracing::error!("{error}");
    }
}

/// What a unit may do with its node, and the lock that keeps other processes away meanwhile.
enum Claim {
    Run {
        lock: JobLock,
        prior: Box<NodeState>,
    },
    /// With the warnings of the run that finished the node: the server would forget them otherwise.
    Skip {
        status: NodeStatus,
        warnings: u64,
    },
    RunsElsewhere(String),
}

impl Claim {
    fn make(teller: &Teller) -> Result<Self, StoreError> {
        let settings = &teller.shared.settings;
        let phase = &teller.phase.position.phase;
        let key = &teller.node.key;
        settings.job_dir.prepare_unit(phase, key)?;
        let lock = match JobLock::acquire(&settings.job_dir, LockScope::Unit(phase, key)) {
            Ok(lock) => lock,
            Err(StoreError::Held { .. }) => return Ok(Self::elsewhere(teller)),
            Err(error) => return Err(error),
        };
        let identity = identity(&teller.node);
        let prior = match teller.shared.records.load_state(phase, &identity)? {
            Loaded::Found(state) => state,
            Loaded::Missing => NodeState::default(),
            Loaded::Broken { reason } => {
                let text = format!(
                    "Node({}): the recorded status is broken and counts as pending: {reason}",
                    teller.node.resource
                );
                teller.message(Level::Warn, text);
                NodeState::default()
            }
        };
        let facts = PriorNode {
            status: prior.status,
            process_alive: prior.is_run_by_another_process(settings.runner),
        };
        Ok(match decide_node(Some(facts), teller.phase.phase.phase.kind, settings.force) {
            NodeDecision::Run => Self::Run { lock, prior: Box::new(prior) },
            NodeDecision::Skip(status) => Self::Skip { status, warnings: prior.warn_count },
            // The lock is ours, so no process of this version runs it; an older executor takes no locks.
            NodeDecision::RunsElsewhere => Self::elsewhere(teller),
        })
    }

    fn elsewhere(teller: &Teller) -> Self {
        let NodeRef { resource, key, .. } = &teller.node;
        Self::RunsElsewhere(format!(
            "Node({resource}) {key} is being run by another process of this job; wait for it, or abort it first."
        ))
    }
}

fn identity(node: &NodeRef) -> NodeIdentity {
    NodeIdentity { resource: node.resource, host: node.host.clone(), port: node.port }
}

/// A unit at work.
struct Unit<'a> {
    teller: &'a Teller,
    node: Arc<Node>,
    identity: NodeIdentity,
    log: Arc<dyn UnitLog>,
    /// Absent only while it runs an operation.
    runner: Option<Box<dyn UnitRunner>>,
    requests: mpsc::UnboundedReceiver<UnitRequest>,
    state: NodeState,
    /// The state has changed since it was written.
    unsaved: AtomicBool,
    variables: NodeVariables,
    /// Outputs of this node: operation id → object.
    outputs: Map<String, Value>,
    /// Status of the previous operation, for `native/extractprestepstatus`.
    previous: Option<OpStatus>,
    any_ignored: bool,
    /// The process or call of the present operation was started.
    has_started: bool,
    /// Nobody knows whether the operation that just ended took effect, and its tool must not simply run again.
    effect_unknown: bool,
    /// Variables that an operation of this run set. Only these are saved: another phase that runs side by side
    /// may have saved newer values of the rest.
    changed: BTreeSet<String>,
    /// Iterations of the loops around the current operation, outermost first: `2.1`. Part of status keys.
    iteration: Option<String>,
}

/// Whether the node goes on after an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Continue,
    End(NodeStatus),
}

impl<'a> Unit<'a> {
    fn open(
        teller: &'a Teller,
        node: Node,
        permission: Permission,
        prior: NodeState,
    ) -> Result<Self, String> {
        let shared = &teller.shared;
        let phase = &teller.phase;
        let node = Arc::new(node);
        let identity = identity(&teller.node);
        let kept = outputs::load(teller, &identity)?;
        let log = shared.logs.open(&phase.position.phase, &node)?;
        let runner = shared.runners.open(&UnitInfo {
            group: phase.position.group,
            phase: Arc::clone(&phase.phase),
            node: Arc::clone(&node),
            nodes_path: phase.nodes_path.clone(),
        });
        let environment = shared.environment.snapshot();
        let variables = NodeVariables::new(
            &node,
            kept.variables(),
            &outputs::hidden_names(&kept),
            environment.get("NAME_PATH").map(String::as_str),
            environment.get("ID_PATH").map(String::as_str),
        );
        Ok(Self {
            outputs: outputs::as_table(&kept),
            requests: permission.requests,
            teller,
            node,
            identity,
            log,
            runner: Some(runner),
            state: prior,
            unsaved: AtomicBool::new(false),
            variables,
            previous: None,
            any_ignored: false,
            has_started: false,
            effect_unknown: false,
            changed: BTreeSet::new(),
            iteration: None,
        })
    }

    async fn run(mut self, started: Instant) -> (UnitEnd, u64) {
        let phase = Arc::clone(&self.teller.phase.phase);
        self.begin();
        let flow = self.run_operations(&phase.phase.operations).await;
        self.close_runner().await;
        let status = match flow {
            Flow::End(status) => status,
            Flow::Continue if self.any_ignored => NodeStatus::Ignored,
            Flow::Continue => NodeStatus::Succeed,
        };
        let status = self.after_abort(status);
        self.state.interact = None;
        self.state.op_pid = None;
        self.change_status(status);
        self.log.line(LogLine::NodeComplete(status));
        self.log.finish(status, millis(started));
        (UnitEnd::Ran(status), self.log.warnings())
    }

    /// Gives back what the operations' places hold. What they did is done, so a problem is only worth a warning
    /// (defect 50), and whoever stops harder does not wait for a target that no longer answers.
    async fn close_runner(&mut self) {
        let Some(mut runner) = self.runner.take() else { return };
        let closing = unless_stopped(self.stop_signal(), StopReason::Kill, runner.close());
        let problem = match self.saved_before_waiting(closing).await {
            Some(Ok(())) => return,
            Some(Err(problem)) => problem,
            None => "Stopped before the target was cleaned up.".to_owned(),
        };
        self.warn(&problem);
    }

    /// A new run always reports `running` and stores its own process, also over an old `running` of a process
    /// that died (defect 27).
    fn begin(&mut self) {
        self.state.process = ProcessIdentity::current().ok();
        self.state.runner = Some(self.teller.shared.settings.runner);
        self.state.interact = None;
        self.state.warn_count = 0;
        self.change_status(NodeStatus::Running);
    }

    /// While aborting, `failed` and `ignored` become `aborted` (`spec/execution.md` §6.8).
    fn after_abort(&self, status: NodeStatus) -> NodeStatus {
        let aborting = self.teller.shared.gate().is_aborting();
        match status {
            NodeStatus::Failed | NodeStatus::Ignored if aborting => NodeStatus::Aborted,
            other => other,
        }
    }

    fn change_status(&mut self, status: NodeStatus) {
        self.state.status = status;
        self.state.warn_count = self.log.warnings();
        self.save_state();
        self.log.line(LogLine::StatusChanged(status));
        let fail_ignored = status == NodeStatus::Ignored;
        self.teller.tell(UnitMessageKind::Status { status, fail_ignored, warnings: self.log.warnings() });
    }

    /// A status that cannot be written is said once, in the log and on the console; the run goes on, since
    /// stopping a half-done change because of a full disk does not make it better.
    fn save_state(&self) {
        self.unsaved.store(false, Ordering::Relaxed);
        let phase = &self.teller.phase.position.phase;
        if let Err(error) = self.teller.shared.records.save_state(phase, &self.identity, &self.state) {
            self.error(&format!("Can not record the status: {error}"));
            self.teller.message(Level::Error, format!("Can not record a status: {error}"));
        }
    }

    /// Writes what [`Self::unsaved`] says has changed.
    fn save_changes(&self) {
        if self.unsaved.load(Ordering::Relaxed) {
            self.save_state();
        }
    }

    /// Does something that may take time. The end of an operation is written together with the beginning of the next one, which most
    /// often comes at once: each write makes a file. Where it does not, it is not waited for.
    async fn saved_before_waiting<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        if let Poll::Ready(done) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
            return done;
        }
        self.save_changes();
        work.await
    }

    fn error(&self, text: &str) {
        self.log.line(LogLine::Text(Level::Error, text));
    }

    fn warn(&self, text: &str) {
        self.log.line(LogLine::Text(Level::Warn, text));
    }

    fn stop_signal(&self) -> StopSignal {
        self.teller.shared.stop_signal()
    }

    /// What a stop makes of a node between two operations.
    fn stopped(&self) -> Option<NodeStatus> {
        match self.teller.shared.gate().stop? {
            StopReason::Pause => Some(NodeStatus::Paused),
            StopReason::Abort | StopReason::Kill => Some(NodeStatus::Aborted),
        }
    }

    /// A plugin announced that it waits for a person, or that it does not any longer.
    fn take_request(&mut self, request: UnitRequest) {
        let UnitRequest::Interact(interact) = request;
        let status = if interact.is_some() { NodeStatus::WaitInput } else { NodeStatus::Running };
        if interact.is_some() {
            // Most ask in the log as well, and the question has no line end.
            self.log.show_held(std::time::Duration::ZERO);
        }
        self.state.interact = interact;
        if self.state.status == status {
            self.save_state();
        } else {
            self.change_status(status);
        }
    }
}

fn operation_ref(operation: &Operation) -> OperationRef {
    OperationRef { id: operation.id.clone(), name: operation.name.clone(), place: operation.place }
}

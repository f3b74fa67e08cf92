//! The run's state and the one function that changes it.
//!
//! [`RunState::handle`] is synchronous and knows no runtime: it takes what happened and returns the events
//! that follow from it. The loop in [`super`] stamps and reports them. Tests drive it directly.

use std::collections::HashMap;
use std::time::Instant;

use autoexec_events::{CallbackPosition, Level, NodeRef, OperationRef, Outcome, RunEvent, StopReason};
use autoexec_model::{JobStatus, NodeKey, NodeStatus, PhaseCounts, PhaseName, PhaseStatus, ResourceId};
use tokio::sync::{mpsc, oneshot};

use super::input::{
    Input, Permission, Request, SchedulerMessage, UnitEnd, UnitMessage, UnitMessageKind, UnitRequest,
};

/// What everybody who starts something new has to know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gate {
    /// Why the run stops before its end.
    pub(crate) stop: Option<StopReason>,
    /// A failed node is known in this process, or at another runner.
    pub(crate) failed: bool,
}

impl Gate {
    /// Whether nodes may still be taken.
    pub(crate) fn is_open(self) -> bool {
        self.stop.is_none() && !self.failed
    }

    /// Whether running operations are being ended.
    pub(crate) fn is_aborting(self) -> bool {
        self.stop >= Some(StopReason::Abort)
    }
}

#[derive(Debug)]
struct PhaseState {
    position: CallbackPosition,
    counts: PhaseCounts,
    started: Instant,
    waiting: u64,
}

#[derive(Debug)]
struct Unit {
    requests: mpsc::UnboundedSender<UnitRequest>,
    waiting: bool,
}

/// What follows from one input.
#[derive(Debug, Default)]
pub(crate) struct Reaction {
    /// To be reported, in order.
    pub(crate) events: Vec<RunEvent>,
    /// To be sent after that.
    pub(crate) reply: Option<Reply>,
}

impl From<Vec<RunEvent>> for Reaction {
    fn from(events: Vec<RunEvent>) -> Self {
        Self { events, reply: None }
    }
}

/// An answer that somebody waits for.
#[derive(Debug)]
pub(crate) enum Reply {
    Permission(oneshot::Sender<Permission>, Permission),
    Settled(oneshot::Sender<()>),
    Phase(oneshot::Sender<(PhaseStatus, PhaseCounts)>, PhaseStatus, PhaseCounts),
}

impl Reply {
    /// Sends the answer. A permission is refused when its event was not `recorded`: what the journal does not have
    /// must not happen. Whoever asked may be gone after a fault of its own; there is nobody else to tell.
    pub(crate) fn send(self, recorded: bool) {
        match self {
            Self::Permission(..) if !recorded => {}
            Self::Permission(sender, permission) => drop(sender.send(permission)),
            Self::Settled(sender) => drop(sender.send(())),
            Self::Phase(sender, status, counts) => drop(sender.send((status, counts))),
        }
    }
}

/// Owner of all run state.
#[derive(Debug)]
pub(crate) struct RunState {
    gate: Gate,
    phases: HashMap<PhaseName, PhaseState>,
    units: HashMap<(PhaseName, ResourceId), Unit>,
    phases_run: u64,
    unknown: u64,
    job_status_told: bool,
    started: Instant,
}

impl RunState {
    pub(crate) fn new() -> Self {
        Self {
            gate: Gate::default(),
            phases: HashMap::new(),
            units: HashMap::new(),
            phases_run: 0,
            unknown: 0,
            job_status_told: false,
            started: Instant::now(),
        }
    }

    pub(crate) fn gate(&self) -> Gate {
        self.gate
    }

    pub(crate) fn millis(&self) -> u64 {
        millis(self.started)
    }

    pub(crate) fn outcome(&self) -> Outcome {
        Outcome {
            failed: self.gate.failed,
            stopped: self.gate.stop,
            phases_run: self.phases_run,
            unknown: self.unknown,
            undelivered: 0,
        }
    }

    /// Handles one input. The reaction's events are to be reported first, in order, and only then its reply
    /// is to be sent: nothing may start that the journal does not have.
    pub(crate) fn handle(&mut self, input: Input) -> Reaction {
        match input {
            Input::Unit(UnitMessage { position, node, kind: UnitMessageKind::Start(reply) }) => {
                self.start_unit(position, node, reply)
            }
            Input::Scheduler(SchedulerMessage::Settled(reply)) => {
                Reaction { events: Vec::new(), reply: Some(Reply::Settled(reply)) }
            }
            Input::Scheduler(SchedulerMessage::PhaseDone { phase, reply }) => self.end_phase(&phase, reply),
            Input::Unit(message) => self.handle_unit(message).into(),
            Input::Scheduler(message) => self.handle_scheduler(message).into(),
            Input::Request(request) => self.handle_request(request).into(),
        }
    }

    fn handle_request(&mut self, request: Request) -> Vec<RunEvent> {
        match request {
            Request::Stop(reason) => self.stop(reason),
            Request::PeerFailed(phase) => {
                if self.gate.failed {
                    return Vec::new();
                }
                self.gate.failed = true;
                vec![warn(format!(
                    "A node of phase {phase} failed on another runner, no further node is started."
                ))]
            }
            Request::WaitInput { phase, resource, interact } => self.wait_input(&phase, resource, interact),
            Request::Message { level, text } => vec![RunEvent::Message { level, text }],
            Request::WhatRuns => vec![RunEvent::Message { level: Level::Info, text: self.what_runs() }],
            // Rounds are the scheduler's and variables the job's; the loop hands these over before they get here.
            Request::RoundContinue { .. } | Request::SetEnv { .. } => Vec::new(),
        }
    }

    /// Only a harsher reason than the present one changes anything, so repeated signals are harmless.
    fn stop(&mut self, reason: StopReason) -> Vec<RunEvent> {
        let harsher = match (self.gate.stop, reason) {
            (Some(StopReason::Abort), StopReason::Abort) => Some(StopReason::Kill),
            (present, asked) => (Some(asked) > present).then_some(asked),
        };
        let Some(reason) = harsher else { return Vec::new() };
        self.gate.stop = Some(reason);
        let text = match reason {
            StopReason::Pause => {
                "Pause requested: running operations end by themselves, no further one is started."
            }
            StopReason::Abort => "Abort requested: running operations are ended, no further one is started.",
            StopReason::Kill => "Abort requested again: running operations are killed at once.",
        };
        let mut events = vec![RunEvent::StopRequested { reason }, warn(text.to_owned())];
        events.extend(self.job_status_at_rest());
        events
    }

    /// The phases under way and the nodes at work, a line each.
    fn what_runs(&self) -> String {
        let mut phases: Vec<&PhaseState> = self.phases.values().collect();
        phases.sort_by(|a, b| a.position.phase.as_str().cmp(b.position.phase.as_str()));
        let lines = phases.into_iter().map(|state| {
            let phase = &state.position.phase;
            let units = self.units.iter().filter(|((of, _), _)| of == phase);
            let mut nodes: Vec<String> = units
                .map(|((_, node), unit)| {
                    format!("{node}{}", if unit.waiting { " (waits for input)" } else { "" })
                })
                .collect();
            nodes.sort();
            let seconds = state.started.elapsed().as_secs();
            format!(
                "\nphase {phase}, since {seconds} s: {} node(s) at work: {}",
                nodes.len(),
                nodes.join(", ")
            )
        });
        std::iter::once("At work:".to_owned()).chain(lines).collect()
    }

    fn wait_input(
        &mut self,
        phase: &PhaseName,
        resource: ResourceId,
        interact: Option<serde_json::Value>,
    ) -> Vec<RunEvent> {
        let Some(unit) = self.units.get_mut(&(phase.clone(), resource)) else { return Vec::new() };
        let Some(state) = self.phases.get_mut(phase) else { return Vec::new() };
        let waits = interact.is_some();
        let changes = unit.waiting != waits;
        match (unit.waiting, waits) {
            (false, true) => state.waiting += 1,
            (true, false) => state.waiting -= 1,
            _ => {}
        }
        unit.waiting = waits;
        // A unit that just ended has dropped its receiver; its final status stands.
        let heard = unit.requests.send(UnitRequest::Interact(interact)).is_ok();
        if waits && !heard {
            if changes {
                state.waiting -= 1;
            }
            unit.waiting = false;
            return Vec::new();
        }
        if !waits && !changes {
            return Vec::new();
        }
        let status = if state.waiting > 0 { PhaseStatus::WaitInput } else { PhaseStatus::Running };
        vec![state.status_changed(status)]
    }

    fn handle_scheduler(&mut self, message: SchedulerMessage) -> Vec<RunEvent> {
        match message {
            SchedulerMessage::GroupStarted(group) => vec![RunEvent::GroupStarted { group }],
            SchedulerMessage::PhaseStarted { position, nodes, width } => {
                self.start_phase(position, nodes, width)
            }
            SchedulerMessage::FirstNodeFed(phase) => self
                .phases
                .get(&phase)
                .map(|phase| phase.status_changed(PhaseStatus::Running))
                .into_iter()
                .collect(),
            SchedulerMessage::NotFed { phase, nodes } => {
                if let Some(phase) = self.phases.get_mut(&phase) {
                    phase.counts.not_run += nodes;
                }
                Vec::new()
            }
            // Answered in `handle`.
            SchedulerMessage::Settled(_) | SchedulerMessage::PhaseDone { .. } => Vec::new(),
            SchedulerMessage::PhaseBroken { position, text } => self.break_phase(position, text),
            SchedulerMessage::RoundFinished { position, round, of } => {
                vec![RunEvent::RoundFinished { position, round, of }]
            }
            SchedulerMessage::NextGroup(group) => vec![RunEvent::NextGroup { group }],
            SchedulerMessage::Message { level, text } => vec![RunEvent::Message { level, text }],
        }
    }

    fn start_phase(&mut self, position: CallbackPosition, nodes: u64, width: u64) -> Vec<RunEvent> {
        self.phases_run += 1;
        let state = PhaseState {
            position: position.clone(),
            counts: PhaseCounts::default(),
            started: Instant::now(),
            waiting: 0,
        };
        let running = state.status_changed(PhaseStatus::Running);
        self.phases.insert(position.phase.clone(), state);
        vec![RunEvent::PhaseStarted { position, nodes, width }, running]
    }

    fn end_phase(
        &mut self,
        phase: &PhaseName,
        reply: oneshot::Sender<(PhaseStatus, PhaseCounts)>,
    ) -> Reaction {
        let Some(state) = self.phases.remove(phase) else { return Reaction::default() };
        let counts = state.counts;
        let status = counts.final_status(self.gate.is_aborting(), !self.gate.is_open());
        let changed = state.status_changed(status);
        let millis = millis(state.started);
        let finished = RunEvent::PhaseFinished { position: state.position, status, counts, millis };
        Reaction { events: vec![changed, finished], reply: Some(Reply::Phase(reply, status, counts)) }
    }

    fn break_phase(&mut self, position: CallbackPosition, text: String) -> Vec<RunEvent> {
        self.gate.failed = true;
        let counts = self.phases.remove(&position.phase).map(|state| state.counts).unwrap_or_default();
        let status = PhaseStatus::Aborted;
        vec![
            RunEvent::Message { level: Level::Error, text },
            RunEvent::PhaseStatusChanged { position: position.clone(), status, counts },
            RunEvent::PhaseFinished { position, status, counts, millis: 0 },
        ]
    }

    fn handle_unit(&mut self, message: UnitMessage) -> Vec<RunEvent> {
        let UnitMessage { position, node, kind } = message;
        match kind {
            UnitMessageKind::Start(_) => Vec::new(), // answered in `handle`
            UnitMessageKind::Status { status, fail_ignored, warnings } => {
                self.gate.failed |= status.is_failure();
                vec![RunEvent::NodeStatusChanged { position, node, status, fail_ignored, warnings }]
            }
            UnitMessageKind::Prepared(operation) => {
                vec![RunEvent::OperationPrepared { phase: position.phase, node: node.key, operation }]
            }
            UnitMessageKind::Started { operation, pid } => {
                vec![RunEvent::OperationStarted { phase: position.phase, node: node.key, operation, pid }]
            }
            UnitMessageKind::Operation { operation, status, skipped, millis } => {
                vec![operation_finished(position.phase, node.key, operation, status, skipped, millis)]
            }
            UnitMessageKind::Checked { operation, found } => {
                let (phase, node) = (position.phase, node.key);
                vec![match found {
                    Ok(changes) => RunEvent::OperationChecked { phase, node, operation, changes },
                    Err(reason) => RunEvent::OperationNotChecked { phase, node, operation, reason },
                }]
            }
            UnitMessageKind::Refused { operation, refusal } => {
                vec![RunEvent::OperationRefused { phase: position.phase, node: node.key, operation, refusal }]
            }
            UnitMessageKind::Export { name, value, hidden } => {
                vec![RunEvent::VariableExported { name, value, hidden }]
            }
            UnitMessageKind::Answered => self.wait_input(&position.phase, node.resource, None),
            UnitMessageKind::UnknownOutcome => {
                self.unknown += 1;
                Vec::new()
            }
            UnitMessageKind::Finished { end, warnings, millis } => {
                self.end_unit(position, node, end, warnings, millis)
            }
            UnitMessageKind::Message { level, text } => vec![RunEvent::Message { level, text }],
        }
    }

    /// No permission is given once a stop was asked or a failure is known: dropping `reply` says so.
    fn start_unit(
        &mut self,
        position: CallbackPosition,
        node: NodeRef,
        reply: oneshot::Sender<Permission>,
    ) -> Reaction {
        if !self.gate.is_open() {
            return Reaction::default();
        }
        let (requests, receiver) = mpsc::unbounded_channel();
        self.units.insert((position.phase.clone(), node.resource), Unit { requests, waiting: false });
        Reaction {
            events: vec![RunEvent::NodeStarted { position, node }],
            reply: Some(Reply::Permission(reply, Permission { requests: receiver })),
        }
    }

    fn end_unit(
        &mut self,
        position: CallbackPosition,
        node: NodeRef,
        end: UnitEnd,
        warnings: u64,
        millis: u64,
    ) -> Vec<RunEvent> {
        let was_waiting =
            self.units.remove(&(position.phase.clone(), node.resource)).is_some_and(|unit| unit.waiting);
        let mut events = Vec::new();
        if let Some(phase) = self.phases.get_mut(&position.phase) {
            phase.counts.warnings += warnings;
            phase.waiting -= u64::from(was_waiting);
            count(&mut phase.counts, end);
            // Its plugin died without a word: nobody waits for a person any longer.
            if was_waiting && phase.waiting == 0 {
                events.push(phase.status_changed(PhaseStatus::Running));
            }
        }
        let finished = match end {
            UnitEnd::Ran(status) => Some((status, false)),
            UnitEnd::Skipped(status) => Some((status, true)),
            UnitEnd::NotStarted => None,
            UnitEnd::RunsElsewhere => {
                self.gate.failed = true;
                Some((NodeStatus::Running, true))
            }
        };
        if let Some((status, skipped)) = finished {
            self.gate.failed |= status.is_failure();
            events.push(RunEvent::NodeFinished { position, node, status, skipped, millis });
        }
        events.extend(self.job_status_at_rest());
        events
    }

    /// The job status that goes with a stop, once, when the last unit has ended: the server hears of it after
    /// the nodes and before the phases (`spec/execution.md` §6.10).
    fn job_status_at_rest(&mut self) -> Option<RunEvent> {
        if !self.units.is_empty() || self.job_status_told {
            return None;
        }
        let status = match self.gate.stop? {
            StopReason::Pause => JobStatus::Paused,
            StopReason::Abort | StopReason::Kill => JobStatus::Aborted,
        };
        self.job_status_told = true;
        Some(RunEvent::JobStatusChanged { status })
    }
}

impl PhaseState {
    fn status_changed(&self, status: PhaseStatus) -> RunEvent {
        RunEvent::PhaseStatusChanged { position: self.position.clone(), status, counts: self.counts }
    }
}

fn count(counts: &mut PhaseCounts, end: UnitEnd) {
    let counter = match end {
        UnitEnd::Skipped(_) => &mut counts.skipped,
        UnitEnd::NotStarted => &mut counts.paused,
        UnitEnd::RunsElsewhere => &mut counts.failed,
        UnitEnd::Ran(status) => match status {
            NodeStatus::Succeed => &mut counts.succeed,
            NodeStatus::Ignored => &mut counts.ignored,
            NodeStatus::Paused => &mut counts.paused,
            // A unit that ended without a final status is a failure, whatever it was.
            NodeStatus::Failed
            | NodeStatus::Aborted
            | NodeStatus::Aborting
            | NodeStatus::Pending
            | NodeStatus::Running
            | NodeStatus::WaitInput => &mut counts.failed,
        },
    };
    *counter += 1;
}

fn operation_finished(
    phase: PhaseName,
    node: NodeKey,
    operation: OperationRef,
    status: autoexec_model::OpStatus,
    skipped: bool,
    millis: u64,
) -> RunEvent {
    RunEvent::OperationFinished { phase, node, operation, status, skipped, millis }
}

fn warn(text: String) -> RunEvent {
    RunEvent::Message { level: Level::Warn, text }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

//! What can happen to a run: one vocabulary per direction.
//!
//! [`UnitMessage`] goes unit → dispatcher, [`UnitRequest`] goes dispatcher → unit, and the public
//! [`RunEvent`](autoexec_events::RunEvent) goes dispatcher → reporters. Whatever else may happen (a signal, a
//! datagram on the job socket, a server's hint) enters as a [`Request`].

use autoexec_events::{CallbackPosition, Change, Level, NodeRef, OperationRef, Refusal, StopReason};
use autoexec_model::{
    GroupNo, NodeStatus, OpStatus, PhaseCounts, PhaseName, PhaseStatus, ResourceId, Secret,
};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

/// Something the run did not cause itself.
#[derive(Debug)]
pub enum Request {
    /// A signal or a person asks to stop.
    Stop(StopReason),
    /// The server says that a node of this phase failed on another runner.
    PeerFailed(PhaseName),
    /// A plugin waits for a person (`interact`), or does not wait any longer (`None`).
    WaitInput {
        /// Phase of the unit.
        phase: PhaseName,
        /// Node of the unit.
        resource: ResourceId,
        /// What is asked, as the plugin announced it.
        interact: Option<Value>,
    },
    /// The server releases a round of a gray-scale group.
    RoundContinue {
        /// The phase that waits.
        phase: PhaseName,
        /// The released round; 0 releases whatever round is waited for.
        round: u64,
    },
    /// A plugin sets variables for everything that starts from now on.
    SetEnv {
        /// Name and value.
        items: Vec<(String, String)>,
        /// Not for later processes of the job.
        only_in_process: bool,
    },
    /// Somebody wants to know what is being run (SIGQUIT).
    WhatRuns,
    /// A reporter or another part of the process has something to tell people.
    Message {
        /// How grave it is.
        level: Level,
        /// The text, one line or several.
        text: String,
    },
}

/// Dispatcher → one unit.
#[derive(Debug, Clone)]
pub(crate) enum UnitRequest {
    /// The plugin of the current operation waits for a person, or does not any longer.
    Interact(Option<Value>),
}

/// The permission to have effects: a unit that gets none must not start.
#[derive(Debug)]
pub(crate) struct Permission {
    pub(crate) requests: mpsc::UnboundedReceiver<UnitRequest>,
}

/// How a unit ended, for the counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnitEnd {
    /// Its operations were run.
    Ran(NodeStatus),
    /// An earlier run had finished it.
    Skipped(NodeStatus),
    /// It was refused by a stop before it started.
    NotStarted,
    /// Another process works on it.
    RunsElsewhere,
}

/// Unit → dispatcher. `position` and `node` name the unit.
#[derive(Debug)]
pub(crate) struct UnitMessage {
    pub(crate) position: CallbackPosition,
    pub(crate) node: NodeRef,
    pub(crate) kind: UnitMessageKind,
}

#[derive(Debug)]
pub(crate) enum UnitMessageKind {
    /// May I start? Answered with a permission, or dropped.
    Start(oneshot::Sender<Permission>),
    Status {
        status: NodeStatus,
        fail_ignored: bool,
        warnings: u64,
    },
    Prepared(OperationRef),
    Started {
        operation: OperationRef,
        pid: Option<u32>,
    },
    Operation {
        operation: OperationRef,
        status: OpStatus,
        skipped: bool,
        millis: u64,
    },
    /// A dry run: what the operation would change, or why nobody can say it.
    Checked {
        operation: OperationRef,
        found: Result<Vec<Change>, String>,
    },
    /// The policy refused a tool something.
    Refused {
        operation: OperationRef,
        refusal: Box<Refusal>,
    },
    Export {
        name: String,
        value: Secret,
        hidden: bool,
    },
    /// The plugin that waited for a person has ended.
    Answered,
    /// Nobody knows whether an operation took effect and a person has to decide.
    UnknownOutcome,
    Finished {
        end: UnitEnd,
        warnings: u64,
        millis: u64,
    },
    Message {
        level: Level,
        text: String,
    },
}

/// Scheduler → dispatcher.
#[derive(Debug)]
pub(crate) enum SchedulerMessage {
    GroupStarted(GroupNo),
    PhaseStarted {
        position: CallbackPosition,
        nodes: u64,
        width: u64,
    },
    /// The first node is queued: the contract has a second `running` here.
    FirstNodeFed(PhaseName),
    /// Nodes that will not be fed because feeding stopped.
    NotFed {
        phase: PhaseName,
        nodes: u64,
    },
    /// Answered when all that was told before is known, so that the gate says what came of it.
    Settled(oneshot::Sender<()>),
    /// No unit of the phase is left; the reply is what became of it.
    PhaseDone {
        phase: PhaseName,
        reply: oneshot::Sender<(PhaseStatus, PhaseCounts)>,
    },
    /// The phase could not be run at all.
    PhaseBroken {
        position: CallbackPosition,
        text: String,
    },
    RoundFinished {
        position: CallbackPosition,
        round: u64,
        of: u64,
    },
    NextGroup(GroupNo),
    Message {
        level: Level,
        text: String,
    },
}

/// Everything the dispatcher handles.
#[derive(Debug)]
pub(crate) enum Input {
    Unit(UnitMessage),
    Scheduler(SchedulerMessage),
    Request(Request),
}

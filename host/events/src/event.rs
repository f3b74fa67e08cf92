//! The event vocabulary.

use autoexec_grants::Refusal;
use autoexec_model::{
    GroupNo, JobId, JobStatus, Node, NodeKey, NodeStatus, OpId, OpName, OpStatus, PhaseCounts, PhaseName,
    PhaseStatus, Place, ResourceId, Secret,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// An event with its number and time.
#[derive(Debug, Clone, Serialize)]
pub struct Stamped {
    /// Number within the run, from 1, without gaps.
    pub seq: u64,
    /// When the dispatcher handled it.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: RunEvent,
}

/// Numbers and times the events of one run.
#[derive(Debug, Default)]
pub struct Stamper {
    last: u64,
}

impl Stamper {
    /// Stamps `event` with the next number and the current time.
    pub fn stamp(&mut self, event: RunEvent) -> Stamped {
        self.last += 1;
        Stamped { seq: self.last, at: Timestamp::now(), event }
    }
}

/// The node an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeRef {
    /// Identity at the server.
    pub resource: ResourceId,
    /// Host name or address.
    pub host: String,
    /// Service port.
    pub port: Option<u16>,
    /// Display name, may be empty.
    pub name: String,
    /// The part of file names.
    pub key: NodeKey,
}

impl From<&Node> for NodeRef {
    fn from(node: &Node) -> Self {
        Self {
            resource: node.resource,
            host: node.host.clone(),
            port: node.port,
            name: node.name.clone(),
            key: node.key(),
        }
    }
}

/// The operation an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperationRef {
    /// Unique id.
    pub id: OpId,
    /// Tool name.
    pub name: OpName,
    /// Where it runs.
    pub place: Place,
}

/// Where in the job's structure a callback belongs; the console outbox orders by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallbackPosition {
    /// Group number.
    pub group: GroupNo,
    /// Phase name.
    pub phase: PhaseName,
}

/// How grave a message is. The prefix of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Plain information.
    Info,
    /// A success worth a colour.
    Fine,
    /// Something is off, the run goes on.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// The prefix of a log line, with colon: `INFO:`, `FINE:`, `WARN:`, `ERROR:`.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Info => "INFO:",
            Self::Fine => "FINE:",
            Self::Warn => "WARN:",
            Self::Error => "ERROR:",
        }
    }
}

/// One thing that an operation would change, as its tool says in a dry run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What: a path, a user, a setting, an address.
    pub subject: String,
    /// How it is now; none when it does not exist.
    #[serde(default)]
    pub before: Option<String>,
    /// How it would be; none when it would be gone.
    #[serde(default)]
    pub after: Option<String>,
}

impl fmt::Display for Change {
    /// `<subject>: <before> -> <after>`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |state: &Option<String>| state.clone().unwrap_or_else(|| "(none)".to_owned());
        write!(f, "{}: {} -> {}", self.subject, shown(&self.before), shown(&self.after))
    }
}

/// Why a run stops before its end. Ordered: a later one is harsher and replaces an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopReason {
    /// A person asked to pause: running operations go on, nodes stop before the next one.
    Pause,
    /// A person or the system asked to abort: running operations are ended with TERM, then KILL.
    Abort,
    /// Asked again while aborting: KILL at once.
    Kill,
}

/// What happened in a run.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the fields are named after their types, which are documented")]
pub enum RunEvent {
    /// The process started to work on the job.
    JobStarted { job: JobId, pid: u32, first_fire: bool },
    /// A group was entered.
    GroupStarted { group: GroupNo },
    /// A phase will feed its nodes.
    PhaseStarted {
        #[serde(flatten)]
        position: CallbackPosition,
        nodes: u64,
        width: u64,
    },
    /// The status of a phase changed. Sent to the server.
    PhaseStatusChanged {
        #[serde(flatten)]
        position: CallbackPosition,
        status: PhaseStatus,
        counts: PhaseCounts,
    },
    /// A unit was registered: from here on it may have effects.
    NodeStarted {
        #[serde(flatten)]
        position: CallbackPosition,
        node: NodeRef,
    },
    /// The status of a node changed. Sent to the server.
    NodeStatusChanged {
        #[serde(flatten)]
        position: CallbackPosition,
        node: NodeRef,
        status: NodeStatus,
        fail_ignored: bool,
        warnings: u64,
    },
    /// An operation is about to have effects.
    OperationPrepared { phase: PhaseName, node: NodeKey, operation: OperationRef },
    /// An operation's process or call was started.
    OperationStarted { phase: PhaseName, node: NodeKey, operation: OperationRef, pid: Option<u32> },
    /// An operation ended, or was left out because it had succeeded before.
    OperationFinished {
        phase: PhaseName,
        node: NodeKey,
        operation: OperationRef,
        status: OpStatus,
        skipped: bool,
        millis: u64,
    },
    /// A dry run asked an operation's tool what it would change.
    OperationChecked { phase: PhaseName, node: NodeKey, operation: OperationRef, changes: Vec<Change> },
    /// A dry run left an operation out, because nobody can say what it would change.
    OperationNotChecked { phase: PhaseName, node: NodeKey, operation: OperationRef, reason: String },
    /// The policy refused a tool a use, or would in the mode `enforce`. At most a few for each call.
    OperationRefused { phase: PhaseName, node: NodeKey, operation: OperationRef, refusal: Box<Refusal> },
    /// A unit ended, with what became of its node.
    NodeFinished {
        #[serde(flatten)]
        position: CallbackPosition,
        node: NodeRef,
        status: NodeStatus,
        skipped: bool,
        millis: u64,
    },
    /// A phase fed all nodes it will feed in this run, and they ended.
    PhaseFinished {
        #[serde(flatten)]
        position: CallbackPosition,
        status: PhaseStatus,
        counts: PhaseCounts,
        millis: u64,
    },
    /// A round of a gray-scale group ended for one phase.
    RoundFinished {
        #[serde(flatten)]
        position: CallbackPosition,
        round: u64,
        of: u64,
    },
    /// A variable is to be known to later groups. Sent to the server.
    VariableExported {
        name: String,
        #[serde(skip)]
        value: Secret,
        hidden: bool,
    },
    /// A stop was asked.
    StopRequested { reason: StopReason },
    /// The status of the job changed. Sent to the server.
    JobStatusChanged { status: JobStatus },
    /// The group is done; the server may fire the next one.
    NextGroup { group: GroupNo },
    /// A text for people.
    Message { level: Level, text: String },
    /// The run is over.
    JobFinished { failed: bool, stopped: Option<StopReason>, phases_run: u64, millis: u64 },
}

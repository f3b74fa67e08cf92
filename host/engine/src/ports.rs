//! What the engine asks of the outside: traits that other crates implement and `cli` wires.
//!
//! The engine knows no HTTP, SSH, WebAssembly or terminal; it knows these.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autoexec_events::{Refusal, Stamped, StopReason};
use autoexec_model::command_line::Purpose;
use autoexec_model::value::{AccountRequest, Inputs, NodeVariables};
use autoexec_model::{Call, GroupNo, Node, NodeFileHeader, NodeStatus, OpStatus, Operation, PhaseName};
use autoexec_plan::{PlannedPhase, Rerun};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use tokio::sync::watch;

/// Gets every event of a run, in order. Called by the dispatcher, so it must not block for long: a
/// reporter that talks to something slow keeps a queue and a task of its own.
pub trait Reporter: Send {
    /// Name in error texts.
    fn name(&self) -> &'static str;

    /// Takes one event.
    ///
    /// # Errors
    /// An error stops the run from starting anything new.
    fn report(&mut self, event: &Stamped) -> Result<(), ReportError>;
}

/// Why an event could not be recorded.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReportError(pub String);

/// Which nodes are asked for (`spec/nodes.md` §3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeScope {
    /// The nodes of one phase of a one-shot group.
    Phase(GroupNo, PhaseName),
    /// The nodes of a gray-scale group.
    Group(GroupNo),
}

/// A node file that is ready to be read.
pub struct NodeList {
    /// The file that was chosen; plugins get it as `AUTOEXEC_NODES_PATH`.
    pub path: PathBuf,
    /// Its header.
    pub header: NodeFileHeader,
    /// Its nodes, read as they are taken. A broken line is an error text that names file and line.
    pub nodes: Box<dyn Iterator<Item = Result<Node, String>> + Send>,
}

/// Brings node files up to date and opens them.
#[async_trait]
pub trait NodeProvider: Send + Sync {
    /// Fetches what is newer and opens the file that is valid for `scope`.
    ///
    /// # Errors
    /// A text for people: what could not be fetched or read, and what to do.
    async fn open(&self, scope: &NodeScope) -> Result<NodeList, String>;
}

/// Calls that need an answer before an operation can go on.
#[async_trait]
pub trait JobServices: Send + Sync {
    /// The password of an account option for one node, as the server sends it: maybe encrypted.
    async fn account_password(&self, node: &Node, account: &AccountRequest) -> Result<String, String>;

    /// Brings a file to the job's `file` directory; returns its name there.
    async fn fetch_file(&self, id: &str) -> Result<String, String>;

    /// Sets a global parameter at the server.
    async fn update_global_parameter(&self, name: &str, value: &str) -> Result<(), String>;

    /// What a shell makes of `text` in `echo <text>`. Only called where the site allows it.
    async fn evaluate_in_shell(&self, text: &str) -> Result<String, String>;

    /// No longer takes requests from outside (job socket), and gives back the global locks. Called once, after the
    /// last group and before the server may fire the next one. Returns what people should know.
    async fn end_control(&self) -> Vec<(autoexec_events::Level, String)>;

    /// Tells the server that this runner is done with a round.
    async fn round_ended(&self, group: GroupNo, phase: &PhaseName, round: u64) -> Result<(), String>;
}

/// How an operation with a tool behind it will be run.
#[derive(Debug, Clone)]
pub struct ToolInfo {
    /// May it run again when nobody knows whether it took effect?
    pub rerun: Rerun,
    /// Whether it is a component, held to a policy.
    pub is_component: bool,
    /// Whether it can say what it would change ([`Purpose::Check`]).
    pub can_check: bool,
}

/// Why a tool can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ToolProblem {
    /// For people: where it was looked for, or what is wrong with it and what to do.
    pub text: String,
    /// What the policy does not give it, where that is the reason.
    pub refusals: Vec<Refusal>,
}

impl From<String> for ToolProblem {
    fn from(text: String) -> Self {
        Self { text, refusals: Vec::new() }
    }
}

/// Exit code of a tool that was asked whether an earlier run took effect ([`Purpose::Probe`]): it did, all of it.
pub const PROBE_COMPLETE: i32 = 0;
/// It did not, or so little that running again is safe. Not 1, with which a script ends that fails for any other reason.
/// Every further code means that it can not be told.
pub const PROBE_NONE: i32 = 10;

/// Everything about a unit that its runner may need.
#[derive(Debug, Clone)]
pub struct UnitInfo {
    /// Group number.
    pub group: GroupNo,
    /// The phase.
    pub phase: Arc<PlannedPhase>,
    /// The node.
    pub node: Arc<Node>,
    /// Node file of the phase.
    pub nodes_path: PathBuf,
}

/// One operation, ready to run: all values resolved.
pub struct OperationCall<'a> {
    /// What the tool is asked for. For a probe the exit code is [`PROBE_COMPLETE`], [`PROBE_NONE`] or another one; for a
    /// check the output holds `changes`, a list of objects with `subject`, `before` and `after`.
    pub purpose: Purpose,
    /// The operation.
    pub operation: &'a Operation,
    /// Its call part.
    pub call: &'a Call,
    /// Options and arguments, resolved.
    pub inputs: &'a Inputs,
    /// The environment of the job at this moment.
    pub environment: &'a IndexMap<String, String>,
    /// Variables of the node.
    pub node_variables: &'a NodeVariables,
    /// No other operation of the unit can run on its target after this one.
    pub is_last_there: bool,
}

/// How an operation ended, before fail patterns and `failIgnore` are looked at.
#[derive(Debug)]
pub struct OperationEnd {
    /// Exit code, or why there is none.
    pub exit: OperationExit,
    /// What it wrote to its output file; `None` when it declared none or wrote none. Of a check always.
    pub output: Option<Map<String, Value>>,
}

/// Exit of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationExit {
    /// It ended with this code; 0 is success.
    Code(i32),
    /// It was ended by a signal of its own.
    Signal(i32),
    /// It was stopped; `proved_dead` tells whether nothing of it is left.
    Stopped {
        /// Whether the whole process tree is known to be gone.
        proved_dead: bool,
    },
    /// It could not be run to its end. The text goes to the node log as an error.
    Error(String),
}

/// Receives what an operation prints and says. Implemented by the node's log.
pub trait OperationSink: Send + Sync {
    /// A piece of output, any bytes, any size.
    fn output(&self, bytes: &[u8]);
    /// A line of the executor itself, with the prefix of its level.
    fn info(&self, level: autoexec_events::Level, text: &str);
    /// The process was started; `None` when there is no local process.
    fn started(&self, pid: Option<u32>);
    /// The command line as people may see it.
    fn executing(&self, display: &str);
    /// The policy refused a use, or would. For programs: the line of the log is told with [`info`](Self::info).
    fn refused(&self, refusal: Refusal);
}

/// Runs the operations of one unit; keeps what can be shared between them, such as a connection.
#[async_trait]
pub trait UnitRunner: Send + Sync {
    /// Runs one operation. Must end soon after `stop` turns to [`StopReason::Abort`].
    async fn run(
        &mut self,
        call: OperationCall<'_>,
        sink: Arc<dyn OperationSink>,
        stop: StopSignal,
    ) -> OperationEnd;

    /// Releases what is held. Called once, also after a failure.
    ///
    /// # Errors
    /// What could not be cleaned up, as a text for the node log; the status of the node is not touched by it.
    async fn close(&mut self) -> Result<(), String>;
}

/// Finds tools and makes unit runners.
#[async_trait]
pub trait Runners: Send + Sync {
    /// Brings what the operations of a phase need (scripts) to this machine.
    ///
    /// # Errors
    /// A text for people; the phase ends as `aborted`.
    async fn prepare(&self, phase: &PlannedPhase) -> Result<(), String>;

    /// What is known of an operation's tool.
    ///
    /// # Errors
    /// Why it can not be used.
    fn tool(&self, operation: &Operation, call: &Call) -> Result<ToolInfo, ToolProblem>;

    /// The run has come to a node, whether there is anything to do for it or not. What an earlier process of the job left there
    /// can be put in order at the end.
    fn meet(&self, node: &Node);

    /// A runner for one unit.
    fn open(&self, unit: &UnitInfo) -> Box<dyn UnitRunner>;

    /// Gives back what was kept from one phase to the next. Called once, when no unit is at work any more and none will be.
    /// Returns what people should know.
    async fn finish(&self) -> Vec<(autoexec_events::Level, String)>;
}

/// The stop level of a unit, to be watched while waiting.
#[derive(Debug, Clone)]
pub struct StopSignal(pub(crate) watch::Receiver<crate::dispatcher::Gate>);

impl StopSignal {
    /// The present reason to stop.
    pub fn reason(&self) -> Option<StopReason> {
        self.0.borrow().stop
    }

    /// Waits until the reason is at least `reason`. Never ends if the run ends without one.
    pub async fn reached(&mut self, reason: StopReason) {
        if self.0.wait_for(|gate| gate.stop >= Some(reason)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Opens the logs of units.
pub trait UnitLogs: Send + Sync {
    /// Starts a new log for a node of a phase.
    ///
    /// # Errors
    /// A text that names the file.
    fn open(&self, phase: &PhaseName, node: &Node) -> Result<Arc<dyn UnitLog>, String>;
}

/// A line of a node log that others read by its form (`spec/workdir.md` §5.2).
#[derive(Debug, Clone, Copy)]
pub enum LogLine<'a> {
    /// The node's status changed.
    StatusChanged(NodeStatus),
    /// START marker.
    OperationStart(&'a Operation),
    /// Help text of the operation.
    Help(&'a str),
    /// The operation succeeded in an earlier run.
    OperationSkipped(&'a Operation, OpStatus),
    /// The command line, secrets hidden.
    Execute(&'a str),
    /// A condition and its value.
    Condition(&'a str, bool),
    /// Result of an operation.
    OperationResult(&'a Operation, OpStatus),
    /// END marker with the duration in milliseconds.
    OperationEnd(&'a Operation, u64),
    /// Result of the node.
    NodeComplete(NodeStatus),
    /// Any other line of the executor.
    Text(autoexec_events::Level, &'a str),
}

/// What `native/failkeys` arms.
#[derive(Debug, Clone)]
pub struct FailKeys {
    /// Regular expressions.
    pub patterns: Vec<String>,
    /// All must match, or any.
    pub all: bool,
    /// A match of this clears the line.
    pub exclude: Option<String>,
    /// A hit is a warning and does not fail the operation.
    pub only_warn: bool,
}

/// The log of one unit. Writing never fails the unit: a log that cannot be written is reported once.
pub trait UnitLog: Send + Sync {
    /// Writes one of the executor's lines.
    fn line(&self, line: LogLine<'_>);
    /// Takes output of a tool, in any pieces.
    fn output(&self, bytes: &[u8]);
    /// Writes what there is of a line that has not ended, if the tool has been silent for this long: a prompt is seen
    /// while the tool waits at it.
    fn show_held(&self, silent_for: Duration);
    /// The operation ended: a line without newline is written now.
    fn end_output(&self);
    /// Arms fail patterns for the rest of the node; returns warnings about unusable ones.
    fn arm(&self, keys: &FailKeys) -> Vec<String>;
    /// Whether a line of the present operation hit a fail pattern.
    fn has_hit(&self) -> bool;
    /// Number of warnings so far.
    fn warnings(&self) -> u64;
    /// Writes the last lines and gives the history file its final name.
    fn finish(&self, status: NodeStatus, millis: u64);
}

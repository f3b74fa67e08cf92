//! The border to the rest of the executor: facts a call may learn, and where its results go.

use async_trait::async_trait;
use autoexec_grants::Access;
use serde_json::Value;

/// One call's view of its job. Implemented by the runner, one value per call.
///
/// The methods run on the sandbox's guest threads while the guest waits: they must not block for long. After a call
/// was stopped, dropped or has timed out, none of them is called any more; one that runs at that moment still ends.
#[async_trait]
pub trait ToolHost: Send + Sync + 'static {
    /// Where in the job the call stands.
    fn context(&self) -> JobContext;

    /// The node the call is for.
    fn node(&self) -> NodeFacts;

    /// Variables of that node. No secrets.
    fn variables(&self) -> Vec<(String, String)>;

    /// Log text. May hold line breaks, and control characters of the guest's choice.
    fn log(&self, level: LogLevel, text: &str);

    /// Raw output to be logged as it comes.
    fn write(&self, bytes: &[u8]);

    /// One output. The same name again replaces the value.
    fn output(&self, name: &str, value: Value);

    /// The tool's live data, replaced as a whole.
    fn live_data(&self, data: Value);

    /// Asked before each use of a capability, with its real argument; for hosts once with the name as given, then with each
    /// address it resolved to. Denies by default.
    fn permit(&self, access: &Access<'_>) -> Result<(), Denied> {
        Err(Denied(format!("no rule allows `{}`", access.capability())))
    }

    /// Values of a step's output over all nodes, in node order (`step-outputs`).
    async fn step_outputs(&self, _output: &OutputName) -> Result<Vec<NodeValue>, OutputQueryError> {
        Err(OutputQueryError("outputs of other nodes are not available here".into()))
    }
}

/// Where in the job a call stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobContext {
    /// Id of the job.
    pub job_id: String,
    /// Name of the phase.
    pub phase: String,
    /// Number of the phase's group.
    pub group: Option<u32>,
    /// Id of the step.
    pub operation_id: String,
    /// Who started the job.
    pub exec_user: String,
    /// Tenant; empty when stand-alone.
    pub tenant: String,
}

/// A node without its secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Id of the resource; 0 is the runner.
    pub resource_id: i64,
    /// Address or name; `local` for the runner.
    pub host: String,
    /// Service port.
    pub port: Option<u16>,
    /// Display name.
    pub name: String,
    /// Type in the inventory.
    pub node_type: String,
    /// Protocol by which the executor reaches it.
    pub protocol: String,
    /// Port of that protocol.
    pub protocol_port: Option<u16>,
    /// Account used there.
    pub username: String,
}

/// How the console shows a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// As it is.
    Plain,
    /// Progress.
    Info,
    /// A step that went well.
    Fine,
    /// Something to look at.
    Warn,
    /// Why the step fails.
    Error,
}

/// Why a use is not allowed: the rule, for the tool and the audit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(pub String);

/// A step's output in this job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputName {
    /// Phase of the step.
    pub phase: String,
    /// Id of the step.
    pub operation_id: String,
    /// Name of the output.
    pub name: String,
}

/// One node's value of an output.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeValue {
    /// Id of the resource; 0 is the runner.
    pub resource_id: i64,
    /// Host; `local` for the runner.
    pub host: String,
    /// Service port.
    pub port: Option<u16>,
    /// The value.
    pub value: Value,
}

/// Why outputs could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OutputQueryError(pub String);

//! Other nodes of the job: who they are, and what steps put out there.

use serde_json::Value;

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

/// Why the nodes of a phase could not be listed (`nodes-error` in the WIT).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobNodesError {
    /// The job has no phase of that name.
    #[error("the job has no such phase")]
    NotFound,
    /// The list can not be read now; says why.
    #[error("{0}")]
    Unavailable(String),
}

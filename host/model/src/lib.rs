//! What a job is: identifiers, parameters, nodes, statuses, values, references and conditions.
//!
//! This crate is pure. It reads bytes that others fetched and answers questions about them; it does no
//! I/O, starts no task and knows no clock. The formats follow `spec/job-params.md`, `spec/nodes.md`,
//! `spec/execution.md` and `spec/native-ops.md`.

mod ids;
mod json_path;
mod node;
mod params;
mod rounds;
mod secret;
mod status;

pub use ids::{GroupNo, IdError, JobId, NodeKey, OpId, OpName, PhaseName, ResourceId, RunnerId};
pub use node::{LineError, Node, NodeFileHeader, NodeLine, Protocol};
pub use params::{
    Argument, Call, ExecRound, ExecStrategy, Group, IfBlock, Interpreter, JobParams, LoopBlock, OpOption,
    Operation, OperationBody, OutputDescription, ParamsError, Phase, PhaseType, Place, ScriptSource,
    ValueType,
};
pub use rounds::{RoundPlan, one_shot_width};
pub use secret::{RevealError, Secret, SecretKey, is_encrypted};
pub use status::{JobStatus, NodeStatus, OpStatus, PhaseCounts, PhaseStatus, UnknownStatus};

//! What a job is: identifiers, parameters, nodes, statuses, values, references and conditions.
//!
//! This crate is pure. It reads bytes that others fetched and answers questions about them; it does no
//! I/O, starts no task and knows no clock. The formats follow `spec/job-params.md`, `spec/nodes.md`,
//! `spec/execution.md` and `spec/native-ops.md`.

pub mod command_line;
pub mod condition;
mod ids;
mod json_path;
mod json_text;
pub mod native;
mod node;
mod params;
pub mod reference;
mod rounds;
mod secret;
pub mod selector;
mod status;
pub mod value;
pub mod window;

pub use ids::{GroupNo, IdError, JobId, NodeKey, OpId, OpName, PhaseName, ResourceId, RunnerId};
pub use json_text::{json_text, plain_text};
pub use node::{LineError, Node, NodeFileHeader, NodeLine, Protocol};
pub use params::{
    Argument, Call, ExecRound, ExecStrategy, Group, IfBlock, Interpreter, JobParams, LoopBlock, OpOption,
    Operation, OperationBody, OutputDescription, ParamsError, Phase, PhaseType, Place, ScriptSource,
    ValueType, for_each_operation,
};
pub use rounds::{RoundPlan, one_shot_width};
pub use secret::{RevealError, Secret, SecretKey, is_encrypted};
pub use status::{JobStatus, NodeStatus, OpStatus, PhaseCounts, PhaseStatus, UnknownStatus};

//! What will run, what is skipped, and why: parameters and filters become an immutable plan.
//!
//! Nothing here runs anything or reads a file. The decisions about single nodes and operations are
//! functions too, so that `autoexec plan` can show them and the engine can follow them.

mod decide;
mod job;

pub use decide::{
    NodeDecision, OperationDecision, PriorNode, PriorOperation, Rerun, decide_node, decide_operation,
};
pub use job::{Filter, JobPlan, PlannedGroup, PlannedPhase};

//! Run it, skip it, or ask a person: decisions about one node and one operation
//! (`spec/execution.md` §6.6, §6.7; design "crash safety and the unknown").

use autoexec_model::{NodeStatus, OpStatus, PhaseType};
use serde::{Deserialize, Serialize};

/// What an earlier run left about a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriorNode {
    /// Recorded status.
    pub status: NodeStatus,
    /// The process that recorded it is still alive (same pid, same start time, same machine).
    pub process_alive: bool,
}

/// What to do with a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeDecision {
    /// Run its operations.
    Run,
    /// An earlier run finished it; tell the server again and go on.
    Skip(NodeStatus),
    /// Another process is working on it.
    RunsElsewhere,
}

/// Decides about a node. `prior` is `None` when nothing is recorded.
pub fn decide_node(prior: Option<PriorNode>, phase: PhaseType, force: bool) -> NodeDecision {
    match prior {
        _ if force || phase == PhaseType::SqlFile => NodeDecision::Run,
        Some(prior) if prior.status.is_done() => NodeDecision::Skip(prior.status),
        Some(PriorNode { status: NodeStatus::Running | NodeStatus::WaitInput, process_alive: true }) => {
            NodeDecision::RunsElsewhere
        }
        _ => NodeDecision::Run,
    }
}

/// Whether a tool may be run again when nobody knows whether it took effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rerun {
    /// Idempotent: run it again. The default, because it is what the replaced system always did.
    #[default]
    Safe,
    /// The tool can be asked whether it took effect.
    Probe,
    /// Never twice without a person's word.
    Once,
}

/// What an earlier run left about an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriorOperation {
    /// Recorded status.
    pub status: OpStatus,
}

/// What to do with an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationDecision {
    /// Run it.
    Run,
    /// It succeeded before; load its outputs and go on.
    Skip,
    /// It may have taken effect: ask the tool.
    Probe,
    /// It may have taken effect and must not run twice: a person has to decide.
    AskPerson,
}

/// Decides about an operation. A recorded `running` or `unknown` whose process is gone means that nobody
/// knows whether it took effect.
pub fn decide_operation(
    prior: Option<PriorOperation>,
    phase: PhaseType,
    rerun: Rerun,
    force: bool,
) -> OperationDecision {
    let Some(prior) = prior else { return OperationDecision::Run };
    if force || phase == PhaseType::SqlFile {
        return OperationDecision::Run;
    }
    match (prior.status, rerun) {
        (OpStatus::Succeed, _) => OperationDecision::Skip,
        (OpStatus::Running | OpStatus::Unknown, Rerun::Once) => OperationDecision::AskPerson,
        (OpStatus::Running | OpStatus::Unknown, Rerun::Probe) => OperationDecision::Probe,
        _ => OperationDecision::Run,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(status: NodeStatus, process_alive: bool, phase: PhaseType, force: bool) -> NodeDecision {
        decide_node(Some(PriorNode { status, process_alive }), phase, force)
    }

    #[test]
    fn nodes_that_are_done_are_skipped_unless_forced() {
        for status in [NodeStatus::Succeed, NodeStatus::Ignored] {
            assert_eq!(decide(status, false, PhaseType::Target, false), NodeDecision::Skip(status));
            assert_eq!(decide(status, false, PhaseType::Target, true), NodeDecision::Run);
            assert_eq!(decide(status, false, PhaseType::SqlFile, false), NodeDecision::Run);
        }
        for status in [NodeStatus::Failed, NodeStatus::Paused, NodeStatus::Aborted, NodeStatus::Pending] {
            assert_eq!(decide(status, false, PhaseType::Target, false), NodeDecision::Run);
        }
        assert_eq!(decide_node(None, PhaseType::Target, false), NodeDecision::Run);
    }

    #[test]
    fn a_node_of_a_live_process_is_left_alone() {
        let decide = |alive| decide(NodeStatus::Running, alive, PhaseType::Target, false);
        assert_eq!((decide(true), decide(false)), (NodeDecision::RunsElsewhere, NodeDecision::Run));
    }

    #[test]
    fn an_unknown_effect_is_handled_by_the_rerun_class() {
        let decide = |status, rerun| {
            decide_operation(Some(PriorOperation { status }), PhaseType::Target, rerun, false)
        };
        for status in [OpStatus::Running, OpStatus::Unknown] {
            assert_eq!(decide(status, Rerun::Safe), OperationDecision::Run);
            assert_eq!(decide(status, Rerun::Probe), OperationDecision::Probe);
            assert_eq!(decide(status, Rerun::Once), OperationDecision::AskPerson);
        }
        for rerun in [Rerun::Safe, Rerun::Probe, Rerun::Once] {
            assert_eq!(decide(OpStatus::Succeed, rerun), OperationDecision::Skip);
            assert_eq!(
                decide(OpStatus::Failed, rerun),
                OperationDecision::Run,
                "a known failure may run again"
            );
        }
    }
}

//! What may stand in an outbox, and where it stands in the order.

use autoexec_model::PhaseName;
use serde::{Deserialize, Serialize};

use super::schedule::Lane;
use crate::{
    Call, ConsoleClient, ConsoleError, ExportedVariable, JobStatusUpdate, NextGroup, NodeStatusUpdate,
    PeerState, PhaseStatusUpdate,
};

/// A callback that must arrive.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "camelCase")]
pub enum Callback {
    /// Status of a node.
    NodeStatus(NodeStatusUpdate),
    /// Status of a phase.
    PhaseStatus(PhaseStatusUpdate),
    /// Status of the job on this runner.
    JobStatus(JobStatusUpdate),
    /// This runner is through with a group.
    NextGroup(NextGroup),
    /// A variable for later groups and other runners.
    ExportVariable(ExportedVariable),
}

impl Callback {
    /// What it says, in words, without values that may be secret.
    pub fn summary(&self) -> String {
        match self {
            Self::NodeStatus(update) => {
                format!("node {} of phase {}: {}", update.resource, update.phase, update.status)
            }
            Self::PhaseStatus(update) => format!("phase {}: {}", update.phase, update.status),
            Self::JobStatus(update) => format!("job {}: {}", update.job, update.status),
            Self::NextGroup(update) => format!("end of group {}", update.group),
            Self::ExportVariable(variable) => format!("variable {}", variable.env_name),
        }
    }

    pub(super) fn lane(&self) -> Lane {
        match self {
            Self::NodeStatus(update) => Lane::Node(update.phase.clone(), update.resource),
            Self::PhaseStatus(update) => Lane::Phase(update.phase.clone()),
            Self::JobStatus(_) | Self::NextGroup(_) => Lane::Job,
            Self::ExportVariable(variable) => Lane::Variable(variable.env_name.clone()),
        }
    }

    /// The phase whose other runners a server may say something about.
    pub(super) fn phase_of_node(&self) -> Option<&PhaseName> {
        match self {
            Self::NodeStatus(update) => Some(&update.phase),
            _ => None,
        }
    }

    /// Sends it once.
    pub(super) async fn send(&self, client: &ConsoleClient) -> Result<PeerState, ConsoleError> {
        let (call, body) = match self {
            Self::NodeStatus(update) => {
                (Call::NodeStatus, client.body_with_pass_through(Call::NodeStatus, update)?)
            }
            Self::PhaseStatus(update) => {
                (Call::PhaseStatus, client.body_with_pass_through(Call::PhaseStatus, update)?)
            }
            Self::JobStatus(update) => {
                (Call::JobStatus, client.body_with_pass_through(Call::JobStatus, update)?)
            }
            Self::NextGroup(update) => {
                (Call::NextGroup, client.body_with_pass_through(Call::NextGroup, update)?)
            }
            Self::ExportVariable(variable) => {
                (Call::ExportVariable, client.body_with_pass_through(Call::ExportVariable, variable)?)
            }
        };
        if client.is_silent(call) {
            return Ok(PeerState::NothingKnown);
        }
        client.post_once(call, body).await.map(PeerState::of)
    }
}

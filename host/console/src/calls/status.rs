//! The status callbacks: node, phase, job, next group and exported variables.
//!
//! The structs are also what the outbox writes to its file; a member that is added needs a serde default.

use std::fmt;

use autoexec_model::{GroupNo, JobId, JobStatus, NodeStatus, PhaseName, PhaseStatus, ResourceId, RunnerId};
use serde::{Deserialize, Serialize};

use crate::reply::Reply;
use crate::{Call, ConsoleClient, ConsoleError, UnixTime, wire};

/// Status of one node in one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeStatusUpdate {
    /// The job.
    #[serde(rename = "jobId", deserialize_with = "wire::job_id")]
    pub job: JobId,
    /// The group of the phase.
    #[serde(rename = "groupNo")]
    pub group: GroupNo,
    /// The phase.
    #[serde(deserialize_with = "wire::phase_name")]
    pub phase: PhaseName,
    /// The node.
    #[serde(rename = "resourceId")]
    pub resource: ResourceId,
    /// The node's host, as in the node file.
    pub host: String,
    /// The node's port; null for a node without one.
    pub port: Option<u16>,
    /// The status.
    pub status: NodeStatus,
    /// Whether the operation that failed tolerates it.
    #[serde(with = "wire::zero_one")]
    pub fail_ignore: bool,
    /// Warnings in the node's log.
    pub warn_count: u64,
    /// When the status came about.
    pub time: UnixTime,
}

/// Status of one phase on this runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseStatusUpdate {
    /// The job.
    #[serde(rename = "jobId", deserialize_with = "wire::job_id")]
    pub job: JobId,
    /// The group of the phase.
    #[serde(rename = "groupNo")]
    pub group: GroupNo,
    /// The phase.
    #[serde(deserialize_with = "wire::phase_name")]
    pub phase: PhaseName,
    /// The status.
    pub status: PhaseStatus,
    /// Nodes that failed.
    pub fail_node_count: u64,
    /// Nodes that succeeded.
    pub suc_node_count: u64,
    /// Nodes an earlier run had finished.
    pub skip_node_count: u64,
    /// Nodes with tolerated failures.
    pub ignore_fail_node_count: u64,
    /// Warnings in the node logs.
    pub warn_count: u64,
    /// When the status came about.
    pub time: UnixTime,
}

/// This runner is through with a group; the server may fire the next one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NextGroup {
    /// The job.
    #[serde(rename = "jobId", deserialize_with = "wire::job_id")]
    pub job: JobId,
    /// This runner.
    #[serde(rename = "runnerId")]
    pub runner: RunnerId,
    /// The group that ended.
    #[serde(rename = "groupNo")]
    pub group: GroupNo,
    /// When it ended.
    pub time: UnixTime,
}

/// Status of the job on this runner; `passThroughEnv` must hold `runnerId`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatusUpdate {
    /// The job.
    #[serde(rename = "jobId", deserialize_with = "wire::job_id")]
    pub job: JobId,
    /// When the status came about.
    pub time: UnixTime,
    /// The status.
    pub status: JobStatus,
}

/// A variable for later groups and other runners. `Debug` does not show a hidden value.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportedVariable {
    /// The job.
    #[serde(rename = "jobId", deserialize_with = "wire::job_id")]
    pub job: JobId,
    /// Name of the variable.
    pub env_name: String,
    /// Its value.
    pub env_value: String,
    /// Whether people may see the value.
    #[serde(with = "wire::zero_one")]
    pub is_hidden: bool,
    /// When it was set.
    pub time: UnixTime,
}

impl fmt::Debug for ExportedVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = if self.is_hidden { "******" } else { self.env_value.as_str() };
        f.debug_struct("ExportedVariable")
            .field("job", &self.job)
            .field("env_name", &self.env_name)
            .field("env_value", &value)
            .finish_non_exhaustive()
    }
}

/// What an older server says about the other runners in its answer to a node status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// Nothing, as current servers do.
    NothingKnown,
    /// `hasFailNode` = 1: a node of the phase failed elsewhere; no further node should be started.
    NodeFailed,
}

#[derive(Deserialize)]
struct NodeStatusReturn {
    #[serde(rename = "hasFailNode")]
    has_fail_node: Option<serde_json::Value>,
}

impl PeerState {
    /// Reads the flag leniently: old servers send a number, some releases send text.
    pub(crate) fn of(reply: Reply) -> Self {
        let flag = reply.decode_if_any::<NodeStatusReturn>().and_then(|found| found.has_fail_node);
        let failed = flag.is_some_and(|flag| flag == 1 || flag == "1" || flag == true);
        if failed { Self::NodeFailed } else { Self::NothingKnown }
    }
}

impl ConsoleClient {
    /// Tells the status of a node. Running jobs use the [`Outbox`](crate::Outbox) instead.
    pub async fn node_status(&self, update: &NodeStatusUpdate) -> Result<PeerState, ConsoleError> {
        let reply = self.notify(Call::NodeStatus, update).await?;
        Ok(reply.map_or(PeerState::NothingKnown, PeerState::of))
    }

    /// Tells the status of a phase. Running jobs use the [`Outbox`](crate::Outbox) instead.
    pub async fn phase_status(&self, update: &PhaseStatusUpdate) -> Result<(), ConsoleError> {
        self.notify(Call::PhaseStatus, update).await.map(drop)
    }

    /// Tells that this runner is through with a group. Running jobs use the [`Outbox`](crate::Outbox) instead.
    pub async fn next_group(&self, update: &NextGroup) -> Result<(), ConsoleError> {
        self.notify(Call::NextGroup, update).await.map(drop)
    }

    /// Tells that the job was paused or aborted here. Running jobs use the [`Outbox`](crate::Outbox) instead.
    pub async fn job_status(&self, update: &JobStatusUpdate) -> Result<(), ConsoleError> {
        self.notify(Call::JobStatus, update).await.map(drop)
    }

    /// Hands a variable to the server. Running jobs use the [`Outbox`](crate::Outbox) instead.
    pub async fn export_variable(&self, variable: &ExportedVariable) -> Result<(), ConsoleError> {
        self.notify(Call::ExportVariable, variable).await.map(drop)
    }

    /// POSTs `fields` and `passThroughEnv`; none when devmode leaves the call out.
    pub(super) async fn notify(
        &self,
        call: Call,
        fields: &impl Serialize,
    ) -> Result<Option<Reply>, ConsoleError> {
        if self.is_silent(call) {
            return Ok(None);
        }
        self.post(call, self.body_with_pass_through(call, fields)?).await.map(Some)
    }
}

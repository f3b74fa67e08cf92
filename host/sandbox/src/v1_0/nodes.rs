//! `step-outputs` and `job-nodes`.

use autoexec_grants::Access;
use wasmtime::Result;

use super::always;
use super::bindings::autoexec::tool::job::Node;
use super::bindings::autoexec::tool::job_nodes::{self, NodesError};
use super::bindings::autoexec::tool::step_outputs::{self, QueryError};
use crate::host::{JobNodesError, NodeValue, OutputName};
use crate::state::CallState;

impl step_outputs::Host for CallState {
    async fn find(
        &mut self,
        phase: String,
        operation_id: String,
        name: String,
    ) -> Result<Result<Vec<step_outputs::NodeValue>, QueryError>> {
        let border = self.enter()?;
        let access = Access::StepOutputs { phase: &phase, operation: &operation_id, output: &name };
        if let Err(denied) = border.permit(&access) {
            return Ok(Err(QueryError::Denied(denied.0)));
        }
        let answer = border.host()?.step_outputs(&OutputName { phase, operation_id, name }).await;
        border.check_alive()?;
        Ok(match answer {
            Ok(values) => Ok(values.into_iter().map(node_value).collect()),
            Err(error) => Err(QueryError::Unavailable(error.to_string())),
        })
    }
}

fn node_value(found: NodeValue) -> step_outputs::NodeValue {
    step_outputs::NodeValue {
        resource_id: found.resource_id,
        host: found.host,
        port: found.port,
        value: found.value.to_string(),
    }
}

impl job_nodes::Host for CallState {
    async fn list(
        &mut self,
        phase: String,
        offset: u32,
        limit: u32,
    ) -> Result<Result<Vec<Node>, NodesError>> {
        let border = self.enter()?;
        if let Err(denied) = border.permit(&Access::JobNodes { phase: &phase }) {
            return Ok(Err(NodesError::Denied(denied.0)));
        }
        let answer = border.host()?.job_nodes(&phase, offset, limit).await;
        border.check_alive()?;
        Ok(match answer {
            Ok(nodes) => Ok(nodes.into_iter().map(always::node).collect()),
            Err(JobNodesError::NotFound) => Err(NodesError::NotFound),
            Err(JobNodesError::Unavailable(why)) => Err(NodesError::Unavailable(why)),
        })
    }
}

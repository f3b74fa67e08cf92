//! `step-outputs` and `job-nodes`.

use super::always;
use super::bindings::autoexec::tool::job::Node;
use super::bindings::autoexec::tool::job_nodes::{self, NodesError};
use super::bindings::autoexec::tool::step_outputs::{self, QueryError};
use crate::border::Border;
use crate::host::{JobNodesError, NodeValue, OutputName};
use crate::state::CallState;
use autoexec_grants::Access;

impl step_outputs::Host for CallState {
    async fn find(
        &mut self,
        phase: String,
        operation_id: String,
        name: String,
    ) -> wasmtime::Result<Result<Vec<step_outputs::NodeValue>, QueryError>> {
        let border = self.enter()?;
        let asked = border.asked("step-outputs.find", &(&phase, &operation_id, &name))?;
        let output = OutputName { phase, operation_id, name };
        Ok(asked.answers(find(&border, &output)).await?)
    }
}

async fn find(border: &Border, output: &OutputName) -> Result<Vec<step_outputs::NodeValue>, QueryError> {
    let OutputName { phase, operation_id, name } = output;
    let access = Access::StepOutputs { phase, operation: operation_id, output: name };
    border.permit(&access).map_err(|denied| QueryError::Denied(denied.0))?;
    let host = border.host().map_err(|over| QueryError::Unavailable(over.to_string()))?;
    let found = host.step_outputs(output).await;
    let values = found.map_err(|error| QueryError::Unavailable(error.to_string()))?;
    Ok(values.into_iter().map(node_value).collect())
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
    ) -> wasmtime::Result<Result<Vec<Node>, NodesError>> {
        let border = self.enter()?;
        let asked = border.asked("job-nodes.list", &(&phase, offset, limit))?;
        Ok(asked.answers(list(&border, &phase, offset, limit)).await?)
    }
}

async fn list(border: &Border, phase: &str, offset: u32, limit: u32) -> Result<Vec<Node>, NodesError> {
    border.permit(&Access::JobNodes { phase }).map_err(|denied| NodesError::Denied(denied.0))?;
    let host = border.host().map_err(|over| NodesError::Unavailable(over.to_string()))?;
    match host.job_nodes(phase, offset, limit).await {
        Ok(nodes) => Ok(nodes.into_iter().map(always::node).collect()),
        Err(JobNodesError::NotFound) => Err(NodesError::NotFound),
        Err(JobNodesError::Unavailable(why)) => Err(NodesError::Unavailable(why)),
    }
}

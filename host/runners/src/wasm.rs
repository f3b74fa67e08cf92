//! A component in the sandbox.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use autoexec_engine::ports::{
    OperationCall, OperationEnd, OperationExit, OperationSink, PROBE_COMPLETE, PROBE_NONE, StopSignal,
    UnitInfo,
};
use autoexec_events::{Level, StopReason};
use autoexec_grants::{Access, DataDirection};
use autoexec_model::OpName;
use autoexec_model::command_line::{CommandLine, Purpose};
use autoexec_model::value::Recipient;
use autoexec_plan::Rerun;
use autoexec_sandbox::{
    Candidate, Change, Denied, Effect, GrantedDirectory, InvokeError, JobContext, LogLevel, NodeFacts,
    NodeValue, OutputName, OutputQueryError, TargetHost, Tool, ToolCall, ToolFailure, ToolHost, ToolOutcome,
};
use autoexec_store::json::Style;
use autoexec_store::{JobDir, Loaded, NodeOutput, atomic};
use serde_json::{Map, Value};

use crate::catalog::Promises;
use crate::permits::Permits;
use crate::settings::Shared;
use crate::target_capability::NodeTarget;
use crate::unit::has_output;

impl Shared {
    /// Loads a component, if its signature and the site's lock allow, linked with what the policy grants to a tool of this
    /// name. Compiles it when it is new, so it is called off the async threads. With it comes what the node's log is to
    /// say about where it comes from.
    fn load(&self, name: &OpName, path: &Path) -> Result<(Arc<Tool>, Option<String>), String> {
        let policy = &self.settings.policy;
        let grants = policy.linkable(name.as_str());
        let explain = |error| policy.explain(self.settings.job.as_str(), name.as_str(), &error);
        let mut warning = None;
        let admit = |file: &Candidate<'_>| {
            warning = self.settings.supply.admit(name.as_str(), path, file)?;
            Ok(())
        };
        let tool = self.sandbox()?.load_if(path, &grants, admit).map_err(explain)?;
        Ok((tool, warning))
    }

    /// What a component promises in its manifest.
    pub(crate) fn promises_of(&self, name: &OpName, path: &Path) -> Result<Promises, String> {
        let (tool, _) = tokio::task::block_in_place(|| self.load(name, path))?;
        let rerun = match tool.manifest().rerun {
            autoexec_manifest::Rerun::Safe => Rerun::Safe,
            autoexec_manifest::Rerun::Probe => Rerun::Probe,
            autoexec_manifest::Rerun::Once => Rerun::Once,
        };
        Ok(Promises { rerun, can_check: tool.can_check(), ..Promises::default() })
    }
}

pub(crate) async fn run(
    shared: &Arc<Shared>,
    unit: &UnitInfo,
    call: &OperationCall<'_>,
    path: &Path,
    sink: Arc<dyn OperationSink>,
    mut stop: StopSignal,
) -> Result<OperationEnd, String> {
    let line = CommandLine::new(call.inputs, None).to(call.purpose);
    let display = line.display(call.operation.name.as_str(), Recipient::Runner);
    sink.executing(&display);
    let name = &call.operation.name;
    let (tool, warning) = tokio::task::block_in_place(|| shared.load(name, path))?;
    if let Some(warning) = warning {
        sink.info(Level::Warn, &warning);
    }
    let limits = shared.settings.policy.limits(name.as_str(), &tool);
    let permits = Permits::new(shared, unit, call, &tool, Arc::clone(&sink));
    let host = Arc::new(Host::new(shared, unit, call, permits, Arc::clone(&sink)));
    sink.started(None);
    let stopped = async move { stop.reached(StopReason::Abort).await };
    let (sandbox, asked) = (shared.sandbox()?, tool_call(call));
    let tool_host = Arc::clone(&host) as Arc<dyn ToolHost>;
    let exit = match call.purpose {
        Purpose::Run => match sandbox.invoke(&tool, asked, tool_host, limits, stopped).await {
            Ok(ToolOutcome::Succeeded { message }) => {
                if let Some(message) = message {
                    sink.info(Level::Fine, &message);
                }
                OperationExit::Code(0)
            }
            Ok(ToolOutcome::Failed(failure)) => failed(&failure, &*sink),
            Err(error) => not_ended(&error),
        },
        Purpose::Probe => match sandbox.probe(&tool, asked, tool_host, limits, stopped).await {
            Ok(Ok(Effect::Complete)) => OperationExit::Code(PROBE_COMPLETE),
            Ok(Ok(Effect::None)) => OperationExit::Code(PROBE_NONE),
            Ok(Ok(Effect::Unknown)) => OperationExit::Code(PROBE_UNKNOWN),
            Ok(Err(failure)) => {
                sink.info(Level::Error, &failure.message);
                OperationExit::Code(PROBE_UNKNOWN)
            }
            Err(error) => not_ended(&error),
        },
        Purpose::Check => match sandbox.check(&tool, asked, tool_host, limits, stopped).await {
            Ok(Ok(changes)) => {
                host.output("changes", changes.iter().map(change).collect());
                OperationExit::Code(0)
            }
            Ok(Err(failure)) => failed(&failure, &*sink),
            Err(error) => not_ended(&error),
        },
    };
    host.target.close().await;
    let output = match exit {
        OperationExit::Code(0) if has_output(call) => Some(host.save_outputs()?),
        _ => None,
    };
    Ok(OperationEnd { exit, output })
}

/// The variable that holds the job directory's path.
const WORK_PATH: &str = "AUTOEXEC_WORK_PATH";

/// What a probe that can not tell ends with; any code but the two that say something.
const PROBE_UNKNOWN: i32 = 1;

fn failed(failure: &ToolFailure, sink: &dyn OperationSink) -> OperationExit {
    sink.info(Level::Error, &failure.message);
    OperationExit::Code(i32::from(failure.exit_code))
}

fn not_ended(error: &InvokeError) -> OperationExit {
    match error {
        // The instance is dropped with the call: nothing of it can be left.
        InvokeError::Stopped => OperationExit::Stopped { proved_dead: true },
        error => OperationExit::Error(error.to_string()),
    }
}

fn change(change: &Change) -> Value {
    serde_json::json!({"subject": change.subject, "before": change.before, "after": change.after})
}

fn tool_call(call: &OperationCall<'_>) -> ToolCall {
    let options = call.inputs.options.iter().filter(|(_, value)| !value.is_empty());
    ToolCall {
        options: options.map(|(name, value)| (name.clone(), value.to_json())).collect(),
        arguments: call.inputs.arguments.iter().map(autoexec_model::value::ResolvedValue::to_json).collect(),
    }
}

/// What one call sees of its job, and where its results go.
struct Host {
    context: JobContext,
    node: NodeFacts,
    variables: Vec<(String, String)>,
    permits: Permits,
    /// There is no node to work on.
    is_local: bool,
    target: NodeTarget,
    sink: Arc<dyn OperationSink>,
    job_dir: JobDir,
    live_data: PathBuf,
    output_path: PathBuf,
    outputs: Mutex<Map<String, Value>>,
}

impl Host {
    fn new(
        shared: &Arc<Shared>,
        unit: &UnitInfo,
        call: &OperationCall<'_>,
        permits: Permits,
        sink: Arc<dyn OperationSink>,
    ) -> Self {
        let settings = &shared.settings;
        let (node, key) = (&unit.node, unit.node.key());
        let (phase, operation) = (&unit.phase.phase.name, &call.operation.id);
        let variables = call
            .node_variables
            .iter()
            .filter(|(name, _)| call.node_variables.get(name).is_some_and(|found| !found.secret));
        Self {
            context: JobContext {
                job_id: settings.job.to_string(),
                phase: phase.to_string(),
                group: u32::try_from(unit.group.0).ok(),
                operation_id: operation.to_string(),
                exec_user: settings.exec_user.clone(),
                tenant: settings.tenant.clone(),
            },
            node: NodeFacts {
                resource_id: node.resource.0,
                host: node.host.clone(),
                port: node.port,
                name: node.name.clone(),
                node_type: node.kind.clone(),
                protocol: node.protocol.as_str().to_owned(),
                protocol_port: Some(node.protocol_port).filter(|port| *port != 0),
                username: node.user.clone(),
            },
            variables: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                // As native tools know it: the policy gives out directories below it.
                .chain([(WORK_PATH.to_owned(), settings.job_dir.root().display().to_string())])
                .collect(),
            live_data: settings.job_dir.live_data(phase, &key, operation),
            output_path: settings.job_dir.op_output(&key, operation),
            job_dir: settings.job_dir.clone(),
            outputs: Mutex::default(),
            permits,
            is_local: node.is_local(),
            target: NodeTarget::new(shared, unit, Arc::clone(&sink)),
            sink,
        }
    }

    /// Writes the outputs where those of any tool stand, for the next run of the job.
    fn save_outputs(&self) -> Result<Map<String, Value>, String> {
        let outputs = std::mem::take(&mut *self.outputs.lock().unwrap_or_else(PoisonError::into_inner));
        atomic::write_json(&self.output_path, &outputs, Style::Indented, atomic::PRIVATE)
            .map_err(|error| error.to_string())?;
        Ok(outputs)
    }
}

#[async_trait]
impl ToolHost for Host {
    fn context(&self) -> JobContext {
        self.context.clone()
    }

    fn node(&self) -> NodeFacts {
        self.node.clone()
    }

    fn variables(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }

    fn log(&self, level: LogLevel, text: &str) {
        match level {
            LogLevel::Plain => {
                self.sink.output(text.as_bytes());
                self.sink.output(b"\n");
            }
            LogLevel::Info => self.sink.info(Level::Info, text),
            LogLevel::Fine => self.sink.info(Level::Fine, text),
            LogLevel::Warn => self.sink.info(Level::Warn, text),
            LogLevel::Error => self.sink.info(Level::Error, text),
        }
    }

    fn write(&self, bytes: &[u8]) {
        self.sink.output(bytes);
    }

    fn output(&self, name: &str, value: Value) {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
    }

    fn live_data(&self, data: Value) {
        if let Err(error) = atomic::write_json(&self.live_data, &data, Style::Compact, atomic::PRIVATE) {
            self.sink.info(Level::Warn, &format!("Can not write live data: {error}"));
        }
    }

    fn permit(&self, access: &Access<'_>) -> Result<(), Denied> {
        self.permits.ask(*access).map(|_| ()).map_err(Denied)
    }

    fn granted_directory(&self, path: &Path, direction: DataDirection) -> Result<PathBuf, Denied> {
        self.permits.directory(path, direction).map_err(Denied)
    }

    fn granted_directories(&self) -> Vec<GrantedDirectory> {
        let of = |direction| {
            let paths = self.permits.directories(direction).into_iter();
            paths.map(move |path| GrantedDirectory { path, direction })
        };
        of(DataDirection::Read).chain(of(DataDirection::Write)).collect()
    }

    fn verifies_certificate(&self, host: &str, port: u16) -> bool {
        self.permits.verifies_certificate(host, port)
    }

    fn target(&self) -> Option<&dyn TargetHost> {
        (!self.is_local).then_some(&self.target as &dyn TargetHost)
    }

    async fn step_outputs(&self, output: &OutputName) -> Result<Vec<NodeValue>, OutputQueryError> {
        let OutputName { phase, operation_id, name } = output;
        let access = Access::StepOutputs { phase, operation: operation_id, output: name };
        self.permits.ask(access).map_err(OutputQueryError)?;
        let (job_dir, output) = (self.job_dir.clone(), output.clone());
        tokio::task::spawn_blocking(move || collect(&job_dir, &output))
            .await
            .map_err(|error| OutputQueryError(error.to_string()))?
    }
}

/// The value of an output over all nodes of the job, in the order of their keys.
fn collect(job_dir: &JobDir, output: &OutputName) -> Result<Vec<NodeValue>, OutputQueryError> {
    let id = autoexec_model::OpId::new(output.operation_id.clone())
        .map_err(|error| OutputQueryError(error.to_string()))?;
    let mut values = Vec::new();
    for (key, path) in job_dir.node_output_files().map_err(|error| OutputQueryError(error.to_string()))? {
        let Loaded::Found(outputs) =
            NodeOutput::load(&path).map_err(|error| OutputQueryError(error.to_string()))?
        else {
            continue;
        };
        let value = outputs.operation(&id).and_then(|values| values.get(&output.name));
        let Some(value) = value.filter(|value| !value.is_null()) else { continue };
        let Some((host, port, resource_id)) = split_key(&key) else { continue };
        values.push(NodeValue { resource_id, host, port, value: value.clone() });
    }
    Ok(values)
}

/// `<host>-<port>-<resourceId>`; the host may hold dashes.
fn split_key(key: &str) -> Option<(String, Option<u16>, i64)> {
    let (rest, resource) = key.rsplit_once('-')?;
    let (host, port) = rest.rsplit_once('-')?;
    let port = if port.is_empty() { None } else { Some(port.parse().ok()?) };
    Some((host.to_owned(), port.filter(|port| *port != 0), resource.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_keys_split_from_the_right() {
        assert_eq!(split_key("10.0.0.1--71"), Some(("10.0.0.1".to_owned(), None, 71)));
        assert_eq!(split_key("a-b-8080-7"), Some(("a-b".to_owned(), Some(8080), 7)));
        assert_eq!(split_key("local-0-0"), Some(("local".to_owned(), None, 0)));
        assert_eq!(split_key("nonsense"), None);
    }
}

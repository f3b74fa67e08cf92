//! A component in the sandbox.

use std::path::Path;
use std::sync::Arc;

use autoexec_engine::ports::{
    OperationCall, OperationEnd, OperationExit, OperationSink, PROBE_COMPLETE, PROBE_NONE, StopSignal,
    ToolProblem, UnitInfo,
};
use autoexec_events::{Level, StopReason};
use autoexec_model::OpName;
use autoexec_model::command_line::{CommandLine, Purpose};
use autoexec_model::value::Recipient;
use autoexec_plan::Rerun;
use autoexec_sandbox::{
    Candidate, Change, Effect, InvokeError, Tool, ToolCall, ToolFailure, ToolHost, ToolOutcome,
};
use serde_json::Value;

use crate::capabilities::Host;
use crate::catalog::Promises;
use crate::permits::Permits;
use crate::settings::Shared;
use crate::unit::has_output;

impl Shared {
    /// Loads a component, if its signature and the site's lock allow, linked with what the policy grants to a tool of this
    /// name. Compiles it when it is new, so it is called off the async threads. With it comes what the node's log is to
    /// say about where it comes from.
    fn load(&self, name: &OpName, path: &Path) -> Result<(Arc<Tool>, Option<String>), ToolProblem> {
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
    pub(crate) fn promises_of(&self, name: &OpName, path: &Path) -> Result<Promises, ToolProblem> {
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
    let loaded = tokio::task::block_in_place(|| shared.load(name, path));
    let (tool, warning) = loaded.map_err(|ToolProblem { text, refusals }| {
        for refusal in refusals {
            sink.refused(refusal);
        }
        text
    })?;
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
                host.put_out("changes", changes.iter().map(change).collect());
                OperationExit::Code(0)
            }
            Ok(Err(failure)) => failed(&failure, &*sink),
            Err(error) => not_ended(&error),
        },
    };
    let nothing_left = host.close().await;
    let exit = match exit {
        OperationExit::Stopped { proved_dead } => {
            OperationExit::Stopped { proved_dead: proved_dead && nothing_left }
        }
        exit => exit,
    };
    let output = match exit {
        OperationExit::Code(0) if has_output(call) => Some(host.save_outputs()?),
        _ => None,
    };
    Ok(OperationEnd { exit, output })
}

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

//! The linker module of `autoexec:tool@1.0`: generated bindings, host functions on top of [`crate::ToolHost`], and
//! which interfaces go into a linker under which grants.

use wasmtime::Result;
use wasmtime::component::{HasData, HasSelf, Linker, ResourceTable};
use wasmtime_wasi::clocks::WasiClocks;
use wasmtime_wasi::p2::bindings::{clocks, random};
use wasmtime_wasi::random::WasiRandom;

use crate::call::{FailureKind, ToolCall, ToolFailure, ToolOutcome};
use autoexec_grants::Capability;

use crate::grants::Grants;
use crate::host::{LogLevel, NodeValue, OutputName};
use crate::probe::{self, ProbeError};
use crate::state::{CallState, HostTrap};

mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/autoexec-tool",
        world: "plugin",
        imports: {
            "autoexec:tool/net-probe.tcp-connect": async | trappable,
            "autoexec:tool/net-probe.icmp-echo": async | trappable,
            "autoexec:tool/step-outputs.find": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: {
            "wasi:http": wasmtime_wasi_http::p2::bindings::http,
            "wasi": wasmtime_wasi::p2::bindings,
        },
    });
}

pub(crate) use bindings::PluginPre;
use bindings::autoexec::tool::{job, local_time, log, net_probe, output, step_outputs};
pub(crate) use bindings::exports::autoexec::tool::tool as export;

/// A linker with what every tool gets and what is granted, and nothing else.
pub(crate) fn linker(engine: &wasmtime::Engine, grants: &Grants) -> Result<Linker<CallState>> {
    let mut linker = Linker::new(engine);
    add_wasi(&mut linker)?;
    let l = &mut linker;
    log::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)?;
    output::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)?;
    job::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)?;
    local_time::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)?;
    for capability in grants.iter() {
        match capability {
            Capability::NetProbe => net_probe::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)?,
            Capability::StepOutputs => {
                step_outputs::add_to_linker::<_, HasSelf<CallState>>(l, |state| state)?;
            }
            // Not linked yet: a component that imports one of them is refused when it is loaded.
            Capability::Http
            | Capability::Sockets
            | Capability::Snmp
            | Capability::JobNodes
            | Capability::Secret
            | Capability::Target
            | Capability::Filesystem
            | Capability::Server
            | Capability::Documents
            | Capability::Lock
            | Capability::Interact
            | Capability::Program => {}
        }
    }
    Ok(linker)
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

fn add_wasi(l: &mut Linker<CallState>) -> Result<()> {
    wasmtime_wasi_io::bindings::wasi::io::poll::add_to_linker::<_, HasTable>(l, |state| &mut state.table)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(l, CallState::clocks)?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, CallState::clocks)?;
    random::random::add_to_linker::<_, WasiRandom>(l, CallState::random)?;
    random::insecure::add_to_linker::<_, WasiRandom>(l, CallState::random)?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(l, CallState::random)
}

impl log::Host for CallState {
    fn line(&mut self, level: log::Level, text: String) -> Result<()> {
        self.spend_log(text.len())?;
        self.host()?.log(log_level(level), &text);
        Ok(())
    }

    fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.spend_log(bytes.len())?;
        self.host()?.write(&bytes);
        Ok(())
    }
}

fn log_level(level: log::Level) -> LogLevel {
    match level {
        log::Level::Plain => LogLevel::Plain,
        log::Level::Info => LogLevel::Info,
        log::Level::Fine => LogLevel::Fine,
        log::Level::Warn => LogLevel::Warn,
        log::Level::Error => LogLevel::Error,
    }
}

impl output::Host for CallState {
    fn set(&mut self, name: String, value: String) -> Result<()> {
        self.spend_output(name.len().saturating_add(value.len()))?;
        let value = parse_json(&value, || format!("the value of output `{name}`"))?;
        self.host()?.output(&name, value);
        Ok(())
    }

    fn set_live_data(&mut self, data: String) -> Result<()> {
        self.spend_output(data.len())?;
        let data = parse_json(&data, || "the live data".to_owned())?;
        self.host()?.live_data(data);
        Ok(())
    }
}

fn parse_json(text: &str, what: impl Fn() -> String) -> Result<serde_json::Value, HostTrap> {
    serde_json::from_str(text).map_err(|error| HostTrap::Misuse(format!("{} is not JSON: {error}", what())))
}

impl job::Host for CallState {
    fn get_context(&mut self) -> Result<job::Context> {
        let context = self.host()?.context();
        Ok(job::Context {
            job_id: context.job_id,
            phase: context.phase,
            group: context.group,
            operation_id: context.operation_id,
            exec_user: context.exec_user,
            tenant: context.tenant,
        })
    }

    fn get_node(&mut self) -> Result<job::Node> {
        let node = self.host()?.node();
        Ok(job::Node {
            resource_id: node.resource_id,
            host: node.host,
            port: node.port,
            name: node.name,
            node_type: node.node_type,
            protocol: node.protocol,
            protocol_port: node.protocol_port,
            username: node.username,
        })
    }

    fn get_variable(&mut self, name: String) -> Result<Option<String>> {
        let variables = self.host()?.variables();
        Ok(variables.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value))
    }

    fn list_variables(&mut self) -> Result<Vec<job::Variable>> {
        let variables = self.host()?.variables();
        Ok(variables.into_iter().map(|(name, value)| job::Variable { name, value }).collect())
    }
}

impl local_time::Host for CallState {
    fn utc_offset(&mut self, unix_seconds: i64) -> Result<i32> {
        let zone = jiff::tz::TimeZone::system();
        Ok(jiff::Timestamp::from_second(unix_seconds).map_or(0, |at| zone.to_offset(at).seconds()))
    }
}

impl net_probe::Host for CallState {
    async fn icmp_echo(
        &mut self,
        _host: String,
        _timeout_ms: u32,
    ) -> Result<Result<u32, net_probe::ProbeError>> {
        Ok(Err(net_probe::ProbeError::Other("ICMP is not available yet".into())))
    }

    async fn tcp_connect(
        &mut self,
        host: String,
        port: u16,
        timeout_ms: u32,
    ) -> Result<Result<u32, net_probe::ProbeError>> {
        let gatekeeper = self.host()?.clone();
        let answer = probe::tcp_connect(gatekeeper.as_ref(), &host, port, timeout_ms).await;
        self.check_alive()?;
        Ok(answer.map_err(probe_error))
    }
}

fn probe_error(error: ProbeError) -> net_probe::ProbeError {
    match error {
        ProbeError::Denied(why) => net_probe::ProbeError::Denied(why),
        ProbeError::Unresolved(why) => net_probe::ProbeError::Unresolved(why),
        ProbeError::Refused => net_probe::ProbeError::Refused,
        ProbeError::Unreachable(why) => net_probe::ProbeError::Unreachable(why),
        ProbeError::TimedOut => net_probe::ProbeError::TimedOut,
        ProbeError::Other(why) => net_probe::ProbeError::Other(why),
    }
}

impl step_outputs::Host for CallState {
    async fn find(
        &mut self,
        phase: String,
        operation_id: String,
        name: String,
    ) -> Result<Result<Vec<step_outputs::NodeValue>, step_outputs::QueryError>> {
        let host = self.host()?.clone();
        let answer = host.step_outputs(&OutputName { phase, operation_id, name }).await;
        self.check_alive()?;
        Ok(match answer {
            Ok(values) => Ok(values.into_iter().map(node_value).collect()),
            Err(error) => Err(step_outputs::QueryError::Unavailable(error.to_string())),
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

/// The call in the component's types.
pub(crate) fn invocation(call: ToolCall) -> export::Invocation {
    export::Invocation {
        options: call
            .options
            .into_iter()
            .map(|(name, value)| bindings::autoexec::tool::types::OptionValue {
                name,
                value: value.to_string(),
            })
            .collect(),
        arguments: call.arguments.into_iter().map(|value| value.to_string()).collect(),
    }
}

/// The component's answer in the host's types.
pub(crate) fn outcome(answer: Result<export::Outcome, export::Failure>) -> ToolOutcome {
    match answer {
        Ok(outcome) => ToolOutcome::Succeeded { message: outcome.message },
        Err(failure) => ToolOutcome::Failed(ToolFailure {
            kind: failure_kind(failure.kind),
            message: failure.message,
            // A failure must not look like success to whoever reads only the status.
            exit_code: failure.exit_code.max(1),
        }),
    }
}

fn failure_kind(kind: bindings::autoexec::tool::types::FailureKind) -> FailureKind {
    use bindings::autoexec::tool::types::FailureKind as Wit;
    match kind {
        Wit::InvalidOption(name) => FailureKind::InvalidOption(name),
        Wit::NotFound => FailureKind::NotFound,
        Wit::CheckFailed => FailureKind::CheckFailed,
        Wit::Unreachable => FailureKind::Unreachable,
        Wit::TimedOut => FailureKind::TimedOut,
        Wit::Denied => FailureKind::Denied,
        Wit::Other(kind) => FailureKind::Other(kind),
    }
}

//! What every tool gets: `log`, `output`, `job`, `local-time`.

use wasmtime::Result;

use super::bindings::autoexec::tool::{job, local_time, log, output};
use crate::border::HostTrap;
use crate::host::{LogLevel, NodeFacts};
use crate::state::CallState;

impl log::Host for CallState {
    fn line(&mut self, level: log::Level, text: String) -> Result<()> {
        self.border.spend_log(text.len())?;
        self.border.noted("log.line", &(level, &text))?;
        self.border.host()?.log(log_level(level), &text);
        Ok(())
    }

    fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        self.border.spend_log(bytes.len())?;
        self.border.noted("log.write", &(&bytes,))?;
        self.border.host()?.write(&bytes);
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
        self.border.spend_output(name.len().saturating_add(value.len()))?;
        let value = parse_json(&value, || format!("the value of output `{name}`"))?;
        self.border.noted("output.set", &(&name, &value))?;
        self.border.host()?.output(&name, value);
        Ok(())
    }

    fn set_live_data(&mut self, data: String) -> Result<()> {
        self.border.spend_output(data.len())?;
        let data = parse_json(&data, || "the live data".to_owned())?;
        self.border.noted("output.set-live-data", &(&data,))?;
        self.border.host()?.live_data(data);
        Ok(())
    }
}

fn parse_json(text: &str, what: impl Fn() -> String) -> Result<serde_json::Value, HostTrap> {
    serde_json::from_str(text).map_err(|error| HostTrap::Misuse(format!("{} is not JSON: {error}", what())))
}

impl job::Host for CallState {
    fn get_context(&mut self) -> Result<job::Context> {
        self.border.asked("job.get-context", &())?.answers_now(|| {
            let context = self.border.host()?.context();
            Ok(job::Context {
                job_id: context.job_id,
                phase: context.phase,
                group: context.group,
                operation_id: context.operation_id,
                exec_user: context.exec_user,
                tenant: context.tenant,
            })
        })
    }

    fn get_node(&mut self) -> Result<job::Node> {
        self.border.asked("job.get-node", &())?.answers_now(|| Ok(node(self.border.host()?.node())))
    }

    fn get_variable(&mut self, name: String) -> Result<Option<String>> {
        self.border.asked("job.get-variable", &(&name,))?.answers_now(|| {
            let variables = self.border.host()?.variables();
            Ok(variables.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value))
        })
    }

    fn list_variables(&mut self) -> Result<Vec<job::Variable>> {
        self.border.asked("job.list-variables", &())?.answers_now(|| {
            let variables = self.border.host()?.variables();
            Ok(variables.into_iter().map(|(name, value)| job::Variable { name, value }).collect())
        })
    }
}

/// A node in the component's types.
pub(super) fn node(node: NodeFacts) -> job::Node {
    job::Node {
        resource_id: node.resource_id,
        host: node.host,
        port: node.port,
        name: node.name,
        node_type: node.node_type,
        protocol: node.protocol,
        protocol_port: node.protocol_port,
        username: node.username,
    }
}

impl local_time::Host for CallState {
    fn utc_offset(&mut self, unix_seconds: i64) -> Result<i32> {
        self.border.asked("local-time.utc-offset", &(unix_seconds,))?.answers_now(|| {
            let zone = jiff::tz::TimeZone::system();
            Ok(jiff::Timestamp::from_second(unix_seconds).map_or(0, |at| zone.to_offset(at).seconds()))
        })
    }
}

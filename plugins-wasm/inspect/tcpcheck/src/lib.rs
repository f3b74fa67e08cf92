//! Tool `inspect/tcpcheck`: whether the node's port accepts connections (spec/tools-behaviour/03-checks.md).

use std::time::Duration;

use autoexec_sdk::{Call, Failure, Tool, ToolResult, job, log, net_probe, options};
use availability::{Precision, Record, service_port};
use serde::Deserialize;

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Seconds to wait for the connection.
    #[serde(default = "ten", deserialize_with = "options::number")]
    timeout: u16,
}

fn ten() -> u16 {
    10
}

struct TcpCheck;

impl Tool for TcpCheck {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let node = job::node();
        let Some(port) = service_port(&node) else {
            let message = format!("the node {} has neither a service port nor a protocol port", node.host);
            return Err(Failure::other("no-port", message));
        };
        log::info(format_args!("Try to connect to {}:{port}.", node.host));
        let timeout = Duration::from_secs(call.options.timeout.into());
        let (response_time, error) = match net_probe::tcp_connect(&node.host, port, timeout) {
            Ok(taken) => {
                log::fine("TCP handshake succeed.");
                (taken, None)
            }
            Err(error) => {
                let reason = autoexec_sdk::Reason::explain(&error.reason).into_owned();
                log::warn(format_args!("Connect to {}:{port} failed, {reason}", node.host));
                (Duration::ZERO, Some(format!("Connect to {}:{port} failed, {reason}", node.host)))
            }
        };
        Record { port: Some(port), response_time, precision: Precision::Seconds, error }.put_out()
    }
}

autoexec_sdk::export_tool!(TcpCheck);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::net_probe::ProbeError;
    use autoexec_sdk::testing::Host;
    use serde_json::{Value, json};

    fn host() -> Host {
        let host = Host::new();
        host.set_node(|node| {
            node.host = "db".into();
            node.port = Some(3306);
        });
        host
    }

    #[test]
    fn an_open_port_is_available() {
        let host = host();
        host.net_probe().tcp_connect("db", 3306).answers(Ok(2_100));
        host.run::<TcpCheck>(json!({"timeout": "5"})).unwrap();
        let data = host.output("DATA").unwrap();
        assert_eq!(
            (&data["AVAILABILITY"], &data["RESPONSE_TIME"], &data["PORT"]),
            (&json!(1), &json!(2), &json!(3306))
        );
        assert_eq!(host.log_lines(), ["INFO: Try to connect to db:3306.", "FINE: TCP handshake succeed."]);
    }

    #[test]
    fn a_closed_port_is_recorded_and_no_failure() {
        let host = host();
        host.net_probe().tcp_connect("db", 3306).answers(Err(ProbeError::Refused));
        host.run::<TcpCheck>(json!({})).unwrap();
        let data = host.output("DATA").unwrap();
        assert_eq!(data["AVAILABILITY"], json!(0));
        assert!(
            host.log_lines()[1].starts_with("WARN: Connect to db:3306 failed, refused"),
            "{:?}",
            host.log_lines()
        );
    }

    #[test]
    fn a_node_without_any_port_fails() {
        let host = host();
        host.set_node(|node| {
            node.port = None;
            node.protocol_port = None;
        });
        assert!(host.run::<TcpCheck>(json!({})).is_err());
        assert_eq!(host.output("DATA"), None::<Value>);
    }
}

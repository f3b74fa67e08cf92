//! Tool `inspect/tcpwait`: waits until a TCP port opens or closes (spec/tools-behaviour/03-checks.md, waiting tools).

use autoexec_sdk::net_probe::{self, ProbeError};
use autoexec_sdk::{Call, Failure, Outcome, Reason, Tool, ToolResult, log, options};
use serde::Deserialize;
use waiting::{Patience, State};

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Address or name.
    #[serde(default = "loopback")]
    host: String,
    /// TCP port.
    #[serde(default = "ssh", deserialize_with = "options::number")]
    port: u16,
    /// What is waited for, and how long.
    #[serde(flatten)]
    patience: Patience,
}

fn loopback() -> String {
    "127.0.0.1".into()
}

fn ssh() -> u16 {
    22
}

struct TcpWait;

impl Tool for TcpWait {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let Options { host, port, patience } = call.options;
        let (service, state) = (format!("{host}:{port}"), patience.targetstatus.as_str());
        let seen = patience.wait_for(|| {
            log::info(format_args!("Try to connect to {service}."));
            match net_probe::tcp_connect(&host, port, patience.timeout()) {
                Ok(_) => {
                    log::info(format_args!("Connect to {service} success."));
                    Ok(true)
                }
                // The policy will say the same the next time, and a closed port is not what was seen.
                Err(error) if matches!(error.reason, ProbeError::Denied(_)) => Err(Failure::from(error)),
                Err(error) => {
                    log::warn(format_args!("Connect to {service} failed, {}", error.reason.explain()));
                    Ok(false)
                }
            }
        })?;
        if !seen {
            return Err(Failure::timed_out(format!("Wait service {service} {state} failed(timeout).")));
        }
        Ok(Outcome::with_message(match patience.targetstatus {
            State::Up => format!("Wait service {service} up succeed."),
            State::Down => format!("Wait service {service} down success."),
        }))
    }
}

autoexec_sdk::export_tool!(TcpWait);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    #[test]
    fn it_waits_for_the_port_to_open() {
        let host = Host::new();
        host.net_probe().tcp_connect("web", 80).answers_times(2, Err(ProbeError::Refused));
        host.net_probe().tcp_connect("web", 80).answers(Ok(3));
        let outcome = host.run::<TcpWait>(json!({"host": "web", "port": "80"})).unwrap();
        assert_eq!(outcome.message.as_deref(), Some("Wait service web:80 up succeed."));
        assert_eq!(host.log_lines().len(), 6);
    }

    #[test]
    fn it_waits_for_the_port_to_close() {
        let host = Host::new();
        host.net_probe().tcp_connect("web", 80).answers(Ok(3));
        host.net_probe().tcp_connect("web", 80).answers(Err(ProbeError::Refused));
        host.run::<TcpWait>(json!({"host": "web", "port": "80", "targetstatus": "down"})).unwrap();
    }

    #[test]
    fn it_gives_up() {
        let host = Host::new();
        host.net_probe().tcp_connect("web", 80).answers_times(2, Err(ProbeError::TimedOut));
        let failure =
            host.run::<TcpWait>(json!({"host": "web", "port": "80", "retrycount": "2"})).unwrap_err();
        assert_eq!(failure.message(), "Wait service web:80 up failed(timeout).");
    }

    #[test]
    fn a_denial_is_not_taken_for_a_closed_port() {
        let host = Host::new();
        host.net_probe().tcp_connect("web", 80).answers(Err(ProbeError::Denied("no rule".into())));
        let options = json!({"host": "web", "port": "80", "targetstatus": "down"});
        let failure = host.run::<TcpWait>(options).unwrap_err();
        assert!(failure.message().contains("not granted"), "{failure}");
    }
}

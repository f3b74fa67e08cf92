//! Tool `inspect/sshcheck`: whether the node takes a login over SSH and a command (spec/tools-behaviour/03-checks.md).

use std::time::Duration;

use autoexec_sdk::{Call, Options, Tool, ToolResult, clock, job, log};
use availability::{Precision, Record, echo, service_port};

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Seconds to wait for the answer
    #[option(default = 10, required = true)]
    timeout: Duration,
}

struct SshCheck;

impl Tool for SshCheck {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let node = job::node();
        let port = node.protocol_port.unwrap_or(22);
        log::info(format_args!("Try to ssh logon to {}@{}:{port}.", node.username, node.host));
        let begin = clock::Instant::now();
        let error = if node.protocol == "ssh" {
            echo(call.options.timeout).err()
        } else {
            Some(format!("the executor reaches the node by `{}`, not by SSH", node.protocol))
        };
        let response_time = if error.is_none() { begin.elapsed() } else { Duration::ZERO };
        match &error {
            None => log::fine("SSH logon succeed."),
            Some(why) => log::warn(why),
        }
        Record { port: service_port(&node), response_time, precision: Precision::Seconds, error }.put_out()
    }
}

autoexec_sdk::export_tool!(SshCheck);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::target::TargetError;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn host(protocol: &str) -> Host {
        let host = Host::new();
        host.set_node(|node| {
            node.host = "db".into();
            node.username = "root".into();
            node.protocol = protocol.into();
            node.protocol_port = Some(22);
        });
        host
    }

    #[test]
    fn a_login_that_works_is_available() {
        let host = host("ssh");
        host.target().capture("echo HEALTH_OK").answers_with(|command| {
            assert_eq!(command.timeout_ms, 5_000);
            let stdout = b"Welcome!\nHEALTH_OK\n".to_vec();
            Ok(autoexec_sdk::target::Captured {
                ending: autoexec_sdk::target::Ending::Exited(0),
                stdout,
                stderr: Vec::new(),
            })
        });
        host.run::<SshCheck>(json!({"timeout": "5"})).unwrap();
        let data = host.output("DATA").unwrap();
        assert_eq!((&data["AVAILABILITY"], &data["PORT"]), (&json!(1), &json!(22)));
        assert_eq!(host.log_lines(), ["INFO: Try to ssh logon to root@db:22.", "FINE: SSH logon succeed."]);
    }

    #[test]
    fn one_that_does_not_is_recorded() {
        let host = host("ssh");
        host.target()
            .capture("echo HEALTH_OK")
            .answers(Err(TargetError::NotAuthenticated("password".into())));
        host.target().capture("echo HEALTH_OK").exits(1, "no");
        for expected in ["does not accept the account: password", "ended with status 1"] {
            host.run::<SshCheck>(json!({})).unwrap();
            let data = host.output("DATA").unwrap();
            assert_eq!(data["AVAILABILITY"], json!(0));
            assert!(data["ERROR_MESSAGE"].as_str().unwrap().contains(expected), "{data}");
        }
    }

    #[test]
    fn another_protocol_is_not_taken_for_ssh() {
        let host = host("tagent");
        host.run::<SshCheck>(json!({})).unwrap();
        assert_eq!(host.output("DATA").unwrap()["AVAILABILITY"], json!(0));
        assert_eq!(host.log_lines()[1], "WARN: the executor reaches the node by `tagent`, not by SSH");
    }
}

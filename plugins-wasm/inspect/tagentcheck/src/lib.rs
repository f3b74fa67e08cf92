//! Tool `inspect/tagentcheck`: whether the agent of the node takes a login and a command
//! (spec/tools-behaviour/03-checks.md).

use std::time::Duration;

use autoexec_sdk::{Call, Tool, ToolResult, clock, job, log, options};
use availability::{Precision, Record, echo};
use serde::Deserialize;

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Seconds to wait for the answer.
    #[serde(default = "ten", deserialize_with = "options::number")]
    timeout: u16,
}

fn ten() -> u16 {
    10
}

struct TagentCheck;

impl Tool for TagentCheck {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let node = job::node();
        let port = node.protocol_port.map(|port| format!(":{port}")).unwrap_or_default();
        log::info(format_args!("Try to connect to Tagent {}{port}.", node.host));
        let begin = clock::Instant::now();
        let error = echo(Duration::from_secs(call.options.timeout.into())).err();
        let response_time = if error.is_none() { begin.elapsed() } else { Duration::ZERO };
        match &error {
            None => log::fine("Tagent logon succeed."),
            Some(reason) => {
                log::warn("Tagent logon failed.");
                log::warn(reason);
            }
        }
        Record { port: node.port, response_time, precision: Precision::Fine, error }.put_out()
    }
}

autoexec_sdk::export_tool!(TagentCheck);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::target::TargetError;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn host() -> Host {
        let host = Host::new();
        host.set_node(|node| {
            node.host = "win".into();
            node.port = Some(80);
            node.protocol_port = Some(3939);
        });
        host
    }

    #[test]
    fn an_agent_that_answers_is_available() {
        let host = host();
        host.target().capture("echo HEALTH_OK").prints("HEALTH_OK\r\n");
        host.run::<TagentCheck>(json!({"timeout": "5"})).unwrap();
        let data = host.output("DATA").unwrap();
        assert_eq!(
            (&data["AVAILABILITY"], &data["PORT"], &data["ERROR_MESSAGE"]),
            (&json!(1), &json!(80), &json!(""))
        );
        assert_eq!(
            host.log_lines(),
            ["INFO: Try to connect to Tagent win:3939.", "FINE: Tagent logon succeed."]
        );
    }

    #[test]
    fn one_that_does_not_is_recorded_and_no_failure() {
        let host = host();
        let refused = TargetError::NotAuthenticated("another credential".to_owned());
        host.target().capture("echo HEALTH_OK").answers(Err(refused));
        host.run::<TagentCheck>(json!({})).unwrap();
        let data = host.output("DATA").unwrap();
        assert_eq!((&data["AVAILABILITY"], &data["RESPONSE_TIME"]), (&json!(0), &json!(0.0)));
        assert!(data["ERROR_MESSAGE"].as_str().unwrap().contains("another credential"), "{data}");
        assert_eq!(host.log_lines()[1], "WARN: Tagent logon failed.");
    }

    #[test]
    fn a_wrong_answer_is_no_health() {
        let host = host();
        host.target().capture("echo HEALTH_OK").prints("Permission denied\n");
        host.run::<TagentCheck>(json!({})).unwrap();
        assert_eq!(host.output("DATA").unwrap()["AVAILABILITY"], json!(0));
    }
}

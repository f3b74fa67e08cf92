//! Tool `inspect/pingcheck`: whether the node answers an ICMP echo request (spec/tools-behaviour/03-checks.md).

use std::time::Duration;

use autoexec_sdk::net_probe::{self, ProbeError};
use autoexec_sdk::{Call, Reason, Tool, ToolResult, job, log, options};
use availability::{Precision, Record};
use serde::Deserialize;

/// Further tries after the first.
const FURTHER_TRIES: u32 = 2;

/// Time of a further try.
const FURTHER_TIMEOUT: Duration = Duration::from_secs(5);

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Seconds to wait for the first answer.
    #[serde(default = "ten", deserialize_with = "options::number")]
    timeout: u16,
}

fn ten() -> u16 {
    10
}

struct PingCheck;

impl Tool for PingCheck {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let node = job::node();
        log::info(format_args!("Try to ping {}...", node.host));
        let answer = ping(&node.host, Duration::from_secs(call.options.timeout.into()));
        let error = match &answer {
            Ok(taken) => {
                log::info(format_args!("{} is reachable, took {:.4} second", node.host, taken.as_secs_f64()));
                log::fine("Ping success.");
                None
            }
            Err(reason) => {
                log::error(format_args!("{} is unreachable.", node.host));
                log::warn("Ping failed.");
                Some(format!("{} is unreachable: {}", node.host, reason.explain()))
            }
        };
        let response_time = answer.unwrap_or_default();
        Record { port: node.port, response_time, precision: Precision::Fine, error }.put_out()
    }
}

/// One try with the time asked for, then up to two shorter ones. What can not change is not tried again.
fn ping(host: &str, timeout: Duration) -> Result<Duration, ProbeError> {
    let mut answer = net_probe::icmp_echo(host, timeout).map_err(|error| error.reason);
    for _ in 0..FURTHER_TRIES {
        match answer {
            Ok(_) | Err(ProbeError::Denied(_) | ProbeError::Unresolved(_)) => break,
            Err(_) => answer = net_probe::icmp_echo(host, FURTHER_TIMEOUT).map_err(|error| error.reason),
        }
    }
    answer
}

autoexec_sdk::export_tool!(PingCheck);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn host() -> Host {
        let host = Host::new();
        host.set_node(|node| node.host = "db".into());
        host
    }

    #[test]
    fn an_answer_makes_the_node_available() {
        let host = host();
        host.net_probe().icmp_echo("db").answers(Err(ProbeError::TimedOut));
        host.net_probe().icmp_echo("db").answers(Ok(12_340));
        host.run::<PingCheck>(json!({})).unwrap();
        let data = host.output("DATA").unwrap();
        assert_eq!((&data["AVAILABILITY"], &data["RESPONSE_TIME"]), (&json!(1), &json!(0.0123)));
        assert_eq!(
            host.log_lines(),
            ["INFO: Try to ping db...", "INFO: db is reachable, took 0.0123 second", "FINE: Ping success."]
        );
    }

    #[test]
    fn three_tries_without_an_answer_are_recorded() {
        let host = host();
        host.net_probe().icmp_echo("db").answers_times(3, Err(ProbeError::TimedOut));
        host.run::<PingCheck>(json!({"timeout": "1"})).unwrap();
        assert_eq!(host.output("DATA").unwrap()["AVAILABILITY"], json!(0));
        assert_eq!(host.log_lines()[1..], ["ERROR: db is unreachable.", "WARN: Ping failed."]);
    }

    #[test]
    fn what_the_policy_denies_is_not_tried_again_and_told() {
        let host = host();
        host.net_probe().icmp_echo("db").answers(Err(ProbeError::Denied("no rule".into())));
        host.run::<PingCheck>(json!({})).unwrap();
        let data = host.output("DATA").unwrap();
        assert_eq!(data["ERROR_MESSAGE"], "db is unreachable: not granted: no rule");
    }
}

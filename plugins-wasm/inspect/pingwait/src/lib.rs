//! Tool `inspect/pingwait`: waits until an address answers or stops answering ICMP echo requests
//! (spec/tools-behaviour/03-checks.md, waiting tools).

use autoexec_sdk::net_probe::{self, ProbeError};
use autoexec_sdk::{Call, Failure, Outcome, Reason, Tool, ToolResult, log};
use serde::Deserialize;
use waiting::{Patience, State};

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Address or name.
    #[serde(default = "loopback")]
    host: String,
    /// What is waited for, and how long.
    #[serde(flatten)]
    patience: Patience,
}

fn loopback() -> String {
    "127.0.0.1".into()
}

struct PingWait;

impl Tool for PingWait {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let Options { host, patience } = call.options;
        let state = patience.targetstatus.as_str();
        let seen = patience.wait_for(|| {
            log::info(format_args!("Try to ping {host}..."));
            match net_probe::icmp_echo(&host, patience.timeout()) {
                Ok(taken) => {
                    log::info(format_args!("{host} is reachable, took {:.4} second", taken.as_secs_f64()));
                    Ok(true)
                }
                Err(error) if matches!(error.reason, ProbeError::Denied(_) | ProbeError::Other(_)) => {
                    Err(Failure::from(error))
                }
                Err(error) => {
                    log::warn(format_args!("{host} is unreachable, {}", error.reason.explain()));
                    Ok(false)
                }
            }
        })?;
        if !seen {
            return Err(Failure::timed_out(format!("Wait {host} {state} failed(timeout).")));
        }
        Ok(Outcome::with_message(match patience.targetstatus {
            State::Up => format!("Wait {host} up succeed."),
            State::Down => format!("Wait {host} down success."),
        }))
    }
}

autoexec_sdk::export_tool!(PingWait);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    #[test]
    fn it_waits_for_either_state() {
        for (wanted, message) in [("up", "Wait h up succeed."), ("down", "Wait h down success.")] {
            let host = Host::new();
            let answers = [Ok(100), Err(ProbeError::TimedOut)];
            let [first, second] =
                if wanted == "up" { [answers[1].clone(), answers[0].clone()] } else { answers };
            host.net_probe().icmp_echo("h").answers(first);
            host.net_probe().icmp_echo("h").answers(second);
            let outcome = host.run::<PingWait>(json!({"host": "h", "targetstatus": wanted})).unwrap();
            assert_eq!(outcome.message.as_deref(), Some(message));
        }
    }

    #[test]
    fn it_gives_up_and_does_not_take_a_defect_for_down() {
        let host = Host::new();
        host.net_probe().icmp_echo("h").answers(Err(ProbeError::TimedOut));
        let failure = host.run::<PingWait>(json!({"host": "h", "retrycount": 1})).unwrap_err();
        assert_eq!(failure.message(), "Wait h up failed(timeout).");
        host.net_probe().icmp_echo("h").answers(Err(ProbeError::Other("no permission".into())));
        assert!(host.run::<PingWait>(json!({"host": "h", "targetstatus": "down"})).is_err());
    }
}

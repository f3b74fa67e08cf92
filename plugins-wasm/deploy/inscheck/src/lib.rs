//! Tool `deploy/inscheck`: whether the host of an instance takes a login and a command
//! (spec/tools-behaviour/03-checks.md).

use std::time::Duration;

use autoexec_sdk::{Call, Failure, Options, Outcome, Tool, ToolResult, job, log};
use availability::echo;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Seconds to wait for the answer
    #[option(default = 10, required = true)]
    timeout: Duration,
}

struct InsCheck;

impl Tool for InsCheck {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let node = job::node();
        let (fine, what) = match node.protocol.as_str() {
            "ssh" => ("SSH logon succeed.", "SSH"),
            "tagent" => ("Tagent test succeed.", "its agent"),
            other => {
                log::warn(format_args!("Protocol:{other} not supported by inscheck."));
                return Ok(Outcome::default());
            }
        };
        match echo(call.options.timeout) {
            Ok(()) => Ok(Outcome::with_message(fine)),
            Err(why) => {
                Err(Failure::check_failed(format!("{} does not take a login by {what}: {why}", node.host)))
            }
        }
    }
}

autoexec_sdk::export_tool!(InsCheck);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::target::TargetError;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn host(protocol: &str) -> Host {
        let host = Host::new();
        host.set_node(|node| {
            node.host = "app".into();
            node.protocol = protocol.into();
        });
        host
    }

    #[test]
    fn a_login_that_works_is_said_by_protocol() {
        for (protocol, expected) in [("ssh", "SSH logon succeed."), ("tagent", "Tagent test succeed.")] {
            let host = host(protocol);
            host.target().capture("echo HEALTH_OK").prints("HEALTH_OK\n");
            assert_eq!(host.run::<InsCheck>(json!({})).unwrap().message.as_deref(), Some(expected));
        }
    }

    #[test]
    fn one_that_does_not_fails_the_step() {
        let host = host("ssh");
        host.target().capture("echo HEALTH_OK").answers(Err(TargetError::Unreachable("refused".into())));
        let failure = host.run::<InsCheck>(json!({})).unwrap_err();
        assert_eq!(
            (failure.exit_code(), failure.message()),
            (1, "app does not take a login by SSH: no connection to the node: refused")
        );
    }

    #[test]
    fn other_protocols_pass_with_a_warning() {
        let host = host("snmp");
        host.run::<InsCheck>(json!({})).unwrap();
        assert_eq!(host.log_lines(), ["WARN: Protocol:snmp not supported by inscheck."]);
    }
}

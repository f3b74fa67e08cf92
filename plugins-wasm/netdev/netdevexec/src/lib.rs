//! Tool `netdev/netdevexec`: types commands into the command line of a network device
//! (spec/tools-behaviour/11-network-device-cli.md).

use std::time::Duration;

use autoexec_sdk::options::Lines;
use autoexec_sdk::{
    Call, Change, Checkable, Failure, Options, Outcome, Outputs, Tool, ToolResult, job, log,
    output::Outputs as _,
};
use network_device::{Device, ExitCommand, Login, Protocol, USUAL_REFUSALS, refusal};
use serde_json::{Value, json};

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Kept for existing jobs: the device is always the node of the step
    node: Option<String>,
    /// How the device is reached; telnet is in the clear
    #[option(default = "ssh", required = true)]
    protocol: Protocol,
    /// The command that ends the session
    #[option(name = "exitCmd", label = "Exit command", default = "exit")]
    exit_command: ExitCommand,
    /// The longest silence of the device, in seconds
    #[option(default = 10, required = true)]
    timeout: Duration,
    /// Show the dialogue
    #[option(choices = "0=No, 1=Yes", default = "0")]
    verbose: bool,
    /// Commands, one a line
    #[option(label = "Commands")]
    cmd: Lines,
    /// Go on when the device refuses a command
    #[option(name = "ignoreErrors", label = "Ignore errors", choices = "0=No, 1=Yes", default = "0")]
    ignore_errors: bool,
    /// Begins of lines by which the device refuses a command, beside the usual ones
    #[option(name = "errorPatterns", label = "Error texts")]
    error_patterns: Option<Lines>,
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Transcript {
    /// What the device put out: a list of objects with `command`, `output` and `error`
    commands: Vec<Value>,
}

struct NetDevExec;

impl NetDevExec {
    fn login(options: &Options) -> Login {
        Login { node: job::node(), protocol: options.protocol, timeout: options.timeout }
    }
}

impl Tool for NetDevExec {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let options = call.options;
        if options.node.is_some() {
            log::warn("The option `node` is not used: the device is the node of the step.");
        }
        let commands = &options.cmd.0;
        if commands.is_empty() {
            return Err(Failure::invalid_option("cmd", "`cmd` holds no command"));
        }
        let further: Vec<String> = options.error_patterns.clone().unwrap_or_default().0;
        let patterns = || USUAL_REFUSALS.into_iter().chain(further.iter().map(String::as_str));
        let mut device = Device::log_in(&Self::login(&options))?;
        log::info(":command exec start.");
        let mut done = Vec::with_capacity(commands.len());
        let mut refused = None;
        for line in commands {
            log::info(format_args!(": exec {line} ."));
            let output = match device.command(line) {
                Ok(output) => output,
                Err(failure) => {
                    Transcript { commands: done }.put();
                    return Err(failure);
                }
            };
            if options.verbose {
                log::plain(&output);
            }
            let error = refusal(&output, patterns().collect::<Vec<_>>());
            done.push(json!({"command": line, "output": output, "error": error}));
            if let Some(error) = error {
                log::warn(format_args!("The device refuses `{line}`: {error}"));
                if !options.ignore_errors {
                    refused = Some((line, error.to_owned()));
                    break;
                }
            }
        }
        let left = commands.len() - done.len();
        Transcript { commands: done }.put();
        device.leave(options.exit_command);
        if let Some((line, error)) = refused {
            let message = format!(
                "the device refused `{line}`: {error}; {left} command(s) after it were not typed \
                 (`ignoreErrors` = 1 goes on)"
            );
            return Err(Failure::other("refused", message));
        }
        log::info(":command exec success.");
        Ok(Outcome::default())
    }
}

impl Checkable for NetDevExec {
    fn check(call: Call<Options>) -> Result<Vec<Change>, Failure> {
        let host = job::node().host;
        let change = |line: &String| Change::created(format!("{host}: {line}"), "typed into the device");
        Ok(call.options.cmd.0.iter().map(change).collect())
    }
}

autoexec_sdk::export_tool!(NetDevExec: check);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::{Host, Script};

    fn host() -> Host {
        let host = Host::new();
        host.set_node(|node| {
            node.host = "sw1".into();
            node.username = "admin".into();
            node.protocol_port = Some(22);
        });
        host
    }

    #[test]
    fn commands_are_typed_and_their_outputs_kept() {
        let host = host();
        let script = Script::new()
            .shows("<sw1>")
            .expects("system-view\n")
            .shows("system-view\r\n[sw1]")
            .expects("display clock\n")
            .shows("display clock\r\n12:00\r\n  ---- More ----")
            .expects(" ")
            .shows("\u{1b}[42D      \u{1b}[42D13:00\r\n[sw1]")
            .expects("quit\n");
        host.target().session(script);
        let options = json!({"cmd": "system-view\\ndisplay clock", "exitCmd": "quit", "verbose": "1"});
        host.run::<NetDevExec>(options).unwrap();
        let commands = host.output("commands").unwrap();
        assert_eq!(commands[0], json!({"command": "system-view", "output": "", "error": null}));
        let output = commands[1]["output"].as_str().unwrap();
        assert!(
            output.contains("12:00") && output.contains("13:00") && !output.contains("More"),
            "{output:?}"
        );
        let log = host.log_lines();
        assert_eq!(log[1], "INFO: :command exec start.");
        assert_eq!(log[2], "INFO: : exec system-view .");
        assert_eq!(log.last().unwrap(), "INFO: :command exec success.");
    }

    fn refusing() -> Script {
        Script::new()
            .shows("sw1#")
            .expects("sho clok\n")
            .shows("sho clok\r\n      ^\r\n% Invalid input detected at '^' marker.\r\n\r\nsw1#")
    }

    #[test]
    fn a_refused_command_is_a_failure_and_the_last_one_typed() {
        let host = host();
        host.target().session(refusing().expects("exit\n"));
        let failure = host.run::<NetDevExec>(json!({"cmd": "sho clok\nreload"})).unwrap_err();
        assert_eq!(
            failure.message(),
            "the device refused `sho clok`: % Invalid input detected at '^' marker.; 1 command(s) after it were not \
             typed (`ignoreErrors` = 1 goes on)"
        );
        assert_eq!(host.output("commands").unwrap().as_array().unwrap().len(), 1);
    }

    #[test]
    fn refusals_can_be_ignored_as_before() {
        let host = host();
        host.target().session(refusing().expects("exit\n"));
        host.run::<NetDevExec>(json!({"cmd": "sho clok", "ignoreErrors": "1"})).unwrap();
        assert!(host.log_lines().iter().any(|line| line.starts_with("WARN: The device refuses `sho clok`")));
    }

    #[test]
    fn a_check_types_nothing() {
        let host = host();
        let changes = host.check::<NetDevExec>(json!({"cmd": "vlan 7\nname x"})).unwrap();
        assert_eq!(changes[1].subject, "sw1: name x");
        assert!(host.run::<NetDevExec>(json!({"cmd": "\\n"})).is_err());
    }
}

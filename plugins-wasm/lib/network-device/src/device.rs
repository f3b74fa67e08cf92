use std::time::Duration;

use autoexec_sdk::connection::Stream;
use autoexec_sdk::dialogue::{Arrived, Dialogue, Pattern, Talk};
use autoexec_sdk::job::Node;
use autoexec_sdk::target::Session;
use autoexec_sdk::{Choice, Failure, FailureContext as _, FailureKind, log, secret};

use crate::telnet::Telnet;

/// Columns of the terminal: as many as devices take, so that they do not break lines.
const COLUMNS: u16 = 511;
/// Rows of the terminal.
const ROWS: u16 = 100;
/// The usual port of telnet.
const TELNET_PORT: u16 = 23;
/// Exit status when the login failed.
const LOGIN_FAILED: u8 = 2;
/// Exit status when no prompt came.
const NO_PROMPT: u8 = 3;
/// Marks at the end of a page that the dialogue does not know by itself.
const PAGERS: [&str; 4] = ["--More-- ", " --More (q)--", "---(more)---", "Press any key to continue"];

/// How the device is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum Protocol {
    /// Over the executor's own connection.
    Ssh,
    /// In the clear.
    Telnet,
}

/// The command that ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
pub enum ExitCommand {
    /// As most devices have it.
    #[choice(label = "Exit")]
    Exit,
    /// As Comware and VRP have it.
    #[choice(label = "Quit")]
    Quit,
}

/// How to log in.
#[derive(Debug, Clone, PartialEq)]
pub struct Login {
    /// The device.
    pub node: Node,
    /// How it is reached.
    pub protocol: Protocol,
    /// The longest silence of the device.
    pub timeout: Duration,
}

/// One of the two ways.
enum Way {
    Ssh(Session),
    Telnet(Telnet),
}

impl Talk for Way {
    fn say(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::Ssh(session) => session.say(bytes),
            Self::Telnet(telnet) => telnet.say(bytes),
        }
    }

    fn hear(&mut self, timeout: Duration) -> Result<Arrived, Failure> {
        match self {
            Self::Ssh(session) => session.hear(timeout),
            Self::Telnet(telnet) => telnet.hear(timeout),
        }
    }
}

/// A device that waits for commands.
pub struct Device {
    dialogue: Dialogue<Way>,
    prompt: Pattern,
}

impl Device {
    /// Logs in as the node's account and learns the device's prompt.
    pub fn log_in(login: &Login) -> Result<Self, Failure> {
        let Login { node, protocol, timeout } = login;
        let who = format!("{}@{}:{}", node.username, node.host, port(node, *protocol));
        let way = match protocol {
            Protocol::Ssh => Session::open(COLUMNS, ROWS).map(Way::Ssh).map_err(Failure::from),
            Protocol::Telnet => Stream::connect(&node.host, port(node, *protocol), *timeout)
                .map(|stream| Way::Telnet(Telnet::new(stream)))
                .map_err(Failure::from),
        };
        let way = way.context(format_args!("Login {who} failed")).exit_code(LOGIN_FAILED)?;
        let mut dialogue = Dialogue::new(way, *timeout).on_silence();
        for pager in PAGERS {
            dialogue = dialogue.pager(pager, *b" ");
        }
        if *protocol == Protocol::Telnet {
            dialogue = dialogue.newline("\r\n");
            answer_login(&mut dialogue, node).context(format_args!("Login {who} failed"))?;
        }
        let prompt =
            dialogue.learn_prompt().context(format_args!("Login {who}: no prompt")).exit_code(NO_PROMPT)?;
        log::info(format_args!("Login {who} success."));
        Ok(Self { dialogue, prompt })
    }

    /// Types a command and returns what the device puts out.
    pub fn command(&mut self, line: &str) -> Result<String, Failure> {
        self.dialogue.command(line, &self.prompt).context(format_args!("the command `{line}`"))
    }

    /// Leaves the device. It ends the session in its own time; what it says then matters to nobody.
    pub fn leave(mut self, command: ExitCommand) {
        let _ = self.dialogue.send_line(command.value());
    }
}

fn port(node: &Node, protocol: Protocol) -> u16 {
    let usual = match protocol {
        Protocol::Ssh => 22,
        Protocol::Telnet => TELNET_PORT,
    };
    node.protocol_port.filter(|port| *port != 0).unwrap_or(usual)
}

/// What may come before the prompt.
const ASKED: [&str; 11] = [
    "sername:",
    "ogin:",
    "assword:",
    "(yes/no)",
    "ermission denied",
    "uthentication failed",
    "ogin incorrect",
    "ogin invalid",
    "ad password",
    "ccess denied",
    "% Login",
];
/// The first of them that is a refusal.
const FIRST_REFUSAL: usize = 4;

/// Answers the questions of a login until the prompt is next.
fn answer_login(dialogue: &mut Dialogue<Way>, node: &Node) -> Result<(), Failure> {
    let mut patterns: Vec<Pattern> = ASKED.iter().map(|&asked| asked.into()).collect();
    patterns.push(Pattern::usual_prompt());
    let mut has_given_password = false;
    let refused = |why: &str| {
        let message = format!("{why}; check the account of the node");
        Err(Failure::new(FailureKind::Denied, message).with_exit_code(LOGIN_FAILED))
    };
    loop {
        let seen = dialogue.wait_for_any(&patterns).exit_code(NO_PROMPT)?;
        match ASKED.get(seen.which) {
            None => {
                // The prompt is to be learned: it is asked for once more.
                return dialogue.send_line("");
            }
            Some(&("sername:" | "ogin:")) if !has_given_password => dialogue.send_line(&node.username)?,
            Some(&("sername:" | "ogin:")) => return refused("the device asks for the user again"),
            Some(&"(yes/no)") => dialogue.send_line("yes")?,
            Some(&"assword:") if !has_given_password => {
                has_given_password = true;
                let password = secret::reference("node")?;
                dialogue.send_line(&password)?;
            }
            Some(&"assword:") => return refused("the device asks for the password again"),
            Some(_) if seen.which >= FIRST_REFUSAL => return refused("the device refuses the login"),
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::target::TargetError;
    use autoexec_sdk::testing::{Host, Script};

    fn login(protocol: Protocol) -> Login {
        let node = Node {
            resource_id: 7,
            host: "sw1".into(),
            port: None,
            name: "sw1".into(),
            node_type: "Switch".into(),
            protocol: "ssh".into(),
            protocol_port: Some(2300),
            username: "admin".into(),
        };
        Login { node, protocol, timeout: Duration::from_secs(5) }
    }

    #[test]
    fn over_ssh_the_first_prompt_is_learned() {
        let host = Host::new();
        let script = Script::new()
            .shows("\r\nsw1#")
            .expects("show clock\n")
            .shows("show clock\r\nfake>\r\nmore text\r\nsw1#")
            .expects("exit\n");
        host.target().session(script);
        let mut device = Device::log_in(&login(Protocol::Ssh)).unwrap();
        assert_eq!(device.command("show clock").unwrap(), "fake>\nmore text\n");
        device.leave(ExitCommand::Exit);
        assert_eq!(host.log_lines(), ["INFO: Login admin@sw1:2300 success."]);
    }

    #[test]
    fn over_telnet_questions_are_answered() {
        let host = Host::new();
        let script = Script::new()
            .shows_bytes(&[255, 251, 1])
            .expects_bytes(&[255, 253, 1])
            .shows("User Access Verification\r\n\r\nUsername: ")
            .expects("admin\r\n")
            .shows("admin\r\nPassword: ")
            .expects("node-ref\r\n")
            .shows("\r\nsw1>")
            .expects("\r\n")
            .shows("\r\nsw1>")
            .expects("show clock\r\n")
            .shows("show clock\r\n12:00\r\nsw1>");
        host.connections().connect("sw1", 2300).answers(Ok(script));
        host.secrets().value("node").answers(Ok("node-ref".into()));
        let mut device = Device::log_in(&login(Protocol::Telnet)).unwrap();
        assert_eq!(device.command("show clock").unwrap(), "12:00\n");
    }

    #[test]
    fn what_goes_wrong_has_its_exit_status() {
        let host = Host::new();
        host.target().session_opening().answers(Err(TargetError::NotAuthenticated("password".into())));
        let failure = Device::log_in(&login(Protocol::Ssh)).err().unwrap();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.message().starts_with("Login admin@sw1:2300 failed: "), "{failure}");
        host.target().session(Script::new().shows("hello\r\n"));
        let failure = Device::log_in(&login(Protocol::Ssh)).err().unwrap();
        assert_eq!((failure.exit_code(), failure.kind()), (3, &FailureKind::TimedOut));
        let script = Script::new()
            .shows("login: ")
            .expects("admin\r\n")
            .shows("Password: ")
            .expects("node-ref\r\n")
            .shows("\r\nPassword: ");
        host.connections().connect("sw1", 2300).answers(Ok(script));
        host.secrets().value("node").answers(Ok("node-ref".into()));
        let failure = Device::log_in(&login(Protocol::Telnet)).err().unwrap();
        assert_eq!(failure.exit_code(), 2);
        assert!(failure.message().contains("asks for the password again"), "{failure}");
    }

    #[test]
    fn a_command_without_an_end_is_a_failure_and_not_the_next_command() {
        let host = Host::new();
        host.target()
            .session(Script::new().shows("sw1#").expects("show run\n").shows("show run\r\nhostname"));
        let mut device = Device::log_in(&login(Protocol::Ssh)).unwrap();
        let failure = device.command("show run").unwrap_err();
        assert!(
            failure.message().starts_with("the command `show run`: the prompt of sw1 did not come"),
            "{failure}"
        );
    }
}

//! A node as the capability `target` needs it, over SSH or an agent alike: a private directory, files put below it,
//! programs started in it, files fetched.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use autoexec_model::{Node, Protocol};
use autoexec_sandbox::{SecretValue, TargetError, TargetSession};
use autoexec_transport::ssh::{
    RemoteCommand, RemoteDir, RemoteEnd, SshConnection, SshError, SshErrorKind, SshTerminal,
    is_variable_name, quote,
};
use autoexec_transport::tagent::{Agent, AgentDir, Start, TagentError, TagentErrorKind};
use autoexec_transport::{OutputSink, StopToken, UploadEntry};
use tokio::sync::Mutex;

use crate::settings::Shared;
use crate::{ssh, tagent};

/// A node with a private directory.
#[async_trait]
pub(crate) trait NodeShell: Send + Sync {
    /// Whether it is a Windows node, which runs command lines of its own kind only.
    fn is_windows(&self) -> bool {
        false
    }

    /// The private directory.
    fn directory(&self) -> &str;

    /// Puts files below it.
    async fn put(&self, entries: Vec<UploadEntry>) -> Result<(), TargetError>;

    /// Runs a program in it: shell text of one simple command, on Windows a command line.
    async fn run(
        &self,
        program_line: &str,
        env: Vec<(String, String)>,
        sink: Arc<dyn OutputSink>,
        stop: &StopToken,
    ) -> Result<RemoteEnd, TargetError>;

    /// Fetches a file of it; its length, none for a missing one.
    async fn fetch(&self, remote: &str, local: &Path, max_bytes: u64) -> Result<Option<u64>, TargetError>;

    /// Removes the directory.
    async fn close(&self) -> Result<(), String>;
}

/// Logs in to a node and makes the directory.
pub(crate) async fn open(
    shared: &Shared,
    node: &Node,
    prefix: &str,
    stop: &StopToken,
) -> Result<Box<dyn NodeShell>, TargetError> {
    match &node.protocol {
        Protocol::Ssh => {
            let target = ssh::target_of(shared, node).map_err(TargetError::NotAuthenticated)?;
            let mut connection =
                shared.connector.connect(&target, stop).await.map_err(|error| over_ssh(&error))?;
            let root = connection.make_private_dir(prefix, stop).await.map_err(|error| over_ssh(&error))?;
            Ok(Box::new(OverSsh { root, connection: Mutex::new(connection) }))
        }
        Protocol::Tagent => {
            let agent = tagent::agent_of(shared, node).map_err(TargetError::NotAuthenticated)?;
            let root = agent.make_private_dir(prefix, stop).await.map_err(|error| over_agent(&error))?;
            Ok(Box::new(OverAgent { agent, root, runs: AtomicU64::new(0) }))
        }
        other => Err(TargetError::Unsupported(format!(
            "the protocol `{}` of node {}; ssh and tagent are",
            other.as_str(),
            node.key()
        ))),
    }
}

/// Logs in to a node for a session alone: a device has no directories.
pub(crate) async fn open_session(
    shared: &Shared,
    node: &Node,
    columns: u16,
    rows: u16,
) -> Result<Box<dyn TargetSession>, TargetError> {
    if node.protocol != Protocol::Ssh {
        return Err(TargetError::Unsupported(format!(
            "a terminal session over the protocol `{}` of node {}; ssh can",
            node.protocol.as_str(),
            node.key()
        )));
    }
    let stop = StopToken::never();
    let target = ssh::target_of(shared, node).map_err(TargetError::NotAuthenticated)?;
    let connection = shared.connector.connect(&target, &stop).await.map_err(|error| over_ssh(&error))?;
    let terminal = connection.open_terminal(columns, rows, &stop).await;
    Ok(Box::new(Terminal(terminal.map_err(|error| over_ssh(&error))?)))
}

struct Terminal(SshTerminal);

/// What is typed, as bytes.
struct Typed(SecretValue);

impl AsRef<[u8]> for Typed {
    fn as_ref(&self) -> &[u8] {
        self.0.expose()
    }
}

#[async_trait]
impl TargetSession for Terminal {
    async fn send(&mut self, text: SecretValue) -> Result<(), TargetError> {
        self.0.send(Typed(text), &StopToken::never()).await.map_err(|error| over_ssh(&error))
    }

    async fn receive(&mut self, timeout: Duration) -> Result<Vec<u8>, TargetError> {
        self.0.receive(timeout, &StopToken::never()).await.map_err(|error| over_ssh(&error))
    }
}

struct OverSsh {
    root: RemoteDir,
    /// One thing at a time: a guest waits for each of its calls.
    connection: Mutex<SshConnection>,
}

#[async_trait]
impl NodeShell for OverSsh {
    fn directory(&self) -> &str {
        self.root.path()
    }

    async fn put(&self, entries: Vec<UploadEntry>) -> Result<(), TargetError> {
        let mut connection = self.connection.lock().await;
        let sent = connection.upload_tree(entries, self.root.path(), &StopToken::never()).await;
        sent.map_err(|error| over_ssh(&error))
    }

    async fn run(
        &self,
        program_line: &str,
        env: Vec<(String, String)>,
        sink: Arc<dyn OutputSink>,
        stop: &StopToken,
    ) -> Result<RemoteEnd, TargetError> {
        let command = RemoteCommand {
            dir: self.root.path().to_owned(),
            env,
            program_line: program_line.to_owned(),
            account: None,
        };
        let mut connection = self.connection.lock().await;
        connection.run(command, sink, stop, |_| {}).await.map_err(|error| over_ssh(&error))
    }

    async fn fetch(&self, remote: &str, local: &Path, max_bytes: u64) -> Result<Option<u64>, TargetError> {
        let mut connection = self.connection.lock().await;
        let fetched = connection.download(remote, local, max_bytes, &StopToken::never()).await;
        fetched.map_err(|error| over_ssh(&error))
    }

    async fn close(&self) -> Result<(), String> {
        let mut connection = self.connection.lock().await;
        let removed = connection.remove_dir(&self.root, &StopToken::never()).await;
        removed.map_err(|error| error.to_string())
    }
}

struct OverAgent {
    agent: Agent,
    root: AgentDir,
    runs: AtomicU64,
}

#[async_trait]
impl NodeShell for OverAgent {
    fn is_windows(&self) -> bool {
        self.root.info().is_windows()
    }

    fn directory(&self) -> &str {
        self.root.path()
    }

    async fn put(&self, entries: Vec<UploadEntry>) -> Result<(), TargetError> {
        let sent = self.agent.upload_tree(entries, self.root.path(), &StopToken::never()).await;
        sent.map_err(|error| over_agent(&error))
    }

    async fn run(
        &self,
        program_line: &str,
        mut env: Vec<(String, String)>,
        sink: Arc<dyn OutputSink>,
        stop: &StopToken,
    ) -> Result<RemoteEnd, TargetError> {
        if self.is_windows() {
            // An agent takes it for the wish for a terminal, and fails where it has none.
            env.retain(|(name, _)| !name.eq_ignore_ascii_case("TERM"));
            // By the name of the directory its processes are found again.
            let line = format!("cd /d \"{}\" & {program_line}", self.root);
            let start = Start::windows(&self.root, line, env);
            let start = start.map_err(|kind| TargetError::Other(kind.to_string()))?;
            return self.agent.run(&start, &*sink, stop, || {}).await.map_err(|error| over_agent(&error));
        }
        let number = self.runs.fetch_add(1, Ordering::Relaxed);
        // In the script, not in the request: agents log that, and a component's variables may be secrets.
        let line = assigned(&env)? + program_line;
        let (start, entry) = Start::posix(&self.root, number, self.root.path(), &line, Vec::new());
        self.put(vec![entry]).await?;
        self.agent.run(&start, &*sink, stop, || {}).await.map_err(|error| over_agent(&error))
    }

    async fn fetch(&self, remote: &str, local: &Path, max_bytes: u64) -> Result<Option<u64>, TargetError> {
        let fetched = self.agent.download(remote, local, max_bytes, &StopToken::never()).await;
        fetched.map_err(|error| over_agent(&error))
    }

    async fn close(&self) -> Result<(), String> {
        let removed = self.agent.remove_dir(&self.root, &StopToken::never()).await;
        removed.map_err(|error| error.to_string())
    }
}

/// The variables as a shell has them in front of a simple command.
fn assigned(env: &[(String, String)]) -> Result<String, TargetError> {
    let one = |(name, value): &(String, String)| {
        if !is_variable_name(name) {
            return Err(TargetError::Other(format!("{name:?} is no name for a variable")));
        }
        if value.contains('\0') {
            return Err(TargetError::Other(format!("the value of {name} holds a NUL byte")));
        }
        Ok(format!("{name}={} ", quote(value)))
    };
    env.iter().map(one).collect()
}

fn over_ssh(error: &SshError) -> TargetError {
    let text = error.to_string();
    match error.kind() {
        SshErrorKind::Resolve { .. } | SshErrorKind::Connect { .. } | SshErrorKind::Handshake { .. } => {
            TargetError::Unreachable(text)
        }
        SshErrorKind::HostKeyUnknown { .. }
        | SshErrorKind::HostKeyChanged(_)
        | SshErrorKind::HostKeyRevoked { .. } => TargetError::Denied(text),
        SshErrorKind::Auth { .. } | SshErrorKind::PasswordExpired { .. } => {
            TargetError::NotAuthenticated(text)
        }
        SshErrorKind::Timeout { .. } | SshErrorKind::Silent { .. } => TargetError::TimedOut,
        SshErrorKind::ConnectionLost { .. } | SshErrorKind::WorkerEnded { .. } | SshErrorKind::NoExit => {
            TargetError::Disconnected(text)
        }
        SshErrorKind::TooLarge { limit, .. } => TargetError::TooLarge(*limit),
        _ => TargetError::Other(text),
    }
}

fn over_agent(error: &TagentError) -> TargetError {
    let text = error.to_string();
    match error.kind() {
        TagentErrorKind::Resolve { .. }
        | TagentErrorKind::Connect { .. }
        | TagentErrorKind::NotAnAgent { .. }
        | TagentErrorKind::Version { .. } => TargetError::Unreachable(text),
        TagentErrorKind::Credential | TagentErrorKind::Refused | TagentErrorKind::NoCredential => {
            TargetError::NotAuthenticated(text)
        }
        TagentErrorKind::Timeout { .. } | TagentErrorKind::Silent { .. } => TargetError::TimedOut,
        TagentErrorKind::ConnectionLost { .. } => TargetError::Disconnected(text),
        TagentErrorKind::TooLarge { limit, .. } => TargetError::TooLarge(*limit),
        _ => TargetError::Other(text),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use autoexec_test_support::agent::{AgentDouble, AgentOptions};
    use autoexec_transport::{Exit, UploadSource};
    use serde_json::json;

    use super::*;
    use crate::samples::Sample;

    #[derive(Default)]
    struct Said(Mutex<String>);

    impl OutputSink for Said {
        fn output(&self, bytes: &[u8]) {
            self.0.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
        }
    }

    async fn behind(double: &AgentDouble) -> Box<dyn NodeShell> {
        let sample = Sample::new(autoexec_model::command_line::ShellExpansion::Off);
        let node = json!({"resourceId": 71, "host": "127.0.0.1", "protocol": "tagent",
            "protocolPort": double.port(), "username": "none", "password": "demo-Secret-01"});
        let node = Node::from_object(node.as_object().unwrap().clone()).unwrap();
        open(&sample.shared, &node, "autoexec-1-2-3", &StopToken::never()).await.unwrap()
    }

    fn variables() -> Vec<(String, String)> {
        [("TERM", "xterm"), ("WORD", "a 'b' $c")].map(|(name, value)| (name.into(), value.into())).into()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn variables_of_a_component_reach_the_command_and_not_the_agent() {
        let double = AgentDouble::start(AgentOptions::default()).unwrap();
        let shell = behind(&double).await;
        let script = UploadSource::Bytes(b"echo \"$TERM $WORD\"\n".to_vec());
        shell.put(vec![UploadEntry { source: script, dest: "x".to_owned(), mode: 0o600 }]).await.unwrap();
        let said = Arc::new(Said::default());
        let sink = Arc::clone(&said) as Arc<dyn OutputSink>;
        let end = shell.run("sh x", variables(), sink, &StopToken::never()).await.unwrap();
        assert_eq!(end.exit, Some(Exit::Code(0)));
        assert_eq!(*said.0.lock().unwrap(), "xterm a 'b' $c\n");
        let sent: Vec<String> = double.requests().iter().map(|request| request.text(2)).collect();
        assert!(sent.iter().all(|text| !text.contains("TERM") && !text.contains("WORD")), "{sent:?}");
        let odd = vec![("A B".to_owned(), "secret".to_owned())];
        let refused = shell.run("sh x", odd, Arc::new(Said::default()), &StopToken::never()).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("A B") && !refused.contains("secret"), "{refused}");
        shell.close().await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_windows_agent_is_not_asked_for_a_terminal() {
        let options =
            AgentOptions { os: "windows".to_owned(), charset: "cp936".to_owned(), ..Default::default() };
        let double = AgentDouble::start(options).unwrap();
        let shell = behind(&double).await;
        shell.run("cd", variables(), Arc::new(Said::default()), &StopToken::never()).await.unwrap();
        let sent = double.requests().last().unwrap().text(2);
        assert!(sent.contains("WORD") && !sent.contains("TERM"), "{sent}");
        shell.close().await.unwrap();
    }
}

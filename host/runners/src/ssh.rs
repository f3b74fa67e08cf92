//! A script on a target over SSH (`spec/plugin-contract.md` §8.5): one connection and one directory per unit.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autoexec_engine::ports::{
    OperationCall, OperationEnd, OperationExit, OperationSink, StopSignal, UnitInfo,
};
use autoexec_events::Level;
use autoexec_model::command_line::{CommandLine, RemoteProgram};
use autoexec_model::value::Recipient;
use autoexec_model::{Interpreter, Node};
use autoexec_store::MAX_OP_OUTPUT;
use autoexec_transport::ssh::{
    RemoteCommand, RemoteDir, RemoteTask, Setup, SshAuth, SshConnection, SshTarget, TaskEnd, Wanted,
};
use autoexec_transport::{Exit, Secret, StopToken};

use crate::bridge::{ProcessOutput, StopBridge};
use crate::delivery::{Delivery, OUTPUT_FILE};
use crate::environment;
use crate::outputs::{Ran, RemoteFiles};
use crate::settings::Shared;
use crate::unit::has_output;

/// How long the removal of a directory is waited for when the connection has just failed.
const DISCARD_LIMIT: Duration = Duration::from_secs(10);

/// Runs the words after it with the variables of the account's login profile (`PATH`, `ORACLE_HOME`, …), as the
/// interactive shell of the replaced system did. Shells that are started with `-l` read the profile themselves.
const LOGIN_PROFILE: &str = r#"sh -c 'case ${SHELL##*/} in bash|ksh|zsh) login=$SHELL ;; *) login=sh ;; esac; exec "$login" -lc '\''exec "$@"'\'' login "$@"' login "#;

/// The connection of a unit and what stands on the target.
pub(crate) struct SshPlace {
    shared: Arc<Shared>,
    unit: UnitInfo,
    session: Option<Session>,
    failed: bool,
}

struct Session {
    connection: SshConnection,
    root: RemoteDir,
    /// The directory is there: the first operation makes it.
    made: bool,
    /// Trees that are there already: `lib` and bundles.
    uploaded: HashSet<String>,
}

impl SshPlace {
    pub(crate) fn new(shared: &Arc<Shared>, unit: &UnitInfo) -> Self {
        Self { shared: Arc::clone(shared), unit: unit.clone(), session: None, failed: false }
    }

    pub(crate) async fn run(
        &mut self,
        call: &OperationCall<'_>,
        sink: Arc<dyn OperationSink>,
        stop: StopSignal,
    ) -> Result<OperationEnd, String> {
        let bridge = StopBridge::new(stop);
        let stop = bridge.token();
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.connect(&stop).await?,
        };
        let end = self.run_in(&mut session, call, &sink, &stop).await;
        self.failed |= !matches!(&end, Ok(OperationEnd { exit: OperationExit::Code(0), .. }));
        match &end {
            Ok(_) => self.session = Some(session),
            Err(_) => self.discard(session, &sink).await,
        }
        end
    }

    /// Lets go of a connection that may be in any state; the next operation makes a new one. The directory is removed
    /// where that still works at once.
    async fn discard(&self, mut session: Session, sink: &Arc<dyn OperationSink>) {
        if self.shared.settings.keep_failed_directory || !session.made {
            return;
        }
        let never = StopToken::never();
        let removal = session.connection.remove_dir(&session.root, &never);
        if !matches!(tokio::time::timeout(DISCARD_LIMIT, removal).await, Ok(Ok(()))) {
            let text = format!("The directory {} may be left behind on the target.", session.root);
            sink.info(Level::Warn, &text);
        }
    }

    async fn run_in(
        &self,
        session: &mut Session,
        call: &OperationCall<'_>,
        sink: &Arc<dyn OperationSink>,
        stop: &StopToken,
    ) -> Result<OperationEnd, String> {
        sink.info(Level::Info, &format!("Job directory:{}", session.root));
        let delivery = Delivery::gather(&self.shared, call, &session.uploaded)?;
        let work_dir = delivery.work_directory(session.root.path());
        let TaskEnd { end, file } = self.execute(session, call, delivery, &work_dir, sink, stop).await?;
        let exit = match (end.stopped, end.exit) {
            (Some(stopped), _) => OperationExit::Stopped { proved_dead: stopped.proved_dead },
            (None, Some(Exit::Code(code))) => OperationExit::Code(code),
            (None, Some(Exit::Signal(signal))) => OperationExit::Signal(signal),
            (None, None) => OperationExit::Error("The target did not say how the script ended.".to_owned()),
        };
        if !matches!(exit, OperationExit::Code(0)) || !has_output(call) {
            return Ok(OperationEnd { exit, output: None });
        }
        let root = session.root.path().to_owned();
        let ran = Ran {
            shared: &self.shared,
            unit: &self.unit,
            call,
            root: &root,
            work_dir: &work_dir,
            sink: &**sink,
        };
        let mut files = SshFiles { connection: &mut session.connection, stop, output: file };
        Ok(match ran.fetch_outputs(&mut files).await? {
            Err(problem) => OperationEnd { exit: OperationExit::Error(problem), output: None },
            Ok(values) => OperationEnd { exit, output: Some(values) },
        })
    }

    async fn connect(&self, stop: &StopToken) -> Result<Session, String> {
        let node = &self.unit.node;
        let target = target_of(&self.shared, node)?;
        let connection =
            self.shared.connector.connect(&target, stop).await.map_err(|error| error.to_string())?;
        let prefix =
            format!("autoexec-{}-{}-{}", self.shared.settings.job, node.resource, self.unit.phase.index);
        let root = RemoteDir::new(&prefix).map_err(|error| error.to_string())?;
        Ok(Session { connection, root, made: false, uploaded: HashSet::new() })
    }

    /// Sends what is missing, runs the script and brings back its output file, all in one request.
    async fn execute(
        &self,
        session: &mut Session,
        call: &OperationCall<'_>,
        delivery: Delivery,
        work_dir: &str,
        sink: &Arc<dyn OperationSink>,
        stop: &StopToken,
    ) -> Result<TaskEnd, String> {
        let command_line = CommandLine::new(call.inputs, delivery.interpreter).to(call.purpose);
        sink.executing(&command_line.display(&delivery.file, Recipient::Target));
        let program = RemoteProgram {
            directory: work_dir,
            file: &delivery.file,
            interpreter: delivery.interpreter,
            environment: &[],
        };
        let words = command_line
            .unix_text(Recipient::Target, self.shared.settings.expansion)
            .map_err(|error| error.to_string())?;
        let start = program.unix_command().map_err(|error| error.to_string())?;
        let command = RemoteCommand {
            dir: work_dir.to_owned(),
            env: environment::remote(&self.shared, &self.unit, call),
            program_line: format!("{}{start}{words}", profile_prefix(delivery.interpreter)),
            account: None,
        };
        let wanted = has_output(call).then(|| wanted(session, work_dir));
        let setup = Setup { dir: session.root.clone(), make: !session.made, entries: delivery.entries };
        let task = RemoteTask { setup: Some(setup), command, wanted, detached: None };
        sink.info(Level::Info, "Begin to upload remote operation...");
        let (output, started) = (Arc::new(ProcessOutput(Arc::clone(sink))), Arc::clone(sink));
        let on_start = move |_pid| {
            started.info(Level::Info, "Remote operation upload success.");
            started.started(None);
        };
        // From here on it may be there, whatever becomes of the request.
        session.made = true;
        let end = session.connection.run_task(task, output, stop, on_start).await;
        if end.is_ok() {
            session.uploaded.extend(delivery.trees);
        }
        end.map_err(|error| error.to_string())
    }

    /// Removes the directory, unless a failure is to be looked at, and closes the connection.
    pub(crate) async fn close(mut self) -> Result<(), String> {
        let Some(mut session) = self.session.take() else { return Ok(()) };
        if !session.made || (self.failed && self.shared.settings.keep_failed_directory) {
            return Ok(());
        }
        let removed = session.connection.remove_dir(&session.root, &StopToken::never()).await;
        removed.map_err(|error| error.to_string())
    }
}

/// The output file of the working directory, or of the root where an old library puts it (defect 83).
fn wanted(session: &Session, work_dir: &str) -> Wanted {
    let mut files = vec![format!("{work_dir}/{OUTPUT_FILE}")];
    if work_dir != session.root.path() {
        files.push(format!("{}/{OUTPUT_FILE}", session.root));
    }
    Wanted { files, max_bytes: MAX_OP_OUTPUT }
}

/// The account of a node, with every way to log in to it.
pub(crate) fn target_of(shared: &Shared, node: &Node) -> Result<SshTarget, String> {
    let mut auth = Vec::new();
    if let Some(password) = node.password(&shared.settings.key) {
        auth.push(SshAuth::Password(Secret::new(password.expose().to_owned())));
    } else if node.has_password() {
        return Err(format!(
            "The password of node {} can not be decrypted: check password.key in conf/config.ini.",
            node.key()
        ));
    }
    auth.extend(shared.settings.ssh_keys.iter().cloned());
    if auth.is_empty() {
        return Err(format!(
            "Node {} has no password, and no key is configured (ssh.identity in conf/config.ini).",
            node.key()
        ));
    }
    Ok(SshTarget { host: node.host.clone(), port: node.protocol_port, user: node.user.clone(), auth })
}

fn profile_prefix(interpreter: Option<Interpreter>) -> &'static str {
    match interpreter {
        Some(Interpreter::Sh | Interpreter::Bash | Interpreter::Csh) => "",
        _ => LOGIN_PROFILE,
    }
}

/// Files of a session's target.
struct SshFiles<'a> {
    connection: &'a mut SshConnection,
    stop: &'a StopToken,
    /// The output file, which came with the end of the operation.
    output: Option<Vec<u8>>,
}

#[async_trait]
impl RemoteFiles for SshFiles<'_> {
    async fn read(&mut self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, String> {
        if path.ends_with(&format!("/{OUTPUT_FILE}")) {
            return Ok(self.output.take());
        }
        self.connection.read_file(path, max_bytes, self.stop).await.map_err(|error| error.to_string())
    }

    async fn download(&mut self, remote: &str, local: &Path, max_bytes: u64) -> Result<Option<u64>, String> {
        let fetched = self.connection.download(remote, local, max_bytes, self.stop).await;
        fetched.map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_is_no_login_shell_gets_the_profile_and_its_exact_arguments() {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(".profile"), "FROM_PROFILE='a b'; export FROM_PROFILE\n").unwrap();
        let prefix = profile_prefix(Some(Interpreter::Perl));
        for shell in ["/bin/sh", "/bin/bash", "/bin/tcsh"] {
            let output = std::process::Command::new("/bin/sh")
                .arg("-c")
                .arg(format!(
                    r#"exec {prefix}sh -c 'printf "%s|" "$FROM_PROFILE" "$@"' x 'one two' '$HOME' "it's""#
                ))
                .env("HOME", home.path())
                .env("SHELL", shell)
                .output()
                .unwrap();
            assert_eq!(
                String::from_utf8_lossy(&output.stdout),
                "a b|one two|$HOME|it's|",
                "{shell}: {output:?}"
            );
        }
    }
}

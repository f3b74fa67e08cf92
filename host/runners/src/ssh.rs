//! A script on a target over SSH (`spec/plugin-contract.md` §8.5): one connection and one directory per unit.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use autoexec_engine::ports::{
    OperationCall, OperationEnd, OperationExit, OperationSink, StopSignal, UnitInfo,
};
use autoexec_events::Level;
use autoexec_model::Interpreter;
use autoexec_model::command_line::{CommandLine, RemoteProgram};
use autoexec_model::value::Recipient;
use autoexec_store::json::Style;
use autoexec_store::{MAX_OP_OUTPUT, atomic, base_name};
use autoexec_transport::ssh::{
    RemoteCommand, RemoteDir, SshAuth, SshConnection, SshTarget, UploadEntry, UploadSource,
};
use autoexec_transport::{Exit, Secret, StopToken};
use serde_json::{Map, Value};

use crate::bridge::{ProcessOutput, StopBridge};
use crate::catalog::Found;
use crate::environment;
use crate::settings::Shared;

/// The largest file output that is brought back, in bytes. A target may be hostile.
const MAX_FILE_OUTPUT: u64 = 4 * 1024 * 1024 * 1024;

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
    /// Trees that are there already: `lib` and bundles.
    uploaded: HashSet<String>,
}

/// What is sent and started for one operation.
struct Script {
    directory: String,
    file: String,
    interpreter: Option<Interpreter>,
    entries: Vec<UploadEntry>,
    /// Bundle or library names whose trees are part of `entries`.
    trees: Vec<String>,
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
        if self.shared.settings.keep_failed_directory {
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
        let script = self.script(call, session)?;
        self.upload(session, &script, sink, stop).await?;
        let work_dir = work_directory(session, &script);
        let end = self.execute(session, call, &script, &work_dir, sink, stop).await?;
        let output = match (&end, &call.call.outputs) {
            (OperationExit::Code(0), Some(_)) => {
                Some(self.fetch_outputs(session, call, &work_dir, sink, stop).await?)
            }
            _ => None,
        };
        Ok(match output {
            Some(Err(problem)) => OperationEnd { exit: OperationExit::Error(problem), output: None },
            Some(Ok(values)) => OperationEnd { exit: end, output: Some(values) },
            None => OperationEnd { exit: end, output: None },
        })
    }

    async fn connect(&self, stop: &StopToken) -> Result<Session, String> {
        let node = &self.unit.node;
        let mut auth = Vec::new();
        if let Some(password) = node.password(&self.shared.settings.key) {
            auth.push(SshAuth::Password(Secret::new(password.expose().to_owned())));
        } else if node.has_password() {
            return Err(format!(
                "The password of node {} can not be decrypted: check password.key in conf/config.ini.",
                node.key()
            ));
        }
        auth.extend(self.shared.settings.ssh_keys.iter().cloned());
        if auth.is_empty() {
            return Err(format!(
                "Node {} has no password, and no key is configured (ssh.identity in conf/config.ini).",
                node.key()
            ));
        }
        let target =
            SshTarget { host: node.host.clone(), port: node.protocol_port, user: node.user.clone(), auth };
        let mut connection =
            self.shared.connector.connect(&target, stop).await.map_err(|error| error.to_string())?;
        let prefix =
            format!("autoexec-{}-{}-{}", self.shared.settings.job, node.resource, self.unit.phase.index);
        let root = connection.make_private_dir(&prefix, stop).await.map_err(|error| error.to_string())?;
        Ok(Session { connection, root, uploaded: HashSet::new() })
    }

    /// What has to be sent for an operation: the shared library, the bundle or the script, its input files, and an
    /// empty output file.
    fn script(&self, call: &OperationCall<'_>, session: &Session) -> Result<Script, String> {
        let remote = self.shared.settings.home.remote_plugins();
        let bundle = call.operation.name.bundle().to_owned();
        let mut script = Script {
            directory: bundle.clone(),
            file: String::new(),
            interpreter: call.call.interpreter,
            entries: Vec::new(),
            trees: Vec::new(),
        };
        let add_tree = |script: &mut Script, name: &str| -> Result<(), String> {
            let source = remote.join(name);
            if session.uploaded.contains(name) || !source.is_dir() {
                return Ok(());
            }
            let tree = UploadEntry::tree(&source, name)
                .map_err(|error| format!("Can not read {}: {error}", source.display()))?;
            script.entries.extend(tree);
            script.trees.push(name.to_owned());
            Ok(())
        };
        add_tree(&mut script, "lib")?;
        if call.call.script.is_some() {
            let found = self.shared.scripts.script(call.operation)?;
            script.entries.push(file_entry(&found.path, &in_directory(&bundle, &found.name), 0o700));
            for library in &found.libraries {
                let dest = in_directory(&bundle, &library.name);
                script.entries.push(file_entry(&library.path, &dest, library.mode));
            }
            script.file = found.name;
        } else {
            let Found::Remote(path) = self.shared.catalog.find(call.operation)? else {
                return Err(format!("The tool {} can not run on a target.", call.operation.name));
            };
            add_tree(&mut script, &bundle)?;
            let name = call.operation.name.tool().to_owned();
            script.entries.push(file_entry(&path, &in_directory(&bundle, &name), 0o700));
            script.file = name;
        }
        self.add_inputs(&mut script, call)?;
        Ok(script)
    }

    fn add_inputs(&self, script: &mut Script, call: &OperationCall<'_>) -> Result<(), String> {
        let job_dir = &self.shared.settings.job_dir;
        for path in call.inputs.uploads() {
            let source = job_dir.root().join(path);
            let name = base_name(path).map_err(|error| error.to_string())?;
            if !source.is_file() {
                return Err(format!("The file {} is missing.", source.display()));
            }
            script.entries.push(file_entry(
                &source,
                &in_directory(&script.directory, &format!("file/{name}")),
                0o600,
            ));
        }
        if call.call.outputs.is_some() {
            let dest = in_directory(&script.directory, "output.json");
            let at_root = "output.json".to_owned();
            let mut dests = vec![dest];
            if dests.first() != Some(&at_root) {
                // An old library writes there (defect 83); what an operation before left must not be taken for this one's.
                dests.push(at_root);
            }
            script.entries.extend(dests.into_iter().map(|dest| UploadEntry {
                source: UploadSource::Bytes(Vec::new()),
                dest,
                mode: 0o600,
            }));
        }
        Ok(())
    }

    async fn upload(
        &self,
        session: &mut Session,
        script: &Script,
        sink: &Arc<dyn OperationSink>,
        stop: &StopToken,
    ) -> Result<(), String> {
        sink.info(Level::Info, "Begin to upload remote operation...");
        let root = session.root.path().to_owned();
        session
            .connection
            .upload_tree(script.entries.clone(), &root, stop)
            .await
            .map_err(|error| error.to_string())?;
        session.uploaded.extend(script.trees.iter().cloned());
        sink.info(Level::Info, "Remote operation upload success.");
        Ok(())
    }

    async fn execute(
        &self,
        session: &mut Session,
        call: &OperationCall<'_>,
        script: &Script,
        work_dir: &str,
        sink: &Arc<dyn OperationSink>,
        stop: &StopToken,
    ) -> Result<OperationExit, String> {
        let command_line = CommandLine::new(call.inputs, script.interpreter);
        sink.executing(&command_line.display(&script.file, Recipient::Target));
        let program = RemoteProgram {
            directory: work_dir,
            file: &script.file,
            interpreter: script.interpreter,
            environment: &[],
        };
        let words = command_line
            .unix_text(Recipient::Target, self.shared.settings.expansion)
            .map_err(|error| error.to_string())?;
        let start = program.unix_command().map_err(|error| error.to_string())?;
        let command = RemoteCommand {
            dir: work_dir.to_owned(),
            env: environment::remote(&self.shared, &self.unit, call),
            program_line: format!("{}{start}{words}", profile_prefix(script.interpreter)),
        };
        let (output, started) = (Arc::new(ProcessOutput(Arc::clone(sink))), Arc::clone(sink));
        let on_start = move |_pid| started.started(None);
        let end = session
            .connection
            .run(command, output, stop, on_start)
            .await
            .map_err(|error| error.to_string())?;
        Ok(match (end.stopped, end.exit) {
            (Some(stopped), _) => OperationExit::Stopped { proved_dead: stopped.proved_dead },
            (None, Some(Exit::Code(code))) => OperationExit::Code(code),
            (None, Some(Exit::Signal(signal))) => OperationExit::Signal(signal),
            (None, None) => OperationExit::Error("The target did not say how the script ended.".to_owned()),
        })
    }

    /// Brings `output.json` and the files it names. The inner error fails the operation, not the connection.
    async fn fetch_outputs(
        &self,
        session: &mut Session,
        call: &OperationCall<'_>,
        work_dir: &str,
        sink: &Arc<dyn OperationSink>,
        stop: &StopToken,
    ) -> Result<Result<Map<String, Value>, String>, String> {
        let mut values = match read_remote_output(session, work_dir, stop).await? {
            Ok(values) => values,
            Err(problem) => return Ok(Err(problem)),
        };
        let job_dir = &self.shared.settings.job_dir;
        let key = self.unit.node.key();
        let declared = call.call.outputs.iter().flatten().filter(|(_, output)| output.is_file);
        let mut missing = Vec::new();
        for (name, _) in declared {
            let Some(Value::String(path)) = values.get(name).cloned() else { continue };
            if path.is_empty() {
                continue;
            }
            let fetched = self.fetch_file(session, call, work_dir, &path, stop).await?;
            if fetched.is_none() {
                sink.info(Level::Error, &format!("Can not fetch the file {path} of output {name}."));
                missing.push(path);
            }
            values.insert(name.clone(), fetched.map_or(Value::Null, Value::from));
        }
        let path = job_dir.op_output(&key, &call.operation.id);
        let written = atomic::write_json(&path, &values, Style::Indented, atomic::PRIVATE);
        Ok(match written {
            Err(error) => Err(error.to_string()),
            Ok(()) if missing.is_empty() => Ok(values),
            Ok(()) => Err(format!("The target has no file {} to bring back.", missing.join(", "))),
        })
    }

    /// Fetches a file output to `output-op/<K>/<opId>/<name>`; its path relative to the job directory.
    async fn fetch_file(
        &self,
        session: &mut Session,
        call: &OperationCall<'_>,
        work_dir: &str,
        path: &str,
        stop: &StopToken,
    ) -> Result<Option<String>, String> {
        let Ok(name) = base_name(path) else { return Ok(None) };
        let job_dir = &self.shared.settings.job_dir;
        let directory = job_dir.op_output_files(&self.unit.node.key(), &call.operation.id);
        std::fs::create_dir_all(&directory)
            .map_err(|error| format!("Can not create {}: {error}", directory.display()))?;
        let local = directory.join(&name);
        let remote = if path.starts_with('/') { path.to_owned() } else { format!("{work_dir}/{path}") };
        let length = session
            .connection
            .download(&remote, &local, MAX_FILE_OUTPUT, stop)
            .await
            .map_err(|error| error.to_string())?;
        let relative = local.strip_prefix(job_dir.root()).unwrap_or(&local);
        Ok(length.map(|_| relative.to_string_lossy().into_owned()))
    }

    /// Removes the directory, unless a failure is to be looked at, and closes the connection.
    pub(crate) async fn close(mut self) -> Result<(), String> {
        let Some(mut session) = self.session.take() else { return Ok(()) };
        if self.failed && self.shared.settings.keep_failed_directory {
            return Ok(());
        }
        let removed = session.connection.remove_dir(&session.root, &StopToken::never()).await;
        removed.map_err(|error| error.to_string())
    }
}

fn profile_prefix(interpreter: Option<Interpreter>) -> &'static str {
    match interpreter {
        Some(Interpreter::Sh | Interpreter::Bash | Interpreter::Csh) => "",
        _ => LOGIN_PROFILE,
    }
}

fn work_directory(session: &Session, script: &Script) -> String {
    let root = session.root.path();
    if script.directory.is_empty() { root.to_owned() } else { format!("{root}/{}", script.directory) }
}

/// `output.json` of the working directory, or of the root where an old library puts it (defect 83).
async fn read_remote_output(
    session: &mut Session,
    work_dir: &str,
    stop: &StopToken,
) -> Result<Result<Map<String, Value>, String>, String> {
    let root = session.root.path().to_owned();
    for directory in [work_dir, root.as_str()] {
        let path = format!("{directory}/output.json");
        let bytes = session
            .connection
            .read_file(&path, MAX_OP_OUTPUT, stop)
            .await
            .map_err(|error| error.to_string())?
            .unwrap_or_default();
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        return Ok(match serde_json::from_slice(&bytes) {
            Ok(Value::Object(values)) => Ok(values),
            Ok(_) => Err(format!("The output {path} is not a JSON object.")),
            Err(error) => Err(format!(
                "The output {path} is not JSON: line {}, column {}.",
                error.line(),
                error.column()
            )),
        });
    }
    Ok(Ok(Map::new()))
}

fn file_entry(source: &Path, dest: &str, mode: u32) -> UploadEntry {
    UploadEntry { source: UploadSource::File(source.to_owned()), dest: dest.to_owned(), mode }
}

fn in_directory(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
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

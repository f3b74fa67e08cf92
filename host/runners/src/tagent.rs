//! A script on a target behind an agent (`spec/plugin-contract.md` §8.5): one directory per unit, a connection for each
//! request.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use autoexec_engine::ports::{OperationCall, OperationEnd, OperationExit, OperationSink, UnitInfo};
use autoexec_events::Level;
use autoexec_model::command_line::{CommandLine, RemoteProgram};
use autoexec_model::value::Recipient;
use autoexec_model::{Interpreter, Node};
use autoexec_transport::tagent::{Agent, AgentDir, AgentInfo, LineEnds, Start, TagentTarget, convert_text};
use autoexec_transport::{Exit, Secret, StopToken, UploadEntry, UploadSource};

use crate::bridge::ProcessOutput;
use crate::delivery::Delivery;
use crate::environment;
use crate::outputs::{Ran, RemoteFiles};
use crate::session::Sessions;
use crate::settings::Shared;
use crate::unit::has_output;

/// The agent's port where a node names none.
const DEFAULT_PORT: u16 = 3939;
/// A program larger than this is no text that somebody wrote.
const MAX_CONVERTED: u64 = 16 * 1024 * 1024;

/// The agent of a unit and what stands on the target.
pub(crate) struct AgentSessions {
    shared: Arc<Shared>,
    unit: UnitInfo,
}

/// A directory behind an agent.
pub(crate) struct Session {
    agent: Agent,
    root: AgentDir,
    /// Trees that are there already: `lib` and bundles.
    uploaded: HashSet<String>,
    /// Commands so far; their files on the target are told apart by it.
    runs: u64,
}

/// The agent of a node.
pub(crate) fn agent_of(shared: &Shared, node: &Node) -> Result<Agent, String> {
    let password = node.password(&shared.settings.key);
    if password.is_none() && node.has_password() {
        return Err(format!(
            "The password of node {} can not be decrypted: check password.key in conf/config.ini.",
            node.key()
        ));
    }
    let Some(password) = password else {
        return Err(format!(
            "Node {} has no password: its agent needs the agent's credential as the password of the node.",
            node.key()
        ));
    };
    let target = TagentTarget {
        host: node.host.clone(),
        port: if node.protocol_port == 0 { DEFAULT_PORT } else { node.protocol_port },
        user: node.user.clone(),
        credential: Secret::new(password.expose().to_owned()),
    };
    shared.agents.agent(target).map_err(|error| error.to_string())
}

#[async_trait]
impl Sessions for AgentSessions {
    type Session = Session;

    async fn open(&self, stop: &StopToken) -> Result<Session, String> {
        let node = &self.unit.node;
        let agent = agent_of(&self.shared, node)?;
        let prefix =
            format!("autoexec-{}-{}-{}", self.shared.settings.job, node.resource, self.unit.phase.index);
        let root = agent.make_private_dir(&prefix, stop).await.map_err(|error| error.to_string())?;
        Ok(Session { agent, root, uploaded: HashSet::new(), runs: 0 })
    }

    async fn run(
        &self,
        session: &mut Session,
        call: &OperationCall<'_>,
        sink: &Arc<dyn OperationSink>,
        stop: &StopToken,
    ) -> Result<OperationEnd, String> {
        sink.info(Level::Info, &format!("Job directory:{}", session.root));
        let mut delivery = Delivery::gather(&self.shared, call, &session.uploaded)?;
        let work_dir = session.root.join(&delivery.directory);
        session.runs += 1;
        let display = CommandLine::new(call.inputs, delivery.interpreter)
            .to(call.purpose)
            .display(&delivery.file, Recipient::Target);
        let start = self.start(session, call, &mut delivery, &work_dir)?;
        self.upload(session, delivery, sink, stop).await?;
        sink.executing(&display);
        let end = self.execute(session, &start, sink, stop).await?;
        let output = match &end {
            OperationExit::Code(0) if has_output(call) => {
                let ran = Ran {
                    shared: &self.shared,
                    unit: &self.unit,
                    call,
                    root: session.root.path(),
                    work_dir: &work_dir,
                    sink: &**sink,
                };
                let mut files = AgentFiles { agent: &session.agent, root: &session.root, stop };
                Some(ran.fetch_outputs(&mut files).await?)
            }
            _ => None,
        };
        Ok(match output {
            Some(Err(problem)) => OperationEnd { exit: OperationExit::Error(problem), output: None },
            Some(Ok(values)) => OperationEnd { exit: end, output: Some(values) },
            None => OperationEnd { exit: end, output: None },
        })
    }

    fn directory<'a>(&self, session: &'a Session) -> Option<&'a str> {
        Some(session.root.path())
    }

    async fn remove(&self, session: &mut Session) -> Result<(), String> {
        let removed = session.agent.remove_dir(&session.root, &StopToken::never()).await;
        removed.map_err(|error| error.to_string())
    }
}

impl AgentSessions {
    pub(crate) fn new(shared: &Arc<Shared>, unit: &UnitInfo) -> Self {
        Self { shared: Arc::clone(shared), unit: unit.clone() }
    }

    /// The command in the form of the target's system. On Unix it adds the file that holds it to the delivery.
    fn start(
        &self,
        session: &Session,
        call: &OperationCall<'_>,
        delivery: &mut Delivery,
        work_dir: &str,
    ) -> Result<Start, String> {
        let command_line = CommandLine::new(call.inputs, delivery.interpreter).to(call.purpose);
        let program = RemoteProgram {
            directory: work_dir,
            file: &delivery.file,
            interpreter: delivery.interpreter,
            environment: &[],
        };
        let env = environment::remote(&self.shared, &self.unit, call);
        let expansion = self.shared.settings.expansion;
        if session.root.info().is_windows() {
            let is_tool = call.call.script.is_none();
            let start = program.windows_text(is_tool).map_err(|error| error.to_string())?;
            let words = command_line.windows_text(expansion).map_err(|error| error.to_string())?;
            return Start::windows(&session.root, format!("{start}{words}"), env)
                .map_err(|error| error.to_string());
        }
        let start = program.unix_command().map_err(|error| error.to_string())?;
        let words =
            command_line.unix_text(Recipient::Target, expansion).map_err(|error| error.to_string())?;
        let line = format!("{start}{words}");
        let (start, entry) = Start::posix(&session.root, session.runs, work_dir, &line, env);
        delivery.entries.push(entry);
        Ok(start)
    }

    async fn upload(
        &self,
        session: &mut Session,
        delivery: Delivery,
        sink: &Arc<dyn OperationSink>,
        stop: &StopToken,
    ) -> Result<(), String> {
        sink.info(Level::Info, "Begin to upload remote operation...");
        let programs: HashSet<&str> = delivery.programs.iter().map(String::as_str).collect();
        let info = session.root.info();
        let mut entries = Vec::with_capacity(delivery.entries.len());
        for entry in delivery.entries {
            let is_program = programs.contains(entry.dest.as_str());
            entries.push(if is_program {
                converted(entry, delivery.interpreter, info, &**sink)?
            } else {
                entry
            });
        }
        let root = session.root.path().to_owned();
        session.agent.upload_tree(entries, &root, stop).await.map_err(|error| error.to_string())?;
        session.uploaded.extend(delivery.trees);
        sink.info(Level::Info, "Remote operation upload success.");
        Ok(())
    }

    async fn execute(
        &self,
        session: &Session,
        start: &Start,
        sink: &Arc<dyn OperationSink>,
        stop: &StopToken,
    ) -> Result<OperationExit, String> {
        let output = ProcessOutput(Arc::clone(sink));
        let on_start = || sink.started(None);
        let end =
            session.agent.run(start, &output, stop, on_start).await.map_err(|error| error.to_string())?;
        Ok(match (end.stopped, end.exit) {
            (Some(stopped), _) => OperationExit::Stopped { proved_dead: stopped.proved_dead },
            (None, Some(Exit::Code(code))) => OperationExit::Code(code),
            (None, Some(Exit::Signal(signal))) => OperationExit::Signal(signal),
            (None, None) => OperationExit::Error("The agent did not say how the script ended.".to_owned()),
        })
    }
}

/// A program as the target reads it. What is no text in UTF-8 stays as it is: a binary in a package, or a script that is
/// in the target's charset already.
fn converted(
    entry: UploadEntry,
    interpreter: Option<Interpreter>,
    info: &AgentInfo,
    sink: &dyn OperationSink,
) -> Result<UploadEntry, String> {
    let extension = Path::new(&entry.dest).extension().unwrap_or_default();
    let is_batch = interpreter == Some(Interpreter::Cmd)
        || extension.eq_ignore_ascii_case("bat")
        || extension.eq_ignore_ascii_case("cmd");
    // The command processor loses its labels in a file with bare line feeds.
    let line_ends = if info.is_windows() && is_batch { LineEnds::Windows } else { LineEnds::Keep };
    if info.charset.is_utf8() && line_ends == LineEnds::Keep {
        return Ok(entry);
    }
    let UploadSource::File(path) = &entry.source else { return Ok(entry) };
    let read = std::fs::metadata(path).and_then(|metadata| {
        if metadata.len() > MAX_CONVERTED { Ok(None) } else { std::fs::read(path).map(Some) }
    });
    let Some(bytes) = read.map_err(|error| format!("Can not read {}: {error}", path.display()))? else {
        return Ok(entry);
    };
    if bytes.contains(&0) || std::str::from_utf8(&bytes).is_err() {
        return Ok(entry);
    }
    let (bytes, replaced) = convert_text(&bytes, info.charset, line_ends);
    if replaced > 0 {
        let text = format!(
            "{replaced} characters of {} are not in the target's charset {} and became `?`.",
            entry.dest,
            info.charset.label()
        );
        sink.info(Level::Warn, &text);
    }
    Ok(UploadEntry { source: UploadSource::Bytes(bytes), ..entry })
}

/// Files of a session's target.
struct AgentFiles<'a> {
    agent: &'a Agent,
    root: &'a AgentDir,
    stop: &'a StopToken,
}

impl AgentFiles<'_> {
    /// A path that is no pattern to the agent: one that is would be read as a file that is not there.
    async fn plain(&self, path: &str) -> Result<String, String> {
        let plain = self.agent.plain_name(self.root, path, self.stop).await;
        plain.map_err(|error| error.to_string())
    }
}

#[async_trait]
impl RemoteFiles for AgentFiles<'_> {
    async fn read(&mut self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, String> {
        let plain = self.plain(path).await?;
        let bytes = self.agent.read_file(&plain, max_bytes, self.stop).await;
        let bytes = bytes.map_err(|error| error.to_string())?;
        Ok(bytes.map(|bytes| self.root.info().charset.to_utf8(bytes)))
    }

    async fn download(&mut self, remote: &str, local: &Path, max_bytes: u64) -> Result<Option<u64>, String> {
        let plain = self.plain(remote).await?;
        let fetched = self.agent.download(&plain, local, max_bytes, self.stop).await;
        fetched.map_err(|error| error.to_string())
    }

    fn is_absolute(&self, path: &str) -> bool {
        let mut characters = path.chars();
        let drive =
            characters.next().is_some_and(|c| c.is_ascii_alphabetic()) && characters.next() == Some(':');
        path.starts_with('/') || (self.root.info().is_windows() && (drive || path.starts_with('\\')))
    }

    fn slashed<'a>(&self, path: &'a str) -> Cow<'a, str> {
        if self.root.info().is_windows() { path.replace('\\', "/").into() } else { path.into() }
    }
}

#[cfg(test)]
mod tests {
    use autoexec_model::command_line::ShellExpansion;
    use autoexec_test_support::agent::{AgentDouble, AgentOptions};
    use serde_json::json;

    use super::*;
    use crate::samples::Sample;

    #[tokio::test(flavor = "multi_thread")]
    async fn files_in_a_directory_whose_name_is_a_pattern_are_found() {
        let double = AgentDouble::start(AgentOptions::default()).unwrap();
        let sample = Sample::new(ShellExpansion::Off);
        let node = json!({"resourceId": 71, "host": "127.0.0.1", "protocol": "tagent",
            "protocolPort": double.port(), "username": "none", "password": "demo-Secret-01"});
        let node = Node::from_object(node.as_object().unwrap().clone()).unwrap();
        let agent = agent_of(&sample.shared, &node).unwrap();
        let stop = StopToken::never();
        let root = agent.make_private_dir("autoexec-1-2-3", &stop).await.unwrap();
        let mut files = AgentFiles { agent: &agent, root: &root, stop: &stop };
        for directory in ["pack[1]", "a b"] {
            let path = format!("{root}/{directory}/output.json");
            assert_eq!(files.read(&path, 100).await.unwrap(), None, "{path}");
            std::fs::create_dir(format!("{root}/{directory}")).unwrap();
            std::fs::write(&path, "{}").unwrap();
            assert_eq!(files.read(&path, 100).await.unwrap(), Some(b"{}".to_vec()), "{path}");
        }
    }
}

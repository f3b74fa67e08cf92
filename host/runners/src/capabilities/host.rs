//! What one call of a component sees of its job.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use autoexec_engine::ports::{OperationCall, OperationSink, UnitInfo};
use autoexec_events::Level;
use autoexec_grants::{Access, DataDirection};
use autoexec_model::Node;
use autoexec_sandbox::{
    Denied, DocumentsHost, FetchedFiles, GrantedDirectory, InteractHost, JobContext, JobNodesError, LockHost,
    LogLevel, NodeFacts, NodeValue, OutputName, OutputQueryError, ProgramHost, SecretUnavailable,
    SecretValue, ServerHost, TargetHost, ToolHost,
};
use autoexec_store::json::Style;
use autoexec_store::{JobDir, atomic};
use serde_json::{Map, Value};

use super::nodes::{Pages, facts};
use super::person::Person;
use super::programs::Programs;
use super::step_outputs::collect;
use super::{Lent, Surroundings};
use crate::permits::Permits;
use crate::settings::Shared;
use crate::target_capability::NodeTarget;

/// The variable that holds the job directory's path.
const WORK_PATH: &str = "AUTOEXEC_WORK_PATH";

/// What one call sees of its job, and where its results go.
pub(crate) struct Host {
    context: JobContext,
    node: NodeFacts,
    variables: Vec<(String, String)>,
    permits: Arc<Permits>,
    /// There is no node to work on.
    is_local: bool,
    target: NodeTarget,
    shared: Arc<Shared>,
    unit_node: Arc<Node>,
    lent: Surroundings,
    told: Told,
    pages: Pages,
    person: Option<Person>,
    programs: Programs,
    sink: Arc<dyn OperationSink>,
    job_dir: JobDir,
    live_data: PathBuf,
    output_path: PathBuf,
    outputs: Mutex<Map<String, Value>>,
}

impl Host {
    /// What a call gets.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        unit: &UnitInfo,
        call: &OperationCall<'_>,
        permits: Permits,
        sink: Arc<dyn OperationSink>,
    ) -> Self {
        let settings = &shared.settings;
        let (lent, permits) = (settings.surroundings.clone(), Arc::new(permits));
        let (node, key) = (&unit.node, unit.node.key());
        let (phase, operation) = (&unit.phase.phase.name, &call.operation.id);
        let variables = call
            .node_variables
            .iter()
            .filter(|(name, _)| call.node_variables.get(name).is_some_and(|found| !found.secret));
        Self {
            context: JobContext {
                job_id: settings.job.to_string(),
                phase: phase.to_string(),
                group: u32::try_from(unit.group.0).ok(),
                operation_id: operation.to_string(),
                exec_user: settings.exec_user.clone(),
                tenant: settings.tenant.clone(),
            },
            node: facts(node),
            variables: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                // As native tools know it: the policy gives out directories below it.
                .chain([(WORK_PATH.to_owned(), settings.job_dir.root().display().to_string())])
                .collect(),
            live_data: settings.job_dir.live_data(phase, &key, operation),
            output_path: settings.job_dir.op_output(&key, operation),
            job_dir: settings.job_dir.clone(),
            outputs: Mutex::default(),
            shared: Arc::clone(shared),
            unit_node: Arc::clone(node),
            told: Told::default(),
            pages: Pages::default(),
            person: lent.questions.as_ref().ok().map(|questions| {
                let (questions, runtime) = (Arc::clone(questions), lent.runtime.clone());
                Person::new(questions, runtime, &settings.job_dir, unit, Arc::clone(&sink))
            }),
            programs: Programs::new(
                Arc::clone(&permits),
                settings.job_dir.clone(),
                lent.runtime.clone(),
                Arc::clone(&sink),
            ),
            lent,
            permits,
            is_local: node.is_local(),
            target: NodeTarget::new(shared, unit, Arc::clone(&sink)),
            sink,
        }
    }

    /// One output of the host's own.
    pub(crate) fn put_out(&self, name: &str, value: Value) {
        self.outputs.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value);
    }

    /// Ends what the call left on the node and on this machine. False when a program of it may be left.
    pub(crate) async fn close(&self) -> bool {
        self.target.close().await;
        self.programs.close().await
    }

    /// The password of the account by which the executor reaches the node.
    fn node_password(&self) -> Result<Option<SecretValue>, SecretUnavailable> {
        match self.unit_node.password(&self.shared.settings.key) {
            Some(password) => Ok(Some(SecretValue::new(password.expose()))),
            None if self.unit_node.has_password() => Err(SecretUnavailable(format!(
                "the password of node {} can not be decrypted: `password.key` must be the server's",
                self.unit_node.key()
            ))),
            None => Ok(None),
        }
    }

    /// A part of the surroundings. That there is none is told once for each call: the tool gets only a word for it.
    fn lend<'a, T: ?Sized>(&self, lent: &'a Lent<T>, told: &AtomicBool) -> Option<&'a T> {
        match lent {
            Ok(part) => Some(part),
            Err(why) => {
                if !told.swap(true, Ordering::Relaxed) {
                    self.sink.info(Level::Warn, why);
                }
                None
            }
        }
    }

    /// Writes the outputs where those of any tool stand, for the next run of the job.
    pub(crate) fn save_outputs(&self) -> Result<Map<String, Value>, String> {
        let outputs = std::mem::take(&mut *self.outputs.lock().unwrap_or_else(PoisonError::into_inner));
        atomic::write_json(&self.output_path, &outputs, Style::Indented, atomic::PRIVATE)
            .map_err(|error| error.to_string())?;
        Ok(outputs)
    }
}

#[async_trait]
impl ToolHost for Host {
    fn context(&self) -> JobContext {
        self.context.clone()
    }

    fn node(&self) -> NodeFacts {
        self.node.clone()
    }

    fn variables(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }

    fn log(&self, level: LogLevel, text: &str) {
        match level {
            LogLevel::Plain => {
                self.sink.output(text.as_bytes());
                self.sink.output(b"\n");
            }
            LogLevel::Info => self.sink.info(Level::Info, text),
            LogLevel::Fine => self.sink.info(Level::Fine, text),
            LogLevel::Warn => self.sink.info(Level::Warn, text),
            LogLevel::Error => self.sink.info(Level::Error, text),
        }
    }

    fn write(&self, bytes: &[u8]) {
        self.sink.output(bytes);
    }

    fn output(&self, name: &str, value: Value) {
        self.put_out(name, value);
    }

    fn live_data(&self, data: Value) {
        if let Err(error) = atomic::write_json(&self.live_data, &data, Style::Compact, atomic::PRIVATE) {
            self.sink.info(Level::Warn, &format!("Can not write live data: {error}"));
        }
    }

    fn permit(&self, access: &Access<'_>) -> Result<(), Denied> {
        self.permits.ask(*access).map(|_| ()).map_err(Denied)
    }

    fn granted_directory(&self, path: &Path, direction: DataDirection) -> Result<PathBuf, Denied> {
        self.permits.directory(path, direction).map_err(Denied)
    }

    fn granted_directories(&self) -> Vec<GrantedDirectory> {
        let of = |direction| {
            let paths = self.permits.directories(direction).into_iter();
            paths.map(move |path| GrantedDirectory { path, direction })
        };
        of(DataDirection::Read).chain(of(DataDirection::Write)).collect()
    }

    fn fetched_files(&self) -> Option<FetchedFiles> {
        let links = self.job_dir.files();
        Some(FetchedFiles { links, cache: self.shared.settings.home.cache() })
    }

    fn verifies_certificate(&self, host: &str, port: u16) -> bool {
        self.permits.verifies_certificate(host, port)
    }

    fn target(&self) -> Option<&dyn TargetHost> {
        (!self.is_local).then_some(&self.target as &dyn TargetHost)
    }

    fn server(&self) -> Option<&dyn ServerHost> {
        self.lend(&self.lent.server, &self.told.server)
    }

    fn documents(&self) -> Option<&dyn DocumentsHost> {
        self.lend(&self.lent.documents, &self.told.documents)
    }

    fn locks(&self) -> Option<&dyn LockHost> {
        self.lend(&self.lent.locks, &self.told.locks)
    }

    fn person(&self) -> Option<&dyn InteractHost> {
        self.lend(&self.lent.questions, &self.told.questions)?;
        self.person.as_ref().map(|person| person as &dyn InteractHost)
    }

    fn programs(&self) -> Option<&dyn ProgramHost> {
        Some(&self.programs)
    }

    async fn secret(&self, name: &str) -> Result<Option<SecretValue>, SecretUnavailable> {
        match name {
            "node" => self.node_password(),
            _ => Ok(None),
        }
    }

    async fn job_nodes(&self, phase: &str, offset: u32, limit: u32) -> Result<Vec<NodeFacts>, JobNodesError> {
        let nodes = self.lend(&self.lent.nodes, &self.told.nodes);
        let nodes =
            nodes.ok_or_else(|| JobNodesError::Unavailable("this run has no node lists".to_owned()))?;
        self.pages.read(nodes, &self.lent.runtime, (phase, offset, limit)).await
    }

    async fn step_outputs(&self, output: &OutputName) -> Result<Vec<NodeValue>, OutputQueryError> {
        let OutputName { phase, operation_id, name } = output;
        let access = Access::StepOutputs { phase, operation: operation_id, output: name };
        self.permits.ask(access).map_err(OutputQueryError)?;
        let (job_dir, output) = (self.job_dir.clone(), output.clone());
        tokio::task::spawn_blocking(move || collect(&job_dir, &output))
            .await
            .map_err(|error| OutputQueryError(error.to_string()))?
    }
}

/// Which parts of the surroundings were missed and told.
#[derive(Default)]
struct Told {
    server: AtomicBool,
    documents: AtomicBool,
    locks: AtomicBool,
    questions: AtomicBool,
    nodes: AtomicBool,
}

//! What the tests share: where guests are, a host that records, and short ways to call.

use std::future::{Future, pending};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use autoexec_sandbox::{
    Access, Capability, Denied, Grants, InvokeError, JobContext, Limits, LogLevel, NodeFacts, NodeValue,
    OutputName, OutputQueryError, Sandbox, SandboxSettings, Tool, ToolCall, ToolHost, ToolOutcome,
};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::watch;

/// The built guest `bundle/name`. Panics with what to do when it is not there: these tests must not pass without it.
pub(crate) fn guest(name: &str) -> PathBuf {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let dirs = match std::env::var_os("AUTOEXEC_GUESTS") {
        Some(dir) => vec![PathBuf::from(dir)],
        None => vec![target.join("plugins/wasm"), target.join("guests/wasm")],
    };
    let files: Vec<PathBuf> = dirs.iter().map(|dir| dir.join(format!("{name}.wasm"))).collect();
    match files.iter().find(|file| file.is_file()) {
        Some(file) => file.clone(),
        None => panic!("guest {name} is not built: run `cargo xtask guests` (looked for {files:?})"),
    }
}

/// A sandbox with few slots. The tests share a compiled cache, or each would compile the guests again.
pub(crate) fn small_sandbox() -> Sandbox {
    let cache_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-guests");
    sandbox(SandboxSettings { slots: 4, cache_dir: Some(cache_dir), ..SandboxSettings::default() })
}

pub(crate) fn sandbox(settings: SandboxSettings) -> Sandbox {
    Sandbox::new(settings).expect("a sandbox")
}

pub(crate) fn all_grants() -> Grants {
    Capability::ALL.into_iter().collect()
}

/// The tool `name` with every capability.
pub(crate) fn load(sandbox: &Sandbox, name: &str) -> Arc<Tool> {
    sandbox.load(&guest(name), &all_grants()).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn call(options: &Value) -> ToolCall {
    let options = options.as_object().expect("an object of options");
    ToolCall { options: options.iter().map(|(k, v)| (k.clone(), v.clone())).collect(), arguments: vec![] }
}

/// Calls with default limits and nothing that stops it.
pub(crate) async fn run(
    sandbox: &Sandbox,
    tool: &Tool,
    call: ToolCall,
    host: &Arc<Recorder>,
) -> Result<ToolOutcome, InvokeError> {
    run_until(sandbox, tool, call, host, Limits::default(), pending()).await
}

pub(crate) async fn run_until(
    sandbox: &Sandbox,
    tool: &Tool,
    call: ToolCall,
    host: &Arc<Recorder>,
    limits: Limits,
    stop: impl Future<Output = ()> + Send,
) -> Result<ToolOutcome, InvokeError> {
    sandbox.invoke(tool, call, Arc::clone(host) as Arc<dyn ToolHost>, limits, stop).await
}

/// A host that keeps what it is given.
pub(crate) struct Recorder {
    pub(crate) node: NodeFacts,
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) step_outputs: Vec<(OutputName, Vec<NodeValue>)>,
    /// `host:port` and `address:port` that may be connected to.
    pub(crate) allowed: Vec<String>,
    pub(crate) log: Mutex<Vec<(LogLevel, String)>>,
    pub(crate) raw: Mutex<Vec<u8>>,
    pub(crate) outputs: Mutex<Map<String, Value>>,
    pub(crate) lines: watch::Sender<usize>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            node: NodeFacts { host: "local".into(), ..NodeFacts::default() },
            variables: vec![],
            step_outputs: vec![],
            allowed: vec![],
            log: Mutex::default(),
            raw: Mutex::default(),
            outputs: Mutex::default(),
            lines: watch::channel(0).0,
        }
    }
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// All lines with the prefixes that the console uses.
    pub(crate) fn log_text(&self) -> String {
        let prefix = |level: &LogLevel| match level {
            LogLevel::Plain => "",
            LogLevel::Info => "INFO: ",
            LogLevel::Fine => "FINE: ",
            LogLevel::Warn => "WARN: ",
            LogLevel::Error => "ERROR: ",
        };
        let log = self.log.lock();
        log.iter().fold(String::new(), |all, (level, text)| all + prefix(level) + text + "\n")
    }

    pub(crate) fn log_lines(&self) -> usize {
        self.log.lock().len()
    }

    pub(crate) fn outputs(&self) -> Value {
        Value::Object(self.outputs.lock().clone())
    }

    /// Resolves when the guest has logged that many lines.
    pub(crate) async fn wait_for_lines(&self, count: usize) {
        let mut lines = self.lines.subscribe();
        lines.wait_for(|seen| *seen >= count).await.expect("the sender lives as long as this");
    }
}

#[async_trait]
impl ToolHost for Recorder {
    fn context(&self) -> JobContext {
        JobContext {
            job_id: "4711".into(),
            phase: "p1".into(),
            group: Some(1),
            operation_id: "demo/hello_1".into(),
            exec_user: "alice".into(),
            tenant: "develop".into(),
        }
    }

    fn node(&self) -> NodeFacts {
        self.node.clone()
    }

    fn variables(&self) -> Vec<(String, String)> {
        self.variables.clone()
    }

    fn log(&self, level: LogLevel, text: &str) {
        self.log.lock().push((level, text.to_owned()));
        self.lines.send_modify(|lines| *lines += 1);
    }

    fn write(&self, bytes: &[u8]) {
        self.raw.lock().extend_from_slice(bytes);
    }

    fn output(&self, name: &str, value: Value) {
        self.outputs.lock().insert(name.to_owned(), value);
    }

    fn live_data(&self, data: Value) {
        self.outputs.lock().insert("(live)".into(), data);
    }

    fn permit(&self, access: &Access<'_>) -> Result<(), Denied> {
        let Access::NetProbe { host, port, address } = *access else {
            return Err(Denied(format!("{access:?}")));
        };
        let host = address.map_or_else(|| host.to_owned(), |address| address.to_string());
        let wanted = format!("{host}:{port}");
        if self.allowed.contains(&wanted) { Ok(()) } else { Err(Denied(wanted)) }
    }

    async fn step_outputs(&self, wanted: &OutputName) -> Result<Vec<NodeValue>, OutputQueryError> {
        let found = self.step_outputs.iter().find(|(name, _)| name == wanted);
        Ok(found.map(|(_, values)| values.clone()).unwrap_or_default())
    }
}

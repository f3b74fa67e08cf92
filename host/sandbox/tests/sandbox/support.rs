//! What the tests share: where guests are, a host that records, and short ways to call.

use std::future::{Future, pending};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use autoexec_sandbox::{
    Access, Capability, DataDirection, Denied, FetchedFiles, GrantedDirectory, Grants, InteractHost,
    InvokeError, JobContext, Limits, LogLevel, NodeFacts, NodeValue, OutputName, OutputQueryError, Sandbox,
    SandboxSettings, SecretDestination, SecretUnavailable, SecretValue, TargetHost, TargetUse, Tool,
    ToolCall, ToolHost, ToolOutcome,
};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::watch;

/// The built guest `bundle/name`. Panics with what to do when it is not there: these tests must not pass without it.
pub(crate) fn guest(name: &str) -> PathBuf {
    let files = places(name);
    match files.iter().find(|file| file.is_file()) {
        Some(file) => file.clone(),
        None => panic!("guest {name} is not built: run `cargo xtask guests` (looked for {files:?})"),
    }
}

/// Whether a guest is there that can not be built everywhere.
pub(crate) fn is_built(name: &str) -> bool {
    places(name).iter().any(|file| file.is_file())
}

fn places(name: &str) -> Vec<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let dirs = match std::env::var_os("AUTOEXEC_GUESTS") {
        Some(dir) => vec![PathBuf::from(dir)],
        None => vec![target.join("plugins/wasm"), target.join("guests/wasm")],
    };
    dirs.iter().map(|dir| dir.join(format!("{name}.wasm"))).collect()
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
    /// What is permitted, in the form of [`rule_of`]; `*` at the end is any ending.
    pub(crate) allowed: Vec<String>,
    /// What was asked for, in the same form.
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) directories: Vec<GrantedDirectory>,
    pub(crate) fetched: Option<FetchedFiles>,
    /// Hosts whose certificates are not checked.
    pub(crate) unverified: Vec<String>,
    pub(crate) target: Option<Box<dyn TargetHost>>,
    pub(crate) person: Option<Box<dyn InteractHost>>,
    /// Where a file is looked for, says so and waits until the other end is dropped.
    pub(crate) hold: Option<(watch::Sender<bool>, Mutex<std::sync::mpsc::Receiver<()>>)>,
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
            asked: Mutex::default(),
            directories: vec![],
            fetched: None,
            unverified: vec![],
            target: None,
            person: None,
            hold: None,
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
        let wanted = rule_of(access);
        let allowed = self.allowed.iter().any(|rule| match rule.strip_suffix('*') {
            Some(beginning) => wanted.starts_with(beginning),
            None => *rule == wanted,
        });
        self.asked.lock().push(wanted.clone());
        if allowed { Ok(()) } else { Err(Denied(wanted)) }
    }

    fn granted_directory(&self, path: &Path, direction: DataDirection) -> Result<PathBuf, Denied> {
        if let Some((entered, wait)) = &self.hold {
            entered.send_replace(true);
            let _dropped = wait.lock().recv();
        }
        let fits =
            |granted: &&GrantedDirectory| path.starts_with(&granted.path) && granted.direction >= direction;
        let found = self.directories.iter().find(fits);
        found.map(|granted| granted.path.clone()).ok_or_else(|| Denied(path.display().to_string()))
    }

    fn granted_directories(&self) -> Vec<GrantedDirectory> {
        self.directories.clone()
    }

    fn fetched_files(&self) -> Option<FetchedFiles> {
        self.fetched.clone()
    }

    fn verifies_certificate(&self, host: &str, _port: u16) -> bool {
        !self.unverified.iter().any(|known| known == host)
    }

    async fn secret(&self, name: &str) -> Result<Option<SecretValue>, SecretUnavailable> {
        Ok((name == "node").then(|| SecretValue::new("node-s3cret")))
    }

    fn target(&self) -> Option<&dyn TargetHost> {
        self.target.as_deref()
    }

    fn person(&self) -> Option<&dyn InteractHost> {
        self.person.as_deref()
    }

    async fn step_outputs(&self, wanted: &OutputName) -> Result<Vec<NodeValue>, OutputQueryError> {
        let found = self.step_outputs.iter().find(|(name, _)| name == wanted);
        Ok(found.map(|(_, values)| values.clone()).unwrap_or_default())
    }
}

/// An access as text, for rules and for looking at what was asked.
pub(crate) fn rule_of(access: &Access<'_>) -> String {
    let peer = |host: &str, port: u16, address: Option<std::net::IpAddr>| match address {
        Some(address) => format!("{address}:{port}"),
        None => format!("{host}:{port}"),
    };
    match *access {
        Access::NetProbe { host, port, address } => format!("probe {}", peer(host, port, address)),
        Access::IcmpEcho { host, address } => format!("echo {}", peer(host, 0, address)),
        Access::Socket { host, port, address } => format!("socket {}", peer(host, port, address)),
        Access::Snmp { host, port, address } => format!("snmp {}", peer(host, port, address)),
        Access::Http { method, scheme, host, port, address } => {
            format!("{method} {scheme}://{}", peer(host, port, address))
        }
        Access::Secret { name, destination } => match destination {
            None => format!("secret {name}"),
            Some(SecretDestination::Http { scheme, host, port }) => {
                format!("secret {name} to {scheme}://{host}:{port}")
            }
            Some(SecretDestination::Connection { host, port }) => {
                format!("secret {name} to socket {host}:{port}")
            }
            Some(SecretDestination::Snmp { host, port }) => format!("secret {name} to snmp {host}:{port}"),
            Some(other) => format!("secret {name} to {other:?}"),
        },
        Access::Filesystem { path, direction } => format!("file {direction} {path}"),
        Access::Target(TargetUse::Command { line }) => format!("target run {line}"),
        Access::Target(TargetUse::File { path, direction }) => format!("target {direction} {path}"),
        ref other => format!("{other:?}"),
    }
}

/// Loads `fixture/everything` with every capability and calls it once. The answer is what it put out, or its failure as
/// `kind: message`.
pub(crate) async fn use_everything(
    host: &Arc<Recorder>,
    options: &Value,
    limits: Limits,
) -> Result<Value, String> {
    let sandbox = small_sandbox();
    let tool = load(&sandbox, "fixture/everything");
    match run_until(&sandbox, &tool, call(options), host, limits, pending()).await {
        Ok(ToolOutcome::Succeeded { .. }) => Ok(host.outputs()["answer"].clone()),
        Ok(ToolOutcome::Failed(failure)) => Err(format!("{:?}: {}", failure.kind, failure.message)),
        Err(ended) => Err(ended.to_string()),
    }
}

/// One line of a table of tests: what is asked, what is allowed, and what has to come out.
pub(crate) struct Case<'a> {
    pub(crate) name: &'a str,
    pub(crate) ask: Value,
    pub(crate) allow: Vec<String>,
    pub(crate) expect: Expect<'a>,
}

/// Rules in the form of [`rule_of`].
pub(crate) fn rules(rules: &[&str]) -> Vec<String> {
    rules.iter().map(|&rule| rule.to_owned()).collect()
}

/// What has to come out.
pub(crate) enum Expect<'a> {
    /// This answer.
    Answer(Value),
    /// A failure or an end whose text holds this.
    Refusal(&'a str),
}

/// Runs a table against hosts that are made by `host`, and fails with all lines that are wrong.
pub(crate) async fn run_table(cases: Vec<Case<'_>>, host: impl Fn() -> Recorder) {
    let mut wrong = Vec::new();
    for case in cases {
        let mut recorder = host();
        recorder.allowed.extend(case.allow);
        let got = use_everything(&Arc::new(recorder), &case.ask, Limits::default()).await;
        let right = match (&case.expect, &got) {
            (Expect::Answer(expected), Ok(answer)) => expected == answer,
            (Expect::Refusal(part), Err(text)) => text.contains(part),
            _ => false,
        };
        if !right {
            wrong.push(format!("{}: {got:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! Runs target tools of `plugins-native/remote` through the whole program: a job, its options as the descriptor declares
//! them, SSH, and what came back, per call.

use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use autoexec_e2e::TestJob;
use autoexec_e2e::build::{fail_ignored, one_shot, op, params, phase, with_argument, with_option};
use autoexec_test_support::scratch::Scratch;
use serde_json::{Value, json};

const RESOURCE: u32 = 71;
const KEY: &str = "127.0.0.1--71";

/// The tools of this repository.
pub(crate) fn tools() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../plugins-native/remote")
}

/// The descriptor of a tool.
pub(crate) fn descriptor(tool: &str) -> Result<Value> {
    let path = tools().join(format!("{tool}.json"));
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}

/// One call of a tool.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    tool: String,
    options: Vec<(String, String)>,
    arguments: Vec<String>,
}

/// A call without options or arguments.
pub(crate) fn call(tool: &str) -> Call {
    Call { tool: tool.to_owned(), options: Vec::new(), arguments: Vec::new() }
}

impl Call {
    /// Sets an option.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.options.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument.
    pub(crate) fn arg(mut self, value: &str) -> Self {
        self.arguments.push(value.to_owned());
        self
    }

    /// The same with `--check 1`.
    pub(crate) fn check(&self) -> Self {
        self.clone().with("check", "1")
    }

    /// The operation as the console would make it: options that were not set have the descriptor's default.
    fn operation(&self, number: u32) -> Result<Value> {
        let descriptor = descriptor(&self.tool)?;
        let empty = Vec::new();
        let list = |key: &str| descriptor[key].as_array().unwrap_or(&empty).clone();
        let mut operation = op(&self.tool, "target", number);
        operation["interpreter"] = descriptor["interpreter"].clone();
        for option in list("option") {
            let name = option["opt"].as_str().context("the name of an option")?;
            let set = self.options.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.clone());
            let default = match &option["defaultValue"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            let kind = option["type"].as_str().context("the type of an option")?;
            operation = with_option(operation, name, kind, &set.unwrap_or(default));
        }
        for (name, _) in &self.options {
            ensure!(!operation["opt"][name].is_null(), "{} has no option {name}", self.tool);
        }
        let kind = descriptor["argument"]["type"].as_str().unwrap_or("text").to_owned();
        ensure!(
            self.arguments.is_empty() || descriptor["argument"].is_object(),
            "{} takes no arguments",
            self.tool
        );
        for argument in &self.arguments {
            operation = with_argument(operation, &kind, argument);
        }
        for output in list("output") {
            let name = output["opt"].as_str().context("the name of an output")?;
            operation["output"][name] =
                json!({"opt": name, "type": output["type"], "defaultValue": output["defaultValue"]});
        }
        // A failure must not keep the next calls from running; the log says what became of each.
        Ok(fail_ignored(operation))
    }
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Done {
    /// Exit code of the tool.
    pub(crate) code: i32,
    /// What it wrote, without times.
    pub(crate) log: String,
    /// Its outputs; null without any.
    pub(crate) output: Value,
}

impl Done {
    /// Whether one line of the log is exactly this.
    pub(crate) fn said(&self, line: &str) -> bool {
        self.log.lines().any(|found| found == line)
    }

    /// Fails with the log unless the tool ended with `code`.
    #[track_caller]
    pub(crate) fn ended(&self, code: i32) -> &Self {
        assert_eq!(self.code, code, "{}", self.log);
        self
    }
}

/// A scratch machine as a target.
#[derive(Debug)]
pub(crate) struct Machine {
    /// The machine.
    pub(crate) scratch: Scratch,
}

impl Machine {
    /// Starts one; nothing without root, which alone can.
    pub(crate) fn start() -> Result<Option<Self>> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        Ok(Some(Self { scratch: Scratch::start()? }))
    }

    /// Runs calls one after the other, in one job over one login.
    pub(crate) fn run_all(&self, calls: &[Call]) -> Result<Vec<Done>> {
        let mut operations = Vec::new();
        for (number, call) in (1..).zip(calls) {
            operations.push(call.operation(number)?);
        }
        let node = json!({"resourceId": RESOURCE, "nodeName": "scratch", "nodeType": "Linux", "host": "127.0.0.1",
            "protocol": "ssh", "protocolPort": self.scratch.port(), "username": "root", "password": "", "runnerId": 1});
        let job = TestJob::new(params([one_shot([phase("T", "target", operations)])]), &[node])?;
        let config = std::fs::read_to_string(job.home.path().join("conf/config.ini"))?;
        let identity = format!("ssh.identity = {}\n", self.scratch.key_path().display());
        job.home.write("conf/config.ini", config + &identity)?;
        let plugins = job.home.path().join("plugins/remote");
        std::fs::remove_dir(&plugins)?;
        std::os::unix::fs::symlink(tools(), &plugins)?;
        let finished = job.run(&["--firstfire"])?;
        let log = job.node_log("T", KEY);
        let mut results = Vec::new();
        for (number, call) in (1..).zip(calls) {
            let id = format!("{}_{number}", call.tool);
            results.push(one_of(&job, &log, &id).with_context(|| {
                format!("{}\n{log}\n{}\n{}", finished.stderr, job.console(), self.scratch.log())
            })?);
        }
        Ok(results)
    }
}

/// The part of a node log that belongs to an operation.
fn one_of(job: &TestJob, log: &str, id: &str) -> Result<Done> {
    let begin = format!("------START--[{id}]");
    let end = format!("------END--[{id}]");
    let lines = || log.lines().map(|line| line.split_once(' ').map_or("", |(_, text)| text));
    let own: Vec<&str> = lines()
        .skip_while(|line| !line.starts_with(&begin))
        .skip(1)
        .take_while(|line| !line.starts_with(&end))
        .collect();
    ensure!(!own.is_empty(), "{id} did not run");
    // Before it the executor speaks, behind it again.
    let from =
        own.iter().position(|line| line.starts_with("INFO: Execute -> ")).context("it was not started")?;
    let failed = format!("Operation {id} ended with exit code ");
    let code = own.iter().find_map(|line| line.split_once(&failed)).map(|(_, code)| code);
    let code = match code {
        Some(code) => code.trim_end_matches(|c: char| !c.is_ascii_digit()).parse()?,
        None => 0,
    };
    let output = job.file(&format!("output-op/{KEY}/{id}.json"));
    Ok(Done {
        code,
        log: own.get(from + 1..).unwrap_or_default().join("\n"),
        output: serde_json::from_str(&output).unwrap_or_default(),
    })
}

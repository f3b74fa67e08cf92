//! Sets up what a scenario folder describes and runs its steps.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use autoexec_test_support::server::{File, Scope, Script};
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::Value;

use super::Observed;
use crate::TestJob;
use crate::job::files_below;

/// A scenario that is ready to be played.
pub struct Stage {
    job: TestJob,
    steps: Vec<Step>,
    /// Kept until the steps are done.
    sshd: Option<Sshd>,
}

/// A line of `args`.
enum Step {
    /// Run the program with these arguments.
    Program(Vec<String>),
    /// Run a command with the shell, in the home; `$JOB` is the job directory.
    Shell(String),
    /// The server has other parameters from here on, those of this file of the folder; none forgets the job.
    Params(Option<PathBuf>),
    /// The server has another node list of the job from here on.
    Nodes(PathBuf),
}

impl Stage {
    /// Reads the folder, starts a server and fills a home.
    pub fn set(folder: &Path) -> Result<Self> {
        let steps = steps(folder, &read(&folder.join("args"))?)?;
        let job = TestJob::empty(&job_id(&steps)?)?;
        let sshd = wants_sshd(folder)?.then(|| Sshd::start(SshdOptions::default())).transpose()?;
        let stage = Self { job, steps, sshd };
        stage.tell_server(folder)?;
        stage.install(folder)?;
        Ok(stage)
    }

    /// Runs the steps and gathers what came of them.
    pub fn play(self) -> Result<Observed> {
        let mut observed = Observed::default();
        for step in &self.steps {
            match step {
                Step::Program(arguments) => self.run_program(arguments, &mut observed)?,
                Step::Shell(command) => self.run_shell(command)?,
                Step::Params(None) => self.job.server.forget_params(),
                Step::Params(Some(path)) => self.set_params(path)?,
                Step::Nodes(path) => {
                    let text = self.filled(&read(path)?);
                    self.job.server.set_nodes(Scope::Job, text, now());
                }
            }
        }
        observed.gather(&self.job, self.sshd.as_ref())?;
        Ok(observed)
    }

    fn run_program(&self, arguments: &[String], observed: &mut Observed) -> Result<()> {
        let before = self.job.server.calls().len();
        let finished = self.job.start_command(self.job.home.autoexec(arguments)?)?.wait()?;
        let calls = self.job.server.calls();
        let since = calls.get(before..).unwrap_or_default();
        observed.add_process(arguments, &finished, self.job.lines_of(since));
        ensure!(self.job.server.bad_signatures() == 0, "requests with a wrong signature arrived");
        Ok(())
    }

    fn run_shell(&self, command: &str) -> Result<()> {
        let output = Command::new("/bin/sh")
            .args(["-euc", command])
            .current_dir(self.job.home.path())
            .env("JOB", self.job.dir())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "step `! {command}` ended with {}: {said}", output.status);
        Ok(())
    }

    fn tell_server(&self, folder: &Path) -> Result<()> {
        if folder.join("params.json").is_file() {
            self.set_params(&folder.join("params.json"))?;
        }
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if let Some(scope) = path.file_name().and_then(|name| name.to_str()).and_then(node_scope) {
                self.job.set_nodes(scope, &self.filled(&read(&path)?));
            }
        }
        if folder.join("server.json").is_file() {
            let facts: Value =
                serde_json::from_str(&read(&folder.join("server.json"))?).context("server.json")?;
            self.tell_facts(&facts);
        }
        Ok(())
    }

    fn set_params(&self, path: &Path) -> Result<()> {
        let text = self.filled(&read(path)?);
        let params = serde_json::from_str(&text).with_context(|| path.display().to_string())?;
        self.job.server.set_params(params);
        Ok(())
    }

    fn tell_facts(&self, facts: &Value) {
        let server = &self.job.server;
        for (id, password) in facts["accounts"].as_object().into_iter().flatten() {
            server.set_account(id, password.as_str().unwrap_or_default());
        }
        if facts["deployIds"].is_object() {
            server.set_deploy_ids(facts["deployIds"].clone());
        }
        if facts["runnerGroup"].is_object() {
            server.set_runner_group(facts["runnerGroup"].clone());
        }
        for phase in facts["failedElsewhere"].as_array().into_iter().flatten() {
            server.set_failed_elsewhere(phase.as_str().unwrap_or_default());
        }
        for (id, file) in facts["files"].as_object().into_iter().flatten() {
            let disposition = file["disposition"].as_str().unwrap_or_default().to_owned();
            let content = file["content"].as_str().unwrap_or_default().as_bytes().to_vec();
            server.set_file(id, File { disposition, content, modified: MODIFIED });
        }
        for (id, script) in facts["scripts"].as_object().into_iter().flatten() {
            server.set_script(id.parse().unwrap_or_default(), script_of(id, script));
        }
        if let Some(keys) = facts["globalParameters"].as_array() {
            let keys: Vec<&str> = keys.iter().filter_map(Value::as_str).collect();
            server.set_global_parameters(&keys);
        }
    }

    fn install(&self, folder: &Path) -> Result<()> {
        let home = self.job.home.path();
        copy_tree(&folder.join("plugins"), &home.join("plugins"))?;
        copy_tree(&folder.join("job"), &self.job.dir())?;
        let mut extra = String::new();
        if folder.join("config-extra.ini").is_file() {
            extra = read(&folder.join("config-extra.ini"))?;
        }
        if let Some(sshd) = self.sshd.as_ref().filter(|sshd| sshd.password().is_empty()) {
            // Without root only the key can log in.
            extra = format!("{extra}ssh.identity = {}\n", sshd.key_path().display());
        }
        let path = home.join("conf/config.ini");
        let config = read(&path)? + &extra;
        fs::write(&path, config).with_context(|| path.display().to_string())
    }

    /// `@SSHD_…@` stand for the sshd of this run.
    fn filled(&self, text: &str) -> String {
        let Some(sshd) = &self.sshd else { return text.to_owned() };
        text.replace("\"@SSHD_PORT@\"", &sshd.port().to_string())
            .replace("@SSHD_USER@", sshd.user())
            .replace("@SSHD_PASSWORD@", sshd.password())
    }
}

/// The server's files and scripts changed last at this moment, in seconds since 1970.
const MODIFIED: f64 = 1_700_000_000.0;

fn now() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map(|since| since.as_secs_f64()).unwrap_or_default()
}

fn script_of(id: &str, facts: &Value) -> Script {
    let text = |name: &str| match &facts[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let headers = [
        ("ScriptId", id.to_owned()),
        ("ScriptVersionId", text("version")),
        ("ScriptName", text("name")),
        ("ScriptInterpreter", text("interpreter")),
        ("ScriptUseLibs", facts["uses"].to_string()),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
    Script { content: text("content").into_bytes(), headers, as_json: false, modified: MODIFIED }
}

pub(super) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn steps(folder: &Path, args: &str) -> Result<Vec<Step>> {
    let lines = args.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let steps: Vec<Step> = lines.map(|line| step(folder, line)).collect::<Result<_>>()?;
    if !steps.iter().any(|step| matches!(step, Step::Program(_))) {
        bail!("args has no line that runs the program");
    }
    Ok(steps)
}

fn step(folder: &Path, line: &str) -> Result<Step> {
    if let Some(command) = line.strip_prefix('!') {
        return Ok(Step::Shell(command.trim().to_owned()));
    }
    let words: Vec<&str> = line.split_whitespace().collect();
    Ok(match words.as_slice() {
        ["@", "params", "none"] => Step::Params(None),
        ["@", "params", file] => Step::Params(Some(folder.join(file))),
        ["@", "nodes", file] => Step::Nodes(folder.join(file)),
        ["@", ..] => bail!("args: `{line}` is neither `@ params FILE` nor `@ nodes FILE`"),
        words => Step::Program(words.iter().map(|word| (*word).to_owned()).collect()),
    })
}

fn job_id(steps: &[Step]) -> Result<String> {
    let arguments = steps.iter().find_map(|step| match step {
        Step::Program(arguments) => Some(arguments),
        _ => None,
    });
    let mut arguments = arguments.into_iter().flatten();
    arguments.find(|argument| *argument == "--jobid");
    arguments.next().cloned().context("args: the first start of the program has no --jobid")
}

fn node_scope(name: &str) -> Option<Scope> {
    let rest = name.strip_prefix("nodes")?.strip_suffix(".json")?;
    match (rest, rest.strip_prefix("-gp-"), rest.strip_prefix("-ph-")) {
        ("", _, _) => Some(Scope::Job),
        (_, Some(group), _) => group.parse().ok().map(Scope::Group),
        (_, _, Some(phase)) => Some(Scope::Phase(phase.to_owned())),
        _ => None,
    }
}

fn wants_sshd(folder: &Path) -> Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_nodes = path.file_name().and_then(|name| name.to_str()).and_then(node_scope).is_some();
        if is_nodes && read(&path)?.contains("@SSHD_") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Copies with modes: a tool has to be executable.
fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    if !from.is_dir() {
        return Ok(());
    }
    for relative in files_below(from)? {
        let (source, place): (PathBuf, PathBuf) = (from.join(&relative), to.join(&relative));
        let named = || format!("copy {} to {}", source.display(), place.display());
        if let Some(directory) = place.parent() {
            fs::create_dir_all(directory).with_context(named)?;
        }
        fs::copy(&source, &place).with_context(named)?;
        // A checkout may have lost the executable bit; a script says what it is.
        if fs::read(&source).is_ok_and(|content| content.starts_with(b"#!")) {
            fs::set_permissions(&place, fs::Permissions::from_mode(0o755)).with_context(named)?;
        }
    }
    Ok(())
}

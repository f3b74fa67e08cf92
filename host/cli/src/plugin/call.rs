//! `autoexec plugin run`: one call of the tool, as a job of one step in a home of its own.
//!
//! The job is run by this program itself, so that options, policy, limits and the way to the node are those of real jobs.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use autoexec_events::ExitCode;
use autoexec_manifest::{Manifest, OperationType, read_outline};
use serde_json::{Map, Value, json};

use super::args::RunArgs;
use super::build::build;
use super::project::Project;
use super::refusals::Refusals;
use super::replay::{self, Replayed};
use crate::args::Output;
use crate::{CliError, print};

/// Name of the job's only phase.
const PHASE: &str = "call";

/// Runs it.
pub(super) fn run(arguments: &RunArgs) -> Result<ExitCode, CliError> {
    let (file, manifest, place) = tool(arguments)?;
    let home = Stage { root: place.join("home") };
    home.install(&file, &manifest)?;
    let replayed = arguments.replay.as_deref().map(Replayed::read).transpose()?;
    if let Some(policy) = &arguments.policy {
        home.set_policy(policy)?;
    } else if replayed.is_some() {
        home.allow_all(&manifest)?;
    }
    let job = place.join("call.job.json");
    write(&job, &job_file(arguments, &manifest, replayed)?)?;
    let inventory = match &arguments.inventory {
        Some(inventory) => Some(inventory.clone()),
        None if arguments.replay.is_some() && manifest.descriptor.op_type == OperationType::RunnerTarget => {
            // Such a tool is called for a node; what it learns of the node comes from the recording.
            let nodes = place.join("replayed.hosts.json");
            write(
                &nodes,
                br#"{"nodes": [{"host": "127.0.0.1", "name": "replayed", "protocol": "replayed"}]}"#,
            )?;
            Some(nodes)
        }
        None => None,
    };
    let called = home.call(&job, inventory.as_deref(), arguments)?;
    match arguments.project.output {
        Output::Human => print(&called.text())?,
        Output::Json => print(&format!("{}\n", called.document()))?,
    }
    Ok(called.code)
}

/// The tool's file, what it says of itself, and a directory for the call.
fn tool(arguments: &RunArgs) -> Result<(PathBuf, Manifest, PathBuf), CliError> {
    if let Some(file) = &arguments.file {
        let bytes = fs::read(file)
            .map_err(|error| CliError::files(format!("can not read {}: {error}", file.display())))?;
        let outline = read_outline(&bytes)
            .map_err(|error| CliError::bad_input(format!("{}: {error}", file.display())))?;
        let place = std::env::temp_dir().join(format!("autoexec-call-{}", nix::unistd::getuid()));
        return Ok((file.clone(), outline.manifest, place));
    }
    let project = Project::find(&arguments.project)?;
    let built = build(&project)?;
    Ok((built.path, built.manifest, project.target().join("call")))
}

/// A home with one tool.
struct Stage {
    root: PathBuf,
}

impl Stage {
    fn install(&self, file: &Path, manifest: &Manifest) -> Result<(), CliError> {
        // What an earlier call installed and allowed does not count; what it compiled does.
        for left in ["plugins", "conf"] {
            let _ = fs::remove_dir_all(self.root.join(left));
        }
        let installed = self.root.join("plugins/wasm").join(format!("{}.wasm", manifest.name));
        make_directory(installed.parent().unwrap_or(&self.root))?;
        make_directory(&self.root.join("conf"))?;
        copy(file, &installed)?;
        let signature = autoexec_supply::signature_path(file);
        if signature.is_file() {
            copy(&signature, &autoexec_supply::signature_path(&installed))?;
        }
        Ok(())
    }

    /// A replay does nothing, so it may all that the tool asks for.
    fn allow_all(&self, manifest: &Manifest) -> Result<(), CliError> {
        let dir = self.root.join("conf/policy");
        make_directory(&dir)?;
        write(&dir.join("replay.toml"), replay::policy(manifest).as_bytes())
    }

    fn set_policy(&self, policy: &Path) -> Result<(), CliError> {
        let dir = self.root.join("conf/policy");
        make_directory(&dir)?;
        if policy.is_dir() {
            let entries = fs::read_dir(policy).map_err(CliError::files)?.filter_map(Result::ok);
            let files = entries.map(|entry| entry.path());
            return files
                .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
                .try_for_each(|path| copy(&path, &dir.join(path.file_name().unwrap_or_default())));
        }
        copy(policy, &dir.join(policy.file_name().unwrap_or_else(|| "policy.toml".as_ref())))
    }

    /// The copy of the policy that holds for the call, which the next call overwrites.
    fn staged_policy(&self, policy: Option<&Path>) -> PathBuf {
        let dir = self.root.join("conf/policy");
        match policy {
            Some(files) if files.is_dir() => dir,
            Some(file) => dir.join(file.file_name().unwrap_or_else(|| "policy.toml".as_ref())),
            None => dir.join("site.toml"),
        }
    }

    fn call(&self, job: &Path, inventory: Option<&Path>, arguments: &RunArgs) -> Result<Called, CliError> {
        let program = std::env::current_exe().map_err(CliError::files)?;
        let mut child = Command::new(program);
        child.arg("run").arg(job).args(["--output", "json"]).env("AUTOEXEC_HOME", &self.root);
        if let Some(inventory) = inventory {
            child.arg("-i").arg(inventory);
        }
        if let Some(node) = &arguments.node {
            child.args(["--limit", node]);
        }
        if arguments.check {
            child.arg("--check");
        }
        for (flag, file) in [("--record-calls", &arguments.record), ("--replay-calls", &arguments.replay)] {
            if let Some(file) = file {
                child.arg(flag).arg(file);
            }
        }
        // What the run says to people is about a job that its author knows nothing of; errors are worth showing.
        let output = child.stdin(Stdio::inherit()).output().map_err(CliError::files)?;
        let events = String::from_utf8_lossy(&output.stdout);
        let events: Vec<Value> = events.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let code = code_of(output.status.code());
        let Some(report) = events.iter().rfind(|event| event["event"] == "job-report") else {
            let errors = String::from_utf8_lossy(&output.stderr);
            let errors = errors.trim().trim_start_matches("ERROR: ");
            return Err(CliError::new(code, errors));
        };
        let dir = PathBuf::from(report["directory"].as_str().unwrap_or_default());
        let mut nodes = nodes(&dir)?;
        let own = arguments.policy.as_deref();
        let staged = self.staged_policy(own);
        let shown = own
            .map_or_else(|| "a file and name it with --policy".to_owned(), |own| own.display().to_string());
        for line in nodes.iter_mut().flat_map(|node| &mut node.log) {
            *line = line.replace(&*staged.to_string_lossy(), &shown);
        }
        let refusals = Refusals::of_events(&events, &staged, own);
        Ok(Called { code: refusals.refine(code), nodes, refusals, dir })
    }
}

/// The numbers that a run ends with.
fn code_of(status: Option<i32>) -> ExitCode {
    let known = |code: &ExitCode| Some(i32::from(code.code())) == status;
    ExitCode::ALL.into_iter().find(known).unwrap_or(ExitCode::Internal)
}

/// A call that was made.
struct Called {
    code: ExitCode,
    dir: PathBuf,
    nodes: Vec<NodeCall>,
    refusals: Refusals,
}

/// What became of it on one node.
struct NodeCall {
    node: String,
    log: Vec<String>,
    outputs: Value,
}

impl Called {
    fn text(&self) -> String {
        let mut text = String::new();
        for call in &self.nodes {
            if self.nodes.len() > 1 {
                text.extend(["== ", &call.node, "\n"]);
            }
            for line in &call.log {
                text.push_str(line);
                text.push('\n');
            }
            if call.outputs.as_object().is_some_and(|outputs| !outputs.is_empty()) {
                let outputs = serde_json::to_string_pretty(&call.outputs).unwrap_or_default();
                text.extend(["outputs ", &outputs, "\n"]);
            }
        }
        text.push_str(&self.refusals.text());
        text.push_str(match self.code {
            ExitCode::Success => "succeeded\n",
            ExitCode::Denied => "failed, and was denied what stands above\n",
            _ => "failed\n",
        });
        text
    }

    fn document(&self) -> Value {
        let calls: Vec<Value> = self
            .nodes
            .iter()
            .map(|call| json!({"node": call.node, "log": call.log, "outputs": call.outputs}))
            .collect();
        // One call is the rule; its members are at the top as well.
        let first = self.nodes.first();
        json!({
            "exitCode": self.code.code(),
            "log": first.map(|call| call.log.clone()),
            "outputs": first.map(|call| call.outputs.clone()),
            "refusals": self.refusals.document(),
            "nodes": calls,
            "directory": self.dir.display().to_string(),
        })
    }
}

fn log_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("log").join(PHASE)).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_file()).collect();
    files.sort();
    files
}

fn nodes(dir: &Path) -> Result<Vec<NodeCall>, CliError> {
    log_files(dir)
        .into_iter()
        .map(|path| {
            let node = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).map_err(CliError::files)?;
            let outputs = fs::read(dir.join("output").join(format!("{node}.json"))).unwrap_or_default();
            let outputs: Map<String, Value> = serde_json::from_slice(&outputs).unwrap_or_default();
            // One step was run, so all but the environment is its entry.
            let own = outputs.into_iter().find(|(name, _)| name.contains('/'));
            Ok(NodeCall { node, log: tool_lines(&text), outputs: own.map_or(json!({}), |(_, value)| value) })
        })
        .collect()
}

/// The lines of the step, without the time in front and without what the executor says around them.
fn tool_lines(log: &str) -> Vec<String> {
    let without_time = |line: &str| line.get(9..).unwrap_or_default().to_owned();
    let lines = log.lines().skip_while(|line| !line.contains("------START--")).skip(1);
    let lines = lines.take_while(|line| !line.contains("------END--")).map(without_time);
    lines
        .filter(|line| {
            !line.starts_with("INFO: Execute -> ") && !line.starts_with("FINE: Execute operation ")
        })
        .collect()
}

/// A job of one step.
fn job_file(
    arguments: &RunArgs,
    manifest: &Manifest,
    replayed: Option<Replayed>,
) -> Result<Vec<u8>, CliError> {
    let on = match (manifest.descriptor.op_type, &arguments.inventory) {
        (OperationType::RunnerTarget, None) if replayed.is_some() => "runner_target",
        (OperationType::RunnerTarget, None) => {
            let text = format!("{} runs once for each node", manifest.name);
            return Err(CliError::bad_input(text).hint("name the nodes: -i hosts.yaml --node NAME"));
        }
        (_, Some(_)) => "runner_target",
        (_, None) => "runner",
    };
    let Replayed { options: mut with, arguments: recorded } = replayed.unwrap_or_default();
    let given = options(arguments)?;
    check_options(&given, manifest)?;
    with.extend(given);
    let free = if arguments.arguments.is_empty() { recorded } else { json!(arguments.arguments) };
    let job = json!({
        "name": format!("one call of {}", manifest.name),
        "phases": [{
            "name": PHASE,
            "on": on,
            "steps": [{
                "tool": manifest.name.as_str(),
                "with": with,
                "args": free,
            }],
        }],
    });
    serde_json::to_vec_pretty(&job).map_err(CliError::bad_input)
}

fn options(arguments: &RunArgs) -> Result<Map<String, Value>, CliError> {
    let mut options = match &arguments.options_file {
        None => Map::new(),
        Some(path) => {
            let text = if path.as_os_str() == "-" {
                let mut text = String::new();
                std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
            } else {
                fs::read_to_string(path)
            };
            let text =
                text.map_err(|error| CliError::files(format!("can not read {}: {error}", path.display())))?;
            serde_json::from_str(&text)
                .map_err(|error| CliError::bad_input(format!("{}: {error}", path.display())))?
        }
    };
    for option in &arguments.options {
        let Some((name, value)) = option.split_once('=') else {
            return Err(CliError::bad_input(format!("-o {option}: this must be NAME=VALUE")));
        };
        options.insert(name.to_owned(), value.into());
    }
    Ok(options)
}

/// In the words of whoever typed them, and not of the job that is made of them.
fn check_options(given: &Map<String, Value>, manifest: &Manifest) -> Result<(), CliError> {
    let known: Vec<&str> = manifest.descriptor.option.iter().map(|option| option.opt.as_str()).collect();
    let Some(unknown) = given.keys().find(|name| !known.contains(&name.as_str())) else { return Ok(()) };
    let hint = if known.is_empty() {
        "it has no options".to_owned()
    } else {
        format!("it has: {}", known.join(", "))
    };
    Err(CliError::bad_input(format!("-o {unknown}: the tool {} has no such option", manifest.name))
        .hint(hint))
}

fn make_directory(path: &Path) -> Result<(), CliError> {
    fs::create_dir_all(path)
        .map_err(|error| CliError::files(format!("can not make {}: {error}", path.display())))
}

fn copy(from: &Path, to: &Path) -> Result<(), CliError> {
    fs::copy(from, to).map(drop).map_err(|error| {
        CliError::files(format!("can not copy {} to {}: {error}", from.display(), to.display()))
    })
}

/// Options may be secrets.
fn write(path: &Path, content: &[u8]) -> Result<(), CliError> {
    autoexec_store::atomic::write(path, content, autoexec_store::atomic::PRIVATE).map_err(CliError::files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tools_own_lines_are_what_is_shown() {
        let log = "18:21:27 INFO: Change node status to running.\n\
                   18:21:27 ------START--[demo/hello_1] local execution start...\n\
                   18:21:29 INFO: Execute -> demo/hello --who \"you\"\n\
                   18:21:29 Hello, you!\n\
                   18:21:29 FINE: greeted 1 time(s)\n\
                   18:21:29 FINE: Execute operation demo/hello on runner succeed.\n\
                   18:21:29 ------END--[demo/hello_1] local execution complete\n\
                   18:21:29 INFO: Change node status to succeed.\n";
        assert_eq!(tool_lines(log), ["Hello, you!", "FINE: greeted 1 time(s)"]);
    }

    #[test]
    fn every_exit_code_of_a_run_is_passed_on() {
        for code in ExitCode::ALL {
            assert_eq!(code_of(Some(i32::from(code.code()))), code);
        }
        assert_eq!(code_of(None), ExitCode::Internal);
    }
}

//! Jobs to measure: parameters and nodes as the server would send them, run without one.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::stage::StagedHome;

/// A job that can be run any number of times, each time under an id of its own: ext4 is slow at creating files for some
/// seconds after as many were deleted, so that a job directory that is cleared before each run would be measured instead.
pub(super) struct BenchJob<'a> {
    home: &'a StagedHome,
    name: String,
    runs: Cell<u32>,
    params: PathBuf,
    nodes: PathBuf,
}

/// Nodes of a job.
pub(super) struct Nodes {
    /// How many.
    pub(super) count: u32,
    /// How many at once. Divides `count`.
    pub(super) width: u32,
    /// Port of SSH, for jobs that use it.
    pub(super) ssh_port: u16,
    /// Account there.
    pub(super) user: String,
}

impl Nodes {
    /// Nodes that are never connected to.
    pub(super) fn unreached(count: u32, width: u32) -> Self {
        Self { count, width, ssh_port: 9, user: "nobody".to_owned() }
    }

    fn file(&self) -> String {
        let header = json!({"totalCount": self.count, "localRunnerId": 1, "jobRunnerIds": [1]});
        let nodes = (1..=self.count).map(|id| {
            json!({"resourceId": id, "nodeName": format!("node-{id}"), "nodeType": "Linux", "host": "127.0.0.1",
                "protocol": "ssh", "protocolPort": self.ssh_port, "username": self.user, "runnerId": 1})
        });
        let lines = std::iter::once(header).chain(nodes).map(|line| format!("{line}\n"));
        lines.collect()
    }
}

impl<'a> BenchJob<'a> {
    /// A job with one phase, or with none where there are no operations.
    pub(super) fn new(
        home: &'a StagedHome,
        name: &str,
        nodes: &Nodes,
        phase_type: &str,
        operations: &[Value],
    ) -> Result<Self> {
        let rounds = nodes.count.checked_div(nodes.width).unwrap_or(1);
        let phase = json!({"phaseName": "work", "phaseType": phase_type, "operations": operations});
        let group = json!({"groupNo": 0, "execStrategy": "oneShot", "roundCount": rounds, "phases": [phase]});
        let groups = if operations.is_empty() { json!([]) } else { json!([group]) };
        let params = json!({"tenant": "bench", "roundCount": rounds, "runFlow": groups});
        Ok(Self {
            home,
            name: name.to_owned(),
            runs: Cell::new(0),
            params: home.write(&format!("{name}.params.json"), &params.to_string(), 0o600)?,
            nodes: home.write(&format!("{name}.nodes.json"), &nodes.file(), 0o600)?,
        })
    }

    /// A job whose node file has `count` nodes, all of another runner but the last.
    pub(super) fn with_foreign_nodes(
        home: &'a StagedHome,
        name: &str,
        count: u32,
        phase_type: &str,
        operations: &[Value],
    ) -> Result<Self> {
        let job = Self::new(home, name, &Nodes::unreached(count, count), phase_type, operations)?;
        let text = fs::read_to_string(&job.nodes)?;
        let foreign = text.replacen("\"runnerId\":1}", "\"runnerId\":2}", count.saturating_sub(1) as usize);
        fs::write(&job.nodes, foreign).with_context(|| job.nodes.display().to_string())?;
        Ok(job)
    }

    /// Its node file.
    pub(super) fn nodes(&self) -> &Path {
        &self.nodes
    }

    /// Three characters of an id make a directory.
    fn id(&self, number: u32) -> String {
        format!("{number:03}{}", self.name)
    }

    /// Arguments of the next run, and its job directory.
    fn next(&self) -> (Vec<OsString>, PathBuf) {
        let number = self.runs.replace(self.runs.get() + 1);
        let id = self.id(number);
        let words = ["--jobid", &id, "--devmode", "--firstfire", "--nofirenext", "--paramsfile"];
        let mut arguments: Vec<OsString> = words.into_iter().map(Into::into).collect();
        arguments.extend([self.params.clone().into(), "--nodesfile".into(), self.nodes.clone().into()]);
        (arguments, self.home.path().join(format!("data/job/{number:03}")))
    }

    /// Runs it once, from no job directory to the end of the process.
    pub(super) fn run(&self) -> Result<()> {
        let (arguments, job_dir) = self.next();
        self.finish(Command::new(self.home.program()).args(arguments), &job_dir)
    }

    /// Runs it once under a command that starts the one that follows it.
    pub(super) fn run_under(&self, mut command: Command) -> Result<()> {
        let (arguments, job_dir) = self.next();
        command.arg(self.home.program()).args(arguments);
        self.finish(&mut command, &job_dir)
    }

    /// Runs it once and returns the peak of its resident memory in KiB.
    pub(super) fn peak_kib(&self) -> Result<u64> {
        let (arguments, job_dir) = self.next();
        let answer = self.home.path().join("peak");
        // A small wrapper: the kernel counts the memory of whoever starts a process as the process's own.
        let mut time = Command::new("/usr/bin/time");
        time.args(["-f", "%M", "-o"]).arg(&answer).arg(self.home.program()).args(arguments);
        self.finish(&mut time, &job_dir)?;
        let text = fs::read_to_string(&answer).with_context(|| format!("reading {}", answer.display()))?;
        text.trim().parse().with_context(|| format!("GNU time wrote `{}`", text.trim()))
    }

    /// Starts it and does not wait; the id of the run is its name in directories on targets.
    pub(super) fn start(&self) -> Result<(Child, String)> {
        let id = self.id(self.runs.get());
        let (arguments, _) = self.next();
        let mut command = Command::new(self.home.program());
        command.args(arguments).env("AUTOEXEC_HOME", self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Ok((command.spawn().context("autoexec could not be started")?, id))
    }

    fn finish(&self, command: &mut Command, job_dir: &Path) -> Result<()> {
        let output = command
            .env("AUTOEXEC_HOME", self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .context("autoexec could not be started")?;
        if !output.status.success() {
            bail!(
                "autoexec ended with {}: {}\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim(),
                end_of_console_log(job_dir)
            );
        }
        Ok(())
    }
}

/// The last lines of the console log somewhere below a job's directory.
fn end_of_console_log(job_dir: &Path) -> String {
    let entries = walkdir::WalkDir::new(job_dir).into_iter().filter_map(Result::ok);
    let log = entries.map(walkdir::DirEntry::into_path).find(|path| path.ends_with("console.txt"));
    log.map(|log| last_lines(&log, 10)).unwrap_or_default()
}

fn last_lines(file: &Path, number: usize) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(number)..).unwrap_or_default().join("\n")
}

/// Runs a command of the comparison, quietly, to success.
pub(super) fn quietly(command: &mut Command) -> Result<()> {
    let output =
        command.stdin(Stdio::null()).stdout(Stdio::null()).output().context("could not be started")?;
    if !output.status.success() {
        bail!("ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_file_is_a_header_and_a_line_per_node() {
        let text = Nodes::unreached(3, 1).file();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines.first().unwrap()["totalCount"], 3);
        assert_eq!(lines.last().unwrap()["resourceId"], 3);
    }

    #[test]
    fn every_run_is_a_job_of_its_own() {
        let home = StagedHome::new(Path::new("/bin/sh"), &[]).unwrap();
        let job = BenchJob::new(&home, "x", &Nodes::unreached(0, 1), "runner", &[]).unwrap();
        let ((first, _), (second, dir)) = (job.next(), job.next());
        assert_eq!(first.get(1).unwrap(), "000x");
        assert_eq!(second.get(1).unwrap(), "001x");
        assert!(dir.ends_with("data/job/001"));
    }
}

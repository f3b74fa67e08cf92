//! Jobs to measure: parameters and nodes as the server would send them, run without one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::stage::StagedHome;

const JOB: &str = "7000";

/// A job that can be run any number of times, each time as new.
pub(super) struct BenchJob<'a> {
    home: &'a StagedHome,
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
        let params = json!({"jobId": JOB, "tenant": "bench", "roundCount": rounds, "runFlow": groups});
        Ok(Self {
            home,
            params: home.write(&format!("{name}.params.json"), &params.to_string(), 0o600)?,
            nodes: home.write(&format!("{name}.nodes.json"), &nodes.file(), 0o600)?,
        })
    }

    /// The command that runs it. `program` may be a wrapper that is given the real one.
    fn arguments(&self) -> Vec<std::ffi::OsString> {
        let words = ["--jobid", JOB, "--devmode", "--firstfire", "--nofirenext", "--paramsfile"];
        let mut arguments: Vec<_> = words.into_iter().map(Into::into).collect();
        arguments.extend([self.params.clone().into(), "--nodesfile".into(), self.nodes.clone().into()]);
        arguments
    }

    /// Runs it once, from an empty job directory to the end of the process.
    pub(super) fn run(&self) -> Result<()> {
        self.finish(Command::new(self.home.program()).args(self.arguments()))
    }

    /// Runs it once and returns the peak of its resident memory in KiB.
    pub(super) fn peak_kib(&self) -> Result<u64> {
        let answer = self.home.path().join("peak");
        // A small wrapper: the kernel counts the memory of whoever starts a process as the process's own.
        let mut time = Command::new("/usr/bin/time");
        time.args(["-f", "%M", "-o"]).arg(&answer).arg(self.home.program()).args(self.arguments());
        self.finish(&mut time)?;
        let text = fs::read_to_string(&answer).with_context(|| format!("reading {}", answer.display()))?;
        text.trim().parse().with_context(|| format!("GNU time wrote `{}`", text.trim()))
    }

    fn finish(&self, command: &mut Command) -> Result<()> {
        let job_dir = self.home.path().join("data/job");
        if job_dir.exists() {
            fs::remove_dir_all(&job_dir).with_context(|| format!("removing {}", job_dir.display()))?;
        }
        let output = command
            .env("AUTOEXEC_HOME", self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .context("autoexec could not be started")?;
        if !output.status.success() {
            let log = job_dir.join("700/0/log/console.txt");
            bail!(
                "autoexec ended with {}: {}\n{}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim(),
                last_lines(&log, 10)
            );
        }
        Ok(())
    }
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
}

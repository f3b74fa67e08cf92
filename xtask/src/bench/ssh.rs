//! Operations on SSH nodes, beside what people use instead: the `ssh` client, Ansible, pyinfra, parallel-ssh.

use std::fmt;
use std::time::Duration;

use anyhow::Result;
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::{Value, json};

use super::job::{BenchJob, Nodes};
use crate::stage::StagedHome;
use crate::step::{self, Attended};

mod contenders;
mod cost;
mod venv;

use contenders::{Contender, Ground};
use cost::Cost;

/// Nodes worked on at once, by every tool.
const WIDTH: u32 = 50;
/// What runs on the target, every time, in a login shell: scripts of jobs rely on the variables of the account's profile.
const SCRIPT: &str = "echo done";
const OPERATIONS: [u32; 2] = [1, 5];
/// How long sessions may take to end.
const SETTLE_LIMIT: Duration = Duration::from_mins(1);

/// How much is measured.
pub(super) struct Sizes {
    /// Numbers of nodes, a table for each and for each number of operations.
    pub(super) nodes: Vec<u32>,
    /// Runs of each tool with few nodes, after one that does not count.
    pub(super) runs: u32,
}

/// Nodes from which on a run is long enough to need no warm-up and fewer repetitions: the slow tools take minutes.
const MANY: u32 = 100;
const RUNS_OF_MANY: u32 = 3;

/// All tables.
pub(super) struct Tables(Vec<Table>);

struct Table {
    nodes: u32,
    operations: u32,
    rows: Vec<Row>,
}

struct Row {
    what: &'static str,
    costs: Vec<Cost>,
}

pub(super) fn measure(home: &StagedHome, sizes: &Sizes) -> Result<Tables> {
    let python = venv::ensure()?;
    // From here on there is an account and a server to be removed, whatever happens.
    let attended = Attended::start()?;
    let sshd =
        Sshd::start(SshdOptions { config: vec!["MaxSessions 100".to_owned()], ..SshdOptions::default() })?;
    let config = format!("[autoexec]\nssh.identity = {}\n", sshd.key_path().display());
    home.write("conf/config.ini", &config, 0o600)?;
    let mut tables = Vec::new();
    for nodes in &sizes.nodes {
        for operations in OPERATIONS {
            let (nodes, width) = (*nodes, WIDTH.min(*nodes));
            step::say(format_args!("measuring: {nodes} SSH nodes × {operations} operations"));
            let ground =
                Ground { home, sshd: &sshd, python: &python, nodes, width, operations, script: SCRIPT };
            let table = table(&ground, sizes.runs, &attended)?;
            // The sizes together take half an hour: what is measured is seen even if the rest is not.
            step::say(format_args!("{table}"));
            tables.push(table);
        }
    }
    Ok(Tables(tables))
}

/// Runs every tool once for nothing where runs are short, then all of them in turns: what disturbs the machine disturbs
/// all.
fn table(ground: &Ground<'_>, runs: u32, attended: &Attended) -> Result<Table> {
    let nodes = Nodes {
        count: ground.nodes,
        width: ground.width,
        ssh_port: ground.sshd.port(),
        user: ground.sshd.user().to_owned(),
    };
    let operations: Vec<Value> = (1..=ground.operations).map(operation).collect();
    let name = format!("ssh{}x{}", ground.nodes, ground.operations);
    let job = BenchJob::new(ground.home, &name, &nodes, "target", &operations)?;
    let contenders = Contender::all(ground)?;
    let mut rows = vec![Row { what: "autoexec", costs: Vec::new() }];
    rows.extend(contenders.iter().map(|contender| Row { what: contender.what, costs: Vec::new() }));
    let many = ground.nodes >= MANY;
    let turns = if many { 1..=runs.min(RUNS_OF_MANY) } else { 0..=runs };
    for turn in turns {
        for (index, row) in rows.iter_mut().enumerate() {
            attended.check()?;
            let contender = index.checked_sub(1).and_then(|index| contenders.get(index));
            if many && turn > 1 && contender.is_some_and(|contender| contender.is_slow) {
                continue;
            }
            settle(ground.sshd)?;
            let cost = match contender {
                Some(contender) => contender.run(ground)?,
                None => cost::of(ground.home, |time| job.run_under(time))?,
            };
            if turn > 0 {
                row.costs.push(cost);
            }
        }
    }
    Ok(Table { nodes: ground.nodes, operations: ground.operations, rows })
}

/// What a tool leaves is not for the next one to bear: connections that Ansible keeps open end by themselves only a minute later, and
/// files are written out when the system likes.
fn settle(sshd: &Sshd) -> Result<()> {
    sshd.end_sessions(SETTLE_LIMIT)?;
    nix::unistd::sync();
    Ok(())
}

fn operation(number: u32) -> Value {
    json!({"opId": format!("bench/step_{number}"), "opName": "bench/step", "opType": "target", "isScript": 1,
        "scriptContent": SCRIPT, "interpreter": "sh", "opt": {}, "desc": {}, "output": {}})
}

impl Row {
    /// The middle one of a figure.
    fn median(&self, figure: impl Fn(&Cost) -> f64) -> f64 {
        let mut all: Vec<f64> = self.costs.iter().map(figure).collect();
        all.sort_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or_default()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "#### {} nodes × {} operations\n", self.nodes, self.operations)?;
        writeln!(f, "| | runs | wall min | median | max | client CPU | peak memory | wall ratio |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|---:|---:|")?;
        let ours = self.rows.first().map_or(0.0, |row| row.median(|cost| cost.wall)).max(f64::EPSILON);
        for row in &self.rows {
            let wall = row.median(|cost| cost.wall);
            let min = row.costs.iter().map(|cost| cost.wall).fold(f64::INFINITY, f64::min);
            let max = row.costs.iter().map(|cost| cost.wall).fold(0.0, f64::max);
            writeln!(
                f,
                "| {} | {} | {min:.2} s | {wall:.2} s | {max:.2} s | {:.2} s | {:.0} MiB | {:.2} |",
                row.what,
                row.costs.len(),
                row.median(|cost| cost.cpu),
                row.median(|cost| cost.memory),
                wall / ours
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### SSH nodes\n")?;
        for table in &self.0 {
            writeln!(f, "{table}")?;
        }
        writeln!(
            f,
            "All nodes are one real sshd on loopback, with key login, on the same processors as the clients; every tool works on \
             at most {WIDTH} nodes at once. The tools run in turns. What runs is \
             `echo done` in a login shell, by every tool. autoexec makes a private directory for each node, sends each script into it, runs \
             it in a session of its own, writes the records of the node and removes the directory; the others only run the \
             command. The CPU of `ssh` with ControlMaster is without its masters, which run on by themselves. Memory is \
             that of the largest process of a tool: autoexec has one more for each sixteen connections, Ansible one for each \
             node at work."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_ratio_to_its_first_row() {
        let row = |what, wall: f64| Row { what, costs: vec![Cost { wall, cpu: 0.5, memory: 20.0 }] };
        let table = Table { nodes: 10, operations: 5, rows: vec![row("ours", 2.0), row("theirs", 5.0)] };
        let text = table.to_string();
        assert!(text.contains("#### 10 nodes × 5 operations"), "{text}");
        assert!(
            text.contains("| theirs | 1 | 5.00 s | 5.00 s | 5.00 s | 0.50 s | 20 MiB | 2.50 |"),
            "{text}"
        );
    }
}

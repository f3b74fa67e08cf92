//! The sandbox by itself: calls of a small tool beside starting processes, and what its guarantees cost.
//!
//! `host/sandbox/examples/measure.rs` measures, since only that crate may name wasmtime; here tables are made of it.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::series;
use crate::{stage, step, workspace};

/// Calls that are made, and instances that are alive at once.
pub(super) struct Sizes {
    pub(super) calls: u32,
    pub(super) instances: u32,
}

impl Sizes {
    pub(super) fn new(quick: bool) -> Self {
        if quick { Self { calls: 200, instances: 50 } } else { Self { calls: 20_000, instances: 1000 } }
    }
}

/// What the example says; times in nanoseconds.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Measured {
    compile: Vec<u64>,
    load: Vec<u64>,
    call: Vec<u64>,
    processes: Vec<Process>,
    host_call: Vec<u64>,
    instance: Instances,
    checks: Checks,
}

#[derive(Debug, Deserialize)]
struct Process {
    program: String,
    times: Vec<u64>,
}

#[derive(Debug, Deserialize)]
struct Instances {
    alive: u32,
    bytes: u64,
    allocation: String,
}

#[derive(Debug, Deserialize)]
struct Checks {
    #[serde(rename = "loop")]
    tight: Pair,
    calls: Pair,
}

#[derive(Debug, Deserialize)]
struct Pair {
    without: Vec<u64>,
    with: Vec<u64>,
}

/// Builds the example, or takes a given one, and runs it.
pub(super) fn measure(given: Option<&PathBuf>, sizes: &Sizes) -> Result<Measured> {
    let program = given.cloned().map_or_else(build, Ok)?;
    let root = workspace::root()?;
    let guests = format!(
        "{}:{}",
        root.join("target/plugins/wasm").display(),
        root.join("target/guests/wasm").display()
    );
    step::say("measuring: the sandbox");
    let mut command = Command::new(&program);
    command.args([guests, sizes.calls.to_string(), sizes.instances.to_string()]);
    let text = step::output(&mut command)?;
    serde_json::from_str(&text).with_context(|| format!("what {} says", program.display()))
}

fn build() -> Result<PathBuf> {
    step::say("building the measurements of the sandbox");
    let mut cargo = workspace::cargo()?;
    step::run(cargo.args(["build", "--release", "--package", "autoexec-sandbox", "--example", "measure"]))?;
    Ok(stage::target()?.join("release/examples/measure"))
}

/// The value below which this part (in percent) of the times is.
fn quantile(times: &[u64], percent: usize) -> u64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

fn shown(nanos: u64) -> String {
    series::shown(Duration::from_nanos(nanos))
}

fn ratio(of: u64, to: u64) -> f64 {
    of as f64 / to.max(1) as f64
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### The sandbox: a call of a small tool beside a process that does nothing\n")?;
        writeln!(f, "| | p50 | p99 | ratio of p50 |\n|---|---:|---:|---:|")?;
        let first = quantile(&self.call, 50);
        let mut row = |what: &str, times: &[u64]| {
            let (p50, p99) = (quantile(times, 50), quantile(times, 99));
            writeln!(f, "| {what} | {} | {} | {:.2} |", shown(p50), shown(p99), ratio(p50, first))
        };
        row("instantiate `demo/hello`, run it, drop it", &self.call)?;
        for process in &self.processes {
            row(&format!("fork, exec and wait for `{}`", process.program), &process.times)?;
        }
        row("a call of a host function (a log line)", &self.host_call)?;
        row("load a compiled `demo/hello` (in a process that has loaded one)", &self.load)?;
        row("compile `demo/hello`", &self.compile)?;
        writeln!(
            f,
            "\n{} calls, one at a time, in turns with the processes. A compiled tool is loaded once in the life of a process.",
            self.call.len()
        )?;
        let Instances { alive, bytes, allocation } = &self.instance;
        writeln!(
            f,
            "\nMemory per live instance, {alive} of `fixture/hostile` waiting in a host function at once ({allocation}): {:.1} KiB.",
            *bytes as f64 / 1024.0
        )?;
        writeln!(f, "\n### The sandbox: what the checks cost that end a guest in time\n")?;
        writeln!(f, "| | without | with | ratio |\n|---|---:|---:|---:|")?;
        let pairs =
            [("a loop without calls", &self.checks.tight), ("calls without a loop", &self.checks.calls)];
        for (what, pair) in pairs {
            let (without, with) = (quantile(&pair.without, 50), quantile(&pair.with, 50));
            writeln!(f, "| {what} | {} | {} | {:.2} |", shown(without), shown(with), ratio(with, without))?;
        }
        writeln!(
            f,
            "\nMedians. A check stands in every turn of a loop and at the beginning of every function."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_show_quantiles_and_ratios_to_the_call() {
        let text = r#"{"compile": [20000000], "load": [50000], "call": [15000, 16000, 14000, 40000],
            "processes": [{"program": "/bin/true", "times": [800000]}], "hostCall": [110],
            "instance": {"alive": 10, "bytes": 35840, "allocation": "Pooled"},
            "checks": {"loop": {"without": [100], "with": [111]}, "calls": {"without": [100], "with": [138]}}}"#;
        let measured: Measured = serde_json::from_str(text).unwrap();
        let text = measured.to_string();
        for row in [
            "| instantiate `demo/hello`, run it, drop it | 16 µs | 40 µs | 1.00 |",
            "| fork, exec and wait for `/bin/true` | 800 µs | 800 µs | 50.00 |",
            "| a call of a host function (a log line) | 110 ns | 110 ns | 0.01 |",
            "| compile `demo/hello` | 20 ms | 20 ms | 1250.00 |",
            "at once (Pooled): 35.0 KiB.",
            "| calls without a loop | 100 ns | 138 ns | 1.38 |",
        ] {
            assert!(text.contains(row), "{row}\n{text}");
        }
    }

    #[test]
    fn a_quantile_of_nothing_is_nothing() {
        assert_eq!((quantile(&[], 50), quantile(&[3, 1, 2], 99), quantile(&[3, 1, 2], 0)), (0, 3, 1));
    }
}

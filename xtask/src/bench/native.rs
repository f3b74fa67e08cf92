//! One native program on each of many nodes, beside `xargs` starting the same program as often.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use super::job::{BenchJob, Nodes, quietly};
use super::series::{Table, Variant, measure as measure_series};
use crate::stage::StagedHome;

const NODES: u32 = 1000;
/// As many as `xargs -P` gets.
const WIDTH: u32 = 2;

/// Puts a program that does nothing into a home.
pub(super) fn install(home: &StagedHome) -> Result<PathBuf> {
    home.write("plugins/local/bench/noop", "#!/bin/sh\nexit 0\n", 0o755)
}

/// The operation that runs it.
pub(super) fn operation() -> Value {
    json!({"opId": "bench/noop_1", "opName": "bench/noop", "opType": "runner_target", "opt": {}, "desc": {}, "output": {}})
}

pub(super) fn measure(home: &StagedHome, runs: u32) -> Result<Table> {
    let noop = install(home)?;
    let job =
        BenchJob::new(home, "native", &Nodes::unreached(NODES, WIDTH), "runner_target", &[operation()])?;
    let xargs = format!("seq {NODES} | xargs -P{WIDTH} -n1 {}", noop.display());
    let variants = vec![
        Variant::new("autoexec", || job.run()),
        Variant::new(format!("`xargs -P{WIDTH}`"), || quietly(Command::new("sh").args(["-c", &xargs]))),
    ];
    let title = format!("{NODES} nodes × one native operation, {WIDTH} at a time");
    let note = "The program is a shell script that ends at once. xargs only starts it; autoexec also reads its output, \
                gives it an environment, and writes status, input, output, log and history of every node.";
    Ok(measure_series(&title, NODES, runs, variants)?.note(note))
}

//! Much output and long node files, beside programs that only copy or count.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::job::{BenchJob, Nodes, quietly};
use super::series::{Table, Variant, measure as measure_series};
use crate::stage::StagedHome;

/// Lines of one tool.
const LINES: u32 = 1_000_000;
/// Tools side by side, and lines of each.
const TOOLS: u32 = 50;
const LINES_EACH: u32 = 20_000;
/// Nodes of a file of which one is run.
const FILE_NODES: u32 = 100_000;

pub(super) fn measure(home: &StagedHome, runs: u32) -> Result<Vec<Table>> {
    Ok(vec![one_tool(home, runs)?, many_tools(home, runs)?, node_file(home, runs)?])
}

/// Puts a program into a home that prints numbered lines.
fn install(home: &StagedHome, name: &str, lines: u32) -> Result<Value> {
    let tool = format!("#!/bin/sh\nexec seq -f 'a line of output, number %.0f' {lines}\n");
    home.write(&format!("plugins/local/bench/{name}"), &tool, 0o755)?;
    Ok(
        json!({"opId": format!("bench/{name}_1"), "opName": format!("bench/{name}"), "opType": "runner_target",
        "opt": {}, "desc": {}, "output": {}}),
    )
}

fn one_tool(home: &StagedHome, runs: u32) -> Result<Table> {
    let operation = install(home, "million", LINES)?;
    let job = BenchJob::new(home, "million", &Nodes::unreached(1, 1), "runner_target", &[operation])?;
    let tool = home.path().join("plugins/local/bench/million");
    let copy = home.path().join("million.copy");
    let script = home.path().join("million.script");
    let variants = vec![
        Variant::new("autoexec", || job.run()),
        Variant::new("`tee` into a file", || {
            quietly(Command::new("sh").arg("-c").arg(format!(
                "{} | tee {} >/dev/null",
                tool.display(),
                copy.display()
            )))
        }),
        Variant::new("`script`, as a terminal would see it", || {
            quietly(Command::new("script").args(["-qec"]).arg(&tool).arg(&script))
        }),
    ];
    let table = measure_series(&format!("{LINES} lines from one tool"), LINES, runs, variants)?;
    let peak = job.peak_kib()?;
    Ok(table.note(format!(
        "autoexec decodes every line, looks for escape sequences and warnings, and puts the time in front. Peak resident \
         memory: {:.1} MiB.",
        peak as f64 / 1024.0
    )))
}

fn many_tools(home: &StagedHome, runs: u32) -> Result<Table> {
    let operation = install(home, "many", LINES_EACH)?;
    let job = BenchJob::new(home, "many", &Nodes::unreached(TOOLS, TOOLS), "runner_target", &[operation])?;
    let tool = home.path().join("plugins/local/bench/many");
    let directory = home.path().join("many.copies");
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let copies = format!(
        "seq {TOOLS} | xargs -P{TOOLS} -I@ sh -c '{} | cat > {}/@'",
        tool.display(),
        directory.display()
    );
    let variants = vec![
        Variant::new("autoexec", || job.run()),
        Variant::new("`xargs` with `cat` into files", || quietly(Command::new("sh").args(["-c", &copies]))),
    ];
    let table =
        measure_series(&format!("{TOOLS} tools × {LINES_EACH} lines, all at once"), TOOLS, runs, variants)?;
    let peak = job.peak_kib()?;
    Ok(table.note(format!("Peak resident memory: {:.1} MiB.", peak as f64 / 1024.0)))
}

/// All nodes but one are another runner's.
fn node_file(home: &StagedHome, runs: u32) -> Result<Table> {
    let noop = super::native::install(home)?;
    ensure!(noop.is_file(), "{} was not written", noop.display());
    let operation = super::native::operation();
    let small = BenchJob::new(
        home,
        "small",
        &Nodes::unreached(1, 1),
        "runner_target",
        std::slice::from_ref(&operation),
    )?;
    let large = BenchJob::with_foreign_nodes(home, "large", FILE_NODES, "runner_target", &[operation])?;
    let file = large.nodes().to_owned();
    let variants = vec![
        Variant::new(format!("autoexec, {FILE_NODES} nodes of which one is run"), || large.run()),
        Variant::new("autoexec, a file of one node", || small.run()),
        Variant::new("`python3`, reading the same file as JSON lines", || read_with_python(&file)),
    ];
    let table = measure_series(&format!("A node file of {FILE_NODES} nodes"), 1, runs, variants)?;
    let (large, small) = (large.peak_kib()?, small.peak_kib()?);
    Ok(table.note(format!(
        "The file is read as nodes are taken. Peak resident memory: {:.1} MiB, with one node {:.1} MiB; the file has {:.1} MiB.",
        large as f64 / 1024.0,
        small as f64 / 1024.0,
        std::fs::metadata(&file)?.len() as f64 / f64::from(1 << 20)
    )))
}

fn read_with_python(file: &Path) -> Result<()> {
    let program = "import json, sys\nfor line in open(sys.argv[1]): json.loads(line)";
    quietly(Command::new("python3").args(["-c", program]).arg(file))
}

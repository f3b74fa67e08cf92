//! What a figure is worth nothing without: the machine, and how busy it was.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::{step, workspace};

/// Load averages as the kernel gives them.
pub(super) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_ascii_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

/// A paragraph about this machine. `given` is the program that was measured, where it was not built from this tree.
pub(super) fn facts(load_before: &str, runs: u32, given: Option<&Path>) -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = field("/proc/meminfo", "MemTotal").and_then(|text| {
        let kib: u64 = text.split_ascii_whitespace().next()?.parse().ok()?;
        Some(format!("{:.0} GiB", kib as f64 / f64::from(1 << 20)))
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = step::output(Command::new("rustc").arg("--version"))?;
    let date = step::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    Ok(format!(
        "Measured on {}, {}: {cores} cores ({processor}), {} of memory, Linux {}, {}, release build. {runs} runs \
         of each variant, in turns, after one that does not count. Load average before: {load_before}; after: {}.",
        date.trim(),
        given.map_or_else(commit, |program| Ok(program.display().to_string()))?,
        memory.unwrap_or_else(|| "unknown size".to_owned()),
        kernel.trim(),
        rustc.trim(),
        load(),
    ))
}

fn commit() -> Result<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(workspace::root()?).args(["rev-parse", "--short", "HEAD"]);
    Ok(format!("commit {}", step::output(&mut git)?.trim()))
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

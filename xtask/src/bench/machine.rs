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

/// A paragraph about this machine and the program that was measured.
pub(super) fn facts(program: &Path, load_before: &str) -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = field("/proc/meminfo", "MemTotal").and_then(|text| {
        let kib: u64 = text.split_ascii_whitespace().next()?.parse().ok()?;
        Some(format!("{:.0} GiB", kib as f64 / f64::from(1 << 20)))
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let rustc = step::output(Command::new("rustc").arg("--version"))?;
    let date = step::output(Command::new("date").args(["-u", "+%Y-%m-%d"]))?;
    let version = step::output(Command::new(program).arg("--version"))?;
    Ok(format!(
        "Measured on {} with {} ({}): {cores} cores ({processor}), {} of memory, Linux {}, {}. Load average before: \
         {load_before}; after: {}.",
        date.trim(),
        version.trim(),
        commit()?,
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

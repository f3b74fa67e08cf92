//! What a job costs that does nothing: the process, its configuration, its job directory.

use std::process::Command;

use anyhow::Result;

use super::job::{BenchJob, Nodes, quietly};
use super::series::{Table, Variant, measure as measure_series};
use crate::stage::StagedHome;

/// One run is a few milliseconds, so more of them.
const REPEAT: u32 = 10;

pub(super) fn measure(home: &StagedHome, runs: u32) -> Result<Table> {
    let job = BenchJob::new(home, "empty", &Nodes::unreached(0, 1), "runner", &[])?;
    let variants = vec![
        Variant::new("autoexec, a job without phases", || job.run()),
        Variant::new("`autoexec --version`", || quietly(Command::new(home.program()).arg("--version"))),
        Variant::new("`/bin/true`", || quietly(&mut Command::new("/bin/true"))),
        Variant::new("`python3 -c pass`", || quietly(Command::new("python3").args(["-c", "pass"]))),
    ];
    let table = measure_series("Start-up: a job with nothing in it", 1, runs * REPEAT, variants)?;
    let peaks = (0..runs).map(|_| job.peak_kib()).collect::<Result<Vec<u64>>>()?;
    let peak = peaks.iter().max().copied().unwrap_or_default();
    Ok(table.note(format!("Peak resident memory of the empty job: {:.1} MiB.", peak as f64 / 1024.0)))
}

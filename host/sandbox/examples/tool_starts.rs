//! Size of each tool below a directory, and how long making an instance of it takes, as one JSON line each. Part of
//! `cargo xtask bench author`.
//!
//! `cargo run --release -p autoexec-sandbox --example tool_starts DIR STARTS`
#![expect(clippy::print_stdout, reason = "its output is the result")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use autoexec_sandbox::{Capability, Grants, Limits, Sandbox, SandboxSettings};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = PathBuf::from(arguments.next().ok_or("DIR is missing")?);
    let starts: usize = arguments.next().unwrap_or_default().parse()?;
    let sandbox = Sandbox::new(SandboxSettings::default())?;
    let grants: Grants = Capability::ALL.into_iter().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut files = Vec::new();
    collect(&dir, &mut files)?;
    files.sort();
    for file in files {
        let size = std::fs::metadata(&file)?.len();
        let tool = sandbox.load(&file, &grants)?;
        let mut taken = Vec::with_capacity(starts);
        for _ in 0..starts.max(1) {
            taken.push(runtime.block_on(sandbox.start_and_drop(&tool, Limits::default()))?);
        }
        taken.sort();
        let at = |percent: usize| micros(taken.get(taken.len() * percent / 100).or(taken.last()));
        let line = serde_json::json!({
            "tool": tool.manifest().name.as_str(), "size": size, "p50": at(50), "p99": at(99),
        });
        println!("{line}");
    }
    Ok(())
}

fn micros(taken: Option<&Duration>) -> f64 {
    taken.map_or(0.0, |taken| taken.as_secs_f64() * 1e6)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "wasm") {
            files.push(path);
        }
    }
    Ok(())
}

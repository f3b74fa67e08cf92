//! Measures what the figures in `docs/` are made of: start of the sandbox, cold compile, cached load, calls.
//!
//! `cargo xtask guests && cargo run --release -p autoexec-sandbox --example measure [tool.wasm]`
#![expect(clippy::print_stdout, reason = "its output is the result")]

use std::error::Error;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use autoexec_sandbox::{
    Grants, JobContext, Limits, LogLevel, NodeFacts, Sandbox, SandboxSettings, Tool, ToolCall, ToolHost,
};

const CALLS: usize = 20_000;

/// Takes everything and keeps nothing.
struct Sink;

impl ToolHost for Sink {
    fn context(&self) -> JobContext {
        JobContext::default()
    }

    fn node(&self) -> NodeFacts {
        NodeFacts::default()
    }

    fn variables(&self) -> Vec<(String, String)> {
        vec![]
    }

    fn log(&self, _: LogLevel, _: &str) {}

    fn write(&self, _: &[u8]) {}

    fn output(&self, _: &str, _: serde_json::Value) {}

    fn live_data(&self, _: serde_json::Value) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/plugins/wasm/demo/hello.wasm");
    let path = std::env::args_os().nth(1).map_or_else(|| PathBuf::from(default), PathBuf::from);
    let dir = tempfile::tempdir()?;
    let settings =
        SandboxSettings { cache_dir: Some(dir.path().join("cache")), ..SandboxSettings::default() };
    println!("{settings:?}");

    let begin = Instant::now();
    let sandbox = Sandbox::new(settings.clone())?;
    println!("sandbox ready ({:?}): {:?}", sandbox.allocation(), begin.elapsed());
    let begin = Instant::now();
    sandbox.load(&path, &Grants::none())?;
    println!("load, cold compile and keep: {:?}", begin.elapsed());
    drop(sandbox);

    let loads: Vec<Duration> = (0..20)
        .map(|_| {
            let sandbox = Sandbox::new(settings.clone())?;
            let begin = Instant::now();
            sandbox.load(&path, &Grants::none())?;
            Ok(begin.elapsed())
        })
        .collect::<Result<_, Box<dyn Error>>>()?;
    print_quantiles("load from the compiled cache, in a sandbox of its own", loads);

    let sandbox = Arc::new(Sandbox::new(settings)?);
    let tool = sandbox.load(&path, &Grants::none())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for tasks in [1, 4, 64] {
        let begin = Instant::now();
        let taken = runtime.block_on(calls(&sandbox, &tool, tasks))?;
        let rate = taken.len() as f64 / begin.elapsed().as_secs_f64();
        print_quantiles(&format!("{tasks} caller(s), {rate:.0} calls/s, one call"), taken);
    }
    Ok(())
}

async fn calls(
    sandbox: &Arc<Sandbox>,
    tool: &Arc<Tool>,
    tasks: usize,
) -> Result<Vec<Duration>, Box<dyn Error>> {
    let workers: Vec<_> = (0..tasks)
        .map(|_| {
            let (sandbox, tool) = (Arc::clone(sandbox), Arc::clone(tool));
            tokio::spawn(async move {
                let mut taken = Vec::with_capacity(CALLS / tasks);
                for _ in 0..CALLS / tasks {
                    let begin = Instant::now();
                    sandbox
                        .invoke(&tool, ToolCall::default(), Arc::new(Sink), Limits::default(), pending())
                        .await?;
                    taken.push(begin.elapsed());
                }
                Ok::<_, autoexec_sandbox::InvokeError>(taken)
            })
        })
        .collect();
    let mut all = Vec::new();
    for worker in workers {
        all.extend(worker.await??);
    }
    Ok(all)
}

fn print_quantiles(what: &str, mut taken: Vec<Duration>) {
    taken.sort();
    let at = |quantile: usize| {
        taken.get((taken.len() * quantile / 100).min(taken.len() - 1)).copied().unwrap_or_default()
    };
    println!("{what}: p50 {:?}, p99 {:?}, first-to-last {:?} to {:?}", at(50), at(99), at(0), at(100));
}

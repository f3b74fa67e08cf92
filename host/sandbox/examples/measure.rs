//! Measures the sandbox beside processes, for `cargo xtask bench sandbox`, which makes tables of it. The result is one line of JSON
//! on standard output; all times are in nanoseconds.
//!
//! `measure GUESTS CALLS INSTANCES`: the directories of built guests (as `TOOLS:FIXTURES`), how many calls are made, and how many
//! instances are kept alive at once.
#![expect(clippy::print_stdout, reason = "its output is the result")]

use std::error::Error;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use autoexec_sandbox::{
    Grants, InvokeError, JobContext, Limits, LogLevel, NodeFacts, Sandbox, SandboxSettings, Tool, ToolCall,
    ToolHost,
};
use serde_json::{Value, json};
use tokio::sync::Notify;
use wasmtime::{Config, Engine, Instance, Module, Store, UpdateDeadline};

/// Calls and processes take turns this often, so that what disturbs the machine disturbs all of them.
const TURNS: usize = 20;

/// Processes of a kind in one turn.
const PROCESSES: usize = 5;

/// Processes to compare with: each does nothing.
const PROGRAMS: [(&str, &[&str]); 4] =
    [("/bin/true", &[]), ("sh", &["-c", ":"]), ("python3", &["-c", "pass"]), ("perl", &["-e", "1"])];

/// Iterations of the loops that show what the checks for the time limit cost.
const LOOP: i32 = 100_000_000;

/// Two small programs: a loop without calls, and calls without a loop.
const CHECKED: &str = r#"(module
    (func (export "loop") (param $n i32) (result i32) (local $x i32)
        (local.set $x (i32.const 88172645))
        (loop $again
            (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 13))))
            (local.set $x (i32.xor (local.get $x) (i32.shr_u (local.get $x) (i32.const 17))))
            (local.set $x (i32.xor (local.get $x) (i32.shl (local.get $x) (i32.const 5))))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $x))
    (func $fib (export "calls") (param $n i32) (result i32)
        (if (result i32) (i32.lt_u (local.get $n) (i32.const 2))
            (then (local.get $n))
            (else (i32.add
                (call $fib (i32.sub (local.get $n) (i32.const 1)))
                (call $fib (i32.sub (local.get $n) (i32.const 2))))))))"#;

/// Takes everything and keeps nothing but a count of lines.
#[derive(Default)]
struct Sink {
    lines: AtomicUsize,
    more: Notify,
}

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

    fn log(&self, _: LogLevel, _: &str) {
        self.lines.fetch_add(1, Ordering::AcqRel);
        self.more.notify_one();
    }

    fn write(&self, _: &[u8]) {}

    fn output(&self, _: &str, _: Value) {}

    fn live_data(&self, _: Value) {}
}

type Measured<T> = Result<T, Box<dyn Error>>;

struct Guests {
    hello: PathBuf,
    hostile: PathBuf,
}

fn main() -> Measured<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = |what: &str| arguments.next().ok_or_else(|| format!("{what} is missing"));
    let guests = next("GUESTS")?;
    let (tools, fixtures) = guests.split_once(':').ok_or("GUESTS must be TOOLS:FIXTURES")?;
    let guests = Guests {
        hello: Path::new(tools).join("demo/hello.wasm"),
        hostile: Path::new(fixtures).join("fixture/hostile.wasm"),
    };
    let (calls, instances): (usize, u32) = (next("CALLS")?.parse()?, next("INSTANCES")?.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let dir = tempfile::tempdir()?;
    let (compile, load) = loading(&guests.hello, &dir.path().join("cache"))?;
    let (call, processes) = runtime.block_on(turns(&guests.hello, calls))?;
    let result = json!({
        "compile": compile,
        "load": load,
        "call": call,
        "processes": processes,
        "hostCall": runtime.block_on(host_call(&guests.hostile, calls))?,
        "instance": runtime.block_on(memory(&guests.hostile, instances))?,
        "checks": checks()?,
    });
    println!("{result}");
    Ok(())
}

/// Nanoseconds.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Compiling the tool, and loading what was compiled, each in a sandbox of its own.
fn loading(tool: &Path, cache: &Path) -> Measured<(Vec<u64>, Vec<u64>)> {
    let load = |cache_dir: Option<PathBuf>| -> Measured<u64> {
        let sandbox = Sandbox::new(SandboxSettings { cache_dir, ..SandboxSettings::default() })?;
        let begin = Instant::now();
        sandbox.load(tool, &Grants::none())?;
        Ok(nanos(begin.elapsed()))
    };
    load(Some(cache.to_owned()))?;
    let compiled = (0..TURNS).map(|_| load(None)).collect::<Measured<_>>()?;
    let loaded = (0..TURNS).map(|_| load(Some(cache.to_owned()))).collect::<Measured<_>>()?;
    Ok((compiled, loaded))
}

/// Calls of the tool, each in an instance of its own, and processes, in turns.
async fn turns(tool: &Path, calls: usize) -> Measured<(Vec<u64>, Value)> {
    let sandbox = Sandbox::new(SandboxSettings::default())?;
    let tool = sandbox.load(tool, &Grants::none())?;
    let host: Arc<dyn ToolHost> = Arc::new(Sink::default());
    let (mut taken, mut processes) = (Vec::with_capacity(calls), PROGRAMS.map(|_| Vec::new()));
    // The first turn warms up, and does not count.
    for turn in 0..=TURNS {
        for _ in 0..calls.div_ceil(TURNS) {
            let begin = Instant::now();
            sandbox
                .invoke(&tool, ToolCall::default(), Arc::clone(&host), Limits::default(), pending())
                .await?;
            if turn > 0 {
                taken.push(nanos(begin.elapsed()));
            }
        }
        for ((program, arguments), times) in PROGRAMS.iter().zip(&mut processes) {
            for _ in 0..PROCESSES {
                let begin = Instant::now();
                let status = Command::new(program).args(*arguments).stdin(Stdio::null()).status()?;
                if !status.success() {
                    return Err(format!("{program}: {status}").into());
                }
                if turn > 0 {
                    times.push(nanos(begin.elapsed()));
                }
            }
        }
    }
    let processes = PROGRAMS.iter().zip(processes);
    Ok((taken, processes.map(|((program, _), times)| json!({"program": program, "times": times})).collect()))
}

fn deed(name: &str) -> ToolCall {
    ToolCall { options: vec![("deed".to_owned(), name.into())], arguments: vec![] }
}

/// One call of a host function: a log line. The difference of a call that logs many and one that logs a few.
async fn host_call(tool: &Path, calls: usize) -> Measured<Vec<u64>> {
    let sandbox = Sandbox::new(SandboxSettings::default())?;
    let tool = sandbox.load(tool, &Grants::none())?;
    let mut each = Vec::new();
    for turn in 0..=TURNS {
        let flood = async |lines: usize| -> Measured<(Duration, usize)> {
            let host = Arc::new(Sink::default());
            // Ended at its log limit: so many empty lines fit.
            let limits = Limits { log: u64::try_from(lines)?, ..Limits::default() };
            let begin = Instant::now();
            let ended = sandbox
                .invoke(&tool, deed("flood-empty-lines"), Arc::clone(&host) as _, limits, pending())
                .await;
            match ended {
                Err(InvokeError::LogLimit { .. }) => {
                    Ok((begin.elapsed(), host.lines.load(Ordering::Acquire)))
                }
                other => Err(format!("the guest was to end at its log limit: {other:?}").into()),
            }
        };
        let (few, few_lines) = flood(1).await?;
        let (many, many_lines) = flood(10 * calls + 1).await?;
        if turn > 0 {
            let lines = u64::try_from(many_lines - few_lines)?.max(1);
            each.push(nanos(many.saturating_sub(few)) / lines);
        }
    }
    Ok(each)
}

/// Memory of this process for each instance that waits in a host function.
async fn memory(tool: &Path, instances: u32) -> Measured<Value> {
    let settings = SandboxSettings { slots: instances, ..SandboxSettings::default() };
    let sandbox = Arc::new(Sandbox::new(settings)?);
    let tool: Arc<Tool> = sandbox.load(tool, &Grants::none())?;
    let host = Arc::new(Sink::default());
    let limits = Limits { concurrent: instances, time: Duration::from_hours(1), ..Limits::default() };
    let before = resident()?;
    let waiting: Vec<_> = (0..instances)
        .map(|_| {
            let (sandbox, tool, host) = (Arc::clone(&sandbox), Arc::clone(&tool), Arc::clone(&host));
            tokio::spawn(
                async move { sandbox.invoke(&tool, deed("log-and-wait"), host, limits, pending()).await },
            )
        })
        .collect();
    while host.lines.load(Ordering::Acquire) < usize::try_from(instances)? {
        host.more.notified().await;
        if let Some(ended) = waiting.iter().find(|call| call.is_finished()) {
            return Err(format!("an instance ended early: {ended:?}").into());
        }
    }
    let bytes = resident()?.saturating_sub(before);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    Ok(json!({"alive": instances, "bytes": bytes / u64::from(instances.max(1)),
        "allocation": format!("{:?}", sandbox.allocation())}))
}

/// Resident memory of this process in bytes.
fn resident() -> Measured<u64> {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no Rss in smaps_rollup")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// Two loops with and without the checks that end a guest in time, in turns.
fn checks() -> Measured<Value> {
    let prepared = [false, true].map(|checked| -> Measured<(Store<()>, Instance)> {
        let mut config = Config::new();
        config.epoch_interruption(checked);
        let engine = Engine::new(&config)?;
        let module = Module::new(&engine, wat::parse_str(CHECKED)?)?;
        let mut store = Store::new(&engine, ());
        if checked {
            store.set_epoch_deadline(1);
            store.epoch_deadline_callback(|_| Ok(UpdateDeadline::Continue(1)));
        }
        let instance = Instance::new(&mut store, &module, &[])?;
        Ok((store, instance))
    });
    let [without, with] = prepared;
    let mut variants = [without?, with?];
    let mut times = json!({});
    for (name, argument) in [("loop", LOOP), ("calls", 32)] {
        let mut taken = [Vec::new(), Vec::new()];
        for turn in 0..=TURNS / 4 {
            for ((store, instance), taken) in variants.iter_mut().zip(&mut taken) {
                let function = instance.get_typed_func::<i32, i32>(&mut *store, name)?;
                let begin = Instant::now();
                std::hint::black_box(function.call(&mut *store, argument)?);
                if turn > 0 {
                    taken.push(nanos(begin.elapsed()));
                }
            }
        }
        let [without, with] = taken;
        times[name] = json!({"without": without, "with": with});
    }
    Ok(times)
}

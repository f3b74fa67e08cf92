//! One sandboxed operation on each of many nodes, beside a native one of the same job shape.

use anyhow::Result;
use serde_json::json;

use super::job::{BenchJob, Nodes};
use super::native;
use super::series::{Table, Variant, measure as measure_series};
use crate::stage::StagedHome;

const NODES: u32 = 1000;
const WIDTH: u32 = 10;

pub(super) fn measure(home: &StagedHome, runs: u32) -> Result<Table> {
    native::install(home)?;
    let nodes = Nodes::unreached(NODES, WIDTH);
    let hello = json!({"opId": "demo/hello_1", "opName": "demo/hello", "opType": "runner_target",
        "opt": {"who": "a thousand nodes"}, "desc": {"who": "text"}, "output": {}});
    let wasm = BenchJob::new(home, "wasm", &nodes, "runner_target", &[hello])?;
    let noop = BenchJob::new(home, "noop", &nodes, "runner_target", &[native::operation()])?;
    let variants = vec![
        Variant::new("`demo/hello` in the sandbox", || wasm.run()),
        Variant::new("a native program that does nothing", || noop.run()),
    ];
    let title = format!("{NODES} nodes × one WebAssembly operation, {WIDTH} at a time");
    let table = measure_series(&title, NODES, runs, variants)?;
    let note = "Both rows are whole jobs: status, input, output, log and history of every node are written. The component \
                comes from the compiled cache, as it does from its second use on.";
    let peak = wasm.peak_kib()? as f64 / 1024.0;
    Ok(table.note(note).note(format!("Peak resident memory of the WebAssembly job: {peak:.1} MiB.")))
}

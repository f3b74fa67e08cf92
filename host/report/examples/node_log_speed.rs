//! Prints how long a million lines of plugin output take on their way into a node log.
//!
//! `cargo run --release -p autoexec-report --example node_log_speed`

use std::error::Error;
use std::io::Write as _;
use std::time::Instant;

use autoexec_model::{Node, PhaseName};
use autoexec_report::logfile::{LogClock, NodeLog, OutputStream};
use autoexec_store::JobDir;

const LINES: usize = 1_000_000;
/// What one read from a pipe gives at most.
const CHUNK: usize = 4096;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("node-log-speed-{}", std::process::id()));
    let job = JobDir::at(&dir);
    let (phase, node) = (PhaseName::new("speed")?, Node::local());
    job.create()?;
    job.prepare_unit(&phase, &node.key())?;
    let mut stdout = std::io::stdout();
    for (kind, line) in [
        ("ASCII", &b"2026-01-02 03:04:05 INFO worker-17 handled request 4711 in 12 ms\n"[..]),
        ("UTF-8", "2026-01-02 信息: 第 17 个工作进程在 12 毫秒内处理了请求 4711\n".as_bytes()),
        ("GBK", b"2026-01-02 \xd0\xc5\xcf\xa2: \xb5\xda 17 \xb8\xf6 12 ms 4711\n"),
        ("colours", b"\x1b[32mINFO\x1b[0m worker-17 handled request 4711 in 12 ms\n"),
    ] {
        let bytes = line.repeat(LINES);
        let log = NodeLog::create(&job, &phase, &node, "speed", LogClock::system())?;
        let start = Instant::now();
        for chunk in bytes.chunks(CHUNK) {
            log.output(OutputStream::Stdout, chunk)?;
        }
        log.end_output()?;
        writeln!(stdout, "{kind}: {LINES} lines in {:.2} s", start.elapsed().as_secs_f64())?;
    }
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

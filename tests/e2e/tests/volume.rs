//! Much output, in any encoding, and long node files: nothing is lost, the order stays, and memory is bounded. The full
//! sizes are measured by `cargo xtask bench volume`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what the tests share fails as the tests do")]

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{key, node, one_shot, op, params, phase};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

/// Resident memory that a debug build may take at most, in KiB. What is held of any amount of output or of any node file
/// is far below.
const MOST_KIB: i64 = 96 * 1024;

/// The largest of all programs that this process has waited for.
fn assert_little_memory() {
    let peak = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss();
    assert!(peak < MOST_KIB, "{peak} KiB");
}

fn job_with(tool: &str, nodes: &[u32]) -> TestJob {
    let operations = [op("basic/talk", "runner_target", 1)];
    let mut params = params([one_shot([phase("A", "runner_target", operations)])]);
    // All at once.
    params["roundCount"] = json!(1);
    let nodes: Vec<Value> = nodes.iter().copied().map(node).collect();
    let job = TestJob::new(params, &nodes).unwrap();
    job.home.write_local_plugin("basic", "talk", tool).unwrap();
    job
}

/// What a tool printed: the lines between the command line and the result, without their times.
fn printed(job: &TestJob, node: u32) -> Vec<String> {
    let log = job.node_log("A", &key(node));
    let lines = log.lines().map(|line| line.get(9..).unwrap_or_else(|| panic!("{line:?} has no time")));
    let lines = lines.skip_while(|line| !line.starts_with("INFO: Execute ->")).skip(1);
    lines.take_while(|line| !line.starts_with("FINE: Execute operation")).map(str::to_owned).collect()
}

#[test]
fn two_hundred_thousand_lines_of_one_tool() {
    let job = job_with("#!/bin/sh\nexec seq -f 'line %.0f' 200000\n", &[71]);
    job.expect(0, &["--firstfire"]).unwrap();
    let lines = printed(&job, 71);
    assert_eq!(lines.len(), 200_000);
    for (index, line) in lines.iter().enumerate() {
        assert_eq!(*line, format!("line {}", index + 1));
    }
    assert_little_memory();
}

#[test]
fn fifty_tools_side_by_side_keep_their_lines_apart() {
    let nodes: Vec<u32> = (71..121).collect();
    let job = job_with("#!/bin/sh\nexec seq -f \"$NODE_NAME %.0f\" 2000\n", &nodes);
    job.expect(0, &["--firstfire"]).unwrap();
    for node in nodes {
        let lines = printed(&job, node);
        assert_eq!(lines.len(), 2000, "node {node}");
        for (index, line) in lines.iter().enumerate() {
            assert_eq!(*line, format!("n{node} {}", index + 1));
        }
    }
    assert_little_memory();
}

#[test]
fn one_line_without_end_is_cut_and_not_collected() {
    let job = job_with("#!/bin/sh\nhead -c 30000000 /dev/zero | tr '\\0' x\necho\necho end\n", &[71]);
    job.expect(0, &["--firstfire"]).unwrap();
    let lines = printed(&job, 71);
    assert_eq!(lines.last().map(String::as_str), Some("end"));
    let length: usize = lines.iter().map(String::len).sum();
    assert_eq!(length, 30_000_000 + "end".len());
    assert!(lines.iter().all(|line| line.len() <= 64 * 1024), "in pieces");
    assert_little_memory();
}

/// Bytes of a tool and the lines that people see of them.
const NOISE: [(&[u8], &[&str]); 10] = [
    (b"plain\n", &["plain"]),
    ("UTF-8 \u{4e2d}\u{6587}\n".as_bytes(), &["UTF-8 中文"]),
    // GB18030, next to a line of UTF-8.
    (b"GB \xd6\xd0\xce\xc4\n", &["GB 中文"]),
    (b"four bytes \x95\x32\x82\x36\n", &["four bytes 𠀀"]),
    // Neither of the two.
    (b"noise \xff\xfe\x00\x01\n", &["noise \u{fffd}\u{fffd}␀␁"]),
    (b"10%\r20%\r30%\r\n", &["10%", "20%", "30%"]),
    (b"dos\r\nline\r\n", &["dos", "line"]),
    (b"\x1b[31mERROR:\x1b[0m red\n", &["ERROR: red"]),
    (b"\n", &[""]),
    (b"half a line at the end", &["half a line at the end"]),
];

#[test]
fn every_encoding_and_every_line_end() {
    // Byte by byte, in one piece, and cut in the middle of characters.
    for tool in [
        "exec cat \"$AUTOEXEC_HOME/noise\"",
        "exec dd if=\"$AUTOEXEC_HOME/noise\" bs=1 status=none",
        "exec dd if=\"$AUTOEXEC_HOME/noise\" bs=7 status=none",
    ] {
        let job = job_with(&format!("#!/bin/sh\n{tool}\n"), &[71]);
        job.home.write("noise", NOISE.map(|(bytes, _)| bytes).concat()).unwrap();
        job.expect(0, &["--firstfire"]).unwrap();
        let expected: Vec<&str> = NOISE.iter().flat_map(|(_, lines)| lines.iter().copied()).collect();
        assert_eq!(printed(&job, 71), expected, "{tool}");
        assert_eq!(job.status("A", &key(71))["warnCount"], 1, "the line that says ERROR:");
    }
}

#[test]
fn a_node_file_of_a_hundred_thousand_nodes_is_streamed() {
    let job = job_with("#!/bin/sh\necho here\n", &[]);
    let mut text = json!({"totalCount": 100_000, "localRunnerId": 1, "jobRunnerIds": [1]}).to_string() + "\n";
    // Three of them are this runner's.
    for id in 1..=100_000_u32 {
        let runner = if matches!(id, 1 | 50_000 | 100_000) { 1 } else { 2 };
        let host = format!("10.{}.{}.{}", id >> 16, (id >> 8) & 255, id & 255);
        let node = json!({"resourceId": id, "nodeName": format!("n{id}"), "nodeType": "Linux", "host": host,
            "protocol": "ssh", "protocolPort": 22, "username": "app", "password": "pw", "runnerId": runner});
        text.push_str(&node.to_string());
        text.push('\n');
    }
    job.set_nodes(autoexec_test_support::server::Scope::Job, &text);
    job.expect(0, &["--firstfire"]).unwrap();
    for (host, id) in [("10.0.0.1", 1), ("10.0.195.80", 50_000), ("10.1.134.160", 100_000)] {
        assert_eq!(job.status("A", &format!("{host}--{id}"))["status"], "succeed", "{id}");
    }
    assert_little_memory();
}

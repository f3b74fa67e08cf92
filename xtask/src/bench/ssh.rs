//! Several operations on each of many SSH nodes, beside the `ssh` client doing the same.

use std::process::Command;

use anyhow::Result;
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::{Value, json};

use super::job::{BenchJob, Nodes, quietly};
use super::series::{Table, Variant, measure as measure_series};
use crate::stage::StagedHome;
use crate::step::Attended;

const NODES: u32 = 50;
const OPERATIONS: u32 = 5;
const WIDTH: u32 = 10;
/// What runs on the target, every time.
const SCRIPT: &str = "echo done";

/// One node by the `ssh` client: the operations one after the other, with or without a shared connection.
const CLIENT: &str = r#"#!/bin/sh
set -e
node=$1; control=$2
if [ "$control" = shared ]; then
    set -- -o ControlMaster=auto -o ControlPersist=60 -o "ControlPath=$BENCH_DIR/c$node"
else
    set -- -o ControlMaster=no -o ControlPath=none
fi
ssh_() {
    ssh -F /dev/null -i "$BENCH_KEY" -p "$BENCH_PORT" -o BatchMode=yes -o StrictHostKeyChecking=accept-new \
        -o "UserKnownHostsFile=$BENCH_DIR/known_hosts" -o LogLevel=ERROR "$@"
}
for operation in $BENCH_OPERATIONS; do
    ssh_ "$@" "$BENCH_USER@127.0.0.1" sh -s <"$BENCH_DIR/operation.sh"
done
if [ "$control" = shared ]; then
    ssh_ "$@" -O exit "$BENCH_USER@127.0.0.1"
fi
"#;

pub(super) fn measure(home: &StagedHome, runs: u32) -> Result<Table> {
    // From here on there is an account and a server to be removed, whatever happens.
    let attended = Attended::start()?;
    let sshd =
        Sshd::start(SshdOptions { config: vec!["MaxSessions 100".to_owned()], ..SshdOptions::default() })?;
    home.write(
        "conf/config.ini",
        &format!("[autoexec]\nssh.identity = {}\n", sshd.key_path().display()),
        0o600,
    )?;
    home.write("operation.sh", SCRIPT, 0o600)?;
    let client = home.write("client.sh", CLIENT, 0o700)?;
    let nodes = Nodes { count: NODES, width: WIDTH, ssh_port: sshd.port(), user: sshd.user().to_owned() };
    let operations: Vec<Value> = (1..=OPERATIONS).map(operation).collect();
    let job = BenchJob::new(home, "ssh", &nodes, "target", &operations)?;
    let by_client = |control: &str| {
        attended.check()?;
        let loop_ = format!("seq {NODES} | xargs -P{WIDTH} -I@ {} @ {control}", client.display());
        let numbers = (1..=OPERATIONS).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        quietly(
            Command::new("sh")
                .args(["-c", &loop_])
                .env("BENCH_DIR", home.path())
                .env("BENCH_KEY", sshd.key_path())
                .env("BENCH_PORT", sshd.port().to_string())
                .env("BENCH_USER", sshd.user())
                .env("BENCH_OPERATIONS", numbers),
        )
    };
    let variants = vec![
        Variant::new("autoexec", || attended.check().and_then(|()| job.run())),
        Variant::new("`ssh`, a connection per operation", || by_client("single")),
        Variant::new("`ssh` with ControlMaster", || by_client("shared")),
    ];
    let title = format!("{NODES} SSH nodes × {OPERATIONS} operations, {WIDTH} nodes at a time");
    let table = measure_series(&title, NODES * OPERATIONS, runs, variants)?;
    let note = "All nodes are one real sshd on loopback, with key login, on the same processors as the client. autoexec sends \
                each script into a private directory, runs it in a process group of its own and removes the directory in the \
                end; the client gives it to `sh -s`.";
    let peak = job.peak_kib()? as f64 / 1024.0;
    Ok(table.note(note).note(format!("Peak resident memory of autoexec: {peak:.1} MiB.")))
}

fn operation(number: u32) -> Value {
    json!({"opId": format!("bench/step_{number}"), "opName": "bench/step", "opType": "target", "isScript": 1,
        "scriptContent": SCRIPT, "interpreter": "sh", "opt": {}, "desc": {}, "output": {}})
}

//! Global locks between two jobs (`spec/job-socket.md` §9.2).

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{node, one_shot, op, params, phase};
use autoexec_e2e::wait::{LONG, until};
use autoexec_test_support::server::{Call, CallName};
use serde_json::{Value, json};

use crate::{FIRE, inform, prepare, write_fifo};

/// Takes a lock, waits for the test, gives the lock back only when it is told to.
const LOCKER: &str = r#"#!/bin/sh
lock() {
    perl "$AUTOEXEC_HOME/send.pl" "{\"action\":\"globalLock\",\"lockParams\":{\"action\":\"$1\",\"pid\":\"$$\",\"lockOwner\":\"11/22\",\"lockTarget\":\"workspace\",\"lockMode\":\"write\",\"wait\":1,\"lockId\":$2}}" wait
}
lock lock null
: > "$AUTOEXEC_HOME/locked"
read answer < "$AUTOEXEC_HOME/fifo"
[ "$answer" = keep ] || lock unlock 9001
"#;

fn job(id: u64) -> TestJob {
    let mut params = params([one_shot([phase("A", "runner", [op("basic/lock", "runner", 1)])])]);
    params["jobId"] = json!(id);
    let job = TestJob::empty(&id.to_string()).unwrap();
    job.server.set_params(params);
    job.set_nodes(autoexec_test_support::server::Scope::Job, &autoexec_e2e::build::node_file(&[node(71)]));
    prepare(&job);
    job.home.write_local_plugin("basic", "lock", LOCKER).unwrap();
    job
}

fn asked(job: &TestJob) -> Vec<String> {
    let calls = job.server.calls_of(CallName::GlobalLock);
    calls.iter().map(|call| call.json()["action"].as_str().unwrap_or_default().to_owned()).collect()
}

fn has_locked(job: &TestJob) -> bool {
    job.home.path().join("locked").exists()
}

fn wait_for_lock(job: &TestJob) {
    until("the lock", LONG, || has_locked(job).then_some(())).unwrap();
}

#[test]
fn the_second_job_waits_until_the_server_hands_the_lock_over() {
    let (first, second) = (job(620_011_223_344), job(77));
    first.server.set_lock_reply("lock", json!({"lockId": 9001, "wait": 0}));
    first.server.set_lock_reply("unlock", json!({"lockId": 9001, "wait": 0}));
    let one = first.start(&FIRE).unwrap();
    wait_for_lock(&first);

    second.server.set_lock_reply("lock", json!({"lockId": 9002, "wait": 1}));
    second.server.set_lock_reply("retry", json!({"lockId": 9002, "wait": 0}));
    second.server.set_lock_reply("unlock", json!({"lockId": 9002, "wait": 0}));
    let other = second.start(&FIRE).unwrap();
    second.server.wait_for(|calls| calls.iter().any(|call| call.name == CallName::GlobalLock), LONG).unwrap();
    assert!(!has_locked(&second), "the first job has it");

    write_fifo(&first.home.path().join("fifo"), "unlock");
    assert_eq!(one.wait().unwrap().code, Some(0), "{}", first.console());
    assert_eq!(asked(&first), ["lock", "unlock"]);
    let log = first.node_log("A", "local-0-0");
    assert!(log.contains(r#"reply {"lockId":9001,"wait":0}"#), "{log}");

    inform(&second, &json!({"action": "globalLockNotify", "lockId": 9002}));
    wait_for_lock(&second);
    // A plugin that forgets its lock: the process gives it back, before the server may fire the next group.
    write_fifo(&second.home.path().join("fifo"), "keep");
    assert_eq!(other.wait().unwrap().code, Some(0), "{}", second.console());
    assert_eq!(asked(&second), ["lock", "retry", "unlock"]);
    let names: Vec<CallName> = second.server.calls().iter().map(|call| call.name).collect();
    let last = |name| names.iter().rposition(|found| *found == name).unwrap();
    assert!(last(CallName::GlobalLock) < last(CallName::NextGroup), "{names:?}");
    let body: Value = first_lock(&second.server.calls()).json();
    assert_eq!(
        (&body["jobId"], &body["execId"], &body["runnerId"]),
        (&json!("77"), &json!("900"), &json!("1"))
    );
}

fn first_lock(calls: &[Call]) -> &Call {
    calls.iter().find(|call| call.name == CallName::GlobalLock).unwrap()
}

#[test]
fn in_devmode_the_plugin_gets_an_answer_at_once() {
    let job = job(620_011_223_344);
    let running = job.start(&[&FIRE[..], &["--devmode"]].concat()).unwrap();
    wait_for_lock(&job);
    write_fifo(&job.home.path().join("fifo"), "unlock");
    assert_eq!(running.wait().unwrap().code, Some(0), "{}", job.console());
    assert_eq!(job.node_log("A", "local-0-0").matches(r#"reply {"lockId":0}"#).count(), 2);
    assert_eq!(asked(&job), Vec::<String>::new());
}

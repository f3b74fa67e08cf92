//! `lock`: global locks of the server, held for a call.

use autoexec_e2e::TestJob;
use autoexec_e2e::wait::LONG;
use autoexec_test_support::server::CallName;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{answer, assert_denied, everything, log, uses};

fn step() -> Value {
    uses(1, &[("what", "lock"), ("subject", "11/22/workspace")])
}

const GRANT: &str = "lock = { names = [\"11/22/*\"] }\n";

fn asked(job: &TestJob) -> Vec<String> {
    let calls = job.server.calls_of(CallName::GlobalLock);
    calls.iter().map(|call| call.json()["action"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_lock_is_taken_and_given_back_with_the_call() {
    let job = everything(vec![step()], GRANT);
    job.server.set_lock_reply("lock", json!({"lockId": 9001, "wait": 0}));
    job.server.set_lock_reply("unlock", json!({"lockId": 9001}));
    job.expect(0, &["--firstfire", "--execid", "900"]).unwrap();
    assert_eq!(answer(&job, 1), "11/22/workspace");
    assert_eq!(asked(&job), ["lock", "unlock"]);
    let body = job.server.calls_of(CallName::GlobalLock)[0].json();
    assert_eq!(
        (&body["lockOwner"], &body["lockTarget"], &body["lockMode"], &body["execId"]),
        (&json!("11/22"), &json!("workspace"), &json!("write"), &json!("900"))
    );
}

#[test]
fn a_call_that_is_stopped_takes_its_request_back() {
    let job = everything(vec![step()], GRANT);
    job.server.set_lock_reply("lock", json!({"lockId": 9001, "wait": 1}));
    job.server.set_lock_reply("cancel", json!({}));
    let running = job.start(&["--firstfire"]).unwrap();
    job.server.wait_for(|calls| calls.iter().any(|call| call.name == CallName::GlobalLock), LONG).unwrap();
    running.signal(Signal::SIGTERM).unwrap();
    running.wait().unwrap();
    assert_eq!(asked(&job), ["lock", "cancel"], "{}", job.console());
    assert_eq!(job.status("A", "10.1.0.1--71")["status"], "aborted");
}

#[test]
fn a_lock_that_does_not_become_free_is_said_so() {
    let job = everything(vec![step()], GRANT);
    job.server.set_lock_reply("lock", json!({"lockId": 9001, "wait": 1}));
    job.server.set_lock_reply("cancel", json!({}));
    job.expect(1, &["--firstfire"]).unwrap();
    assert_eq!(asked(&job), ["lock", "cancel"]);
    assert!(log(&job).contains("somebody else has it"), "{}", log(&job));
}

#[test]
fn a_lock_that_is_not_granted_is_not_asked_for() {
    let job = everything(vec![step()], "lock = { names = [\"build-*\"] }\n");
    job.expect(1, &["--firstfire"]).unwrap();
    assert_eq!(asked(&job), [""; 0]);
    assert_denied(&job, "lock", "lock = { names = [\"11/22/workspace\"] }");
}

//! Components in the sandbox, hostile ones among them: their node fails with the limit named, the job goes on.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::time::{Duration, Instant};

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{fail_ignored, key, node, one_shot, op, params, phase, with_option};
use autoexec_e2e::guests::{guest, with_manifest, without_manifest};
use serde_json::Value;

/// The hostile guest, asking for limits that are reached soon.
fn hostile() -> Vec<u8> {
    with_manifest(&guest("fixture/hostile").unwrap(), |manifest| {
        manifest.limits.time_seconds = Some(1);
        manifest.limits.memory_mib = Some(16);
        manifest.limits.log_kib = Some(64);
    })
    .unwrap()
}

fn deed(number: u32, deed: &str) -> Value {
    with_option(op("fixture/hostile", "runner_target", number), "deed", "text", deed)
}

fn run(operations: Vec<Value>, code: i32) -> TestJob {
    let params = params([one_shot([phase("A", "runner_target", operations)])]);
    let job = TestJob::new(params, &[node(71)]).unwrap();
    job.install_component("fixture/hostile", &hostile()).unwrap();
    job.expect(code, &["--firstfire"]).unwrap();
    job
}

/// Runs one deed, and checks that it fails its node with `words` in the log.
fn fails_with(name: &str, words: &[&str]) {
    let begin = Instant::now();
    let job = run(vec![deed(1, name)], 1);
    let log = job.node_log("A", &key(71));
    for word in words {
        assert!(log.contains(word), "{name}: no `{word}` in:\n{log}");
    }
    assert!(log.contains("ERROR: Execute operation fixture/hostile on runner to target failed."), "{log}");
    assert_eq!(job.status("A", &key(71))["status"], "failed");
    assert!(begin.elapsed() < Duration::from_mins(1), "{name} took {:?}", begin.elapsed());
}

#[test]
fn one_that_computes_for_ever_is_ended_by_its_time_limit() {
    fails_with("log-and-spin", &[" spinning\n", "did not end within its limit of 1s", "time-seconds"]);
}

#[test]
fn one_that_waits_for_ever_is_ended_by_its_time_limit() {
    fails_with("wait", &["did not end within its limit of 1s"]);
}

#[test]
fn one_that_eats_memory_is_ended_by_its_memory_limit() {
    fails_with("eat-memory", &["more memory than its limit of 16 MiB", "memory-mib"]);
}

#[test]
fn one_that_floods_the_log_is_ended_by_its_log_limit() {
    fails_with("flood-log", &["more than its limit of 65536 bytes to the log", "log-kib"]);
}

#[test]
fn one_that_panics_says_so() {
    fails_with("panic", &["the tool crashed", "the guest's own words"]);
}

#[test]
fn a_crash_of_one_operation_does_not_hurt_the_next() {
    let operations =
        vec![fail_ignored(deed(1, "recurse")), fail_ignored(deed(2, "trap")), deed(3, "begin-and-end")];
    let job = run(operations, 0);
    let log = job.node_log("A", &key(71));
    assert!(log.contains(" begin\n") && log.contains(" end\n"), "{log}");
    let status = job.status("A", &key(71));
    assert_eq!(
        (&status["status"], &status["fixture/hostile_1"]),
        (&"ignored".into(), &"failed".into()),
        "{status}"
    );
}

#[test]
fn what_is_no_tool_is_refused_with_its_path() {
    let core = wasm_core_module();
    for (bytes, words) in [
        (b"this is no component".to_vec(), "not a readable WebAssembly component"),
        (core, "a WebAssembly core module, not a component"),
        (without_manifest(&guest("fixture/hostile").unwrap()).unwrap(), "is not an autoexec tool"),
    ] {
        let params = params([one_shot([phase("A", "runner_target", [deed(1, "behave")])])]);
        let job = TestJob::new(params, &[node(71)]).unwrap();
        let path = job.install_component("fixture/hostile", &bytes).unwrap();
        job.expect(1, &["--firstfire"]).unwrap();
        let log = job.node_log("A", &key(71));
        assert!(log.contains("ERROR: ") && log.contains(words), "{words}: {log}");
        assert!(log.contains(&path.display().to_string()), "{log}");
    }
}

/// Magic and version of an empty core module.
fn wasm_core_module() -> Vec<u8> {
    b"\0asm\x01\0\0\0".to_vec()
}

//! Broken input of every kind: a clear error that names file and field, in the place where its reader looks, and the
//! documented exit code.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{node, node_file, one_shot, op, params, phase};
use autoexec_test_support::server::{CallName, FailMode, Scope};
use serde_json::{Value, json};

const BAD_INPUT: i32 = 65;
const USAGE: i32 = 64;

fn params_of_one() -> Value {
    params([one_shot([phase("A", "runner_target", [op("basic/ok", "runner_target", 1)])])])
}

fn job() -> TestJob {
    let job = TestJob::new(params_of_one(), &[node(71)]).unwrap();
    job.home.write_local_plugin("basic", "ok", "#!/bin/sh\necho fine\n").unwrap();
    job
}

/// Runs and checks code, standard error and console log.
fn refuses(job: &TestJob, flags: &[&str], code: i32, words: &[&str]) {
    let finished = job.expect(code, flags).unwrap();
    let console = job.console();
    for word in words {
        assert!(finished.stderr.contains(word), "no `{word}` in standard error:\n{}", finished.stderr);
        assert!(console.contains(word), "no `{word}` in the console log:\n{console}");
    }
    assert!(finished.stderr.starts_with("ERROR: "), "{}", finished.stderr);
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    let callbacks = job.call_lines().into_iter().filter(|line| line.contains("status"));
    assert_eq!(callbacks.count(), 0, "nothing was started, so nothing is reported");
}

#[test]
fn configuration() {
    for (from, to, words) in [
        ("server.username", "server.user", ["section [server]", "`server.username` is missing"]),
        (
            "rexec.readTimeout = 60",
            "rexec.readTimeout = soon",
            ["section [autoexec]", "`rexec.readTimeout` must be a number"],
        ),
        (
            "rexec.connectTimeout = 5",
            "rexec.connectTimeout = 0",
            ["section [autoexec]", "`rexec.connectTimeout` must be at least 1 second"],
        ),
        ("server.baseurl = http", "server.baseurl = nonsense", ["config.ini", "server.baseurl"]),
        ("[autoexec]", "[autoexec]\nhunter2", ["config.ini, line ", "not `key = value`"]),
    ] {
        let job = job();
        let path = job.home.path().join("conf/config.ini");
        let config = std::fs::read_to_string(&path).unwrap();
        job.home.write("conf/config.ini", config.replacen(from, to, 1)).unwrap();
        refuses(&job, &["--firstfire"], BAD_INPUT, &words);
        assert!(!job.console().contains("hunter2"), "{}", job.console());
    }
}

#[test]
fn no_configuration_at_all() {
    let job = job();
    std::fs::remove_file(job.home.path().join("conf/config.ini")).unwrap();
    refuses(&job, &["--firstfire"], BAD_INPUT, &["conf/config.ini", "No such file"]);
}

#[test]
fn stored_parameters() {
    let mut without_name = params_of_one();
    without_name["runFlow"][0]["phases"][0]["operations"][0]["opName"] = json!({});
    let mut bad_phase = params_of_one();
    bad_phase["runFlow"][0]["phases"][0]["phaseName"] = json!("../escape");
    for (text, words) in [
        ("{\"jobId\": 1,".to_owned(), ["params.json", "JSON"]),
        ("[1]".to_owned(), ["params.json", "object"]),
        (String::new(), ["params.json", "JSON"]),
        (without_name.to_string(), ["params.json", "runFlow[0].phases[0].operations[0].opName"]),
        (bad_phase.to_string(), ["params.json", "runFlow[0].phases[0].phaseName"]),
    ] {
        let job = job();
        // With a server that answers they would be replaced by good ones.
        job.server.fail(CallName::Parameters, FailMode::NotOk("away".into()), None);
        job.home.write_job_file(job.id(), "params.json", &text).unwrap();
        job.home.write_job_file(job.id(), "nodes.json", node_file(&[node(71)])).unwrap();
        refuses(&job, &[], BAD_INPUT, &words);
    }
}

#[test]
fn parameters_from_the_server() {
    let job = job();
    job.server.set_params(json!({"jobId": 620_011_223_344_u64, "runFlow": "none"}));
    refuses(&job, &["--firstfire"], BAD_INPUT, &["params.json", "runFlow"]);
}

#[test]
fn files_that_are_not_there() {
    let job = job();
    refuses(
        &job,
        &["--firstfire", "--paramsfile", "no/params.json"],
        BAD_INPUT,
        &["no/params.json", "No such file"],
    );
    let job = self::job();
    refuses(
        &job,
        &["--firstfire", "--nodesfile", "no/nodes.json"],
        BAD_INPUT,
        &["no/nodes.json", "no such file"],
    );
}

#[test]
fn flags() {
    for (flags, words) in [
        (["--phasegroups", "1,x"], ["--phasegroups", "`x` is not a number"]),
        (["--nodes", "11','y"], ["--nodes", "`y` is not a number"]),
        (["--execid", "../../x"], ["--execid", "letters"]),
    ] {
        let job = job();
        let finished = job.expect(USAGE, &flags).unwrap();
        for word in words {
            assert!(finished.stderr.contains(word), "no `{word}` in {}", finished.stderr);
        }
    }
    let job = job();
    for (job_id, words) in [("../1", "job id"), ("", "job id")] {
        let finished = job.start_command(job.home.autoexec(["--jobid", job_id, "--firstfire"]).unwrap());
        let finished = finished.unwrap().wait().unwrap();
        assert_eq!(finished.code, Some(USAGE), "{job_id:?}: {}", finished.stderr);
        assert!(finished.stderr.contains(words), "{}", finished.stderr);
    }
}

#[test]
fn a_pass_through_object_that_is_none_is_not_repeated() {
    let job = job();
    let command =
        job.home.autoexec(["--jobid", job.id(), "--passthroughenv", "{\"EXECUSER_TOKEN\":\"t0ken-77\""]);
    let finished = job.start_command(command.unwrap()).unwrap().wait().unwrap();
    assert_eq!(finished.code, Some(USAGE));
    assert!(finished.stderr.contains("--passthroughenv is not JSON"), "{}", finished.stderr);
    assert!(!finished.stderr.contains("t0ken") && !job.console().contains("t0ken"), "{}", finished.stderr);
}

#[test]
fn a_node_list_without_a_header_or_with_noise() {
    let job = job();
    let text = format!(
        "not a header\n\n{}\n\u{fffd}\u{0}\n{}",
        node(71),
        "{\"resourceId\": \"x\", \"host\": \"h\"}"
    );
    job.set_nodes(
        Scope::Job,
        &format!("{{\"totalCount\":2,\"localRunnerId\":1,\"jobRunnerIds\":[1]}}\n{text}\n"),
    );
    job.expect(0, &["--firstfire"]).unwrap();
    let console = job.console();
    for line in [2, 5, 6] {
        assert!(console.contains(&format!("nodes.json, line {line}: ")), "{console}");
    }
    assert_eq!(job.status("A", "10.1.0.1--71")["status"], "succeed");
}

#[test]
fn a_damaged_status_file_counts_as_pending() {
    let job = job();
    job.expect(0, &["--firstfire"]).unwrap();
    job.home.write_job_file(job.id(), "status/A/10.1.0.1--71.json", "{\"status\": \"succ").unwrap();
    job.expect(0, &[]).unwrap();
    assert_eq!(job.status("A", "10.1.0.1--71")["status"], "succeed");
    assert!(job.console().contains("WARN: Node(71): the recorded status is broken and counts as pending"));
}

#[test]
fn a_tool_that_writes_no_object_fails_with_its_file_named() {
    let job = job();
    job.home.write_local_plugin("basic", "ok", "#!/bin/sh\necho '{\"half\": ' > \"$OUTPUT_PATH\"\n").unwrap();
    job.expect(1, &["--firstfire"]).unwrap();
    let log = job.node_log("A", "10.1.0.1--71");
    assert!(log.contains("ERROR: ") && log.contains("output-op/10.1.0.1--71/basic/ok_1.json"), "{log}");
}

#[test]
fn a_tool_that_may_not_be_started_fails_with_its_file_named() {
    let job = job();
    job.home.write_local_plugin("basic", "ok", "#!/no/such/interpreter\n").unwrap();
    job.expect(1, &["--firstfire"]).unwrap();
    let log = job.node_log("A", "10.1.0.1--71");
    assert!(log.contains("ERROR: ") && log.contains("plugins/local/basic/ok"), "{log}");
}

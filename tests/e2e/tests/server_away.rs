//! A server that is away, answers with errors, or misses the end of a killed process: nothing is lost, nothing fails,
//! and the order of `spec/execution.md` §6.9 holds.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::time::Duration;

use autoexec_e2e::build::{key, node, one_shot, op, params, phase};
use autoexec_e2e::wait::{LONG, until};
use autoexec_e2e::{Running, TestJob};
use autoexec_test_support::server::{Call, CallName, FailMode};
use serde_json::{Value, json};

/// Waits for a file of the home, so that the test decides when the operation ends.
const WAIT_FOR_GATE: &str = "#!/bin/sh\nuntil [ -e \"$AUTOEXEC_HOME/gate\" ]; do sleep 0.02; done\n";

const NODES: [u32; 3] = [71, 72, 73];

/// "Next group" in the short form of a callback: no phase, no node, no status.
const NEXT_GROUP: &str = " null ";

/// Two phases in two groups over three nodes at once.
fn job() -> TestJob {
    let mut params = params(["A", "B"].into_iter().zip(1..).map(|(name, number)| {
        one_shot([phase(name, "runner_target", [op("basic/wait", "runner_target", number)])])
    }));
    params["roundCount"] = json!(1);
    let job = TestJob::new(params, &NODES.map(node)).unwrap();
    job.home.write_local_plugin("basic", "wait", WAIT_FOR_GATE).unwrap();
    job
}

fn open_gate(job: &TestJob) {
    job.home.write("gate", "").unwrap();
}

/// What a good run of group 0 sends.
fn undisturbed(flags: &[&str]) -> Vec<String> {
    let job = job();
    open_gate(&job);
    job.expect(0, flags).unwrap();
    job.call_lines()
}

fn text<'a>(body: &'a Value, name: &str) -> &'a str {
    body[name].as_str().unwrap_or_default()
}

fn all_nodes_run(calls: &[Call]) -> bool {
    let running = calls
        .iter()
        .filter(|call| call.name == CallName::NodeStatus && text(&call.json(), "status") == "running");
    running.count() == NODES.len()
}

fn start_and_wait_until_all_run(job: &TestJob, flags: &[&str]) -> Running {
    let running = job.start(flags).unwrap();
    job.server.wait_for(all_nodes_run, LONG).unwrap();
    running
}

fn wait_until_recorded(job: &TestJob, phase: &str, status: &str) {
    until("the nodes' status files", LONG, || {
        NODES.iter().all(|id| job.status(phase, &key(*id))["status"] == status).then_some(())
    })
    .unwrap();
}

#[test]
fn away_for_a_whole_phase() {
    let flags = ["--firstfire", "--phasegroups", "0"];
    let job = job();
    let mut running = start_and_wait_until_all_run(&job, &flags);
    job.server.go_away().unwrap();
    open_gate(&job);
    wait_until_recorded(&job, "A", "succeed");
    until("the phase's end", LONG, || {
        job.console().contains("phase:A complete, status:succeed").then_some(())
    })
    .unwrap();
    assert!(running.is_running().unwrap(), "it may not end while callbacks are undelivered");
    job.server.come_back().unwrap();
    let finished = running.wait().unwrap();
    assert_eq!(finished.code, Some(0), "{}", job.console());
    assert_eq!(job.call_lines(), undisturbed(&flags));
    assert!(job.console().contains("WARN: The server did not take the callback"), "{}", job.console());
}

#[test]
fn errors_on_every_kind_of_callback() {
    let flags = ["--firstfire", "--phasegroups", "0"];
    for failure in
        [FailMode::Status(500), FailMode::NonJson502, FailMode::CloseConnection, FailMode::RateLimit(0)]
    {
        let job = job();
        open_gate(&job);
        for name in [CallName::NodeStatus, CallName::PhaseStatus, CallName::NextGroup] {
            job.server.fail(name, failure.clone(), Some(2));
        }
        job.expect(0, &flags).unwrap();
        assert_eq!(job.call_lines(), undisturbed(&flags), "{failure:?}");
    }
}

#[test]
fn a_killed_process_leaves_its_callbacks_to_the_next() {
    let job = job();
    let running = start_and_wait_until_all_run(&job, &["--firstfire", "--phasegroups", "0"]);
    job.server.go_away().unwrap();
    open_gate(&job);
    wait_until_recorded(&job, "A", "succeed");
    until("the phase's end", LONG, || job.console().contains("phase:A complete").then_some(())).unwrap();
    running.kill().unwrap();
    let before = job.server.calls().len();
    job.server.come_back().unwrap();

    job.expect(0, &["--phasegroups", "1"]).unwrap();
    let calls = job.server.calls().split_off(before);
    let callbacks: Vec<String> = calls
        .iter()
        .filter(|call| {
            matches!(call.name, CallName::NodeStatus | CallName::PhaseStatus | CallName::NextGroup)
        })
        .map(|call| {
            let body = call.json();
            format!("{} {} {}", text(&body, "phase"), body["resourceId"], text(&body, "status"))
        })
        .collect();
    // The nodes' `running` may have been under way when the server went: a repetition is allowed.
    let of_a = callbacks.iter().take_while(|line| !line.starts_with("B ")).cloned().collect::<Vec<_>>();
    for id in NODES {
        assert!(of_a.contains(&format!("A {id} succeed")), "{callbacks:?}");
    }
    // It may have come to ask for the next group before it was killed.
    let ending: Vec<&str> = of_a.iter().map(String::as_str).filter(|line| *line != NEXT_GROUP).collect();
    assert_eq!(ending.last(), Some(&"A null succeed"), "{callbacks:?}");
    let rest = &callbacks[of_a.len()..];
    assert!(rest.iter().all(|line| !line.starts_with("A ")), "{callbacks:?}");
    assert_eq!(
        rest.len(),
        2 + 2 * NODES.len() + 1 + 1,
        "phase running twice, nodes, phase, next group: {rest:?}"
    );
    assert!(job.console().contains("are sent first"), "{}", job.console());
}

#[test]
fn no_server_at_the_start_is_an_error_that_names_it() {
    let job = job();
    job.server.go_away().unwrap();
    let finished = job.expect(69, &["--firstfire"]).unwrap();
    let address = job.server.address().to_string();
    for place in [&finished.stderr, &job.console()] {
        assert!(
            place.contains("ERROR: ") && place.contains("get parameters") && place.contains(&address),
            "{place}"
        );
    }
}

#[test]
fn a_server_that_stays_away_ends_the_wait_with_its_own_exit_code() {
    let job = job();
    let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
    job.home.write("conf/config.ini", config + "outbox.maxWaitSecs = 1\n").unwrap();
    let running = start_and_wait_until_all_run(&job, &["--firstfire", "--phasegroups", "0"]);
    job.server.go_away().unwrap();
    open_gate(&job);
    let finished = running.wait().unwrap();
    assert_eq!(finished.code, Some(75), "{}", job.console());
    assert!(job.console().contains("callback(s) could not be delivered; they are kept"), "{}", job.console());
    assert_eq!(job.status("A", &key(71))["status"], "succeed");

    // The answer to a lost callback is not known, so it is repeated; nothing runs again.
    job.server.come_back().unwrap();
    job.expect(0, &["--phasegroups", "0", "--nofirenext"]).unwrap();
    let last = job.server.calls_of(CallName::PhaseStatus).last().map(Call::json).unwrap();
    assert_eq!((text(&last, "status"), &last["skipNodeCount"]), ("succeed", &json!(3)));
    let next = job.server.calls_of(CallName::NextGroup);
    assert_eq!(next.len(), 1, "the first process' next group arrives with the second");
    assert!(next[0].at.elapsed() < Duration::from_mins(1));
}

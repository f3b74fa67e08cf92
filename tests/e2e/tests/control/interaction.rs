//! The job socket: waiting for a person, rounds, variables, hostile senders.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{key, node, one_shot, op, params, phase};
use autoexec_e2e::wait::{LONG, until};
use autoexec_test_support::server::{CallName, Scope};
use serde_json::json;

use crate::{BLOCK, FIRE, inform, prepare, release, statuses, wait_until_started, write_fifo};

/// Asks a person as the plugins of the contract do (`spec/execution.md` §6.11).
const ASK: &str = r#"#!/bin/sh
pipe="$AUTOEXEC_WORK_PATH/log/A/ask.pipe"
mkfifo "$pipe"
at="\"action\":\"informNodeWaitInput\",\"phaseName\":\"$AUTOEXEC_PHASE_NAME\",\"resourceId\":\"71\""
perl "$AUTOEXEC_HOME/send.pl" "{$at,\"interact\":{\"title\":\"go on?\",\"opType\":\"button\",\"options\":[\"yes\",\"no\"],\"pipeFile\":\"$pipe\"}}"
read answer < "$pipe"
rm "$pipe"
perl "$AUTOEXEC_HOME/send.pl" "{$at,\"interact\":null,\"clean\":1}"
echo "the person said: $answer"
read go < "$AUTOEXEC_HOME/fifo"
"#;

#[test]
fn a_person_is_asked_and_the_answer_reaches_the_plugin() {
    let params = params([one_shot([phase("A", "runner_target", [op("basic/ask", "runner_target", 1)])])]);
    let job = TestJob::new(params, &[node(71)]).unwrap();
    prepare(&job);
    job.home.write_local_plugin("basic", "ask", ASK).unwrap();
    let running = job.start(&FIRE).unwrap();
    let pipe = until("the question in the status file", LONG, || {
        let status = job.status("A", &key(71));
        let waits = status["status"] == "waitInput";
        status["interact"]["pipeFile"].as_str().filter(|_| waits).map(str::to_owned)
    });
    write_fifo(std::path::Path::new(&pipe.unwrap()), "[admin]# yes");
    until("the end of the wait", LONG, || {
        let status = job.status("A", &key(71));
        (status["status"] == "running" && status["interact"].is_null()).then_some(())
    })
    .unwrap();
    release(&job);
    assert_eq!(running.wait().unwrap().code, Some(0), "{}", job.console());
    assert!(job.node_log("A", &key(71)).contains("the person said: [admin]# yes"));
    let said = statuses(&job);
    let count = |line: &str| said.iter().filter(|said| *said == line).count();
    assert_eq!((count("node-status waitInput"), count("phase-status waitInput")), (1, 1), "{said:?}");
    assert_eq!(
        (count("node-status running"), count("phase-status running")),
        (2, 3),
        "also when the wait is over: {said:?}"
    );
}

#[test]
fn a_round_over_two_runners_goes_on_when_the_server_releases_it() {
    let mut group = one_shot([phase("A", "runner_target", [op("basic/hello", "runner_target", 1)])]);
    group["execStrategy"] = json!("grayScale");
    group["roundCount"] = json!(2);
    let job = TestJob::new(params([group]), &[]).unwrap();
    job.home.write_local_plugin("basic", "hello", "#!/bin/sh\necho hello\n").unwrap();
    let mut elsewhere = node(72);
    elsewhere["runnerId"] = json!(2);
    let header = json!({"totalCount": 3, "localRunnerId": 1, "jobRunnerIds": [1, 2]});
    let lines = [header, node(71), elsewhere, node(73)].map(|line| line.to_string());
    job.set_nodes(Scope::Job, &(lines.join("\n") + "\n"));
    job.set_nodes(Scope::Group(0), &(lines.join("\n") + "\n"));
    let mut running = job.start(&FIRE).unwrap();
    for round in 1..=2 {
        let ended = |number: u64| {
            move |calls: &[autoexec_test_support::server::Call]| {
                calls.iter().any(|call| call.name == CallName::RoundEnded && call.json()["roundNo"] == number)
            }
        };
        job.server.wait_for(ended(round), LONG).unwrap();
        assert!(running.is_running().unwrap(), "it waits for the other runner");
        // Another phase and another round are not this one.
        inform(
            &job,
            &json!({"action": "informRoundContinue", "phaseName": "B", "roundNo": round, "groupNo": 0}),
        );
        inform(&job, &json!({"action": "informRoundContinue", "phaseName": "A", "roundNo": 9, "groupNo": 0}));
        inform(
            &job,
            &json!({"action": "informRoundContinue", "phaseName": "A", "roundNo": round, "groupNo": 0}),
        );
    }
    assert_eq!(running.wait().unwrap().code, Some(0), "{}", job.console());
    let ended = job.server.calls_of(CallName::RoundEnded);
    assert!(
        ended.iter().all(|call| call.json()["pid"] == "900"),
        "the exec id names the socket on every runner"
    );
    assert_eq!(job.status("A", &key(73))["status"], "succeed");
}

/// Sets a variable, waits for the test, and sees it not yet: its own environment does not change.
const SET: &str = "#!/bin/sh\nperl \"$AUTOEXEC_HOME/send.pl\" '{\"action\":\"setEnv\",\"items\":{\"FROM_PLUGIN\":\"blue\",\"LD_PRELOAD\":\"/x\"}}'\n\
                   read go < \"$AUTOEXEC_HOME/fifo\"\n";

#[test]
fn a_variable_of_a_plugin_is_there_for_the_next_operation_and_the_next_process() {
    let operations = [op("basic/set", "runner", 1), op("basic/show", "runner", 2)];
    let again = phase("B", "runner", [op("basic/show", "runner", 3)]);
    let job =
        TestJob::new(params([one_shot([phase("A", "runner", operations)]), one_shot([again])]), &[node(71)])
            .unwrap();
    prepare(&job);
    job.home.write_local_plugin("basic", "set", SET).unwrap();
    job.home
        .write_local_plugin(
            "basic",
            "show",
            "#!/bin/sh\necho \"color ${FROM_PLUGIN:-none} preload ${LD_PRELOAD:-none}\"\n",
        )
        .unwrap();
    let running = job.start(&[&FIRE[..], &["--phasegroups", "0"]].concat()).unwrap();
    until("the stored variable", LONG, || job.file(".env.json").contains("FROM_PLUGIN").then_some(()))
        .unwrap();
    release(&job);
    assert_eq!(running.wait().unwrap().code, Some(0), "{}", job.console());
    assert!(job.node_log("A", "local-0-0").contains("color blue preload none"));
    assert!(
        job.console().contains("ERROR: setEnv: the variable LD_PRELOAD can not be set"),
        "{}",
        job.console()
    );
    job.expect(0, &["--execid", "901", "--phasegroups", "1"]).unwrap();
    assert!(job.node_log("B", "local-0-0").contains("color blue preload none"));
}

#[test]
fn hostile_datagrams_leave_lines_on_the_console_and_nothing_else() {
    let params = params([one_shot([phase("A", "runner", [op("basic/block", "runner", 1)])])]);
    let job = TestJob::new(params, &[node(71)]).unwrap();
    prepare(&job);
    job.home.write_local_plugin("basic", "block", BLOCK).unwrap();
    std::fs::create_dir_all(job.dir()).unwrap();
    for stale in ["job900.sock", "job7.sock"] {
        drop(UnixDatagram::bind(job.dir().join(stale)).unwrap());
    }
    let running = job.start(&FIRE).unwrap();
    wait_until_started(&job);
    let socket = job.dir().join("job900.sock");
    assert!(!job.dir().join("job7.sock").exists(), "a dead process left it");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    let sender = UnixDatagram::unbound().unwrap();
    let deep = "[".repeat(50_000);
    for datagram in [
        &b""[..],
        b"\xff\xfe\x00",
        b"null",
        deep.as_bytes(),
        br#"{"action":"format-disk"}"#,
        br#"{"action":"setEnv","items":{"A":{"token":"s3cret-of-a-plugin"}}}"#,
        br#"{"action":"informNodeWaitInput","phaseName":"../../etc","resourceId":1}"#,
        br#"{"action":"informNodeWaitInput","phaseName":"A","resourceId":4711,"interact":{}}"#,
        br#"{"action":"informRoundContinue","phaseName":"A","roundNo":18446744073709551615}"#,
        br#"{"action":"globalLockNotify","lockId":{}}"#,
    ] {
        sender.send_to(datagram, &socket).unwrap();
    }
    let complaints =
        || (job.console().matches("A datagram on the job socket is left out").count() == 9).then_some(());
    until("a line for each", LONG, complaints).unwrap();
    release(&job);
    assert_eq!(running.wait().unwrap().code, Some(0), "{}", job.console());
    let console = job.console();
    assert!(console.contains("the action `format-disk` is not known"), "{console}");
    assert!(!console.contains("s3cret-of-a-plugin"), "{console}");
    assert!(!socket.exists());
}

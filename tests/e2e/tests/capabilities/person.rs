//! `interact`: questions over the pipe of the contract.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{key, op, with_argument, with_option, with_output};
use autoexec_e2e::wait::{LONG, until};
use autoexec_test_support::server::CallName;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{job, log};

const GRANT: &str = "[[grant]]\ntools = [\"interact/*\", \"deploy/insconfirm\"]\ninteract = true\n";

fn ask(kind: &str, choices: &str) -> Value {
    let step = with_output(op("interact/interact", "runner_target", 1), "interactOut", "text");
    let options = [("optype", kind), ("optionsjson", choices), ("message", "Which one?"), ("role", "dba")];
    options.iter().fold(step, |step, (name, value)| with_option(step, name, "text", value))
}

/// Waits until the node shows its question.
fn question(job: &TestJob) -> Value {
    until("the question in the status file", LONG, || {
        let status = job.status("A", &key(71));
        (status["status"] == "waitInput").then(|| status["interact"].clone())
    })
    .unwrap()
}

fn write(pipe: &Path, line: &str) {
    let open = || -> Option<File> {
        OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(pipe).ok()
    };
    let mut pipe = until("a reader of the pipe", LONG, open).unwrap();
    pipe.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn pipe_of(question: &Value) -> PathBuf {
    question["pipeFile"].as_str().unwrap().into()
}

fn output(job: &TestJob) -> Value {
    let outputs: Value = serde_json::from_str(&job.file(&format!("output/{}.json", key(71)))).unwrap();
    outputs["interact/interact_1"]["interactOut"].clone()
}

#[test]
fn a_person_answers_over_the_pipe_as_the_runner_writes_it() {
    let job = job(vec![ask("select", r#"["blue", "green"]"#)], GRANT);
    let running = job.start(&["--firstfire"]).unwrap();
    let asked = question(&job);
    let pipe = job.dir().join(format!("log/A/{}.txt.run.pipe", key(71)));
    assert_eq!(
        asked,
        json!({"title": "Please Select", "opType": "select", "message": "Which one?", "options": ["blue", "green"],
            "role": "dba", "pipeFile": pipe.display().to_string()})
    );
    let description: Value =
        serde_json::from_str(&std::fs::read_to_string(format!("{}.json", pipe.display())).unwrap()).unwrap();
    assert_eq!(description["options"], json!(["blue", "green"]));
    write(&pipe, "[admin]# red");
    until("the complaint", LONG, || {
        log(&job).contains("WARN: Invalid input value:red, try again.").then_some(())
    })
    .unwrap();
    write(&pipe, "[admin]# green");
    assert_eq!(running.wait().unwrap().code, Some(0), "{}", log(&job));
    assert_eq!(output(&job), "green");
    let log = log(&job);
    assert!(log.contains("[Wait Interact]Which one?") && log.contains("INFO: Get input:green"), "{log}");
    assert!(!pipe.exists() && !Path::new(&format!("{}.json", pipe.display())).exists());
    let node: Vec<String> = job.server.calls_of(CallName::NodeStatus).iter().map(status).collect();
    assert_eq!(node, ["running", "waitInput", "running", "succeed"]);
    let phase: Vec<String> = job.server.calls_of(CallName::PhaseStatus).iter().map(status).collect();
    assert_eq!(phase.iter().filter(|status| *status == "waitInput").count(), 1, "{phase:?}");
    assert!(job.status("A", &key(71))["interact"].is_null());
}

fn status(call: &autoexec_test_support::server::Call) -> String {
    call.json()["status"].as_str().unwrap().to_owned()
}

#[test]
fn several_answers_and_none() {
    for (line, expected) in [(r#"[u]# ["a","c"]"#, json!(r#"["a","c"]"#)), ("[u]# force-exit", Value::Null)] {
        let job = job(vec![ask("mselect", r#"["a", "b", "c"]"#)], GRANT);
        let running = job.start(&["--firstfire"]).unwrap();
        write(&pipe_of(&question(&job)), line);
        assert_eq!(running.wait().unwrap().code, Some(0), "{}", log(&job));
        assert_eq!(output(&job), expected);
    }
}

#[test]
fn no_stops_and_yes_goes_on() {
    let steps = || {
        let go_on = with_option(op("interact/continue", "runner_target", 1), "message", "text", "Go on?");
        vec![go_on, with_argument(op("deploy/insconfirm", "runner_target", 2), "text", "n71")]
    };
    let job = job(steps(), GRANT);
    let running = job.start(&["--firstfire"]).unwrap();
    let asked = question(&job);
    assert_eq!(asked["message"], "Go on?");
    write(&pipe_of(&asked), "[u]# Yes");
    // The second question is another one, not taken back by the end of the first.
    let second = until("the second question", LONG, || {
        let asked = job.status("A", &key(71))["interact"].clone();
        asked["message"].as_str().is_some_and(|text| text.contains("n71")).then_some(asked)
    });
    write(&pipe_of(&second.unwrap()), "[u]# No");
    assert_eq!(running.wait().unwrap().code, Some(1), "{}", log(&job));
    assert!(log(&job).contains("Operation break, exit."), "{}", log(&job));
    assert_eq!(job.status("A", &key(71))["status"], "failed");
}

#[test]
fn an_abort_takes_the_question_back() {
    let job = job(vec![ask("button", r#"["ok"]"#)], GRANT);
    let running = job.start(&["--firstfire"]).unwrap();
    let pipe = pipe_of(&question(&job));
    running.signal(Signal::SIGTERM).unwrap();
    running.wait().unwrap();
    assert!(!pipe.exists());
    let status = job.status("A", &key(71));
    assert_eq!((&status["status"], status["interact"].is_null()), (&json!("aborted"), true), "{status}");
}

#[test]
fn a_tool_that_may_not_ask_is_told_how_it_could() {
    let job = job(vec![ask("button", r#"["ok"]"#)], "[[grant]]\ntools = [\"*\"]\nstep-outputs = true\n");
    job.expect(1, &["--firstfire"]).unwrap();
    let log = log(&job);
    assert!(log.contains("interact@1.0.0` is not granted") && log.contains("interact = true"), "{log}");
}

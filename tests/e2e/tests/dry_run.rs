//! Dry runs, and programs that read the progress of a run slowly or not at all (`docs/standalone.md`).

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where its surroundings do")]

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use autoexec_e2e::build::{node, node_file};
use autoexec_e2e::wait::{LONG, until};
use autoexec_test_support::home::TestHome;
use serde_json::Value;

/// A home without a server.
fn home() -> TestHome {
    let home = TestHome::new("http://127.0.0.1:1", "nobody", "none").unwrap();
    std::fs::remove_file(home.path().join("conf/config.ini")).unwrap();
    home
}

/// Changes a file; asked for a check, says what it would change.
const WRITE: &str = r#"#!/bin/sh
if [ "$1 $2" = "--check 1" ]; then
    shift 2
    printf '{"changes": [{"subject": "%s", "before": null, "after": "written"}]}' "$2" > "$OUTPUT_PATH"
    exit 0
fi
echo written > "$AUTOEXEC_HOME/$2"
"#;

/// Tells only people what it would change.
const TELL: &str = "#!/bin/sh\n[ \"$1\" = --check ] && { echo 'would restart the service'; exit 0; }\ntouch \"$AUTOEXEC_HOME/restarted\"\n";

/// Does not know of checks.
const PLAIN: &str =
    "#!/bin/sh\ntouch \"$AUTOEXEC_HOME/plain\"\nprintf '{\"made\": \"x\"}' > \"$OUTPUT_PATH\"\n";

const JOB: &str = r"
name: change things
phases:
  - name: work
    on: runner
    steps:
      - {tool: demo/write, id: w, with: {path: wanted}}
      - {tool: demo/tell, id: t}
      - {tool: demo/plain, id: p}
      - {tool: demo/write, id: later, with: {path: '${work.demo/plain_p.made}'}}
      - {script: 'touch $AUTOEXEC_HOME/script', id: s}
      - {tool: native/setenv, id: e, with: {name: COLOUR, value: red, scope: node}}
      - {tool: native/echo, id: n, args: ['the colour is ${COLOUR}']}
";

fn installed() -> TestHome {
    let home = home();
    for (name, tool, descriptor) in [
        (
            "write",
            WRITE,
            r#"{"opType": "runner", "check": true, "option": [{"opt": "path", "type": "text"}]}"#,
        ),
        ("tell", TELL, r#"{"opType": "runner", "check": true}"#),
        ("plain", PLAIN, r#"{"opType": "runner", "output": [{"opt": "made", "type": "text"}]}"#),
    ] {
        home.write_local_plugin("demo", name, tool).unwrap();
        home.write(&format!("plugins/local/demo/{name}.json"), descriptor).unwrap();
    }
    home.write("job.yaml", JOB).unwrap();
    home
}

#[test]
fn a_dry_run_asks_the_tools_and_changes_nothing() {
    let home = installed();
    let output = home.autoexec(["run", "job.yaml", "--check"]).unwrap().output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    for made in ["wanted", "restarted", "plain", "script", "x"] {
        assert!(!home.path().join(made).exists(), "{made}");
    }
    for expected in [
        "Dry run: tools are asked",
        "work local-0-0: demo/write would change wanted: (none) -> written",
        "demo/plain_p is left out of the dry run: its tool can not say what it would change.",
        "Can not resolve the inputs of demo/write_later",
        "is left out of the dry run: a script can not say what it would change.",
    ] {
        assert!(stderr.contains(expected), "{expected}\n{stderr}");
    }
    assert!(
        stdout.contains("Dry run: 1 change(s) would be made; 3 operation(s) could not be checked."),
        "{stdout}"
    );
    assert!(!stdout.contains("Continue with"), "{stdout}");
    let log = find_log(&home);
    for expected in
        ["would restart the service", "INFO: Would change wanted: (none) -> written", "the colour is red"]
    {
        assert!(log.contains(expected), "{expected}\n{log}");
    }

    let output = home.autoexec(["run", "job.yaml", "--check", "--output", "json"]).unwrap().output().unwrap();
    let events = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let checked = events.iter().find(|event| event["event"] == "operation-checked").unwrap();
    assert_eq!(checked["changes"][0]["after"], "written");
    let output = home.autoexec(["run", "job.yaml", "--check", "--id", "7"]).unwrap().output().unwrap();
    assert_eq!(output.status.code(), Some(64), "a dry run has a job of its own");
}

fn find_log(home: &TestHome) -> String {
    let mut open = vec![home.path().join("data/job")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else if entry.file_name() == "local-0-0.txt" {
                return std::fs::read_to_string(entry.path()).unwrap();
            }
        }
    }
    panic!("no log")
}

#[test]
fn a_reader_that_stalls_does_not_hold_up_the_run() {
    let home = home();
    home.write_local_plugin("demo", "ok", "#!/bin/sh\necho done >> \"$AUTOEXEC_HOME/done\"\n").unwrap();
    home.write("plugins/local/demo/ok.json", r#"{"opType": "runner_target"}"#).unwrap();
    let steps = "[{tool: demo/ok, id: a}, {tool: demo/ok, id: b}, {tool: demo/ok, id: c}]";
    home.write("job.yaml", format!("name: j\nphases:\n- {{name: p, on: runner_target, steps: {steps}}}\n"))
        .unwrap();
    // Their events are several times what a pipe holds.
    let nodes: Vec<Value> = (71..151).map(node).collect();
    home.write("nodes.json", node_file(&nodes)).unwrap();
    let mut child = home
        .autoexec(["run", "job.yaml", "-i", "nodes.json", "--output", "json"])
        .unwrap()
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the end of all tools with nobody reading", LONG, || {
        let done = std::fs::read_to_string(home.path().join("done")).unwrap_or_default();
        (done.lines().count() == 3 * nodes.len()).then_some(())
    })
    .unwrap();
    let events = BufReader::new(child.stdout.take().unwrap()).lines();
    let events: Vec<Value> = events.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "nothing is left out");
    let finished = events.iter().filter(|event| event["event"] == "node-finished").count();
    assert_eq!((finished, &events.last().unwrap()["event"]), (nodes.len(), &"job-report".into()));
}

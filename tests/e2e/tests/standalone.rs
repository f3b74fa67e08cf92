//! `autoexec run`, `plan` and `status`: jobs from files, without a server (`docs/standalone.md`).

#![expect(clippy::unwrap_used, reason = "a test fails where its surroundings do")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use autoexec_test_support::home::TestHome;
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::Value;

/// A home without configuration: no server, no `password.key`.
fn home() -> TestHome {
    let home = TestHome::new("http://127.0.0.1:1", "nobody", "none").unwrap();
    std::fs::remove_file(home.path().join("conf/config.ini")).unwrap();
    home
}

fn run(home: &TestHome, arguments: &[&str]) -> (i32, String, String) {
    run_with(home, arguments, &[])
}

fn run_with(home: &TestHome, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = home.autoexec(arguments).unwrap();
    let Output { status, stdout, stderr } = command.envs(environment.iter().copied()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/examples").join(name);
    path.canonicalize().unwrap().display().to_string()
}

const COUNTER: &str = r#"#!/bin/sh
echo run >> "$AUTOEXEC_HOME/count"
printf '{"count": "%s"}' "$(wc -l < "$AUTOEXEC_HOME/count")" > "$OUTPUT_PATH"
"#;
const COUNTER_DESCRIPTOR: &str =
    r#"{"opType": "runner", "option": [], "output": [{"opt": "count", "type": "text"}]}"#;
const GATE: &str = r#"#!/bin/sh
echo "looking for the key of $2"
test -e "$AUTOEXEC_HOME/key" || { echo "ERROR: the gate is shut"; exit 3; }
"#;
const LOCAL_JOB: &str = r"
name: through the gate
options: {who: null}
phases:
  - name: prepare
    on: runner
    steps:
      - {tool: demo/counter, id: first, report: true}
      - {tool: demo/gate, id: gate, with: {who: '${who} ${prepare.demo/counter_first.count}'}}
";

fn local_home() -> TestHome {
    let home = home();
    home.write_local_plugin("demo", "counter", COUNTER).unwrap();
    home.write("plugins/local/demo/counter.json", COUNTER_DESCRIPTOR).unwrap();
    home.write_local_plugin("demo", "gate", GATE).unwrap();
    home.write("gate.job.yaml", LOCAL_JOB).unwrap();
    home
}

/// The id that the start of a run tells.
fn told_id(stderr: &str) -> String {
    let line = stderr.lines().find_map(|line| line.strip_prefix("Job ")).unwrap();
    line.split(':').next().unwrap().to_owned()
}

#[test]
fn a_failed_job_is_continued_where_it_failed() {
    let home = local_home();
    let (code, stdout, stderr) = run(&home, &["run", "gate.job.yaml", "-o", "who=me"]);
    assert_eq!(code, 1, "{stdout}{stderr}");
    let id = told_id(&stderr);
    assert!(id.len() == 17 && id.chars().all(|c| c.is_ascii_digit()), "{stderr}");
    for expected in [
        "prepare on this machine (local-0-0): failed, at demo/gate_gate",
        "looking for the key of me 1",
        "ERROR: the gate is shut",
        "demo/counter_first.count = 1",
        &format!("Logs: {}", home.job_dir(&id).join("log").display()),
        &format!("Continue with: autoexec run gate.job.yaml -o who=me --id {id}\n"),
    ] {
        assert!(stdout.contains(expected), "{expected}\n{stdout}");
    }

    let (code, plan, _) = run(&home, &["plan", "gate.job.yaml", "-o", "who=me", "--id", &id]);
    assert_eq!(code, 0);
    assert!(
        plan.contains(
            "run local-0-0 this machine (failed before; 1 operation(s) that succeeded are skipped)"
        ),
        "{plan}"
    );

    home.write("key", "").unwrap();
    let (code, stdout, stderr) = run(&home, &["run", "gate.job.yaml", "-o", "who=me", "--id", &id]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert!(
        stderr.contains(&format!("Continuing job {id}")) && stdout.contains("demo/counter_first.count = 1"),
        "{stdout}"
    );
    assert_eq!(std::fs::read_to_string(home.path().join("count")).unwrap(), "run\n", "the counter ran once");

    let (code, status, _) = run(&home, &["status", &id]);
    assert_eq!(code, 0);
    assert!(status.contains("local-0-0") && status.contains("succeed"), "{status}");
    let (_, status, _) = run(&home, &["status", &id, "--output", "json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["phases"][0]["nodes"]["local-0-0"]["operations"]["demo/gate_gate"], "succeed");
    let (_, plan, _) =
        run(&home, &["plan", "gate.job.yaml", "-o", "who=me", "--id", &id, "--output", "json"]);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["groups"][0]["phases"][0]["nodes"][0]["reason"], "succeed before");
}

#[test]
fn a_plan_has_no_effect() {
    let home = local_home();
    let before = files(home.path());
    let (code, plan, stderr) = run(&home, &["plan", "gate.job.yaml", "-o", "who=me"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(
        plan.contains(
            "phase prepare: 1 of 1 node(s) to run, 1 at a time\n    - demo/counter_first (local)\n"
        ),
        "{plan}"
    );
    assert_eq!(files(home.path()), before);
}

fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            // The program itself is put there by the first start.
            if path.is_dir() && !path.ends_with("bin") {
                open.push(path.clone());
            }
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A login to the server: the password where it takes one (as root), else the key.
fn inventory(sshd: &Sshd) -> String {
    let login = if sshd.password().is_empty() {
        format!("key: {}", sshd.key_path().display())
    } else {
        "password: {env: TEST_PASSWORD}".to_owned()
    };
    format!(
        "defaults:\n  user: {}\n  protocol_port: {}\n  {login}\nnodes:\n  - {{host: 127.0.0.1, name: one, groups: [even]}}\n  - {{host: localhost, name: two}}\n",
        sshd.user(),
        sshd.port()
    )
}

#[test]
fn the_documented_example_runs_on_hosts_and_leaves_no_secret() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    let home = home();
    home.write("hosts.yaml", inventory(&sshd)).unwrap();
    let job = example("patch-check.job.yaml");
    let environment = [("TEST_PASSWORD", sshd.password())];
    let options = ["-o", "mount=/", "-o", "min_free_mb=1"];
    let arguments: Vec<&str> =
        ["run", &job, "-i", "hosts.yaml", "--id", "4711"].into_iter().chain(options).collect();
    let (code, stdout, stderr) = run_with(&home, &arguments, &environment);
    assert_eq!(code, 0, "{stdout}{stderr}\n{}", sshd.log());
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(stdout.matches(&format!("script_facts.kernel = {}", kernel.trim())).count(), 2, "{stdout}");
    assert!(stdout.contains("one (127.0.0.1--1)") && stdout.contains("script_total.hosts = 2"), "{stdout}");

    let directory = home.job_dir("4711");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&directory), mode(&directory.join("nodes.json"))), (0o700, 0o600));
    let nodes = std::fs::read_to_string(directory.join("nodes.json")).unwrap();
    if !sshd.password().is_empty() {
        assert!(nodes.contains("\"password\":\"{RC4}") && !nodes.contains(sshd.password()), "{nodes}");
    }

    // Too little space on one node: it fails, the summary is not made.
    let (code, stdout, _) = run_with(
        &home,
        &["run", &job, "-i", "hosts.yaml", "--limit", "even", "-o", "mount=/", "-o", "min_free_mb=999999999"],
        &environment,
    );
    assert_eq!(code, 1, "{stdout}");
    assert!(
        stdout.contains("inspect on one (127.0.0.1--1): failed")
            && stdout.contains("MB are free on /, 999999999 are needed"),
        "{stdout}"
    );
    assert!(!stdout.contains("two (") && !stdout.contains("script_total"), "{stdout}");
}

#[test]
fn events_are_json_lines_and_nothing_else() {
    let home = local_home();
    home.write("key", "").unwrap();
    let (code, stdout, stderr) = run(&home, &["run", "gate.job.yaml", "-o", "who=me", "--output", "json"]);
    assert_eq!(code, 0, "{stderr}");
    let events: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["event"], "job-started");
    let report = events.last().unwrap();
    assert_eq!((&report["event"], &report["exitCode"]), (&"job-report".into(), &0.into()));
    assert_eq!(report["results"]["reported"][0]["values"]["count"], "1");
    assert_eq!(report["directory"], home.job_dir(&told_id(&stderr)).display().to_string());
}

#[test]
fn wrong_input_is_told_with_its_exit_code_before_anything_is_made() {
    let home = local_home();
    home.write("nodes.job.yaml", "name: n\nphases:\n- {name: p, on: target, steps: [{script: uptime}]}\n")
        .unwrap();
    home.write("typo.job.yaml", "name: n\nphases:\n- {name: p, on: runner, steps: [{tol: a/b}]}\n").unwrap();
    for (arguments, expected_code, expected) in [
        (&["run", "nodes.job.yaml"][..], 65, "phase p runs on nodes, and there are none"),
        (&["run", "typo.job.yaml"], 65, "typo.job.yaml, line 3"),
        (&["run", "gate.job.yaml"], 65, "options.who: the option has no value; give it with -o who=VALUE"),
        (&["run", "none.yaml"], 65, "none.yaml: No such file"),
        (&["run", "gate.job.yaml", "-o", "who=me", "--phases", "x"], 64, "has no phase `x`; it has: prepare"),
        (&["run", "gate.job.yaml", "--forse"], 64, "--forse"),
        (&["status", "12345"], 65, "job 12345: "),
    ] {
        let (code, stdout, stderr) = run(&home, arguments);
        assert_eq!(code, expected_code, "{arguments:?}: {stdout}{stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
    assert_eq!(std::fs::read_dir(home.path().join("data/job")).unwrap().count(), 0);
}

#[test]
fn without_an_installation_the_users_own_directory_is_the_home() {
    let home = local_home();
    let state = home.path().join("state");
    home.write(
        "plain.job.yaml",
        "name: p\nphases:\n- {name: p, on: runner, steps: [{script: echo hello}]}\n",
    )
    .unwrap();
    let mut command = home.autoexec(["--version"]).unwrap();
    command.output().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let program = elsewhere.path().join("bin/autoexec");
    std::fs::create_dir(elsewhere.path().join("bin")).unwrap();
    std::fs::copy(home.path().join("bin/autoexec"), &program).unwrap();
    let output = std::process::Command::new(&program)
        .args(["run", "plain.job.yaml"])
        .current_dir(home.path())
        .env("XDG_STATE_HOME", &state)
        .env_remove("AUTOEXEC_HOME")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.contains(&format!("Using {} as home", state.join("autoexec").display())), "{stderr}");
    assert_eq!(std::fs::metadata(state.join("autoexec")).unwrap().permissions().mode() & 0o777, 0o700);
}

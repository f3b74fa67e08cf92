//! `autoexec run`, `plan` and `status`: jobs from files, without a server (`docs/standalone.md`).

#![expect(clippy::unwrap_used, reason = "a test fails where its surroundings do")]

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};

use autoexec_e2e::wait::{LONG, until};
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
fn nodes_with_the_same_address_go_the_way_that_each_of_them_names() {
    let far = Sshd::start(SshdOptions::default()).unwrap();
    let keys = format!("AuthorizedKeysFile {}", far.dir().join("authorized_keys").display());
    let bastion =
        || Sshd::start(SshdOptions { config: vec![keys.clone()], ..SshdOptions::default() }).unwrap();
    let (one, two) = (bastion(), bastion());
    let home = home();
    let (user, key, port) = (far.user(), far.key_path(), far.port());
    let through = |bastion: &Sshd| format!("{user}@127.0.0.1:{}", bastion.port());
    home.write(
        "hosts.yaml",
        format!(
            "defaults: {{user: {user}, key: {}, protocol_port: {port}, jump: \"{}\"}}\nnodes:\n\
             - {{host: 127.0.0.1, name: A, groups: [a]}}\n\
             - {{host: 127.0.0.1, name: B, groups: [b], jump: \"{}\"}}\n\
             - {{host: 127.0.0.1, name: C, groups: [c], jump: []}}\n",
            key.display(),
            through(&one),
            through(&two),
        ),
    )
    .unwrap();
    let job = "name: j\nphases:\n- {name: p, on: target, steps: [{script: 'echo $SSH_CONNECTION'}]}\n";
    home.write("far.job.yaml", job).unwrap();
    let logins = |sshd: &Sshd| sshd.log().matches("Accepted publickey").count();
    let seen = || [&one, &two, &far].map(logins);
    for (group, expected) in [("a", [1, 0, 1]), ("b", [1, 1, 2]), ("c", [1, 1, 3])] {
        let (code, stdout, stderr) =
            run(&home, &["run", "far.job.yaml", "-i", "hosts.yaml", "--limit", group]);
        assert_eq!(code, 0, "{stdout}{stderr}");
        assert_eq!(seen(), expected, "after node {group}");
    }
    // All at once, in one process.
    let (code, stdout, stderr) = run(&home, &["run", "far.job.yaml", "-i", "hosts.yaml"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(seen(), [2, 2, 6]);
}

/// Says that it runs, and goes on at once, or when the test has written to the FIFO.
const HOLD: &str = r#"
name: held
phases:
  - name: p
    on: runner
    steps:
      - script: |
          : > "$AUTOEXEC_HOME/started"
          test -e "$AUTOEXEC_HOME/go" || read answer < "$AUTOEXEC_HOME/fifo"
      - script: echo second >> "$AUTOEXEC_HOME/second"
"#;

/// Starts the job and waits for its first step.
fn hold(home: &TestHome, arguments: &[&str]) -> Child {
    home.write("hold.job.yaml", HOLD).unwrap();
    let fifo = home.path().join("fifo");
    if !fifo.exists() {
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let mut command = home.autoexec(["run", "hold.job.yaml"]).unwrap();
    let command = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    until("the first step", LONG, || home.path().join("started").exists().then_some(())).unwrap();
    std::fs::remove_file(home.path().join("started")).unwrap();
    child
}

fn ended(child: Child) -> (i32, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// The id of the only job of the home.
fn only_job(home: &Path) -> String {
    let mut directory = home.join("data/job");
    let mut id = String::new();
    while !directory.join("params.json").exists() {
        let piece = std::fs::read_dir(&directory).unwrap().next().unwrap().unwrap();
        id.push_str(piece.file_name().to_str().unwrap());
        directory = piece.path();
    }
    id
}

#[test]
fn a_job_without_a_server_is_aborted_from_elsewhere_and_gone_on_with() {
    let home = home();
    // One that is named, and one that has its id from the time.
    for arguments in [&["--id", "4711"][..], &[]] {
        let running = hold(&home, arguments);
        let id = if arguments.is_empty() { only_job(home.path()) } else { "4711".to_owned() };
        let (code, _, other) = run(&home, &["--abort", "--jobid", "471"]);
        assert_eq!(code, 2, "that is another job: {other}");
        let (code, _, stderr) = run(&home, &["-k", "-j", &id]);
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains(&format!("INFO: Job {id} is aborted.\n")), "{stderr}");
        assert!(stderr.contains("No server is told: the job was started from files."), "{stderr}");
        assert!(stderr.contains(&format!("--id {id}")) && !stderr.contains("ERROR"), "{stderr}");
        let (code, stderr) = ended(running);
        assert_ne!(code, 0, "{stderr}");
        assert!(!home.path().join("second").exists());

        home.write("go", "").unwrap();
        let (code, stdout, stderr) = run(&home, &["run", "hold.job.yaml", "--id", &id]);
        assert_eq!(code, 0, "{stdout}{stderr}");
        for file in ["go", "started", "second"] {
            std::fs::remove_file(home.path().join(file)).unwrap();
        }
        let (code, _, stderr) = run(&home, &["-k", "-j", &id]);
        assert_eq!(code, 2, "it does not run: {stderr}");
        assert!(stderr.contains("no process of it runs here"), "{stderr}");
        std::fs::remove_dir_all(home.path().join("data/job")).unwrap();
    }
}

#[test]
fn a_job_without_a_server_pauses_after_its_running_step_and_is_gone_on_with() {
    let home = home();
    let running = hold(&home, &["--id", "4711"]);
    let mut pause = home.autoexec(["--pause", "--jobid", "4711"]).unwrap();
    let pause = pause.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let console = || {
        let log = std::fs::read_dir(home.job_dir("4711").join("log")).unwrap().flatten();
        let texts = log.filter_map(|file| std::fs::read_to_string(file.path()).ok());
        texts.collect::<String>().contains("Pause requested").then_some(())
    };
    until("the pause to arrive", LONG, console).unwrap();
    std::fs::write(home.path().join("fifo"), "go on\n").unwrap();
    let (code, stderr) = ended(pause);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("Job 4711 is paused.") && stderr.contains("No server is told"), "{stderr}");
    ended(running);
    assert!(!home.path().join("second").exists(), "nothing is started after a pause");
    home.write("go", "").unwrap();
    let (code, stdout, stderr) = run(&home, &["run", "hold.job.yaml", "--id", "4711"]);
    assert_eq!(code, 0, "{stdout}{stderr}");
    assert_eq!(std::fs::read_to_string(home.path().join("second")).unwrap(), "second\n");
}

#[test]
fn a_misspelled_key_of_the_configuration_is_told_once() {
    let home = local_home();
    home.write("key", "").unwrap();
    home.write("conf/config.ini", "[autoexec]\nssh.hostKeys = strict\nother.key = 1\n").unwrap();
    let (code, _, stderr) = run(&home, &["run", "gate.job.yaml", "-o", "who=me", "--id", "4711"]);
    assert_eq!(code, 0, "{stderr}");
    let console = home.read_job_file("4711", "log/console.txt").unwrap();
    for text in [&stderr, &console] {
        let warning =
            "section [autoexec]: `ssh.hostKeys` is not known and has no effect; did you mean `ssh.hostkeys`?";
        assert_eq!(text.matches(warning).count(), 1, "{text}");
        assert!(text.contains("WARN: ") && !text.contains("other.key"), "{text}");
    }
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

    // Its jobs are looked for there by whoever aborts one, too.
    let own = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.args(arguments).current_dir(home.path()).env("XDG_STATE_HOME", &state);
        command.env_remove("AUTOEXEC_HOME").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    home.write("hold.job.yaml", HOLD).unwrap();
    let (started, fifo) = (state.join("autoexec/started"), state.join("autoexec/fifo"));
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::fs::remove_dir_all(state.join("autoexec/data/job")).unwrap();
    let running = own(&["run", "hold.job.yaml"]);
    until("the first step", LONG, || started.exists().then_some(())).unwrap();
    let id = only_job(&state.join("autoexec"));
    let (code, stderr) = ended(own(&["--abort", "--jobid", &id]));
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains(&format!("Job {id} is aborted.")), "{stderr}");
    ended(running);
}

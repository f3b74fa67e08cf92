//! `program`: native programs that the policy names.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use autoexec_confine::Support;
use autoexec_e2e::TestJob;
use autoexec_e2e::wait::{LONG, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{EVERYTHING, answer, assert_denied, everything, log, uses};

/// A job of which a program of that text may be run under the name `tool`.
fn with_program(step: Value, script: &str, arguments: &str) -> (TestJob, PathBuf) {
    let job = everything(vec![step], "step-outputs = true\n");
    let path = job.home.write("bin/tool.sh", script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let grant = format!(
        "{}program = {{ tool = {{ path = {path:?}{arguments} }} }}\nsecret = {{ node = {{ programs = [\"tool\"] }} }}\n",
        super::A_LITTLE_OF_ALL
    );
    job.home.write("conf/policy/site.toml", grant).unwrap();
    (job, path)
}

fn run(text: &str) -> Value {
    uses(1, &[("what", "program-arguments"), ("subject", "tool"), ("text", text)])
}

#[test]
fn a_program_gets_its_arguments_and_nothing_of_a_shell() {
    let script = "#!/bin/sh\necho \"$#:$1:$2\"\necho problem >&2\nexit 3\n";
    let (job, _) = with_program(run("$(id) *"), script, "");
    job.expect(0, &["--firstfire"]).unwrap();
    assert_eq!(answer(&job, 1), json!({"status": 3, "stdout": "2:$(id):*\n", "stderr": "problem\n"}));
}

#[test]
fn a_program_is_confined_to_its_own_files() {
    if !Support::of_this_kernel().is_full() {
        // What happens then is in the log; the unit tests of `confine` say what it means.
        return;
    }
    let script = "#!/bin/sh\ncat \"$1\" && echo read\necho x > \"$2\" && echo written\necho x > \"$TMPDIR/x\" && echo own\npwd\nexit 0\n";
    let job_file = "/tmp/autoexec-e2e-not-there/x";
    let (job, _) = with_program(run(&format!("CONFIG {job_file}")), script, "");
    let config = job.home.path().join("conf/config.ini");
    let params = autoexec_e2e::build::params([autoexec_e2e::build::one_shot([autoexec_e2e::build::phase(
        "A",
        "runner_target",
        [run(&format!("{} {}/conf/written", config.display(), job.home.path().display()))],
    )])]);
    job.server.set_params(params);
    job.expect(0, &["--firstfire"]).unwrap();
    let answer = answer(&job, 1);
    let stdout = answer["stdout"].as_str().unwrap();
    assert!(!stdout.contains("read") && !stdout.contains("written") && stdout.contains("own"), "{answer}");
    assert!(!job.home.path().join("conf/written").exists());
    let directory = stdout.lines().last().unwrap();
    assert!(directory.contains(".tmp.") && !PathBuf::from(directory).exists(), "{answer}");
}

#[test]
fn a_secret_reaches_the_programs_input_and_never_the_tool() {
    let step = uses(1, &[("what", "program-secret"), ("subject", "tool"), ("text", "node")]);
    let script = "#!/bin/sh\nread secret\n[ \"$secret\" = pw ] && echo \"it is the node's\"\n[ -t 0 ] || cat >/dev/null\n";
    let (job, _) = with_program(step, script, "");
    job.expect(0, &["--firstfire"]).unwrap();
    assert_eq!(answer(&job, 1), "it is the node's\n");
}

#[test]
fn a_stop_ends_the_program_and_what_it_started() {
    let script = "#!/bin/sh\ntrap 'echo ended > \"$TMPDIR/../ended\"; exit 0' TERM\nsleep 300 &\necho $! > \"$TMPDIR/../child\"\nwait\n";
    let (job, _) = with_program(run("x"), script, "");
    // The program writes beside its own directory, into the job's.
    let policy = std::fs::read_to_string(job.home.path().join("conf/policy/site.toml")).unwrap();
    let script = script.replace("$TMPDIR/..", "$1");
    job.home.write("bin/tool.sh", script).unwrap();
    let place = job.home.path().join("place");
    std::fs::create_dir(&place).unwrap();
    job.home
        .write("conf/policy/site.toml", format!("{policy}filesystem = {{ write = [{place:?}] }}\n"))
        .unwrap();
    job.server.set_params(autoexec_e2e::build::params([autoexec_e2e::build::one_shot([
        autoexec_e2e::build::phase("A", "runner_target", [run(&place.display().to_string())]),
    ])]));
    let running = job.start(&["--firstfire"]).unwrap();
    let child = until("the program's child", LONG, || {
        let text = std::fs::read_to_string(place.join("child")).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    })
    .unwrap();
    running.signal(Signal::SIGTERM).unwrap();
    running.wait().unwrap();
    assert!(place.join("ended").exists(), "it was asked to end: {}", log(&job));
    assert!(!PathBuf::from(format!("/proc/{child}")).exists(), "and nothing of it is left");
    assert_eq!(job.status("A", "10.1.0.1--71")["status"], "aborted");
}

#[test]
fn programs_and_arguments_that_are_not_granted_do_not_run() {
    let script = "#!/bin/sh\ntouch \"$AUTOEXEC_MARK\"\n";
    let (job, _) = with_program(run("delete everything"), script, ", arguments = [\"get **\"]");
    job.expect(1, &["--firstfire"]).unwrap();
    let log = log(&job);
    assert!(log.contains(&format!("Policy denies {EVERYTHING} `program`")), "{log}");

    let other = everything(
        vec![uses(1, &[("what", "program"), ("subject", "kubectl")])],
        "program = { other = \"/usr/bin/true\" }\n",
    );
    other.expect(1, &["--firstfire"]).unwrap();
    assert_denied(&other, "program", "program = ");
}

#[test]
fn a_program_that_is_not_there_is_named_with_its_path() {
    let job = everything(
        vec![uses(1, &[("what", "program"), ("subject", "gone")])],
        "program = { gone = \"/usr/bin/not-there-at-all\" }\n",
    );
    job.expect(1, &["--firstfire"]).unwrap();
    assert!(log(&job).contains("there is no file /usr/bin/not-there-at-all"), "{}", log(&job));
}

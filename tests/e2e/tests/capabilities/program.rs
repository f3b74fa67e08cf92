//! `program`: native programs that the policy names.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use autoexec_confine::Support;
use autoexec_e2e::TestJob;
use autoexec_e2e::wait::{LONG, until};
use autoexec_test_support::process::lives;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::{EVERYTHING, answer, assert_denied, everything, log, uses};

/// A job that may run a program of that text under the name `tool`; `arguments` bounds what with, `more` is further lines of the
/// grant.
fn with_program(step: Value, script: &str, arguments: &str, more: &str) -> TestJob {
    let job = everything(vec![step], "step-outputs = true\n");
    let path = job.home.write("bin/tool.sh", script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let grant = format!(
        "{}program = {{ tool = {{ path = \"{}\"{arguments} }} }}\nsecret = {{ node = {{ programs = [\"tool\"] }} }}\n{more}",
        super::A_LITTLE_OF_ALL,
        path.display()
    );
    job.home.write("conf/policy/site.toml", grant).unwrap();
    job
}

fn run(text: &str) -> Value {
    uses(1, &[("what", "program-arguments"), ("subject", "tool"), ("text", text)])
}

#[test]
fn a_program_gets_its_arguments_and_nothing_of_a_shell() {
    let script = "#!/bin/sh\necho \"$#:$1:$2\"\necho problem >&2\nexit 3\n";
    let job = with_program(run("$(id) *"), script, "", "");
    job.expect(0, &["--firstfire"]).unwrap();
    assert_eq!(answer(&job, 1), json!({"status": 3, "stdout": "2:$(id):*\n", "stderr": "problem\n"}));
}

#[test]
fn a_program_is_confined_to_its_own_files() {
    if !Support::of_this_kernel().is_full() {
        // What happens then is in the log; the unit tests of `confine` say what it means.
        return;
    }
    let script = "#!/bin/sh\nhome=${0%/bin/tool.sh}\ncat \"$home/conf/config.ini\" && echo read\n\
                  echo x > \"$home/conf/written\" && echo written\necho x > \"$TMPDIR/x\" && echo own\npwd\nexit 0\n";
    let job = with_program(run("x"), script, "", "");
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
    let job = with_program(step, script, "", "");
    job.expect(0, &["--firstfire"]).unwrap();
    assert_eq!(answer(&job, 1), "it is the node's\n");
}

#[test]
fn a_stop_ends_the_program_and_what_it_started() {
    let place = tempfile::tempdir().unwrap();
    let script = "#!/bin/sh\ntrap 'echo ended > \"$1/ended\"; exit 0' TERM\nsleep 300 &\necho $! > \"$1/child\"\nwait\n";
    let more = format!("filesystem = {{ write = [\"{}\"] }}\n", place.path().display());
    let job = with_program(run(place.path().to_str().unwrap()), script, "", &more);
    let place = place.path();
    let running = job.start(&["--firstfire"]).unwrap();
    let child = until("the program's child", LONG, || {
        let text = std::fs::read_to_string(place.join("child")).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    })
    .unwrap();
    running.signal(Signal::SIGTERM).unwrap();
    running.wait().unwrap();
    assert!(place.join("ended").exists(), "it was asked to end: {}", log(&job));
    assert!(!lives(child), "and nothing of it is left");
    assert_eq!(job.status("A", "10.1.0.1--71")["status"], "aborted");
}

#[test]
fn programs_and_arguments_that_are_not_granted_do_not_run() {
    let script = "#!/bin/sh\ntouch \"$AUTOEXEC_MARK\"\n";
    let job = with_program(run("delete everything"), script, ", arguments = [\"get **\"]", "");
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
fn a_program_gets_the_variables_that_the_policy_names() {
    let setting = |variables: &[&str]| {
        let variables: Vec<_> = variables.iter().map(|name| json!([name, "set"])).collect();
        let text = json!({"environment": variables}).to_string();
        let step = uses(1, &[("what", "raw-program"), ("subject", "tool"), ("text", &text)]);
        with_program(step, "#!/bin/sh\necho \"$TOOL_COLOR:$PAGER\"\n", ", environment = [\"TOOL_*\"]", "")
    };
    let job = setting(&["TOOL_COLOR"]);
    job.expect(0, &["--firstfire"]).unwrap();
    assert_eq!(answer(&job, 1)["stdout"], "set:\n");
    let job = setting(&["TOOL_COLOR", "PAGER"]);
    job.expect(1, &["--firstfire"]).unwrap();
    assert_denied(&job, "program", "on TOOL_COLOR= PAGER= tool: no rule allows it");
    assert_denied(&job, "program", "environment = [\"TOOL_COLOR\", \"PAGER\"]");
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

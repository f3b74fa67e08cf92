//! `--pause`, and going on afterwards.

use std::process::Stdio;

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{key, node, one_shot, op, params, phase};
use autoexec_e2e::wait::{LONG, until};

use crate::{BLOCK, FIRE, code, mode, prepare, release, statuses, text, wait_until_started};

fn two_operations() -> TestJob {
    let operations = [op("basic/block", "runner_target", 1), op("basic/after", "runner_target", 2)];
    let params = params([one_shot([phase("A", "runner_target", operations)])]);
    let job = TestJob::new(params, &[node(71)]).unwrap();
    prepare(&job);
    job.home.write_local_plugin("basic", "block", BLOCK).unwrap();
    job.home
        .write_local_plugin("basic", "after", "#!/bin/sh\necho after >> \"$AUTOEXEC_HOME/after\"\n")
        .unwrap();
    job
}

#[test]
fn a_pause_waits_for_the_running_operation_and_a_later_run_goes_on_behind_it() {
    let job = two_operations();
    let running = job.start(&FIRE).unwrap();
    wait_until_started(&job);
    let mut helper =
        job.command(&["--pause"]).unwrap().stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("the pause", LONG, || job.console().contains("Pause requested").then_some(())).unwrap();
    assert!(helper.try_wait().unwrap().is_none(), "the operation still runs");
    release(&job);
    assert_eq!(helper.wait().unwrap().code(), Some(0), "{}", job.console());
    assert_eq!(running.wait().unwrap().code, Some(0), "{}", job.console());

    let status = job.status("A", &key(71));
    assert_eq!((&status["status"], &status["basic/block_1"]), (&"paused".into(), &"succeed".into()));
    assert!(!job.home.path().join("after").exists());
    let said = statuses(&job);
    let end: Vec<&str> =
        said.iter().map(String::as_str).skip_while(|line| !line.contains("paused")).collect();
    assert_eq!(
        end,
        ["node-status paused", "job-status paused", "phase-status paused", "job-status paused"],
        "{said:?}"
    );

    let before = job.server.calls().len();
    job.expect(0, &["--execid", "901"]).unwrap();
    let status = job.status("A", &key(71));
    assert_eq!((&status["status"], &status["basic/after_2"]), (&"succeed".into(), &"succeed".into()));
    assert_eq!(std::fs::read_to_string(job.home.path().join("after")).unwrap(), "after\n");
    assert!(job.node_log("A", &key(71)).contains("basic/block_1 has been executed in status:succeed, skip."));
    let later = job.lines_of(&job.server.calls()[before..]);
    assert!(later.last().is_some_and(|line| line.starts_with("next-group")), "{later:#?}");
}

#[test]
fn without_a_process_the_code_is_2_and_the_server_hears_of_it() {
    let job = TestJob::empty("620011223344").unwrap();
    let helper = mode(&job, &["--pause"]);
    assert_eq!(code(&helper), 2, "{}", text(&helper.stderr));
    assert_eq!(job.call_lines(), ["job-status status=paused"]);
}

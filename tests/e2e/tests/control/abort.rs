//! `--abort` (`spec/cli.md` §1.6, `spec/execution.md` §6.10).

use autoexec_e2e::build::{node, one_shot, op, params, phase};
use autoexec_e2e::wait::{LONG, until};
use autoexec_e2e::{Running, TestJob};
use autoexec_test_support::process::lives;

use crate::{FIRE, code, mode, prepare, statuses, text, wait_for_file, wait_until_started};

/// A child of the plugin that goes on without it.
const SLEEPER: &str = "#!/bin/sh\nsleep 600 &\necho $! > \"$AUTOEXEC_HOME/grandchild.tmp\"\n\
                       mv \"$AUTOEXEC_HOME/grandchild.tmp\" \"$AUTOEXEC_HOME/grandchild\"\n\
                       echo $$ > \"$AUTOEXEC_HOME/child\"\n: > \"$AUTOEXEC_HOME/started\"\nwait\n";

fn sleeping(plugin: &str) -> (TestJob, Running) {
    let params = params([one_shot([phase("A", "runner", [op("basic/sleep", "runner", 1)])])]);
    let job = TestJob::new(params, &[node(71)]).unwrap();
    prepare(&job);
    job.home.write_local_plugin("basic", "sleep", plugin).unwrap();
    let running = job.start(&FIRE).unwrap();
    wait_until_started(&job);
    (job, running)
}

fn pid_in(job: &TestJob, name: &str) -> u32 {
    std::fs::read_to_string(job.home.path().join(name)).unwrap().trim().parse().unwrap()
}

#[test]
fn the_whole_tree_is_ended_and_the_server_hears_node_job_phase_and_job_again() {
    let (job, running) = sleeping(SLEEPER);
    let (child, grandchild) = (pid_in(&job, "child"), pid_in(&job, "grandchild"));
    assert!(lives(child) && lives(grandchild));
    let helper = mode(&job, &["--abort"]);
    assert_eq!(code(&helper), 0, "{}", text(&helper.stderr));
    assert_eq!(running.wait().unwrap().code, Some(1), "{}", job.console());
    assert!(!lives(child) && !lives(grandchild));

    let log = job.node_log("A", "local-0-0");
    assert!(log.contains("WARN: The operation was stopped; none of its processes is left."), "{log}");
    assert_eq!(job.status("A", "local-0-0")["status"], "aborted");
    let said = statuses(&job);
    let end: Vec<&str> =
        said.iter().map(String::as_str).skip_while(|line| !line.contains("aborted")).collect();
    assert_eq!(
        end,
        ["node-status aborted", "job-status aborted", "phase-status aborted", "job-status aborted"],
        "{said:?}"
    );
    assert!(!job.dir().join("job900.sock").exists());
    let console = job.console();
    assert!(console.contains("INFO: Abort of job 620011223344: process "), "{console}");
    assert!(console.contains("Abort requested"), "{console}");
}

#[test]
fn without_a_process_the_code_is_2_and_the_server_hears_of_it() {
    let job = TestJob::empty("620011223344").unwrap();
    let helper = mode(&job, &["--abort"]);
    assert_eq!(code(&helper), 2, "{}", text(&helper.stderr));
    assert!(text(&helper.stderr).contains("no process of it runs here"));
    assert_eq!(job.call_lines(), ["job-status status=aborted"]);
    assert!(!job.dir().exists(), "an abort makes no directory");
}

#[test]
fn an_abort_that_cannot_reach_the_server_still_says_that_there_is_no_process() {
    let job = TestJob::empty("620011223344").unwrap();
    job.server.go_away().unwrap();
    let helper = mode(&job, &["--abort"]);
    assert_eq!(code(&helper), 2);
    assert!(text(&helper.stderr).contains("cannot be reached"), "{}", text(&helper.stderr));
}

#[test]
fn a_job_whose_id_is_a_part_of_another_is_another_job() {
    let (job, mut running) = sleeping(SLEEPER);
    let shorter = job.home.autoexec(["--jobid", "62001122334", "--abort"]).unwrap().output().unwrap();
    assert_eq!(code(&shorter), 2);
    assert!(running.is_running().unwrap());
    assert_eq!(code(&mode(&job, &["--abort"])), 0);
    assert!(!running.is_running().unwrap());
}

#[test]
fn what_a_killed_process_could_not_deliver_comes_before_the_abort() {
    let (job, running) = sleeping(SLEEPER);
    let socket = job.dir().join("job900.sock");
    wait_for_file(&socket);
    until("the status of the node", LONG, || {
        statuses(&job).iter().any(|line| line == "node-status running").then_some(())
    })
    .unwrap();
    job.server.go_away().unwrap();
    running.signal(nix::sys::signal::Signal::SIGTERM).unwrap();
    let aborted = || (job.status("A", "local-0-0")["status"] == "aborted").then_some(());
    until("the aborted node", LONG, aborted).unwrap();
    until("the end of the phase", LONG, || job.console().contains("complete, status:aborted").then_some(()))
        .unwrap();
    running.kill().unwrap();
    job.server.come_back().unwrap();
    let helper = mode(&job, &["--abort"]);
    assert_eq!(code(&helper), 2, "{}", text(&helper.stderr));
    let said = statuses(&job);
    let end: Vec<&str> =
        said.iter().map(String::as_str).skip_while(|line| !line.contains("aborted")).collect();
    assert_eq!(
        end,
        ["node-status aborted", "job-status aborted", "phase-status aborted", "job-status aborted"],
        "{said:?}"
    );
}

#[test]
fn in_devmode_nobody_is_told() {
    let job = TestJob::empty("620011223344").unwrap();
    assert_eq!(code(&mode(&job, &["--abort", "--devmode"])), 2);
    assert_eq!(job.server.calls().len(), 0);
}

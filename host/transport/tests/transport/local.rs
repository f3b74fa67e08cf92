//! Local processes.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use autoexec_transport::process::{GRACE, LINGER, ProcessEnd, ProcessError, ProcessSpec, run};
use autoexec_transport::{Exit, StopHandle, StopLevel, StopOutcome, StopToken};

use crate::harness::{Collected, DEADLINE, lives, numbers};

fn sh(script: &str) -> ProcessSpec {
    ProcessSpec {
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into()), ("ONLY".into(), "this".into())]),
        cwd: "/".into(),
    }
}

async fn finish(spec: ProcessSpec) -> (Result<ProcessEnd, ProcessError>, Arc<Collected>) {
    let sink = Collected::new();
    let end = tokio::time::timeout(DEADLINE, run(spec, sink.clone(), StopToken::never(), |_| {})).await;
    (end.unwrap(), sink)
}

#[tokio::test]
async fn output_is_merged_in_order_and_the_code_comes_back() {
    let (end, sink) = finish(sh("echo 1; echo 2 >&2; echo 3; echo 4 >&2; pwd; exit 7")).await;
    assert_eq!(sink.text(), "1\n2\n3\n4\n/\n");
    assert_eq!(end.unwrap(), ProcessEnd { exit: Exit::Code(7), stopped: None });
}

#[tokio::test]
async fn a_signal_is_told_from_a_code() {
    let (end, _) = finish(sh("kill -SEGV $$")).await;
    assert_eq!(end.unwrap().exit, Exit::Signal(11));
}

#[tokio::test]
async fn the_environment_is_only_what_was_given() {
    let spec = ProcessSpec { program: "/usr/bin/env".into(), args: vec![], ..sh("") };
    let (_, sink) = finish(spec).await;
    assert_eq!(sink.text(), "ONLY=this\nPATH=/usr/bin:/bin\n");
}

#[tokio::test]
async fn stdin_stays_open_and_empty() {
    let sink = Collected::new();
    let stop = StopHandle::new();
    let running =
        tokio::spawn(run(sh("echo pid $$; read x; echo end of input"), sink.clone(), stop.token(), |_| {}));
    sink.line("pid").await;
    stop.raise(StopLevel::Kill);
    assert_eq!(running.await.unwrap().unwrap().exit, Exit::Signal(9));
    assert!(!sink.text().contains("end of input"));
}

#[tokio::test]
async fn twenty_megabytes_arrive_intact() {
    let (end, sink) = finish(sh("seq 1 2700000")).await;
    assert!(end.unwrap().exit.success());
    let want = numbers(2_700_000);
    assert!(want.len() > 20_000_000 && sink.bytes() == want.as_bytes());
}

#[tokio::test]
async fn a_grandchild_that_keeps_the_pipe_does_not_hold_up_the_run() {
    let started = Instant::now();
    let (end, sink) = finish(sh("sleep 300 & echo daemon $!; exit 3")).await;
    assert_eq!(end.unwrap(), ProcessEnd { exit: Exit::Code(3), stopped: None });
    let daemon = sink.pid("daemon").await;
    assert!(lives(daemon), "starting a daemon is legal");
    assert!(started.elapsed() >= LINGER);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon), nix::sys::signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn stop_ends_grandchildren_that_ignore_term_and_proves_it() {
    let script = "trap '' TERM; (trap '' TERM; echo inner $(exec sh -c 'echo $PPID'); while :; do sleep 1; done) & \
                  echo leader $$; wait; while :; do sleep 1; done";
    let sink = Collected::new();
    let stop = StopHandle::new();
    let (started, start) = tokio::sync::oneshot::channel();
    let running = tokio::spawn(run(sh(script), sink.clone(), stop.token(), |pid| started.send(pid).unwrap()));
    let (inner, leader) = (sink.pid("inner").await, sink.pid("leader").await);
    assert_eq!(start.await.unwrap(), leader.unsigned_abs());
    let told = Instant::now();
    stop.raise(StopLevel::Terminate);
    let end = running.await.unwrap().unwrap();
    assert_eq!(end, ProcessEnd { exit: Exit::Signal(9), stopped: Some(StopOutcome { proved_dead: true }) });
    assert!(told.elapsed() >= GRACE);
    assert!(!lives(inner) && !lives(leader));
}

#[tokio::test]
async fn a_polite_process_gets_its_time_and_a_prompt_answer() {
    let sink = Collected::new();
    let stop = StopHandle::new();
    let script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    let running = tokio::spawn(run(sh(script), sink.clone(), stop.token(), |_| {}));
    sink.line("ready").await;
    let told = Instant::now();
    stop.raise(StopLevel::Terminate);
    let end = running.await.unwrap().unwrap();
    assert_eq!(end, ProcessEnd { exit: Exit::Code(5), stopped: Some(StopOutcome { proved_dead: true }) });
    assert!(told.elapsed() < GRACE);
    assert_eq!(sink.line("bye").await, "");
}

#[tokio::test]
async fn a_member_left_after_the_leader_is_stopped_too() {
    let sink = Collected::new();
    let stop = StopHandle::new();
    let script = "(trap '' TERM; echo ready; while :; do sleep 1; done) & echo member $!; wait";
    let running = tokio::spawn(run(sh(script), sink.clone(), stop.token(), |_| {}));
    let member = sink.pid("member").await;
    sink.line("ready").await;
    stop.raise(StopLevel::Terminate);
    let end = running.await.unwrap().unwrap();
    assert_eq!(end, ProcessEnd { exit: Exit::Signal(15), stopped: Some(StopOutcome { proved_dead: true }) });
    assert!(!lives(member));
}

#[tokio::test]
async fn a_dropped_run_leaves_nothing_behind() {
    let sink = Collected::new();
    let running =
        tokio::spawn(run(sh("sleep 300 & echo child $!; wait"), sink.clone(), StopToken::never(), |_| {}));
    let child = sink.pid("child").await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let deadline = Instant::now() + DEADLINE;
    while lives(child) {
        assert!(Instant::now() < deadline, "process {child} was left behind");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str, mode: u32| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        ProcessSpec { program: path, args: vec![], ..sh("") }
    };
    let missing = ProcessSpec { program: dir.path().join("none"), ..sh("") };
    assert!(matches!(finish(missing).await.0, Err(ProcessError::NotFound { .. })));
    let no_cwd = ProcessSpec { cwd: dir.path().join("none"), ..sh("") };
    assert!(matches!(finish(no_cwd).await.0, Err(ProcessError::WorkingDirectory { .. })));
    let plain = file("plain", "echo hi\n", 0o755);
    assert!(matches!(finish(plain).await.0, Err(ProcessError::NotAProgram { .. })));
    let not_executable = file("data", "#!/bin/sh\n", 0o644);
    assert!(matches!(finish(not_executable).await.0, Err(ProcessError::NotExecutable { .. })));
    let dos = file("dos", "#!/bin/sh\r\necho\r\n", 0o755);
    let error = finish(dos).await.0.unwrap_err();
    assert!(error.to_string().contains(r#""/bin/sh\r""#), "{error}");
    let long = ProcessSpec { args: vec!["x".repeat(4_000_000).into()], ..sh("") };
    assert!(matches!(finish(long).await.0, Err(ProcessError::TooLong { .. })));
}

#[tokio::test]
async fn a_program_that_is_being_written_is_named_and_one_just_written_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("true");
    std::fs::copy("/bin/true", &path).unwrap();
    let spec = || ProcessSpec { program: path.clone(), args: vec![], ..sh("") };
    let writer = std::fs::File::options().append(true).open(&path).unwrap();
    assert!(matches!(finish(spec()).await.0, Err(ProcessError::Busy { .. })));
    drop(writer);
    assert!(finish(spec()).await.0.unwrap().exit.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_at_once_keep_their_outputs_apart() {
    let all = (0..100).map(|number| tokio::spawn(finish(sh(&format!("echo {number}; exit {number}")))));
    for (number, task) in all.enumerate() {
        let (end, sink) = task.await.unwrap();
        assert_eq!(sink.text(), format!("{number}\n"));
        assert_eq!(end.unwrap().exit, Exit::Code(i32::try_from(number).unwrap()));
    }
}

//! Stopping remote commands.

use std::time::{Duration, Instant};

use autoexec_test_support::scope::Scope;
use autoexec_transport::ssh::{ExecRequest, REMOTE_GRACE, RemoteCommand, RemoteEnd, SshConnection, SshError};
use autoexec_transport::{Exit, StopHandle, StopLevel, StopOutcome, StopToken};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinHandle;

use crate::harness::{Bed, Collected, DEADLINE, lives, shell};

pub(crate) type Running = JoinHandle<(Result<RemoteEnd, SshError>, SshConnection)>;

/// Runs a command, and gives the connection back.
pub(crate) fn start(
    mut connection: SshConnection,
    command: RemoteCommand,
    sink: &std::sync::Arc<Collected>,
    stop: &StopHandle,
) -> Running {
    let (sink, token) = (sink.clone(), stop.token());
    tokio::spawn(async move {
        let result = connection.run(command, sink, &token, |_| {}).await;
        (result, connection)
    })
}

const STUBBORN: &str = "trap '' TERM; (trap '' TERM; echo inner $(exec sh -c 'echo $PPID'); while :; do sleep 1; done) & \
                        echo outer $$; while :; do sleep 1; done";

#[tokio::test]
async fn a_polite_command_ends_at_once_and_the_connection_lives_on() {
    let bed = Bed::new();
    let (sink, stop) = (Collected::new(), StopHandle::new());
    let command = shell("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
    let running = start(bed.connect().await, command, &sink, &stop);
    sink.line("ready").await;
    let told = Instant::now();
    stop.raise(StopLevel::Terminate);
    let (end, mut connection) = running.await.unwrap();
    let want = RemoteEnd { exit: Some(Exit::Code(5)), stopped: Some(StopOutcome { proved_dead: true }) };
    assert_eq!(end.unwrap(), want);
    assert!(told.elapsed() < REMOTE_GRACE, "{:?}", told.elapsed());
    sink.line("bye").await;
    let end = connection.run(shell("exit 0"), Collected::new(), &StopToken::never(), |_| {}).await.unwrap();
    assert_eq!(end.exit, Some(Exit::Code(0)));
}

#[tokio::test]
async fn term_reaches_a_silent_command_within_a_fraction_of_a_second() {
    let bed = Bed::new();
    let (sink, stop) = (Collected::new(), StopHandle::new());
    let mark = bed.server.dir().join("stopped");
    std::fs::write(&mark, "").unwrap();
    std::os::unix::fs::chown(&mark, Some(bed.server.uid()), None).unwrap();
    // The command notes on the target when TERM came: the time of the look and of the answer is not in it.
    let script = format!(
        "trap 'date +%s.%N > {}; exit' TERM; echo ready; while :; do read x < /dev/zero & wait $!; done",
        mark.display()
    );
    let running =
        start(bed.connect().await, shell(&script.replace("read x < /dev/zero", "sleep 30")), &sink, &stop);
    sink.line("ready").await;
    let told = std::time::SystemTime::now();
    stop.raise(StopLevel::Terminate);
    running.await.unwrap().0.unwrap();
    let at: f64 = std::fs::read_to_string(&mark).unwrap().trim().parse().unwrap();
    let told = told.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    println!("TERM after {:.0} ms", (at - told) * 1000.0);
    assert!(at - told < 2.0, "{}", at - told);
}

#[tokio::test]
async fn a_daemon_goes_on_and_is_no_proof_where_logins_have_scopes() {
    let bed = Bed::new();
    let Some(scope) = Scope::new("session-autoexec2.scope").unwrap() else { return };
    scope.enter(bed.server.pid().unwrap()).unwrap();
    // One that an operation before has started is not this one's.
    let daemon = "setsid sh -c 'sleep 600 </dev/null >/dev/null 2>&1 & echo daemon $!'";
    let mut connection = bed.connect().await;
    let before = Collected::new();
    // Linux tells the beginning of a process in hundredths of a second.
    for script in [daemon, "sleep 0.1"] {
        connection.run(shell(script), before.clone(), &StopToken::never(), |_| {}).await.unwrap();
    }
    for (start, proved_dead) in [(String::new(), true), (format!("{daemon}; "), false)] {
        let (sink, stop) = (Collected::new(), StopHandle::new());
        let command = shell(&format!("{start}echo ready; sleep 600"));
        let running = self::start(connection, command, &sink, &stop);
        sink.line("ready").await;
        stop.raise(StopLevel::Terminate);
        let end;
        (end, connection) = running.await.unwrap();
        assert_eq!(end.unwrap().stopped, Some(StopOutcome { proved_dead }), "{start}");
        if !proved_dead {
            end_daemon(sink.pid("daemon").await);
        }
    }
    end_daemon(before.pid("daemon").await);
}

fn end_daemon(pid: i32) {
    assert!(lives(pid));
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn grandchildren_that_ignore_term_are_killed_and_proved_dead() {
    let bed = Bed::new();
    let (sink, stop) = (Collected::new(), StopHandle::new());
    let running = start(bed.connect().await, shell(STUBBORN), &sink, &stop);
    let (inner, outer) = (sink.pid("inner").await, sink.pid("outer").await);
    let told = Instant::now();
    stop.raise(StopLevel::Terminate);
    let end = running.await.unwrap().0.unwrap();
    let want = RemoteEnd { exit: Some(Exit::Signal(9)), stopped: Some(StopOutcome { proved_dead: true }) };
    assert_eq!(end, want);
    assert!(told.elapsed() + Duration::from_millis(200) >= REMOTE_GRACE, "{:?}", told.elapsed());
    assert!(!lives(inner) && !lives(outer));
}

#[tokio::test]
async fn kill_waits_for_nobody_even_while_term_is_under_way() {
    let bed = Bed::new();
    let (sink, stop) = (Collected::new(), StopHandle::new());
    let script = STUBBORN.replacen("trap ''", "trap 'echo termed'", 1);
    let running = start(bed.connect().await, shell(&script), &sink, &stop);
    let (inner, outer) = (sink.pid("inner").await, sink.pid("outer").await);
    stop.raise(StopLevel::Terminate);
    sink.line("termed").await;
    let told = Instant::now();
    stop.raise(StopLevel::Kill);
    let (end, mut connection) = running.await.unwrap();
    assert_eq!(end.unwrap().stopped, Some(StopOutcome { proved_dead: true }));
    assert!(told.elapsed() + Duration::from_secs(1) < REMOTE_GRACE, "{:?}", told.elapsed());
    assert!(!lives(inner) && !lives(outer));
    let end = connection.run(shell("exit 3"), Collected::new(), &StopToken::never(), |_| {}).await.unwrap();
    assert_eq!(end.exit, Some(Exit::Code(3)));
    assert_eq!(bed.server.log().matches("Accepted publickey").count(), 1, "one connection does");
}

#[tokio::test]
async fn a_child_that_left_the_group_but_not_the_session_is_found() {
    let bed = Bed::new();
    let (sink, stop) = (Collected::new(), StopHandle::new());
    let script = "set -m; sleep 300 & echo other $!; echo ready; wait";
    let command = RemoteCommand { program_line: format!("/bin/bash -c '{script}'"), ..shell("") };
    let running = start(bed.connect().await, command, &sink, &stop);
    let other = sink.pid("other").await;
    sink.line("ready").await;
    stop.raise(StopLevel::Terminate);
    assert_eq!(running.await.unwrap().0.unwrap().stopped, Some(StopOutcome { proved_dead: true }));
    assert!(!lives(other));
}

#[tokio::test]
async fn a_child_in_a_session_of_its_own_is_found_and_killed() {
    let bed = Bed::new();
    let (sink, stop) = (Collected::new(), StopHandle::new());
    let script = "setsid sh -c 'trap \"\" TERM; echo other $$; while :; do sleep 1; done' & wait";
    let running = start(bed.connect().await, shell(script), &sink, &stop);
    let other = sink.pid("other").await;
    stop.raise(StopLevel::Terminate);
    assert_eq!(running.await.unwrap().0.unwrap().stopped, Some(StopOutcome { proved_dead: true }));
    assert!(!lives(other));
}

#[tokio::test]
async fn a_server_with_one_session_per_connection_is_stopped_over_another_connection() {
    let bed = Bed::config(&["MaxSessions 1"]);
    let (sink, stop) = (Collected::new(), StopHandle::new());
    let running = start(bed.connect().await, shell("sleep 300 & echo child $!; wait"), &sink, &stop);
    let child = sink.pid("child").await;
    stop.raise(StopLevel::Terminate);
    let end = running.await.unwrap().0.unwrap();
    assert_eq!(end.stopped, Some(StopOutcome { proved_dead: true }));
    assert_eq!(end.exit, Some(Exit::Signal(15)));
    assert!(!lives(child));
    assert_eq!(bed.server.log().matches("Accepted publickey").count(), 2, "{}", bed.server.log());
}

#[tokio::test]
async fn an_endless_talker_is_stopped_too() {
    let bed = Bed::new();
    let (sink, stop) = (Collected::new(), StopHandle::new());
    let running = start(bed.connect().await, shell("echo pid $$; exec yes"), &sink, &stop);
    let pid = sink.pid("pid").await;
    stop.raise(StopLevel::Terminate);
    let end = running.await.unwrap().0.unwrap();
    assert_eq!(end.stopped, Some(StopOutcome { proved_dead: true }));
    assert!(!lives(pid));
}

#[tokio::test]
async fn a_group_of_a_lost_connection_can_be_stopped_by_its_id() {
    let bed = Bed::new();
    let sink = Collected::new();
    let mut connection = bed.connect().await;
    let (started, start) = tokio::sync::oneshot::channel();
    let seen = sink.clone();
    let running = tokio::spawn(async move {
        let command = shell("echo pid $$; exec sleep 300");
        connection.run(command, seen, &StopToken::never(), |pid| started.send(pid).unwrap()).await
    });
    let pid = sink.pid("pid").await;
    bed.server.kill_sessions();
    running.await.unwrap().unwrap_err();
    assert!(lives(pid));
    let outcome =
        bed.connect().await.stop_group(start.await.unwrap(), None, &StopToken::never()).await.unwrap();
    assert_eq!(outcome, StopOutcome { proved_dead: true });
    assert!(!lives(pid));
}

#[tokio::test]
async fn a_dropped_run_is_killed_on_the_target() {
    let bed = Bed::new();
    let (sink, stop) = (Collected::new(), StopHandle::new());
    let running = start(bed.connect().await, shell(STUBBORN), &sink, &stop);
    let (inner, outer) = (sink.pid("inner").await, sink.pid("outer").await);
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    let deadline = Instant::now() + DEADLINE;
    while lives(inner) || lives(outer) {
        assert!(Instant::now() < deadline, "left behind");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_stopped_exec_returns_and_claims_nothing() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let (sink, stop) = (Collected::new(), StopHandle::new());
    let (seen, token) = (sink.clone(), stop.token());
    let running = tokio::spawn(async move {
        let request = ExecRequest { command: "echo ready; sleep 300".to_owned(), stdin: vec![] };
        let end = connection.exec(request, seen, &token).await.unwrap();
        (end, connection)
    });
    sink.line("ready").await;
    stop.raise(StopLevel::Terminate);
    let (end, mut connection) = running.await.unwrap();
    assert_eq!(end, RemoteEnd { exit: None, stopped: Some(StopOutcome { proved_dead: false }) });
    let end = connection.run(shell("exit 3"), Collected::new(), &StopToken::never(), |_| {}).await.unwrap();
    assert_eq!(end.exit, Some(Exit::Code(3)));
}

//! The shell on a target that does one operation after another.

use std::time::Instant;

use autoexec_test_support::scope::Scope;
use autoexec_transport::ssh::{REMOTE_LINGER, RemoteCommand, RemoteEnd, SshConnection};
use autoexec_transport::{Exit, StopToken};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Bed, Collected, lives, shell, until};

async fn run(connection: &mut SshConnection, command: RemoteCommand) -> String {
    let sink = Collected::new();
    let end = connection.run(command, sink.clone(), &StopToken::never(), |_| {}).await.unwrap();
    assert_eq!(end, RemoteEnd { exit: Some(Exit::Code(0)), stopped: None });
    sink.text()
}

/// Commands that sshd has started.
fn sessions(bed: &Bed) -> usize {
    bed.server.log().matches("Starting session: command").count()
}

/// The shell that does the lines is the parent of the session's leader.
const WHO: &str = "ps -o ppid= -p $$";

pub(crate) async fn shell_of(connection: &mut SshConnection) -> i32 {
    run(connection, shell(WHO)).await.trim().parse().unwrap()
}

#[tokio::test]
async fn operations_share_a_shell_and_nothing_else() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let first = RemoteCommand {
        env: vec![("ONE".to_owned(), "1".to_owned())],
        ..shell("cd /; umask 0; ulimit -c 0; TWO=2; export TWO; echo $ONE$TWO")
    };
    assert_eq!(run(&mut connection, first).await, "12\n");
    let second = shell("pwd; echo ${ONE-none} ${TWO-none} ${AUTOEXEC_T-none}; umask");
    let fresh = run(&mut bed.connect().await, shell("umask")).await;
    assert_eq!(run(&mut connection, second).await, format!("/tmp\nnone none none\n{fresh}"));
    // The fourth is the directory that `ls` reads.
    assert_eq!(run(&mut connection, shell("ls /proc/self/fd | tr '\\n' ' '")).await, "0 1 2 3 ");
    let dir = connection.make_private_dir("staying", &StopToken::never()).await.unwrap();
    connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
    let same = shell_of(&mut connection).await;
    assert_eq!(shell_of(&mut connection).await, same);
    // One for each of the two connections.
    assert_eq!(sessions(&bed), 2, "{}", bed.server.log());
}

/// Has a process left behind write after the end of its operation, and during the next one.
async fn leave_behind(bed: &Bed, start: &str) {
    let mut connection = bed.connect().await;
    let go = bed.server.dir().join("go");
    let _ = std::fs::remove_file(&go);
    let left = format!(
        "echo first; {start} sh -c 'while [ ! -e {0} ]; do sleep 0.05; done; echo late; echo late' & echo pid $!",
        go.display()
    );
    let old = shell_of(&mut connection).await;
    let begun = Instant::now();
    let text = run(&mut connection, shell(&left)).await;
    assert!(text.starts_with("first\npid "), "{text}");
    assert!(begun.elapsed() >= REMOTE_LINGER, "its output could still come");
    until("the end of a shell that is not alone", || !lives(old)).await;
    std::fs::write(&go, "").unwrap();
    let left = text.lines().find_map(|line| line.strip_prefix("pid ")).unwrap();
    let wait = format!("while kill -0 {left} 2>/dev/null; do sleep 0.05; done; echo second");
    assert_eq!(run(&mut connection, shell(&wait)).await, "second\n");
    assert_ne!(shell_of(&mut connection).await, old);
}

#[tokio::test]
async fn what_an_operation_leaves_behind_is_not_heard_in_the_next_one() {
    leave_behind(&Bed::new(), "").await;
}

#[tokio::test]
async fn what_leaves_its_session_is_not_heard_where_logins_have_scopes() {
    let bed = Bed::new();
    let Some(scope) = Scope::new("session-autoexec1.scope").unwrap() else { return };
    // What sshd starts is where sshd is: what pam_systemd does for each login.
    scope.enter(bed.server.pid().unwrap()).unwrap();
    leave_behind(&bed, "setsid").await;
    let mut connection = bed.connect().await;
    let same = shell_of(&mut connection).await;
    assert_eq!(shell_of(&mut connection).await, same, "an operation that leaves nothing costs no shell");
}

#[tokio::test]
async fn what_is_left_behind_goes_on_and_costs_a_shell() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let old = shell_of(&mut connection).await;
    let text = run(&mut connection, shell("sleep 600 </dev/null >/dev/null 2>&1 & echo $!")).await;
    let left: i32 = text.trim().parse().unwrap();
    assert_ne!(shell_of(&mut connection).await, old);
    assert!(lives(left), "what an operation starts goes on");
    kill(Pid::from_raw(left), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn a_shell_that_was_ended_between_operations_is_replaced() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let old = shell_of(&mut connection).await;
        kill(Pid::from_raw(old), signal).unwrap();
        assert_eq!(run(&mut connection, shell("echo next")).await, "next\n");
        assert_ne!(shell_of(&mut connection).await, old);
    }
}

#[tokio::test]
async fn a_shell_that_is_ended_during_an_operation_is_told_and_replaced() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let whole = shell(&format!("kill -KILL $({WHO})"));
    let end = connection.run(whole, Collected::new(), &StopToken::never(), |_| {}).await.unwrap();
    assert_eq!(end.exit, Some(Exit::Signal(Signal::SIGKILL as i32)), "the server says so");
    assert_eq!(run(&mut connection, shell("echo next")).await, "next\n");
}

#[tokio::test]
async fn a_server_with_one_channel_gets_everything_done_in_turns() {
    let bed = Bed::config(&["MaxSessions 1"]);
    let mut connection = bed.connect().await;
    let never = StopToken::never();
    let dir = connection.make_private_dir("one", &never).await.unwrap();
    let write = RemoteCommand { dir: dir.path().to_owned(), ..shell("seq 1 100000 >numbers") };
    run(&mut connection, write).await;
    let here = bed.path("numbers");
    let there = format!("{}/numbers", dir.path());
    assert_eq!(connection.download(&there, &here, 1 << 20, &never).await.unwrap(), Some(588_895));
    assert_eq!(std::fs::read(&here).unwrap().len(), 588_895);
    assert_eq!(run(&mut connection, shell("echo on")).await, "on\n");
    connection.remove_dir(&dir, &never).await.unwrap();
}

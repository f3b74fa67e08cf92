//! The shell on a target that does one operation after another.

use std::time::Instant;

use autoexec_transport::ssh::{REMOTE_LINGER, RemoteCommand, RemoteEnd, SshConnection, SshErrorKind};
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

/// The shell that does the lines: the parent of the session's leader is a part of it.
const WHO: &str = "ps -o ppid= -p $(ps -o ppid= -p $$)";

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
    let dir = connection.make_private_dir("staying", &StopToken::never()).await.unwrap();
    connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
    let same = shell_of(&mut connection).await;
    assert_eq!(shell_of(&mut connection).await, same);
    // One for each of the two connections.
    assert_eq!(sessions(&bed), 2, "{}", bed.server.log());
}

#[tokio::test]
async fn what_an_operation_leaves_behind_is_not_heard_in_the_next_one() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let go = bed.server.dir().join("go");
    let left = format!(
        "echo first; setsid sh -c 'while [ ! -e {0} ]; do sleep 0.05; done; echo late; echo late' & echo pid $!",
        go.display()
    );
    let old = shell_of(&mut connection).await;
    let begun = Instant::now();
    let text = run(&mut connection, shell(&left)).await;
    assert!(text.starts_with("first\npid "), "{text}");
    assert!(begun.elapsed() >= REMOTE_LINGER, "its output could still come");
    // The signal was sent; nobody waits for what comes of it.
    until("the end of a shell whose output nobody waits for", || !lives(old)).await;
    std::fs::write(&go, "").unwrap();
    let left = text.lines().find_map(|line| line.strip_prefix("pid ")).unwrap();
    let wait = format!("while kill -0 {left} 2>/dev/null; do sleep 0.05; done; echo second");
    assert_eq!(run(&mut connection, shell(&wait)).await, "second\n");
    assert_ne!(shell_of(&mut connection).await, old);
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
    // The leader's parent does the line, and is a child of the shell that reads lines.
    let error = connection
        .run(shell("kill -KILL $(ps -o ppid= -p $$)"), Collected::new(), &StopToken::never(), |_| {})
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::NoExit), "{error}");
    assert_eq!(run(&mut connection, shell("echo next")).await, "next\n");
    let whole = shell(&format!("kill -KILL $({WHO})"));
    let end = connection.run(whole, Collected::new(), &StopToken::never(), |_| {}).await.unwrap();
    assert_eq!(end.exit, Some(Exit::Code(0)), "what does the line has said so");
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

//! A directory that goes with the last command in it.

use autoexec_test_support::proxy::Proxy;
use autoexec_test_support::sshd::SshdOptions;
use autoexec_transport::ssh::{RemoteDir, RemoteTask, Setup, TaskEnd, UploadEntry, Wanted};
use autoexec_transport::{Exit, StopToken};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Bed, Collected, shell, until};
use crate::staying::shell_of;

fn task(dir: &RemoteDir, entries: &[UploadEntry], script: &str, removes_dir: bool) -> RemoteTask {
    let mut command = shell(script);
    dir.path().clone_into(&mut command.dir);
    let setup =
        Setup { dir: dir.clone(), make: true, entries: entries.to_vec(), inventory: None, kept: None };
    let wanted = Some(Wanted { files: vec![format!("{dir}/out")], max_bytes: 1000 });
    RemoteTask { setup: Some(setup), command, wanted, detached: None, removes_dir }
}

/// What is heard of a task, and whether its directory is there afterwards.
async fn ended(
    bed: &Bed,
    entries: &[UploadEntry],
    script: &str,
    removes_dir: bool,
) -> (TaskEnd, String, bool) {
    let dir = RemoteDir::new("autoexec-removing").unwrap();
    let mut connection = bed.connect().await;
    let sink = Collected::new();
    let task = task(&dir, entries, script, removes_dir);
    let end = connection.run_task(task, sink.clone(), &StopToken::never(), |_| {}).await.unwrap();
    let stays = std::path::Path::new(dir.path()).exists();
    // The connection is good for another one.
    let after = connection.run(shell("exit 5"), Collected::new(), &StopToken::never(), |_| {}).await.unwrap();
    assert_eq!(after.exit, Some(Exit::Code(5)));
    connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
    assert!(!std::path::Path::new(dir.path()).exists());
    (end, sink.text(), stays)
}

#[tokio::test]
async fn a_directory_goes_with_the_last_command_if_that_succeeds() {
    let bed = Bed::with(SshdOptions::default());
    let few = vec![bed.file("in/a", b"text", 0o600)];
    // More than what goes into the script itself, so that an archive follows it.
    let many: Vec<_> = (0..40).map(|n| bed.file(&format!("in/{n}"), &[b'x'; 4000], 0o644)).collect();
    for entries in [&few, &many] {
        let script = "cat in/* | wc -c; echo value >out; exit 0";
        let (end, said, stays) = ended(&bed, entries, script, true).await;
        assert_eq!((end.end.exit, end.file.as_deref()), (Some(Exit::Code(0)), Some(&b"value\n"[..])));
        assert!(end.removed && !stays, "{said}");
        let (end, again, stays) = ended(&bed, entries, script, false).await;
        assert_eq!((end.removed, stays, &again), (false, true, &said));
    }
}

#[tokio::test]
async fn it_stays_after_a_failure_and_where_it_cannot_be_removed() {
    let bed = Bed::with(SshdOptions::default());
    for (script, exit) in [("exit 3", Exit::Code(3)), ("kill -TERM $$", Exit::Signal(15))] {
        let (end, _, stays) = ended(&bed, &[], script, true).await;
        assert_eq!((end.end.exit, end.removed, stays), (Some(exit), false, true), "{script}");
    }
    let locked = "mkdir locked && : >locked/file && chmod 500 locked; exit 0";
    let (end, _, stays) = ended(&bed, &[], locked, true).await;
    assert_eq!((end.end.exit, end.removed, stays), (Some(Exit::Code(0)), false, true));
}

#[tokio::test]
async fn a_shell_that_ends_while_the_last_line_is_on_its_way_is_replaced() {
    let bed = Bed::new();
    let proxy = Proxy::to(bed.server.port()).unwrap();
    let mut connection = bed.connect_through(proxy.port()).await;
    for removes_dir in [false, true] {
        let shell = Pid::from_raw(shell_of(&mut connection).await);
        let server = parent_of(shell);
        // The end of the shell is not told before the line has been sent to it.
        kill(server, Signal::SIGSTOP).unwrap();
        kill(shell, Signal::SIGKILL).unwrap();
        proxy.sent();
        let dir = RemoteDir::new("autoexec-removing").unwrap();
        let (task, sink, never) =
            (task(&dir, &[], "echo done", removes_dir), Collected::new(), StopToken::never());
        let running = connection.run_task(task, sink.clone(), &never, |_| {});
        let telling = async {
            until("the line is sent", || proxy.sent() > 0).await;
            kill(server, Signal::SIGCONT).unwrap();
        };
        let (end, ()) = tokio::join!(running, telling);
        let end = end.unwrap();
        assert_eq!(
            (end.end.exit, end.removed, sink.text().as_str()),
            (Some(Exit::Code(0)), removes_dir, "done\n")
        );
        connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
    }
}

fn parent_of(process: Pid) -> Pid {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let parent = stat.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap();
    Pid::from_raw(parent.parse().unwrap())
}

//! Commands that go on when their connection breaks.

use autoexec_transport::ssh::{
    DetachedRun, RemoteDir, RemotePid, RemoteTask, Setup, UploadEntry, UploadSource, Wanted,
};
use autoexec_transport::{Exit, StopToken};

use crate::harness::{Bed, Collected, lives, shell};

fn task(dir: &RemoteDir, script: &str, make: bool) -> RemoteTask {
    let mut command = shell(script);
    dir.path().clone_into(&mut command.dir);
    let entry =
        UploadEntry { source: UploadSource::Bytes(b"a\n".to_vec()), dest: "in/a".to_owned(), mode: 0o600 };
    RemoteTask {
        setup: Some(Setup { dir: dir.clone(), make, entries: vec![entry], inventory: None, kept: None }),
        command,
        wanted: Some(Wanted { files: vec![format!("{dir}/out")], max_bytes: 100 }),
        detached: Some(DetachedRun::new(dir, "run1")),
        removes_dir: false,
    }
}

#[tokio::test]
async fn a_detached_command_ends_like_any_other() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let dir = RemoteDir::new("autoexec-detached").unwrap();
    let sink = Collected::new();
    let script = "cat in/a; echo err >&2; printf 42 >out; exit 0";
    let end = connection.run_task(task(&dir, script, true), sink.clone(), &StopToken::never(), |_| {}).await;
    let end = end.unwrap();
    assert_eq!((end.end.exit, end.file.as_deref()), (Some(Exit::Code(0)), Some(&b"42"[..])));
    assert_eq!(sink.text(), "a\nerr\n");
    for (script, exit) in [("exit 7", Exit::Code(7)), ("kill -KILL $$", Exit::Signal(9))] {
        let mut task = task(&dir, script, false);
        task.detached = Some(DetachedRun::new(&dir, &format!("run{}", script.len())));
        let end = connection.run_task(task, Collected::new(), &StopToken::never(), |_| {}).await.unwrap();
        assert_eq!(end.end.exit, Some(exit), "{script}");
    }
    connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn a_new_connection_takes_up_a_detached_command_where_the_old_one_broke() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let dir = RemoteDir::new("autoexec-detached").unwrap();
    let sink = Collected::new();
    let script =
        "i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); sleep 0.1; done; printf x >out; exit 5";
    let task = task(&dir, script, true);
    let (first, seen) = (task.clone(), sink.clone());
    let running =
        tokio::spawn(async move { connection.run_task(first, seen, &StopToken::never(), |_| {}).await });
    sink.line("line 3").await;
    bed.server.kill_sessions();
    running.await.unwrap().unwrap_err();
    assert!(task.detached.as_ref().unwrap().group().is_some());
    let mut connection = bed.connect().await;
    let end = connection.attach(task.clone(), sink.clone(), &StopToken::never()).await.unwrap();
    assert_eq!(end.end.exit, Some(Exit::Code(5)));
    let whole = (0..40).map(|number| format!("line {number}\n")).collect::<Vec<_>>().concat();
    assert_eq!(sink.text(), whole, "nothing twice, nothing missing");
    connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn a_detached_command_is_stopped_from_a_new_connection() {
    let bed = Bed::new();
    let mut connection = bed.connect().await;
    let dir = RemoteDir::new("autoexec-detached").unwrap();
    let sink = Collected::new();
    let task = task(&dir, "echo pid $$; exec sleep 300", true);
    let (first, seen) = (task.clone(), sink.clone());
    let running =
        tokio::spawn(async move { connection.run_task(first, seen, &StopToken::never(), |_| {}).await });
    let pid = sink.pid("pid").await;
    bed.server.kill_sessions();
    running.await.unwrap().unwrap_err();
    assert!(lives(pid), "it does not depend on its connection");
    let mut connection = bed.connect().await;
    let group = task.detached.as_ref().unwrap().group().unwrap();
    let outcome = connection.stop_group(RemotePid { group }, None, &StopToken::never()).await.unwrap();
    assert!(outcome.proved_dead && !lives(pid));
    connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
}

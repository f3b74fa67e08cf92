//! What a command says while its files are still on their way: it is told after the start, whole and once.

use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

use autoexec_test_support::noise::noise;
use autoexec_transport::ssh::{DetachedRun, RemoteDir, RemoteTask, Setup, UploadEntry, UploadSource};
use autoexec_transport::{Exit, OutputSink, StopToken};

use crate::harness::{Bed, Collected, shell};

/// More than a server takes of what nobody reads.
const MANY: usize = 6 << 20;

/// A target whose `tar` has all that it wants after the first file, so that the command runs while the second one is sent.
fn early() -> (Bed, tempfile::TempDir) {
    let tools = tempfile::tempdir().unwrap();
    let tar = tools.path().join("tar");
    std::fs::write(&tar, "#!/bin/sh\nhead -c 10240 | /bin/tar \"$@\" 2>/dev/null\nexit 0\n").unwrap();
    for path in [tools.path(), &tar] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let bed = Bed::config(&[&format!("SetEnv PATH={}:/usr/bin:/bin", tools.path().display())]);
    (bed, tools)
}

fn task(dir: &RemoteDir, script: &str) -> RemoteTask {
    let mut command = shell(script);
    dir.path().clone_into(&mut command.dir);
    let entry = |dest: &str, content: Vec<u8>| UploadEntry {
        source: UploadSource::Bytes(content),
        dest: dest.to_owned(),
        mode: 0o600,
    };
    let entries = vec![entry("first", b"first\n".to_vec()), entry("second", noise(MANY, 1))];
    RemoteTask {
        setup: Some(Setup { dir: dir.clone(), make: true, entries, inventory: None, kept: None }),
        command,
        wanted: None,
        detached: None,
        removes_dir: false,
    }
}

/// Start and output, in the order in which they were told.
#[derive(Default)]
struct Told(Mutex<Vec<u8>>);

impl Told {
    fn say(&self, bytes: &[u8]) {
        self.0.lock().unwrap().extend_from_slice(bytes);
    }
}

impl OutputSink for Told {
    fn output(&self, bytes: &[u8]) {
        self.say(bytes);
    }
}

#[tokio::test]
async fn output_before_the_last_file_is_sent_is_told_after_the_start() {
    let (bed, _tools) = early();
    let mut connection = bed.connect().await;
    for detached in [false, true] {
        let dir = RemoteDir::new("autoexec-telling").unwrap();
        let mut task = task(&dir, "cat first; seq 1 3000; exit 4");
        task.detached = detached.then(|| DetachedRun::new(&dir, "run1"));
        let told = Arc::<Told>::default();
        let (sink, start) = (Arc::clone(&told), Arc::clone(&told));
        let on_start = move |_| start.say(b"start\n");
        let end = connection.run_task(task, sink, &StopToken::never(), on_start).await.unwrap();
        assert_eq!(end.end.exit, Some(Exit::Code(4)), "{detached}");
        let want = format!("start\nfirst\n{}", crate::harness::numbers(3000));
        assert_eq!(String::from_utf8(told.0.lock().unwrap().clone()).unwrap(), want, "{detached}");
        connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
    }
}

#[tokio::test]
async fn output_before_the_last_file_is_sent_is_not_fetched_again() {
    let (bed, _tools) = early();
    let mut connection = bed.connect().await;
    let dir = RemoteDir::new("autoexec-telling").unwrap();
    let go = bed.server.dir().join("go");
    let script = format!(
        "seq 1 3000; echo so far; while [ ! -e {} ]; do sleep 0.1; done; seq 3001 3100",
        go.display()
    );
    let mut task = task(&dir, &script);
    task.detached = Some(DetachedRun::new(&dir, "run1"));
    let sink = Collected::new();
    let (first, seen) = (task.clone(), sink.clone());
    let running =
        tokio::spawn(async move { connection.run_task(first, seen, &StopToken::never(), |_| {}).await });
    // The second file is still being sent: nobody reads it.
    sink.line("so far").await;
    bed.server.kill_sessions();
    running.await.unwrap().unwrap_err();
    std::fs::write(go, "").unwrap();
    let mut connection = bed.connect().await;
    let end = connection.attach(task, sink.clone(), &StopToken::never()).await.unwrap();
    assert_eq!(end.end.exit, Some(Exit::Code(0)));
    let mut want = crate::harness::numbers(3100);
    want.insert_str(want.find("3001\n").unwrap(), "so far\n");
    assert_eq!(sink.text(), want, "nothing twice, nothing missing");
    connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
}

//! A target whose /tmp is full, small, read-only or noexec: the error says so, nothing is left, nothing is taken for success.

use autoexec_test_support::noise::noise;
use autoexec_transport::ssh::{
    DetachedRun, Digests, Inventory, RemoteDir, RemoteTask, Setup, SshConnection, TaskEnd, UploadEntry,
    UploadSource, Wanted,
};
use autoexec_transport::{Exit, StopToken};

use crate::harness::{Apart, Collected, shell};

const RUN: &str = "exec ./run";

/// A machine with a /tmp of its own.
struct Ground {
    apart: Apart,
}

/// What came of an operation.
struct Outcome {
    end: Result<TaskEnd, String>,
    said: String,
}

impl Outcome {
    fn error(self) -> String {
        self.end.unwrap_err()
    }
}

impl Ground {
    /// None without root.
    fn new() -> Option<Self> {
        Apart::start("a machine with a /tmp of its own").map(|apart| Self { apart })
    }

    fn remount(&self, options: &str) {
        self.apart.machine.sh(&format!("mount -o remount,{options} /tmp")).unwrap();
    }

    async fn connect(&self) -> SshConnection {
        self.apart.connect(self.apart.address(), "root", self.apart.key()).await.unwrap()
    }

    fn file(&self, name: &str, length: usize) -> UploadEntry {
        let path = self.apart.dir.path().join(name);
        std::fs::write(&path, noise(length, 1)).unwrap();
        UploadEntry { source: UploadSource::File(path), dest: format!("lib/{name}"), mode: 0o600 }
    }

    /// Runs a script with files in a directory of its own, which is removed afterwards.
    async fn run(&self, entries: Vec<UploadEntry>, script: &str, detached: bool) -> Outcome {
        let mut connection = self.connect().await;
        let dir = RemoteDir::new("autoexec-tight").unwrap();
        let mut command = shell(script);
        dir.path().clone_into(&mut command.dir);
        let inventory = Some(Inventory::new(&Digests::default()));
        let task = RemoteTask {
            setup: Some(Setup { dir: dir.clone(), make: true, entries, inventory, kept: None }),
            command,
            wanted: Some(Wanted { files: vec![format!("{dir}/out")], max_bytes: 1_000_000 }),
            detached: detached.then(|| DetachedRun::new(&dir, "run1")),
            removes_dir: false,
        };
        let sink = Collected::new();
        let end = connection.run_task(task, sink.clone(), &StopToken::never(), |_| {}).await;
        connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
        let left = self.apart.machine.sh("ls -A /tmp").unwrap();
        assert!(!left.contains("autoexec"), "{left}");
        let end = end.map_err(|error| {
            let text = error.to_string();
            let named = text.starts_with("root@127.0.0.1:") && text.contains("/tmp");
            assert!(named, "which host and where: {text}");
            text
        });
        Outcome { end, said: sink.text() }
    }
}

fn script() -> Vec<UploadEntry> {
    let source = UploadSource::Bytes(b"#!/bin/sh\necho ran\n".to_vec());
    vec![UploadEntry { source, dest: "run".to_owned(), mode: 0o700 }]
}

#[tokio::test]
async fn a_full_tmp_is_named_whatever_does_not_fit() {
    let Some(ground) = Ground::new() else { return };
    ground.remount("size=256k");
    let full = "/tmp of the target is full (0 of 256 KiB are free): make room there";
    for detached in [false, true] {
        let end = ground.run(script(), RUN, detached).await;
        assert_eq!((end.end.unwrap().end.exit, end.said.as_str()), (Some(Exit::Code(0)), "ran\n"));
    }
    for (name, length) in [("some", 300_000), ("large", 9 << 20)] {
        let error = ground.run(vec![ground.file(name, length)], "echo ran", false).await.error();
        assert!(error.contains(full) && error.contains("No space left on device"), "{error}");
    }
    // What the command writes is its own affair, but it must not look whole where nobody can know.
    let write = "head -c 500000 /dev/zero >lib || exit 5";
    let end = ground.run(vec![], write, false).await;
    assert_eq!(end.end.unwrap().end.exit, Some(Exit::Code(5)));
    assert!(end.said.contains("No space left on device"), "{}", end.said);
    let end = ground.run(vec![], "echo begun; head -c 500000 /dev/zero; exit 5", true).await;
    assert_eq!(end.end.unwrap().end.exit, Some(Exit::Code(5)), "the exit code has its place");
    let end = ground.run(vec![], "echo begun; head -c 500000 /dev/zero; exit 0", true).await;
    assert!(end.said.starts_with("begun\n"));
    let error = end.error();
    assert!(error.contains("may be cut off") && error.contains(full), "{error}");

    ground.apart.machine.try_sh("head -c 300000 /dev/zero >/tmp/fill").unwrap();
    for detached in [false, true] {
        let end = ground.run(script(), RUN, detached).await;
        assert_eq!(end.said, "");
        let error = end.error();
        assert!(error.contains(full), "{error}");
    }
    let error = ground.run(vec![], "echo ran", true).await.error();
    assert!(error.contains(full), "{error}");
    let source = UploadSource::Bytes(vec![0; 100_000]);
    let entry = UploadEntry { source, dest: "a".to_owned(), mode: 0o600 };
    let mut connection = ground.connect().await;
    let error = connection.upload_tree(vec![entry], "/tmp", &StopToken::never()).await.unwrap_err();
    assert!(error.to_string().contains(full), "{error}");
    // The connection has done nothing wrong.
    ground.apart.machine.sh("rm /tmp/fill").unwrap();
    let dir = connection.make_private_dir("autoexec-tight", &StopToken::never()).await.unwrap();
    connection.remove_dir(&dir, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn a_tmp_without_inodes_or_that_is_read_only_is_named() {
    let Some(ground) = Ground::new() else { return };
    ground.apart.machine.sh("for i in 1 2 3 4; do : >/tmp/fill$i; done").unwrap();
    ground.remount("nr_inodes=8");
    let full = "of 8 inodes are free): make room there";
    let error = ground.run(vec![ground.file("a", 20_000)], "echo ran", false).await.error();
    assert!(error.contains(full), "{error}");
    let error = ground.run(vec![], "echo ran", true).await.error();
    assert!(error.contains(full), "{error}");
    ground.apart.machine.sh("rm /tmp/fill*").unwrap();
    ground.remount("nr_inodes=0,ro");
    let read_only = "/tmp of the target is mounted read-only: mount it for writing";
    for detached in [false, true] {
        let error = ground.run(script(), RUN, detached).await.error();
        assert!(error.contains(read_only), "{error}");
    }
    let error =
        ground.connect().await.make_private_dir("autoexec-tight", &StopToken::never()).await.unwrap_err();
    assert!(error.to_string().contains(read_only), "{error}");
}

#[tokio::test]
async fn a_tmp_where_nothing_may_be_started_is_named_and_an_interpreter_helps() {
    let Some(ground) = Ground::new() else { return };
    ground.remount("noexec");
    for detached in [false, true] {
        let end = ground.run(script(), RUN, detached).await;
        assert!(end.said.contains("Permission denied"), "{}", end.said);
        let end = end.end.unwrap();
        assert_eq!(end.end.exit, Some(Exit::Code(126)));
        let remark = end.remark.unwrap();
        assert!(remark.starts_with("/tmp of the target is mounted noexec: "), "{remark}");
        let end = ground.run(script(), "sh run", detached).await;
        assert_eq!((end.end.unwrap().end.exit, end.said.as_str()), (Some(Exit::Code(0)), "ran\n"));
    }
    // The same code for another reason.
    let end = ground.run(vec![], "exit 126", false).await.end.unwrap();
    assert!(end.remark.is_some(), "where it cannot be told apart it is said as well");
    ground.remount("exec");
    let end = ground.run(vec![], "exit 126", false).await.end.unwrap();
    assert_eq!((end.end.exit, end.remark), (Some(Exit::Code(126)), None));
}

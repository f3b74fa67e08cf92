//! A target whose `/bin/sh` is another one than Debian's: all that a node of a job goes through.

use std::path::Path;

use autoexec_test_support::noise::noise;
use autoexec_test_support::skip::skipped;
use autoexec_transport::ssh::{
    DetachedRun, Digests, Inventory, RemoteDir, RemoteTask, Setup, SshConnection, UploadEntry, UploadSource,
    Wanted,
};
use autoexec_transport::{Exit, StopHandle, StopLevel, StopOutcome, StopToken};

use crate::harness::{Apart, Collected, numbers, shell};
use crate::stopping::start;

/// Shells, and the directory of tools where they have their own.
const SHELLS: [(&str, Option<&str>); 5] = [
    ("/usr/bin/bash", None),
    ("/usr/bin/ksh93", None),
    ("/usr/bin/mksh", None),
    ("/usr/bin/busybox", None),
    ("/usr/bin/busybox", Some("/opt/applets")),
];

#[tokio::test]
async fn a_target_with_any_shell_gets_everything_done() {
    for (path, tools) in SHELLS {
        if !Path::new(path).exists() {
            skipped(path);
            continue;
        }
        let Some(apart) = Apart::start("a machine with another shell") else { return };
        let machine = &apart.machine;
        machine.sh(&format!("ln -sf {path} /usr/bin/sh")).unwrap();
        if let Some(tools) = tools {
            apart.configure(&format!("SetEnv PATH={tools}"));
            machine.sh(&format!("mkdir {tools} && busybox --install -s {tools}")).unwrap();
        }
        let what = format!("{path} {tools:?}");
        let connection = apart.connect(apart.address(), "root", apart.key()).await.unwrap();
        let target = Target { apart: &apart, what };
        let connection = target.runs(connection, path).await;
        let connection = target.takes_files(connection).await;
        target.stops(connection).await;
    }
}

/// The process that sshd has started for the command.
const WHO: &str = "p=$PPID; while set -- $(cat /proc/$p/stat) && [ \"$(cat /proc/$4/comm)\" != sshd ]; do p=$4; done; echo $p";

fn task(dir: &RemoteDir, entries: &[UploadEntry], script: &str) -> RemoteTask {
    let mut command = shell(script);
    dir.path().clone_into(&mut command.dir);
    let inventory = Some(Inventory::new(&Digests::default()));
    RemoteTask {
        setup: Some(Setup { dir: dir.clone(), make: true, entries: entries.to_vec(), inventory, kept: None }),
        command,
        wanted: Some(Wanted { files: vec![format!("{dir}/out")], max_bytes: 1000 }),
        detached: None,
        removes_dir: false,
    }
}

struct Target<'a> {
    apart: &'a Apart,
    what: String,
}

impl Target<'_> {
    async fn run(&self, connection: &mut SshConnection, script: &str) -> (Option<Exit>, String) {
        let sink = Collected::new();
        let end = connection.run(shell(script), sink.clone(), &StopToken::never(), |_| {}).await;
        (end.unwrap_or_else(|error| panic!("{}: {script}: {error}", self.what)).exit, sink.text())
    }

    async fn runs(&self, mut connection: SshConnection, path: &str) -> SshConnection {
        let what = &self.what;
        // The shell that does the lines, as the parent of the leader, is this one.
        let program = self.run(&mut connection, "readlink /proc/$PPID/exe").await.1;
        assert_eq!(program.trim(), path, "{what}");
        for (script, exit, text) in [
            ("echo out; echo err >&2; exit 7", Exit::Code(7), "out\nerr\n".to_owned()),
            ("kill -TERM $$", Exit::Signal(15), String::new()),
            ("kill -KILL $$", Exit::Signal(9), String::new()),
            ("exit 143", Exit::Code(143), String::new()),
            ("seq 1 100000", Exit::Code(0), numbers(100_000)),
        ] {
            let (ended, said) = self.run(&mut connection, script).await;
            assert_eq!(ended, Some(exit), "{what}: {script}: {said:.200}");
            assert!(said == text, "{what}: {script}: {said:.200}");
        }
        let same = self.run(&mut connection, WHO).await.1;
        assert_eq!(self.run(&mut connection, WHO).await.1, same, "{what}: operations share a shell");
        let left = self.run(&mut connection, "sleep 600 </dev/null >/dev/null 2>&1 & echo $!").await.1;
        let (_, said) = self.run(&mut connection, "echo next").await;
        assert_eq!(said, "next\n", "{what}");
        let lives = format!("kill -0 {} && kill {}", left.trim(), left.trim());
        assert_eq!(
            self.run(&mut connection, &lives).await.0,
            Some(Exit::Code(0)),
            "{what}: what is left goes on"
        );
        connection
    }

    async fn takes_files(&self, mut connection: SshConnection) -> SshConnection {
        let what = &self.what;
        let never = StopToken::never();
        let big = self.apart.dir.path().join("big");
        std::fs::write(&big, noise(300_000, 1)).unwrap();
        let entries = [
            UploadEntry { source: UploadSource::File(big.clone()), dest: "lib/it's big".into(), mode: 0o640 },
            UploadEntry {
                source: UploadSource::Bytes(b"echo small\n".to_vec()),
                dest: "small".into(),
                mode: 0o700,
            },
        ];
        for detached in [false, true] {
            let dir = RemoteDir::new("autoexec-shells").unwrap();
            let script = "./small; sha256sum <\"lib/it's big\" >out; cat out";
            let mut task = task(&dir, &entries, script);
            task.detached = detached.then(|| DetachedRun::new(&dir, "run"));
            let sink = Collected::new();
            let end = connection.run_task(task, sink.clone(), &never, |_| {}).await;
            let end = end.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(end.end.exit, Some(Exit::Code(0)), "{what}: {}", sink.text());
            let said = sink.text();
            let sum = said.strip_prefix("small\n").unwrap_or_else(|| panic!("{what}: {said}"));
            assert_eq!(end.file.as_deref(), Some(sum.as_bytes()), "{what}: {sum}");
            let there = self.apart.machine.path(dir.path());
            assert!(
                std::fs::read(there.join("lib/it's big")).unwrap() == std::fs::read(&big).unwrap(),
                "{what}"
            );
            let local = self.apart.dir.path().join("back");
            let remote = format!("{dir}/lib/it's big");
            assert_eq!(connection.download(&remote, &local, 300_000, &never).await.unwrap(), Some(300_000));
            assert!(std::fs::read(&local).unwrap() == std::fs::read(&big).unwrap(), "{what}");
            connection.remove_dir(&dir, &never).await.unwrap();
            assert!(!there.exists(), "{what}");
        }
        connection
    }

    async fn stops(&self, connection: SshConnection) {
        let what = &self.what;
        let (sink, stop) = (Collected::new(), StopHandle::new());
        let running = start(connection, shell("sleep 600 & echo ready; wait"), &sink, &stop);
        sink.line("ready").await;
        stop.raise(StopLevel::Terminate);
        let (end, mut connection) = running.await.unwrap();
        assert_eq!(end.unwrap().stopped, Some(StopOutcome { proved_dead: true }), "{what}");
        assert_eq!(self.run(&mut connection, "echo on").await.1, "on\n", "{what}");
    }
}

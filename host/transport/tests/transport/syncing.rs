//! Files of a directory by digest: what is sent, and what goes on after a broken connection.

use std::path::Path;
use std::time::{Duration, Instant};

use autoexec_test_support::noise::noise;
use autoexec_test_support::proxy::Proxy;
use autoexec_test_support::sshd::SshdOptions;
use autoexec_transport::ssh::{
    Arriving, Digests, Inventory, RemoteDir, RemoteTask, Setup, SshConnection, SshErrorKind, UploadEntry,
};
use autoexec_transport::{Exit, StopToken};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{Bed, Collected, DEADLINE, shell};

const MIB: u64 = 1024 * 1024;

/// A server behind a proxy, and a directory on it.
struct Ground {
    bed: Bed,
    proxy: Proxy,
    dir: RemoteDir,
    inventory: Inventory,
}

impl Ground {
    fn new(options: SshdOptions) -> Self {
        let bed = Bed::with(options);
        let proxy = Proxy::to(bed.server.port()).unwrap();
        let inventory = Inventory::new(&Digests::default());
        Self { proxy, dir: RemoteDir::new("autoexec-sync").unwrap(), inventory, bed }
    }

    /// A target that has only these tools.
    fn with_tools(tools: &tempfile::TempDir, names: &[&str]) -> Self {
        use std::os::unix::fs::PermissionsExt;
        for name in names {
            let found =
                ["/bin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(name)).find(|path| path.exists());
            std::os::unix::fs::symlink(found.unwrap(), tools.path().join(name)).unwrap();
        }
        std::fs::set_permissions(tools.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let config = vec![format!("SetEnv PATH={}", tools.path().display())];
        Self::new(SshdOptions { config, ..SshdOptions::default() })
    }

    async fn connect(&self) -> SshConnection {
        self.bed.connect_through(self.proxy.port()).await
    }

    fn file(&self, name: &str, content: &[u8], mode: u32) -> UploadEntry {
        self.bed.file(name, content, mode)
    }

    fn task(&self, make: bool, entries: &[UploadEntry], script: &str) -> RemoteTask {
        let mut command = shell(script);
        self.dir.path().clone_into(&mut command.dir);
        let inventory = Some(self.inventory.clone());
        let setup = Setup { dir: self.dir.clone(), make, entries: entries.to_vec(), inventory, kept: None };
        RemoteTask { setup: Some(setup), command, wanted: None, detached: None, removes_dir: false }
    }

    /// What a script prints, and the bytes that were sent for it.
    async fn run(
        &self,
        connection: &mut SshConnection,
        make: bool,
        entries: &[UploadEntry],
        script: &str,
    ) -> (String, u64) {
        self.proxy.sent();
        let sink = Collected::new();
        let task = self.task(make, entries, script);
        let end = connection.run_task(task, sink.clone(), &StopToken::never(), |_| {}).await.unwrap();
        assert_eq!(end.end.exit, Some(Exit::Code(0)), "{}", sink.text());
        (sink.text(), self.proxy.sent())
    }
}

fn library(ground: &Ground) -> Vec<UploadEntry> {
    (0..100).map(|number| ground.file(&format!("lib/it's {number}"), &noise(4000, number), 0o644)).collect()
}

#[tokio::test]
async fn only_what_changed_is_sent_again() {
    let ground = Ground::new(SshdOptions::default());
    let mut connection = ground.connect().await;
    let mut entries = library(&ground);
    let look = "cat lib/* | cksum; exit 0";
    let (first, sent) = ground.run(&mut connection, true, &entries, look).await;
    assert!(sent > 400_000, "{sent}");
    let (second, sent) = ground.run(&mut connection, false, &entries, look).await;
    assert_eq!(first, second);
    assert!(sent < 8_000, "{sent} bytes for nothing new");
    entries[7] = ground.file("lib/it's 7", &noise(20_000, 77), 0o755);
    let (third, sent) = ground.run(&mut connection, false, &entries, look).await;
    assert_ne!(first, third);
    assert!((20_000..50_000).contains(&sent), "{sent} bytes for one file of 20,000 and the list");
    // What a tool changed, removed or added is put right, by one more request.
    let harm = "echo x >\"lib/it's 3\"; rm \"lib/it's 4\"; exit 0";
    ground.run(&mut connection, false, &entries, harm).await;
    let (again, sent) = ground.run(&mut connection, false, &entries, look).await;
    assert_eq!(again, third);
    assert!((8_000..60_000).contains(&sent), "{sent} bytes for two files of 4,000 and the list");
    let (again, sent) = ground.run(&mut connection, false, &entries, look).await;
    assert_eq!(again, third);
    assert!((8_000..30_000).contains(&sent), "{sent}: what a tool changes is sent each time");
    connection.remove_dir(&ground.dir, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn a_target_that_cannot_check_digests_gets_everything() {
    let tools = tempfile::tempdir().unwrap();
    let names = ["sh", "cat", "mkdir", "rm", "chmod", "head", "tar", "setsid", "cksum", "wc"];
    let ground = Ground::with_tools(&tools, &names);
    let mut connection = ground.connect().await;
    let entries = library(&ground);
    let (first, _) = ground.run(&mut connection, true, &entries, "cat lib/* | cksum; exit 0").await;
    for _ in 0..2 {
        let (again, sent) = ground.run(&mut connection, false, &entries, "cat lib/* | cksum; exit 0").await;
        assert_eq!(first, again);
        assert!(sent > 400_000, "{sent}");
    }
    connection.remove_dir(&ground.dir, &StopToken::never()).await.unwrap();
}

/// An upload that is cut on its way, taken up by a second connection.
async fn upload_goes_on(ground: &Ground, length: u64) {
    let mut connection = ground.connect().await;
    let content = noise(usize::try_from(length).unwrap(), 5);
    let entries = [ground.file("file/it's big", &content, 0o640)];
    ground.proxy.sent();
    ground.proxy.cut_sending(length / 2);
    let script = "cksum <\"file/it's big\"; ls -l file; exit 0";
    let task = ground.task(true, &entries, script);
    let error = connection.run_task(task, Collected::new(), &StopToken::never(), |_| {}).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Interrupted { .. }), "{error}");
    ground.proxy.cut_sending(0);
    let mut connection = ground.connect().await;
    let (said, sent) = ground.run(&mut connection, false, &entries, script).await;
    let rest = length / 2 + length / 16;
    assert!(sent < rest, "{sent} of {length} bytes were sent after the cut");
    assert!(said.contains(&format!(" {length}\n")) && said.contains("-rw-r----- "), "{said}");
    let there = std::fs::read(Path::new(ground.dir.path()).join("file/it's big")).unwrap();
    assert!(there == content);
    assert_eq!(said.matches("big").count(), 1, "no part is left: {said}");
    // And it is not sent again.
    let (_, sent) = ground.run(&mut connection, false, &entries, script).await;
    assert!(sent < 8_000, "{sent}");
    connection.remove_dir(&ground.dir, &StopToken::never()).await.unwrap();
}

/// What files need on a target, without `gzip`: packing many of them takes long without optimisation.
const UNPACKED: [&str; 13] =
    ["sh", "cat", "mkdir", "rm", "mv", "ls", "chmod", "head", "tar", "setsid", "cksum", "wc", "sha256sum"];

#[tokio::test]
async fn an_upload_goes_on_where_it_was_cut() {
    let tools = tempfile::tempdir().unwrap();
    upload_goes_on(&Ground::with_tools(&tools, &UNPACKED), 50 * MIB).await;
}

#[tokio::test]
async fn a_packed_upload_goes_on_where_it_was_cut() {
    upload_goes_on(&Ground::new(SshdOptions::default()), 9 * MIB).await;
}

#[tokio::test]
async fn files_that_are_on_their_way_for_longer_than_the_limit_arrive() {
    let mut ground = Ground::new(SshdOptions::default());
    ground.bed.settings.write_timeout = Duration::from_secs(1);
    let mut connection = ground.connect().await;
    // What has a request of its own, and what goes with the command.
    let big = [ground.file("big", &noise(9_000_000, 1), 0o600)];
    let small = [ground.file("small", &noise(4_000_000, 2), 0o600)];
    ground.proxy.slow_sending(4_000_000);
    let begun = Instant::now();
    let (said, _) = ground.run(&mut connection, true, &big, "wc -c <big; exit 0").await;
    assert_eq!(said.trim(), "9000000");
    let (said, _) = ground.run(&mut connection, false, &small, "wc -c <small; exit 0").await;
    assert_eq!(said.trim(), "4000000");
    connection.upload_tree(small.to_vec(), ground.dir.path(), &StopToken::never()).await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
    ground.proxy.slow_sending(0);
    connection.remove_dir(&ground.dir, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn an_upload_goes_on_when_the_process_that_sent_it_has_ended() {
    let tools = tempfile::tempdir().unwrap();
    let ground = Ground::with_tools(&tools, &UNPACKED);
    let length = 60 * MIB;
    let content = noise(usize::try_from(length).unwrap(), 3);
    let entries = [ground.file("file/big", &content, 0o600)];
    let mut connection = ground.connect().await;
    let process = connection.process_id().unwrap();
    let task = ground.task(true, &entries, "echo ran; exit 0");
    let sink = Collected::new();
    let running = {
        let sink = sink.clone();
        tokio::spawn(async move { connection.run_task(task, sink, &StopToken::never(), |_| {}).await })
    };
    let mut sent = ground.proxy.sent();
    let deadline = Instant::now() + DEADLINE;
    while sent < 8 * MIB {
        assert!(Instant::now() < deadline, "{sent} bytes were sent");
        tokio::time::sleep(Duration::from_millis(1)).await;
        sent += ground.proxy.sent();
    }
    kill(Pid::from_raw(i32::try_from(process).unwrap()), Signal::SIGKILL).unwrap();
    let error = running.await.unwrap().unwrap_err();
    let SshErrorKind::Interrupted { problem } = error.kind() else { panic!("{error}") };
    assert!(matches!(**problem, SshErrorKind::WorkerEnded { others: 0, .. }), "{problem}");
    assert_eq!(sink.text(), "", "nothing was run");
    ground.proxy.sent();
    let mut connection = ground.connect().await;
    let (said, sent) = ground.run(&mut connection, false, &entries, "echo ran; exit 0").await;
    assert_eq!(said, "ran\n");
    assert!(sent < length - 2 * MIB, "{sent} of {length} bytes were sent the second time");
    let there = std::fs::read(Path::new(ground.dir.path()).join("file/big")).unwrap();
    assert!(there == content);
    connection.remove_dir(&ground.dir, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn a_download_goes_on_where_it_was_cut() {
    let tools = tempfile::tempdir().unwrap();
    let ground = Ground::with_tools(&tools, &["sh", "cat", "head", "tail", "wc", "sha256sum"]);
    let length = 50 * MIB;
    let content = noise(usize::try_from(length).unwrap(), 9);
    let (remote, local) = (ground.bed.server.dir().join("big"), ground.bed.path("big"));
    std::fs::write(&remote, &content).unwrap();
    let remote = remote.to_str().unwrap();
    let never = StopToken::never();
    let arriving = Arriving::new(&local).unwrap();
    let mut connection = ground.connect().await;
    ground.proxy.received();
    ground.proxy.cut_receiving(length / 2);
    let error = connection.download_on(remote, None, &arriving, length, &never).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::ConnectionLost { .. }), "{error}");
    assert!(arriving.length() > length / 4 && !local.exists(), "{}", arriving.length());
    ground.proxy.cut_receiving(0);
    ground.proxy.received();
    let mut connection = ground.connect().await;
    assert_eq!(connection.download_on(remote, None, &arriving, length, &never).await.unwrap(), Some(length));
    let received = ground.proxy.received();
    assert!(received < length / 2 + length / 16, "{received} of {length} bytes came after the cut");
    assert!(std::fs::read(&local).unwrap() == content);
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_is_fetched_anew() {
    let ground = Ground::new(SshdOptions::default());
    let (remote, local) = (ground.bed.server.dir().join("report"), ground.bed.path("log"));
    std::fs::write(&remote, noise(24_000_000, 1)).unwrap();
    let never = StopToken::never();
    let arriving = Arriving::new(&local).unwrap();
    let mut connection = ground.connect().await;
    ground.proxy.received();
    // A cut takes with it what has not been read yet, which is never more than the window of a channel.
    ground.proxy.cut_receiving(16_000_000);
    let cut = connection
        .download_on(remote.to_str().unwrap(), None, &arriving, 32_000_000, &never)
        .await
        .unwrap_err();
    assert!(arriving.length() > 0, "{cut}");
    ground.proxy.cut_receiving(0);
    let content = noise(3_500_000, 2);
    std::fs::write(&remote, &content).unwrap();
    let mut connection = ground.connect().await;
    let length =
        connection.download_on(remote.to_str().unwrap(), None, &arriving, 9_000_000, &never).await.unwrap();
    let there = std::fs::read(&local).unwrap();
    let differs = there.iter().zip(&content).position(|(a, b)| a != b);
    assert_eq!((length, there.len(), differs), (Some(3_500_000), 3_500_000, None));
}

#[tokio::test]
async fn what_can_be_packed_comes_packed() {
    let ground = Ground::new(SshdOptions::default());
    let (remote, local) = (ground.bed.server.dir().join("text"), ground.bed.path("text"));
    std::fs::write(&remote, "a line of a report\n".repeat(100_000)).unwrap();
    let mut connection = ground.connect().await;
    ground.proxy.received();
    let never = StopToken::never();
    let length = connection.download(remote.to_str().unwrap(), &local, 9_000_000, &never).await.unwrap();
    assert_eq!(length, Some(1_900_000));
    assert!(ground.proxy.received() < 100_000);
    assert_eq!(std::fs::read(&local).unwrap(), std::fs::read(&remote).unwrap());
}

//! A directory that is kept for a later use: what is left in it, who may take it over, and what it saves.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use autoexec_test_support::noise::noise;
use autoexec_test_support::proxy::Proxy;
use autoexec_test_support::sshd::SshdOptions;
use autoexec_transport::ssh::{
    Digests, Inventory, RemoteDir, RemoteTask, Setup, SshConnection, Stock, Stocks, UploadEntry,
};
use autoexec_transport::{Exit, StopToken};

use crate::harness::{Bed, Collected, shell};

const LOOK: &str = "cat lib/* | cksum; exit 0";
/// Much less than the library, much more than a request.
const LITTLE: u64 = 16_000;

/// A server behind a proxy, and what the phases of a job have in common.
struct Ground {
    bed: Bed,
    proxy: Proxy,
    digests: Digests,
    stocks: Stocks,
}

/// One phase: its directory, and what stands in it.
struct Phase {
    dir: RemoteDir,
    inventory: Inventory,
    kept: Option<RemoteDir>,
    made: bool,
}

impl Phase {
    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.dir.path()).join(name)
    }
}

impl Ground {
    fn new() -> Self {
        let bed = Bed::with(SshdOptions::default());
        let proxy = Proxy::to(bed.server.port()).unwrap();
        Self { bed, proxy, digests: Digests::default(), stocks: Stocks::default() }
    }

    async fn connect(&self) -> SshConnection {
        self.bed.connect_through(self.proxy.port()).await
    }

    fn file(&self, name: &str, content: &[u8]) -> UploadEntry {
        self.bed.file(name, content, 0o640)
    }

    fn library(&self) -> Vec<UploadEntry> {
        (0..100).map(|number| self.file(&format!("lib/it's [{number}] é"), &noise(4000, number))).collect()
    }

    fn phase(&self) -> Phase {
        let dir = RemoteDir::new("autoexec-keeping").unwrap();
        Phase { dir, inventory: Inventory::new(&self.digests), kept: None, made: false }
    }

    fn phase_after(&self, before: &Phase, stock: &Stock) -> Phase {
        Phase {
            inventory: Inventory::of_stock(stock, &self.digests),
            kept: Some(before.dir.clone()),
            ..self.phase()
        }
    }

    /// What a script prints, and the bytes that were sent for it.
    async fn run(
        &self,
        connection: &mut SshConnection,
        phase: &mut Phase,
        entries: &[UploadEntry],
        script: &str,
    ) -> (String, u64) {
        self.proxy.sent();
        let sink = Collected::new();
        let mut command = shell(script);
        phase.dir.path().clone_into(&mut command.dir);
        let setup = Setup {
            dir: phase.dir.clone(),
            make: !phase.made,
            entries: entries.to_vec(),
            inventory: Some(phase.inventory.clone()),
            kept: phase.kept.clone(),
        };
        let task =
            RemoteTask { setup: Some(setup), command, wanted: None, detached: None, removes_dir: false };
        let end = connection.run_task(task, sink.clone(), &StopToken::never(), |_| {}).await.unwrap();
        assert_eq!(end.end.exit, Some(Exit::Code(0)), "{}", sink.text());
        phase.made = true;
        (sink.text(), self.proxy.sent())
    }

    async fn keep(&self, connection: &mut SshConnection, phase: &Phase, aside: &[&str]) -> Option<Stock> {
        let aside: BTreeSet<String> = aside.iter().map(|name| (*name).to_owned()).collect();
        let never = StopToken::never();
        connection.keep_dir(&phase.dir, &phase.inventory, &aside, &self.stocks, &never).await.unwrap()
    }
}

/// Everything below a directory.
fn below(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.symlink_metadata().unwrap().is_dir() {
            found.extend(below(&path));
        }
        found.push(path.to_str().unwrap().to_owned());
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_later_phase_sends_next_to_nothing_and_sees_nothing_of_the_earlier_one() {
    let ground = Ground::new();
    let mut connection = ground.connect().await;
    let entries = ground.library();
    let mut first = ground.phase();
    let (said, sent) = ground.run(&mut connection, &mut first, &entries, LOOK).await;
    assert!(sent > 400_000, "{sent}");
    let before = below(Path::new(first.dir.path())).len();
    let mess = "umask 000; mkdir -p 'a b/c' lib/.d; echo s >output.json; echo s >'a b/c/it'\\''s \\x [*] é'; \
                echo s >lib/.d/x; ln -s /etc lib/etc; mkfifo -- -rf; echo s >\"$(printf 'lib/n\\nlib')\"; \
                mkdir \"$(printf 'n\\nd')\"; echo s >\"$(printf 'n\\nd/f')\"; echo s >.hidden; chmod 755 .; exit 0";
    ground.run(&mut connection, &mut first, &entries, mess).await;
    assert_eq!(std::fs::metadata(first.path("")).unwrap().mode() & 0o777, 0o755);
    let stock = ground.keep(&mut connection, &first, &[]).await.unwrap();
    // But for the mark of the archive's end.
    assert_eq!(below(Path::new(first.dir.path())).len(), before - 1, "only what was sent is left");
    drop(connection);

    let mut connection = ground.connect().await;
    ground.proxy.received();
    let mut second = ground.phase_after(&first, &stock);
    let (again, sent) = ground.run(&mut connection, &mut second, &entries, LOOK).await;
    assert_eq!(again, said);
    assert!(sent < LITTLE, "{sent} bytes for nothing new");
    assert!(!first.path("").exists() && second.path("lib").is_dir());
    assert_eq!(std::fs::metadata(second.path("")).unwrap().mode() & 0o777, 0o700);

    // And once more, with a file that has changed here, and one that a tool has changed there.
    let stock = ground.keep(&mut connection, &second, &[]).await.unwrap();
    let mut entries = entries;
    entries[7] = ground.file("lib/it's [7] é", &noise(20_000, 77));
    let mut third = ground.phase_after(&second, &stock);
    let (changed, sent) = ground.run(&mut connection, &mut third, &entries, LOOK).await;
    assert_ne!(changed, said);
    assert!((20_000..60_000).contains(&sent), "{sent} bytes for one file of 20,000 and the list");
    let harm = "echo x >\"lib/it's [3] é\"; exit 0";
    ground.run(&mut connection, &mut third, &entries, harm).await;
    let stock = ground.keep(&mut connection, &third, &[]).await.unwrap();
    let mut fourth = ground.phase_after(&third, &stock);
    let (again, sent) = ground.run(&mut connection, &mut fourth, &entries, LOOK).await;
    assert_eq!(again, changed);
    assert!((4_000..60_000).contains(&sent), "{sent} bytes for one file of 4,000 and the list");
    connection.remove_dir(&fourth.dir, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn what_one_operation_needed_is_seen_by_nobody_who_does_not_need_it() {
    let ground = Ground::new();
    let mut connection = ground.connect().await;
    let given = |name: &str| ground.file(name, &noise(300_000, 5));
    let mut first = ground.phase();
    let entries = [
        ground.file("lib/a", &noise(9_000, 1)),
        given("one/file/it's data"),
        ground.file("one/file/b", b"b"),
    ];
    let (said, sent) =
        ground.run(&mut connection, &mut first, &entries, "cksum <'one/file/it'\\''s data'; exit 0").await;
    assert!(sent > 300_000, "{sent}");
    let stock =
        ground.keep(&mut connection, &first, &["one/file/it's data", "one/file/b", "unknown"]).await.unwrap();
    assert!(!first.path("one").exists());

    // The first operation of the next phase does not want it, the second one does, under another name.
    let mut second = ground.phase_after(&first, &stock);
    let look = "find . -type f ! -path './.autoexec*' | sort; exit 0";
    let (found, sent) = ground.run(&mut connection, &mut second, &entries[..1], look).await;
    assert_eq!(found, "./lib/a\n");
    assert!(sent < LITTLE, "{sent}");
    let entries = [entries[0].clone(), given("two/file/other")];
    let (again, sent) = ground
        .run(&mut connection, &mut second, &entries, "cksum <two/file/other; ls -l two/file; exit 0")
        .await;
    assert!(again.starts_with(&said) && again.contains("-rw-r----- "), "{again}");
    assert!(sent < LITTLE, "{sent} bytes for what is there under its digest");
    // From now on it is a file as any other.
    let (_, sent) = ground.run(&mut connection, &mut second, &entries, "exit 0").await;
    assert!(sent < LITTLE, "{sent}");

    // A tool that finds it all the same, and changes it, changes nothing for the next one.
    let stock = ground.keep(&mut connection, &second, &["two/file/other"]).await.unwrap();
    let mut third = ground.phase_after(&second, &stock);
    let harm = "for f in .autoexec-kept-files/*; do echo x >\"$f\"; done; exit 0";
    ground.run(&mut connection, &mut third, &entries[..1], harm).await;
    let (again, sent) =
        ground.run(&mut connection, &mut third, &entries, "cksum <two/file/other; exit 0").await;
    assert_eq!(again, said);
    assert!(sent > 300_000, "{sent}");
    connection.remove_dir(&third.dir, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn a_large_file_that_was_put_aside_is_not_sent_again() {
    let ground = Ground::new();
    let mut connection = ground.connect().await;
    let mut first = ground.phase();
    let entries = [ground.file("lib/a", &noise(9_000, 1)), ground.file("one/file/big", &vec![7; 9 << 20])];
    let look = "cksum <one/file/big; exit 0";
    let (said, _) = ground.run(&mut connection, &mut first, &entries, look).await;
    let stock = ground.keep(&mut connection, &first, &["one/file/big"]).await.unwrap();
    let mut second = ground.phase_after(&first, &stock);
    let (again, sent) = ground.run(&mut connection, &mut second, &entries, look).await;
    assert_eq!(again, said);
    assert!(sent < LITTLE, "{sent}");
    // A new large one goes by a request of its own into the directory that was taken over.
    let stock = ground.keep(&mut connection, &second, &["one/file/big"]).await.unwrap();
    let mut third = ground.phase_after(&second, &stock);
    let entries = [entries[0].clone(), ground.file("one/file/big", &vec![8; 9 << 20])];
    let (changed, _) = ground.run(&mut connection, &mut third, &entries, look).await;
    assert_ne!(changed, said);
    assert!(!second.path("").exists());
    // The same where the kept one is gone.
    let stock = ground.keep(&mut connection, &third, &[]).await.unwrap();
    std::fs::remove_dir_all(third.path("")).unwrap();
    let mut fourth = ground.phase_after(&third, &stock);
    let entries = [entries[0].clone(), ground.file("one/file/big", &vec![9; 9 << 20])];
    ground.run(&mut connection, &mut fourth, &entries, look).await;
    connection.remove_dir(&fourth.dir, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn what_is_not_the_kept_directory_is_not_used() {
    let ground = Ground::new();
    let mut connection = ground.connect().await;
    let entries = ground.library();
    let elsewhere = ground.bed.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(elsewhere.join("lib"), "theirs").unwrap();
    for what in ["gone", "link", "file", "open"] {
        let mut first = ground.phase();
        let (said, _) = ground.run(&mut connection, &mut first, &entries, LOOK).await;
        let stock = ground.keep(&mut connection, &first, &[]).await.unwrap();
        let kept = PathBuf::from(first.dir.path());
        match what {
            "open" => std::fs::set_permissions(&kept, std::fs::Permissions::from_mode(0o750)).unwrap(),
            _ => std::fs::remove_dir_all(&kept).unwrap(),
        }
        match what {
            "link" => symlink(&elsewhere, &kept).unwrap(),
            "file" => std::fs::write(&kept, "x").unwrap(),
            _ => {}
        }
        let mut second = ground.phase_after(&first, &stock);
        let (again, sent) = ground.run(&mut connection, &mut second, &entries, LOOK).await;
        assert_eq!(again, said, "{what}");
        assert!(sent > 400_000, "{what}: {sent}");
        let metadata = std::fs::symlink_metadata(second.dir.path()).unwrap();
        assert!(metadata.is_dir() && metadata.mode() & 0o777 == 0o700, "{what}");
        match what {
            // Not a directory of ours, so not ours to remove.
            "link" | "file" => std::fs::remove_file(&kept).unwrap(),
            _ => assert!(!kept.exists(), "{what}"),
        }
        let (_, sent) = ground.run(&mut connection, &mut second, &entries, LOOK).await;
        assert!(sent < LITTLE, "{what}: {sent}");
        connection.remove_dir(&second.dir, &StopToken::never()).await.unwrap();
    }
    assert_eq!(std::fs::read(elsewhere.join("lib")).unwrap(), b"theirs");
}

#[tokio::test]
async fn a_directory_of_somebody_else_is_not_used() {
    if !crate::harness::root_or_skip("a directory of another account in place of a kept one") {
        return;
    }
    let ground = Ground::new();
    let mut connection = ground.connect().await;
    let entries = ground.library();
    let mut first = ground.phase();
    ground.run(&mut connection, &mut first, &entries, LOOK).await;
    let stock = ground.keep(&mut connection, &first, &[]).await.unwrap();
    // As it was, but for the owner.
    let kept = PathBuf::from(first.dir.path());
    std::os::unix::fs::chown(&kept, Some(0), Some(0)).unwrap();
    let mut second = ground.phase_after(&first, &stock);
    let (_, sent) = ground.run(&mut connection, &mut second, &entries, LOOK).await;
    assert!(sent > 400_000, "{sent}");
    assert!(kept.join("lib").is_dir(), "it is not ours to remove");
    std::fs::remove_dir_all(&kept).unwrap();
    connection.remove_dir(&second.dir, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn what_is_little_or_cannot_be_put_in_order_is_removed() {
    let ground = Ground::new();
    let mut connection = ground.connect().await;
    let mut first = ground.phase();
    ground.run(&mut connection, &mut first, &[ground.file("lib/a", &[1; 4000])], "exit 0").await;
    assert!(ground.keep(&mut connection, &first, &[]).await.is_none());
    assert!(!first.path("").exists());
    // A link in the place of the directory is removed, and nothing behind it.
    let mut linked = ground.phase();
    ground.run(&mut connection, &mut linked, &ground.library(), "exit 0").await;
    let elsewhere = ground.bed.path("elsewhere");
    std::fs::rename(linked.path(""), &elsewhere).unwrap();
    symlink(&elsewhere, linked.dir.path()).unwrap();
    std::os::unix::fs::lchown(linked.dir.path(), Some(ground.bed.server.uid()), None).unwrap();
    let before = below(&elsewhere);
    assert!(ground.keep(&mut connection, &linked, &[]).await.is_none());
    assert!(std::fs::symlink_metadata(linked.dir.path()).is_err());
    assert_eq!(below(&elsewhere), before);
    let mut second = ground.phase();
    let harm = "mkdir -p closed/in; echo x >closed/in/f; chmod 500 closed/in; exit 0";
    ground.run(&mut connection, &mut second, &ground.library(), harm).await;
    let kept = ground.keep(&mut connection, &second, &[]).await;
    assert_eq!(kept.is_some(), second.path("").exists());
    assert!(!second.path("closed").exists());
    if kept.is_some() {
        // An account that nothing is closed to.
        connection.remove_dir(&second.dir, &StopToken::never()).await.unwrap();
    }
}

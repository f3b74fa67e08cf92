//! `filesystem`: what can be done below granted directories, and every way out of them that we know.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use autoexec_sandbox::{DataDirection, FetchedFiles, GrantedDirectory, InvokeError, Limits};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Case, Expect, Recorder, call, load, rules, run_table, run_until, small_sandbox, use_everything,
};

fn host(dir: &Path, direction: DataDirection) -> Recorder {
    let directories = vec![GrantedDirectory { path: dir.to_owned(), direction }];
    Recorder { allowed: vec!["file*".into()], directories, ..Recorder::default() }
}

fn ask(what: &str, path: &Path) -> Value {
    json!({"what": what, "subject": path})
}

/// A granted directory `in` beside an ungranted file `secret.txt`.
fn place() -> (TempDir, std::path::PathBuf) {
    let dir = TempDir::new().unwrap();
    let inside = dir.path().join("in");
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("a.txt"), "content").unwrap();
    fs::write(dir.path().join("secret.txt"), "secret").unwrap();
    (dir, inside)
}

#[tokio::test]
async fn files_are_read_written_and_changed() {
    let (_dir, inside) = place();
    let file = |name: &str| inside.join(name);
    let with_text =
        |what: &str, name: &str, text: &str| json!({"what": what, "subject": file(name), "text": text});
    let table = vec![
        Case {
            name: "read",
            ask: ask("read", &file("a.txt")),
            allow: rules(&[]),
            expect: Expect::Answer(json!("content")),
        },
        Case {
            name: "write",
            ask: ask("write", &file("b.txt")),
            allow: rules(&[]),
            expect: Expect::Answer(json!(null)),
        },
        Case {
            name: "append",
            ask: with_text("append", "b.txt", "+more"),
            allow: rules(&[]),
            expect: Expect::Answer(json!(null)),
        },
        Case {
            name: "read back",
            ask: ask("read", &file("b.txt")),
            allow: rules(&[]),
            expect: Expect::Answer(json!("written+more")),
        },
        Case {
            name: "make",
            ask: ask("make", &file("x/y/z")),
            allow: rules(&[]),
            expect: Expect::Answer(json!(null)),
        },
        Case {
            name: "make again",
            ask: ask("make", &file("x/y/z")),
            allow: rules(&[]),
            expect: Expect::Answer(json!(null)),
        },
        Case {
            name: "rename",
            ask: with_text("rename", "b.txt", file("x/c.txt").to_str().unwrap()),
            allow: rules(&[]),
            expect: Expect::Answer(json!(null)),
        },
        Case {
            name: "list",
            ask: ask("list", &inside),
            allow: rules(&[]),
            expect: Expect::Answer(json!(["a.txt", "x"])),
        },
        Case {
            name: "set-mode",
            ask: ask("set-mode", &file("x/c.txt")),
            allow: rules(&[]),
            expect: Expect::Answer(json!(null)),
        },
        Case {
            name: "set-modified",
            ask: ask("set-modified", &file("x/c.txt")),
            allow: rules(&[]),
            expect: Expect::Answer(json!(null)),
        },
        Case {
            name: "stat",
            ask: ask("stat", &file("x/c.txt")),
            allow: rules(&[]),
            expect: Expect::Answer(json!({"name": "c.txt", "directory": false, "size": 12, "mode": 0o711})),
        },
        Case {
            name: "remove full directory",
            ask: ask("remove", &file("x")),
            allow: rules(&[]),
            expect: Expect::Refusal(""),
        },
        Case {
            name: "remove",
            ask: ask("remove", &file("a.txt")),
            allow: rules(&[]),
            expect: Expect::Answer(json!(null)),
        },
        Case {
            name: "gone",
            ask: ask("read", &file("a.txt")),
            allow: rules(&[]),
            expect: Expect::Refusal("NotFound"),
        },
    ];
    run_table(table, || host(&inside, DataDirection::Write)).await;
    let facts = fs::metadata(file("x/c.txt")).unwrap();
    assert_eq!((facts.mtime(), facts.permissions().mode() & 0o7777), (1_000_000_000, 0o711));
}

/// What the executor has fetched for a job lies in its cache; the job has links to it (`spec/workdir.md` §5.1).
#[tokio::test]
async fn links_to_fetched_files_are_followed_and_no_others() {
    let (dir, inside) = place();
    let (links, cache) = (inside.join("file"), dir.path().join("cache"));
    fs::create_dir_all(cache.join("deep")).unwrap();
    fs::create_dir(&links).unwrap();
    for name in ["41", "42", "deep/43"] {
        fs::write(cache.join(name), "fetched").unwrap();
    }
    symlink(dir.path().join("secret.txt"), cache.join("44")).unwrap();
    fs::write(links.join("own.txt"), "own").unwrap();
    symlink(cache.join("41"), links.join("data.bin")).unwrap();
    symlink(cache.join("deep/43"), links.join("deeper")).unwrap();
    symlink(cache.join("44"), links.join("chained")).unwrap();
    symlink("../../cache/42", links.join("relative")).unwrap();
    symlink(dir.path().join("secret.txt"), links.join("elsewhere")).unwrap();
    symlink(cache.join("42"), inside.join("wrong-place")).unwrap();
    let answer = |name, what: &str, path: &Path, expected: Value| Case {
        name,
        ask: ask(what, path),
        allow: rules(&[]),
        expect: Expect::Answer(expected),
    };
    let refused = |name, path: &Path| Case {
        name,
        ask: ask("read", path),
        allow: rules(&[]),
        expect: Expect::Refusal(""),
    };
    let fetched = || Some(FetchedFiles { links: links.clone(), cache: cache.clone() });
    let facts = json!({"name": "data.bin", "directory": false, "size": 7, "mode": 0o644});
    fs::set_permissions(cache.join("41"), fs::Permissions::from_mode(0o644)).unwrap();
    let table = vec![
        answer("read", "read", &links.join("data.bin"), json!("fetched")),
        answer("stat", "stat", &links.join("data.bin"), facts),
        answer("list", "list", &links, json!(["data.bin", "own.txt"])),
        refused("below the cache", &links.join("deeper")),
        refused("a link in the cache", &links.join("chained")),
        refused("a relative link", &links.join("relative")),
        refused("a link to something else", &links.join("elsewhere")),
        refused("a link elsewhere", &inside.join("wrong-place")),
    ];
    run_table(table, || Recorder { fetched: fetched(), ..host(&inside, DataDirection::Read) }).await;
    run_table(vec![refused("without fetched files", &links.join("data.bin"))], || {
        host(&inside, DataDirection::Read)
    })
    .await;
    // Writing replaces the link and leaves the cache alone.
    let written = vec![answer("write", "write", &links.join("data.bin"), json!(null))];
    run_table(written, || Recorder { fetched: fetched(), ..host(&inside, DataDirection::Write) }).await;
    assert_eq!(fs::read_to_string(cache.join("41")).unwrap(), "fetched");
    assert!(fs::symlink_metadata(links.join("data.bin")).unwrap().is_file());
}

#[tokio::test]
async fn there_is_no_way_out() {
    let (dir, inside) = place();
    let outside = dir.path().join("secret.txt");
    symlink(&outside, inside.join("absolute-link")).unwrap();
    symlink("../secret.txt", inside.join("relative-link")).unwrap();
    symlink("..", inside.join("parent")).unwrap();
    symlink("a.txt", inside.join("good-link")).unwrap();
    fs::hard_link(&outside, inside.join("hard-link")).unwrap();
    let at = |name: &str| inside.join(name);
    let refused = |name, path: &Path, what: &str| Case {
        name,
        ask: ask(what, path),
        allow: rules(&[]),
        expect: Expect::Refusal(""),
    };
    let dotted = format!("{}/../secret.txt", inside.display());
    let table = vec![
        refused("the file itself", &outside, "read"),
        refused("dots", Path::new(&dotted), "read"),
        refused("relative path", Path::new("in/a.txt"), "read"),
        refused("absolute link", &at("absolute-link"), "read"),
        refused("relative link", &at("relative-link"), "read"),
        refused("linked directory", &at("parent/secret.txt"), "read"),
        refused("list of a linked directory", &at("parent"), "list"),
        refused("hard link", &at("hard-link"), "read"),
        refused("append to a hard link", &at("hard-link"), "append"),
        refused("mode of a hard link", &at("hard-link"), "set-mode"),
        refused("append through a link", &at("absolute-link"), "append"),
        refused("mode through a link", &at("relative-link"), "set-mode"),
        refused("make behind a link", &at("parent/new"), "make"),
        refused("write behind a link", &at("parent/new"), "write"),
        refused("neighbour with the same beginning", &dir.path().join("inside"), "read"),
        Case {
            name: "rename to outside",
            ask: json!({"what": "rename", "subject": at("a.txt"), "text": dir.path().join("taken")}),
            allow: rules(&[]),
            expect: Expect::Refusal("Denied"),
        },
        Case {
            name: "good link",
            ask: ask("read", &at("good-link")),
            allow: rules(&[]),
            expect: Expect::Answer(json!("content")),
        },
        // A link is replaced, not followed.
        Case {
            name: "write over a link",
            ask: ask("write", &at("absolute-link")),
            allow: rules(&[]),
            expect: Expect::Answer(json!(null)),
        },
    ];
    run_table(table, || host(&inside, DataDirection::Write)).await;
    assert_eq!(fs::read_to_string(&outside).unwrap(), "secret");
    assert!(!dir.path().join("new").exists() && !dir.path().join("taken").exists());
}

#[tokio::test]
async fn reading_is_not_writing() {
    let (_dir, inside) = place();
    let at = |name: &str| inside.join(name);
    let mut table = vec![Case {
        name: "read",
        ask: ask("read", &at("a.txt")),
        allow: rules(&[]),
        expect: Expect::Answer(json!("content")),
    }];
    for what in ["write", "append", "make", "remove", "set-mode", "set-modified"] {
        table.push(Case {
            name: what,
            ask: ask(what, &at("a.txt")),
            allow: rules(&[]),
            expect: Expect::Refusal("Denied"),
        });
    }
    run_table(table, || host(&inside, DataDirection::Read)).await;
    // The policy is asked before the directory is looked for.
    let nothing = Recorder { allowed: vec![], ..host(&inside, DataDirection::Write) };
    let refused = use_everything(&Arc::new(nothing), &ask("read", &at("a.txt")), Limits::default()).await;
    assert!(refused.unwrap_err().contains("Denied"));
}

#[tokio::test]
async fn a_fifo_or_device_is_refused_at_once() {
    let (_dir, inside) = place();
    let fifo = inside.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let begin = Instant::now();
    let mut table = Vec::new();
    for what in ["read", "append", "write", "stat", "set-mode", "remove"] {
        table.push(Case {
            name: what,
            ask: ask(what, &fifo),
            allow: rules(&[]),
            expect: Expect::Refusal("neither a regular file"),
        });
    }
    run_table(table, || host(&inside, DataDirection::Write)).await;
    assert!(begin.elapsed() < Duration::from_mins(1));
    let device = host(Path::new("/dev"), DataDirection::Read);
    let refused =
        use_everything(&Arc::new(device), &ask("read", Path::new("/dev/zero")), Limits::default()).await;
    assert!(refused.unwrap_err().contains("neither a regular file"));
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let (_dir, inside) = place();
    for number in 0..100 {
        fs::write(inside.join(format!("file-{number}")), "").unwrap();
    }
    let recorder = || Arc::new(host(&inside, DataDirection::Read));
    let limits = |response| Limits { response, ..Limits::default() };
    assert!(use_everything(&recorder(), &ask("list", &inside), limits(100_000)).await.is_ok());
    let refused = use_everything(&recorder(), &ask("list", &inside), limits(1000)).await.unwrap_err();
    assert!(refused.contains("1000"), "{refused}");
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_file_and_nothing_happens_after_it() {
    let (_dir, inside) = place();
    let sandbox = small_sandbox();
    let tool = load(&sandbox, "fixture/everything");
    // The thread that works on the file stands still from `entered` on until it is let go.
    let (entered, mut is_entered) = tokio::sync::watch::channel(false);
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    let recorder =
        Recorder { hold: Some((entered, Mutex::new(wait))), ..host(&inside, DataDirection::Write) };
    let recorder = Arc::new(recorder);
    let late = inside.join("late.txt");
    let stopped =
        run_until(&sandbox, &tool, call(&ask("write", &late)), &recorder, Limits::default(), async move {
            let _entered = is_entered.wait_for(|entered| *entered).await;
        });
    assert_eq!(stopped.await, Err(InvokeError::Stopped));
    drop(let_go);
    // The thread is the last to hold the host: when it has let it go, it is done.
    while Arc::strong_count(&recorder) > 1 {
        tokio::task::yield_now().await;
    }
    assert!(!late.exists());
    assert_eq!(fs::read_dir(&inside).unwrap().count(), 1, "something was left behind");
}

//! Out of a granted directory, and into what nobody can be granted.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use autoexec_e2e::build::{op, with_argument};
use autoexec_e2e::guests::guest;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::sys::stat::Mode;
use serde_json::Value;
use tempfile::TempDir;

use crate::suite::{ALL_INTERFACES, Fate, Row, Stage, using, using_with};

/// What stands outside of the granted directory.
const OUTSIDE: &str = "content-of-another-file-4711";

/// A granted directory `in` beside files that are not granted.
pub(crate) struct Files {
    dir: TempDir,
    home: PathBuf,
}

impl Files {
    fn new() -> Self {
        let files =
            Self { dir: tempfile::Builder::new().prefix("escape").tempdir().unwrap(), home: PathBuf::new() };
        for directory in ["in/real", "in/turning"] {
            fs::create_dir_all(files.dir.path().join(directory)).unwrap();
        }
        fs::create_dir_all(files.dir.path().join("inside")).unwrap();
        let write = |name: &str, text: &str| fs::write(files.dir.path().join(name), text).unwrap();
        write("in/a.txt", "content");
        write("in/real/b.txt", "content");
        write("in/turning/b.txt", "content");
        write("outside.txt", OUTSIDE);
        write("b.txt", OUTSIDE);
        write("inside/a.txt", OUTSIDE);
        let outside = files.dir.path().join("outside.txt");
        let inside = files.dir.path().join("in");
        symlink(&outside, inside.join("absolute-link")).unwrap();
        symlink("../outside.txt", inside.join("relative-link")).unwrap();
        symlink("chain-2", inside.join("chain-1")).unwrap();
        symlink("chain-3", inside.join("chain-2")).unwrap();
        symlink("../outside.txt", inside.join("chain-3")).unwrap();
        symlink("..", inside.join("parent")).unwrap();
        symlink("loop", inside.join("loop")).unwrap();
        symlink("/proc/self/environ", inside.join("environ")).unwrap();
        symlink("/proc/self/root", inside.join("root")).unwrap();
        symlink("/proc/self/fd", inside.join("descriptors")).unwrap();
        symlink("..", inside.join("swapped")).unwrap();
        fs::hard_link(&outside, inside.join("hard-link")).unwrap();
        nix::unistd::mkfifo(&inside.join("fifo"), Mode::S_IRWXU).unwrap();
        std::os::unix::net::UnixListener::bind(inside.join("socket")).unwrap();
        files
    }

    fn at(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }
}

/// A step of the guest that knows only WASI.
fn ambient(words: &[&str]) -> Value {
    let step = op("fixture/ambient", "runner_target", 0);
    words.iter().fold(step, |step, word| with_argument(step, "text", word))
}

pub(crate) const ROWS: &[Row<Files>] = &[
    Row {
        trick: "read a file outside by its absolute path",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |files| using("read", &files.at("outside.txt")),
    },
    Row {
        trick: "read `/etc/shadow`",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |_| using("read", "/etc/shadow"),
    },
    Row {
        trick: "leave by `..`",
        fate: Fate::Refused,
        says: "holds `..`",
        step: |files| using("read", &files.at("in/../outside.txt")),
    },
    Row {
        trick: "leave by `..` below a directory that exists",
        fate: Fate::Refused,
        says: "holds `..`",
        step: |files| using("read", &files.at("in/real/../../outside.txt")),
    },
    Row {
        trick: "hope that `%2e%2e%2f` is decoded",
        fate: Fate::Refused,
        says: "there is no such file or directory",
        step: |files| using("read", &files.at("in/%2e%2e%2foutside.txt")),
    },
    Row {
        trick: "a relative path",
        fate: Fate::Refused,
        says: "absolute",
        step: |_| using("read", "in/a.txt"),
    },
    Row { trick: "an empty path", fate: Fate::Refused, says: "absolute", step: |_| using("read", "") },
    Row {
        trick: "a NUL byte that cuts the path for the kernel",
        fate: Fate::Refused,
        says: "a path can not hold a zero byte",
        step: |files| using("read", &format!("{}\0.txt", files.at("in/a"))),
    },
    Row {
        trick: "a path of 100,000 characters",
        fate: Fate::Refused,
        says: "the path is longer than 4096 bytes",
        step: |files| using("read", &files.at(&format!("in/{}", "x".repeat(100_000)))),
    },
    Row {
        trick: "a link with a slash at the end, which makes some systems follow it",
        fate: Fate::Refused,
        says: "a path led outside of the filesystem",
        step: |files| using("read", &files.at("in/relative-link/")),
    },
    Row {
        trick: "dots at the end, which some systems drop",
        fate: Fate::Refused,
        says: "there is no such file or directory",
        step: |files| using("read", &files.at("in/a.txt...")),
    },
    Row {
        trick: "a neighbour whose name begins like that of the granted directory",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |files| using("read", &files.at("inside/a.txt")),
    },
    Row {
        trick: "a symbolic link to an absolute path outside",
        fate: Fate::Refused,
        says: "a path led outside of the filesystem",
        step: |files| using("read", &files.at("in/absolute-link")),
    },
    Row {
        trick: "a symbolic link to a relative path outside",
        fate: Fate::Refused,
        says: "a path led outside of the filesystem",
        step: |files| using("read", &files.at("in/relative-link")),
    },
    Row {
        trick: "a chain of links whose last one leads outside",
        fate: Fate::Refused,
        says: "a path led outside of the filesystem",
        step: |files| using("read", &files.at("in/chain-1")),
    },
    Row {
        trick: "a link to itself",
        fate: Fate::Refused,
        says: "Too many levels of symbolic links",
        step: |files| using("read", &files.at("in/loop")),
    },
    Row {
        trick: "list a linked directory outside",
        fate: Fate::Refused,
        says: "a path led outside of the filesystem",
        step: |files| using("list", &files.at("in/parent")),
    },
    Row {
        trick: "write behind a linked directory",
        fate: Fate::Refused,
        says: "a path led outside of the filesystem",
        step: |files| using("write", &files.at("in/parent/planted")),
    },
    Row {
        trick: "change the mode of a file outside through a link",
        fate: Fate::Refused,
        says: "a path led outside of the filesystem",
        step: |files| using("set-mode", &files.at("in/relative-link")),
    },
    Row {
        trick: "move a file out of the directory",
        fate: Fate::Refused,
        says: "no rule allows it",
        step: |files| using_with("rename", &files.at("in/real/b.txt"), &files.at("taken")),
    },
    Row {
        trick: "a hard link to a file outside",
        fate: Fate::Refused,
        says: "it has more than one name (hard link)",
        step: |files| using("read", &files.at("in/hard-link")),
    },
    Row {
        trick: "write into a file outside by its hard link",
        fate: Fate::Refused,
        says: "it has more than one name (hard link)",
        step: |files| using_with("append", &files.at("in/hard-link"), "planted"),
    },
    Row {
        trick: "200 reads while somebody exchanges the directory for a link to outside, again and again",
        fate: Fate::Harmless,
        says: "",
        step: |files| using_with("read-often", &files.at("in/swapped/b.txt"), "200"),
    },
    Row {
        trick: "the executor's environment through a link to `/proc/self/environ`",
        fate: Fate::Refused,
        says: "a path led outside of the filesystem",
        step: |files| using("read", &files.at("in/environ")),
    },
    Row {
        trick: "the whole file system through `/proc/self/root`",
        fate: Fate::Refused,
        says: "a path led outside of the filesystem",
        step: |files| using("read", &files.at("in/root/etc/passwd")),
    },
    Row {
        trick: "an open descriptor of the executor through `/proc/self/fd`",
        fate: Fate::Refused,
        says: "a path led outside of the filesystem",
        step: |files| using("read", &files.at("in/descriptors/0")),
    },
    Row {
        trick: "a FIFO, on which reading would wait for ever",
        fate: Fate::Refused,
        says: "neither a regular file nor a directory",
        step: |files| using("read", &files.at("in/fifo")),
    },
    Row {
        trick: "a device that is granted by mistake (`/dev/zero`, without end)",
        fate: Fate::Refused,
        says: "neither a regular file nor a directory",
        step: |_| using("read", "/dev/zero"),
    },
    Row {
        trick: "a socket in the granted directory",
        fate: Fate::Refused,
        says: "neither a regular file nor a directory",
        step: |files| using("read", &files.at("in/socket")),
    },
    Row {
        trick: "set the set-user-id bit of a file: it is left out",
        fate: Fate::Harmless,
        says: "",
        step: |files| using("set-mode", &files.at("in/a.txt")),
    },
    Row {
        trick: "the configuration of the executor, for which the policy has a rule",
        fate: Fate::Refused,
        says: "it is the executor's own",
        step: |files| using("read", &files.home.join("conf/config.ini").display().to_string()),
    },
    Row {
        trick: "the parameters of the own job, with all its secrets",
        fate: Fate::Refused,
        says: "it is the executor's own",
        step: |files| {
            using("read", &files.home.join("data/job/620/011/223/344/params.json").display().to_string())
        },
    },
    Row {
        trick: "the key of the compiled cache",
        fate: Fate::Refused,
        says: "it is the executor's own",
        step: |files| using("read", &files.home.join("data/wasm-cache/key").display().to_string()),
    },
    Row {
        trick: "plant a tool for later (`plugins/wasm`)",
        fate: Fate::Refused,
        says: "it is the executor's own",
        step: |files| using("write", &files.home.join("plugins/wasm/x/y.wasm").display().to_string()),
    },
    Row {
        trick: "WASI: leave by `..` from a preopened directory",
        fate: Fate::Refused,
        says: "not-permitted",
        step: |files| ambient(&["read", &files.at("in/../outside.txt")]),
    },
    Row {
        trick: "WASI: a link that leads outside",
        fate: Fate::Refused,
        says: "not-permitted",
        step: |files| ambient(&["read", &files.at("in/relative-link")]),
    },
    Row {
        trick: "WASI: make a link to `/etc/passwd`, then read through it",
        fate: Fate::Refused,
        says: "not-permitted",
        step: |files| ambient(&["link", "/etc/passwd", &files.at("in/made-1")]),
    },
    Row {
        trick: "WASI: make a link with `..`, then read through it",
        fate: Fate::Refused,
        says: "not-permitted",
        step: |files| ambient(&["link", "../outside.txt", &files.at("in/made-2")]),
    },
    Row {
        trick: "WASI: make a hard link to a file outside",
        fate: Fate::Refused,
        says: "not-permitted",
        step: |files| ambient(&["hard-link", "../outside.txt", &files.at("in/made-3")]),
    },
    Row {
        trick: "WASI: move a file out of the directory",
        fate: Fate::Refused,
        says: "not-permitted",
        step: |files| ambient(&["rename", &files.at("in/a.txt"), "../taken"]),
    },
    Row {
        trick: "WASI: a hard link to a file outside",
        fate: Fate::Refused,
        says: "not-permitted",
        step: |files| ambient(&["read", &files.at("in/hard-link")]),
    },
    Row {
        trick: "WASI: a FIFO, on which opening would wait for ever",
        fate: Fate::Refused,
        says: "not-permitted",
        step: |files| ambient(&["read", &files.at("in/fifo")]),
    },
    Row {
        trick: "WASI: 200 reads while the directory is exchanged for a link to outside",
        fate: Fate::Harmless,
        says: "",
        step: |files| ambient(&["read-often", &files.at("in/swapped/b.txt"), "200"]),
    },
];

#[test]
fn no_file_outside_is_read_or_changed() {
    let mut files = Files::new();
    let (inside, dir) = (files.at("in"), files.at(""));
    let stage = Stage::new(
        &[
            ("fixture/everything", guest("fixture/everything").unwrap()),
            ("fixture/ambient", guest("fixture/ambient").unwrap()),
        ],
        "",
    );
    files.home = stage.home().to_owned();
    let home = stage.home().display();
    let policy = format!(
        "[[grant]]\ntools = [\"fixture/*\"]\n\
         filesystem = {{ read = [\"{inside}\", \"/dev/zero\", \"{home}\"], write = [\"{inside}\", \"{home}\"] }}\n{ALL_INTERFACES}"
    );
    stage.job.home.write("conf/policy/site.toml", policy).unwrap();

    // A directory and a link to the outside, each having the other's name half of the time.
    let stop = Arc::new(AtomicBool::new(false));
    let swapper = {
        let (one, two, stop) = (files.at("in/swapped"), files.at("in/turning"), Arc::clone(&stop));
        thread::spawn(move || {
            let mut times = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let (one, two) = (one.as_str(), two.as_str());
                renameat2(AT_FDCWD, one, AT_FDCWD, two, RenameFlags::RENAME_EXCHANGE).unwrap();
                times += 1;
            }
            times
        })
    };
    let ran = stage.run_rows(ROWS, &files);
    stop.store(true, Ordering::Relaxed);
    assert!(swapper.join().unwrap() > 1000, "it was hardly exchanged");

    let outputs = stage.job.file("output/10.1.0.1--71.json");
    for text in [&ran.log, &outputs] {
        assert!(!text.contains(OUTSIDE) && !text.contains("root:"), "something came out:\n{text}");
    }
    assert!(outputs.contains("\"seen\""), "the reads in the race are not told: {outputs}");
    let names = |dir: &str| {
        let entries =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    };
    assert_eq!(names(&dir), ["b.txt", "in", "inside", "outside.txt"]);
    assert_eq!(fs::read_to_string(files.at("outside.txt")).unwrap(), OUTSIDE);
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(files.at("in/a.txt")).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o711, "no set-user-id bit");
    assert!(!stage.home().join("plugins/wasm/x").exists());
}

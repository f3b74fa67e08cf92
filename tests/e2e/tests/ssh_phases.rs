//! Files of targets across the phases of a run: each node gets them once, and nothing of them is left in the end.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use autoexec_e2e::build::{node_file, one_shot, op, params, phase, with_option};
use autoexec_e2e::wait::{LONG, until};
use autoexec_e2e::{Finished, Running, TestJob};
use autoexec_test_support::noise::noise;
use autoexec_test_support::proxy::Proxy;
use autoexec_test_support::server::Scope;
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const KEY: &str = "127.0.0.1--71";
/// Bytes of the library.
const LIBRARY: usize = 3 << 20;
/// Far less than the library, far more than a login and an operation.
const LITTLE: u64 = 40_000;

/// Says that it runs, and waits to be let through.
const GATE: &str =
    "#!/bin/sh\n: >\"$AUTOEXEC_HOME/between\"\nuntil [ -e \"$AUTOEXEC_HOME/go\" ]; do sleep 0.05; done\n";
/// What each target operation does: it shows all files, and the sum of the library.
const LOOK: &str = "cat ../lib/* | cksum; cd ..; find . -type f ! -path './.autoexec-*' | sort\n";

/// A phase on a target, one on the runner that waits at a gate, and a phase on the target again.
struct Ground {
    _sshd: Sshd,
    proxy: Proxy,
    job: TestJob,
}

/// An operation that takes an input file.
fn taking(number: u32) -> Value {
    with_option(op("pack/take", "target", number), "data", "filepath", "given/data.bin")
}

impl Ground {
    fn new(first: Vec<Value>, last: Vec<Value>) -> Self {
        let sshd = Sshd::start(SshdOptions::default()).unwrap();
        let proxy = Proxy::to(sshd.port()).unwrap();
        let node = json!({"resourceId": 71, "nodeName": "n71", "nodeType": "Linux", "host": "127.0.0.1", "protocol": "ssh",
            "protocolPort": proxy.port(), "username": sshd.user(), "password": sshd.password(), "runnerId": 1});
        let groups = [
            one_shot([phase("A", "target", first)]),
            one_shot([phase("M", "runner", [op("basic/gate", "runner", 90)])]),
            one_shot([phase("B", "target", last)]),
        ];
        // A job of its own: its directories are told from those of tests that run side by side.
        let id = format!("62{:05}{:05}", std::process::id() % 100_000, sshd.port());
        let mut params = params(groups);
        params["jobId"] = json!(id.parse::<u64>().unwrap());
        let job = TestJob::empty(&id).unwrap();
        job.server.set_params(params);
        job.set_nodes(Scope::Job, &node_file(&[node]));
        if sshd.password().is_empty() {
            let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
            let identity = format!("ssh.identity = {}\n", sshd.key_path().display());
            job.home.write("conf/config.ini", config + &identity).unwrap();
        }
        job.home.write_local_plugin("basic", "gate", GATE).unwrap();
        job.home.write_remote_plugin("pack", "look", LOOK).unwrap();
        job.home.write_remote_plugin("pack", "take", "cksum <file/data.bin; ls file\n").unwrap();
        let harm =
            format!("{LOOK}\necho x >lib/3; echo s >leftover; echo s >pack/leftover; ln -s /etc pack/etc\n");
        job.home.write_remote_plugin("pack", "harm", &harm).unwrap();
        job.home.write_job_file(job.id(), "given/data.bin", noise(500_000, 7)).unwrap();
        let ground = Self { _sshd: sshd, proxy, job };
        for number in 0..8 {
            ground.write_library(number, LIBRARY / 8, number as u64);
        }
        ground
    }

    fn write_library(&self, number: usize, length: usize, seed: u64) {
        self.job.home.write(&format!("plugins/remote/lib/{number}"), noise(length, seed)).unwrap();
    }

    /// Directories of the job on its target.
    fn directories(&self) -> Vec<PathBuf> {
        let prefix = format!("autoexec-{}-", self.job.id());
        let entries = std::fs::read_dir("/tmp").unwrap().flatten();
        entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .map(|entry| entry.path())
            .collect()
    }

    /// Runs up to the gate; the bytes that were sent for the first phase.
    fn up_to_gate(&self) -> (Running, u64) {
        self.proxy.sent();
        let running = self.job.start(&["--firstfire"]).unwrap();
        let between = self.job.home.path().join("between");
        let reached = until("the gate", LONG, || between.exists().then_some(()));
        assert!(reached.is_ok(), "{reached:?}\n{}\n{}", self.job.console(), self.log("A"));
        (running, self.proxy.sent())
    }

    /// Lets it go on to its end; the bytes that were sent for the last phase.
    fn go_on(&self, running: Running) -> (Finished, u64) {
        std::fs::write(self.job.home.path().join("go"), "").unwrap();
        let finished = running.wait().unwrap();
        (finished, self.proxy.sent())
    }

    fn kept(&self) -> PathBuf {
        let directories = self.directories();
        assert_eq!(directories.len(), 1, "{directories:?}\n{}", self.log("A"));
        assert!(self.job.dir().join(".kept").is_dir());
        directories.into_iter().next().unwrap()
    }

    fn log(&self, phase: &str) -> String {
        self.job.node_log(phase, KEY)
    }

    /// What the operations showed.
    fn shown(&self, phase: &str) -> Vec<String> {
        let log = self.log(phase);
        let lines = log.lines().filter_map(|line| line.get(9..));
        lines
            .filter(|line| line.starts_with("./") || line.ends_with(&format!(" {LIBRARY}")))
            .map(str::to_owned)
            .collect()
    }

    fn nothing_is_left(&self) {
        assert_eq!(self.directories(), [""; 0].map(PathBuf::from), "{}", self.job.console());
        assert!(!self.job.dir().join(".kept").exists());
    }

    fn succeeded(&self, finished: &Finished) {
        assert_eq!(finished.code, Some(0), "{}\n{}\n{}", finished.stderr, self.job.console(), self.log("B"));
        self.nothing_is_left();
    }
}

fn look(number: u32) -> Vec<Value> {
    vec![op("pack/look", "target", number)]
}

#[test]
fn the_second_phase_sends_next_to_nothing() {
    let mut last = look(2);
    last.push(taking(4));
    let ground = Ground::new(vec![op("pack/look", "target", 1), taking(3)], last);
    let (running, first) = ground.up_to_gate();
    assert!(first > 3_500_000, "{first}");
    ground.kept();
    let (finished, second) = ground.go_on(running);
    ground.succeeded(&finished);
    assert!(second < LITTLE, "{second} bytes in the second phase");
    assert_eq!(ground.shown("A"), ground.shown("B"));
    let log = ground.log("B");
    assert!(log.contains("Files of an earlier phase are used again:/tmp/autoexec-"), "{log}");
    let sum = |log: &str| log.lines().find(|line| line.ends_with(" 500000")).map(|line| line[9..].to_owned());
    assert!(sum(&log).is_some() && sum(&log) == sum(&ground.log("A")), "{log}");
}

#[test]
fn what_the_first_phase_left_is_not_seen_and_what_it_changed_is_sent_again() {
    let ground = Ground::new(vec![taking(3), op("pack/harm", "target", 1)], look(2));
    let (running, _) = ground.up_to_gate();
    let (finished, second) = ground.go_on(running);
    ground.succeeded(&finished);
    let piece = (LIBRARY / 8) as u64;
    assert!((piece..piece + LITTLE).contains(&second), "{second} bytes for one file of {piece}");
    let shown = ground.shown("B");
    assert_eq!(shown.first(), ground.shown("A").first(), "the same library");
    let files: Vec<&str> = shown.iter().filter(|line| line.starts_with("./")).map(String::as_str).collect();
    // Its own empty output file is there; where an old library writes one there is none.
    let names = (0..8).map(|number| format!("./lib/{number}"));
    let others = ["pack/harm", "pack/look", "pack/output.json", "pack/take"];
    assert_eq!(files, names.chain(others.map(|name| format!("./{name}"))).collect::<Vec<_>>());
}

#[test]
fn what_changed_here_meanwhile_is_all_that_is_sent() {
    let ground = Ground::new(look(1), look(2));
    let (running, _) = ground.up_to_gate();
    ground.write_library(5, LIBRARY / 8, 99);
    let (finished, second) = ground.go_on(running);
    ground.succeeded(&finished);
    let piece = (LIBRARY / 8) as u64;
    assert!((piece..piece + LITTLE).contains(&second), "{second} bytes for one file of {piece}");
    assert_ne!(ground.shown("A").first(), ground.shown("B").first());
}

#[test]
fn a_directory_that_is_gone_or_not_the_same_is_not_missed() {
    for planted in [false, true] {
        let ground = Ground::new(look(1), look(2));
        let (running, _) = ground.up_to_gate();
        let kept = ground.kept();
        let elsewhere = ground.job.home.path().join("elsewhere");
        std::fs::create_dir(&elsewhere).unwrap();
        std::fs::write(elsewhere.join("file"), "theirs").unwrap();
        std::fs::remove_dir_all(&kept).unwrap();
        if planted {
            symlink(&elsewhere, &kept).unwrap();
        }
        let (finished, second) = ground.go_on(running);
        if planted {
            assert_eq!(std::fs::read_link(&kept).unwrap(), elsewhere, "it was not touched");
            std::fs::remove_file(&kept).unwrap();
        }
        ground.succeeded(&finished);
        assert!(second > 3_000_000, "planted {planted}: {second}");
        assert_eq!(ground.shown("A"), ground.shown("B"));
        assert_eq!(files_of(&elsewhere), ["file"]);
    }
}

fn files_of(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn what_no_later_phase_took_is_removed_at_the_end() {
    let mut block = op("native/IF-Block", "native", 5);
    block["condition"] = json!("1 == 2");
    block["if"] = json!(look(2));
    let ground = Ground::new(look(1), vec![block]);
    let (running, _) = ground.up_to_gate();
    ground.kept();
    let (finished, _) = ground.go_on(running);
    ground.succeeded(&finished);
}

#[test]
fn an_abort_between_the_phases_leaves_nothing() {
    let ground = Ground::new(look(1), look(2));
    let (running, _) = ground.up_to_gate();
    ground.kept();
    running.signal(Signal::SIGTERM).unwrap();
    let finished = running.wait().unwrap();
    assert_ne!(finished.code, Some(0));
    ground.nothing_is_left();
}

#[test]
fn the_next_run_removes_what_a_killed_one_left() {
    let ground = Ground::new(look(1), look(2));
    let (running, _) = ground.up_to_gate();
    let kept = ground.kept();
    running.kill().unwrap();
    assert!(kept.is_dir());
    std::fs::write(ground.job.home.path().join("go"), "").unwrap();
    ground.job.expect(0, &[]).unwrap();
    ground.nothing_is_left();
    assert!(ground.log("B").contains("Node execute complete, status:succeed"));
}

#[test]
fn a_failure_leaves_what_is_to_be_looked_at_and_nothing_else() {
    let ground = Ground::new(look(1), vec![op("pack/fail", "target", 2)]);
    ground.job.home.write_remote_plugin("pack", "fail", "echo s >here\nexit 3\n").unwrap();
    let config = std::fs::read_to_string(ground.job.home.path().join("conf/config.ini")).unwrap();
    ground.job.home.write("conf/config.ini", config + "rexec.fail.reservedir = 1\n").unwrap();
    let (running, _) = ground.up_to_gate();
    let kept = ground.kept();
    let (finished, _) = ground.go_on(running);
    assert_ne!(finished.code, Some(0));
    let directories = ground.directories();
    assert_eq!(directories.len(), 1, "{directories:?}");
    assert_ne!(directories[0], kept);
    assert!(directories[0].join("pack/here").is_file());
    assert!(!ground.job.dir().join(".kept").exists());
    std::fs::remove_dir_all(&directories[0]).unwrap();
}

#[test]
fn little_files_leave_nothing_between_the_phases() {
    let ground = Ground::new(look(1), look(2));
    for number in 0..8 {
        ground.write_library(number, 100, 1);
    }
    let (running, _) = ground.up_to_gate();
    ground.nothing_is_left();
    let (finished, _) = ground.go_on(running);
    ground.succeeded(&finished);
}

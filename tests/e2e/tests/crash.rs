//! SIGKILL at 200 random moments of jobs of 3 phases × 20 nodes: no operation of the class `once` runs twice without a
//! person's word, none is lost, what is on disk is whole at any moment, and the server has every final status.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what the tests share fails as the tests do")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{key, node, one_shot, op, params, phase, with_output};
use autoexec_e2e::wait::{LONG, until};
use autoexec_test_support::server::{Call, CallName};
use serde_json::{Value, json};

const KILLS: u32 = 200;
/// Kills of one job; after them it is left to end.
const MOST_KILLS: u32 = 60;
const PHASES: [&str; 3] = ["A", "B", "C"];
const NODES: std::ops::Range<u32> = 71..91;

/// What every tool does: a line when it begins and one when it ends, in a file of its own per phase, node and operation,
/// so that the test knows what really ran. Its output is written the way an old tool does it.
const TOOL: &str = r#"#!/bin/sh
ledger="$AUTOEXEC_HOME/ledger/$AUTOEXEC_PHASE_NAME.$RESOURCE_ID.${OPERATION_ID##*/}"
echo begin >> "$ledger"
sleep 0.01
printf '{"made": "%s"}' "$NODE_NAME" > "$OUTPUT_PATH.new"
mv "$OUTPUT_PATH.new" "$OUTPUT_PATH"
echo end >> "$ledger"
"#;

/// The operations of a node in a phase: number and whether it may run only once.
const OPERATIONS: [(u32, bool); 3] = [(1, false), (2, true), (3, true)];

fn tool(once: bool) -> &'static str {
    if once { "basic/once" } else { "basic/again" }
}

/// Ids are unique in a job: the output file of an operation has no phase in its name.
fn number_in(phase: &str, number: u32) -> u32 {
    let earlier = PHASES.iter().take_while(|name| **name != phase).count();
    number + 10 * u32::try_from(earlier).unwrap()
}

fn op_id(phase: &str, (number, once): (u32, bool)) -> String {
    format!("{}_{}", tool(once), number_in(phase, number))
}

/// Two phases side by side, then one.
fn job() -> TestJob {
    let phase_of = |name: &str| {
        let operations = OPERATIONS.map(|(number, once)| {
            with_output(op(tool(once), "runner_target", number_in(name, number)), "made", "text")
        });
        phase(name, "runner_target", operations)
    };
    let [a, b, c] = PHASES.map(phase_of);
    let mut params = params([one_shot([a, b]), one_shot([c])]);
    params["roundCount"] = json!(2);
    let nodes: Vec<Value> = NODES.map(node).collect();
    let job = TestJob::new(params, &nodes).unwrap();
    for once in [false, true] {
        job.home.write_local_plugin("basic", tool(once).trim_start_matches("basic/"), TOOL).unwrap();
    }
    job.home
        .write("plugins/local/basic/once.json", r#"{"opType": "runner_target", "rerun": "once"}"#)
        .unwrap();
    std::fs::create_dir(job.home.path().join("ledger")).unwrap();
    job
}

/// Every JSON document of the job directory that a reader may open at any moment.
fn documents(directory: &Path, found: &mut Vec<PathBuf>) {
    // Directories and files come and go while it runs.
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            documents(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json")
            && !path.file_name().unwrap_or_default().to_string_lossy().starts_with("nodes")
        {
            found.push(path);
        }
    }
}

/// Reads them all once; returns how many.
fn read_all(directory: &Path) -> usize {
    let mut found = Vec::new();
    documents(directory, &mut found);
    let mut read = 0;
    for path in found {
        // It may have been replaced or removed in between, which is fine; half of it is not.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        let parsed: Result<Value, _> = serde_json::from_str(&text);
        assert!(parsed.is_ok_and(|value| value.is_object()), "{} is not whole: {text:?}", path.display());
        read += 1;
    }
    read
}

/// The last status that the server heard of each node in each phase.
fn last_statuses(calls: &[Call]) -> BTreeMap<(String, u64), String> {
    let statuses = calls.iter().filter(|call| call.name == CallName::NodeStatus).map(Call::json);
    statuses
        .map(|body| {
            let place = (
                body["phase"].as_str().unwrap_or_default().to_owned(),
                body["resourceId"].as_u64().unwrap_or(0),
            );
            (place, body["status"].as_str().unwrap_or_default().to_owned())
        })
        .collect()
}

/// A job, and what a person decided about it.
struct Trial {
    job: TestJob,
    /// How often a person let everything of a node in a phase run again.
    resets: BTreeMap<(&'static str, u32), usize>,
    /// How often a person said that an operation had taken effect.
    confirmed: usize,
}

impl Trial {
    /// Lines of a tool's ledger.
    fn ledger(&self, phase: &str, node: u32, operation: (u32, bool)) -> Vec<String> {
        let id = op_id(phase, operation);
        let name = format!("{phase}.{node}.{}", id.trim_start_matches("basic/"));
        let text =
            std::fs::read_to_string(self.job.home.path().join("ledger").join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// No process of the job, and none that it started, is left: what a killed process had started goes on.
    fn wait_until_quiet(&self) {
        let (dir, program) = (self.job.dir(), self.job.home.path().join("bin/autoexec"));
        let is_ours = |process: &Path| {
            let leads_to = |name: &str, place: &Path| {
                std::fs::read_link(process.join(name)).is_ok_and(|path| path == place)
            };
            leads_to("cwd", &dir) || leads_to("exe", &program)
        };
        until("the end of orphaned tools", LONG, || {
            let mut processes = std::fs::read_dir("/proc").unwrap().flatten();
            (!processes.any(|process| is_ours(&process.path()))).then_some(())
        })
        .unwrap();
    }

    /// Decides about every operation of which nobody knows whether it took effect, as a failed node's text asks a person
    /// to do: one that did is set to succeed, a node where it did not is reset.
    fn decide(&mut self) -> usize {
        let mut decided = 0;
        for phase in PHASES {
            for node in NODES {
                let status = self.job.status(phase, &key(node));
                for operation in OPERATIONS.into_iter().filter(|(_, once)| *once) {
                    if status[&op_id(phase, operation)] != "unknown"
                        && status[&op_id(phase, operation)] != "running"
                    {
                        continue;
                    }
                    decided += 1;
                    let path = self.job.dir().join(format!("status/{phase}/{}.json", key(node)));
                    if self.ledger(phase, node, operation).last().is_some_and(|line| line == "end") {
                        let mut status = status.clone();
                        status[&op_id(phase, operation)] = json!("succeed");
                        // A reader is at work: not even a person writes in place.
                        let draft = path.with_extension("draft");
                        std::fs::write(&draft, status.to_string()).unwrap();
                        std::fs::rename(&draft, &path).unwrap();
                        self.confirmed += 1;
                    } else {
                        std::fs::remove_file(&path).unwrap();
                        *self.resets.entry((phase, node)).or_default() += 1;
                    }
                    break;
                }
            }
        }
        decided
    }

    /// What the server heard last is what stands on disk, for every node to which the process that just ended gave a
    /// final status. (Of one that a killed process finished, the server may hear only when it is met again.)
    fn compare_with_server(&self, pid: i32) {
        let heard = last_statuses(&self.job.server.calls());
        for phase in PHASES {
            for node in NODES {
                let status = self.job.status(phase, &key(node));
                let Some(word) = status["status"].as_str() else { continue };
                if status["pid"] == pid
                    && matches!(word, "succeed" | "failed" | "ignored" | "paused" | "aborted")
                {
                    let told = heard.get(&(phase.to_owned(), u64::from(node)));
                    assert_eq!(told.map(String::as_str), Some(word), "{phase} {node}: {status}");
                }
            }
        }
    }

    /// Nothing ran more often than it might.
    fn compare_with_ledgers(&self) {
        for phase in PHASES {
            for node in NODES {
                let resets = self.resets.get(&(phase, node)).copied().unwrap_or(0);
                for operation in OPERATIONS.into_iter().filter(|(_, once)| *once) {
                    let lines = self.ledger(phase, node, operation);
                    let begun = lines.iter().filter(|line| *line == "begin").count();
                    assert!(
                        begun <= 1 + resets,
                        "{phase} {node} {operation:?} ran {begun} times with {resets} resets"
                    );
                }
            }
        }
    }

    /// Kills processes until one ends by itself with everything done; returns how many were killed.
    fn kill_until_done(&mut self, random: &mut fastrand::Rng, span: Duration) -> u32 {
        let mut kills = 0;
        loop {
            let flags: &[&str] = if kills == 0 { &["--firstfire"] } else { &[] };
            let mut running = self.job.start(flags).unwrap();
            let pid = running.pid().as_raw();
            let moment = if kills < MOST_KILLS {
                span.mul_f64(random.f64())
            } else {
                // A machine that is too busy to get anywhere in that time.
                LONG
            };
            let ended =
                until("the end", moment, || running.is_running().is_ok_and(|runs| !runs).then_some(()))
                    .is_ok();
            let finished = running.kill().unwrap();
            if !ended {
                kills += 1;
                // Nobody writes now, except for the tools that were left alone.
                read_all(&self.job.dir());
                continue;
            }
            self.wait_until_quiet();
            self.compare_with_ledgers();
            self.compare_with_server(pid);
            match finished.code {
                Some(0) => return kills,
                Some(1) => assert!(self.decide() > 0, "{}\n{}", finished.stderr, self.job.console()),
                other => panic!("ended with {other:?}: {}\n{}", finished.stderr, self.job.console()),
            }
        }
    }

    fn assert_done(&self) {
        for phase in PHASES {
            for node in NODES {
                let status = self.job.status(phase, &key(node));
                assert_eq!(status["status"], "succeed", "{phase} {node}: {status}");
                for operation in OPERATIONS {
                    assert_eq!(status[&op_id(phase, operation)], "succeed", "{phase} {node}: {status}");
                    let lines = self.ledger(phase, node, operation);
                    assert_eq!(
                        lines.last().map(String::as_str),
                        Some("end"),
                        "{phase} {node} {operation:?} is lost"
                    );
                }
            }
        }
        for node in NODES {
            let outputs: Value =
                serde_json::from_str(&self.job.file(&format!("output/{}.json", key(node)))).unwrap();
            for (phase, operation) in PHASES.into_iter().flat_map(|phase| OPERATIONS.map(|op| (phase, op))) {
                let made = &outputs[&op_id(phase, operation)]["made"];
                // What a person says took effect is skipped; its output is there all the same.
                assert_eq!(*made, format!("n{node}"), "{phase} {operation:?}: {outputs}");
            }
        }
        let calls = self.job.server.calls();
        assert_eq!(last_statuses(&calls).len(), PHASES.len() * NODES.len());
        assert_eq!(calls.last().map(|call| call.name), Some(CallName::NextGroup));
        self.assert_logs_are_whole();
        let left = temporary_files(&self.job.dir());
        assert!(left.is_empty(), "left behind: {left:?}");
    }

    /// Every line of every log has its time.
    fn assert_logs_are_whole(&self) {
        let mut logs: Vec<String> = vec!["log/console.txt".to_owned()];
        for phase in PHASES {
            logs.extend(NODES.map(|node| format!("log/{phase}/{}.txt", key(node))));
        }
        for log in logs {
            let text = self.job.file(&log);
            assert!(text.ends_with('\n'), "{log} ends in half a line");
            for line in text.lines() {
                let time = line.get(..9).unwrap_or_default();
                let is_time = time.len() == 9 && time.ends_with(' ') && time.matches(':').count() == 2;
                assert!(is_time, "{log}: {line:?}");
            }
        }
    }
}

fn temporary_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap().flatten() {
            if entry.path().is_dir() {
                open.push(entry.path());
            } else if entry.path().extension().is_some_and(|extension| extension == "tmp") {
                found.push(entry.path());
            }
        }
    }
    found
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How long the job takes here without a kill.
fn calibrate() -> Duration {
    let trial = Trial { job: job(), resets: BTreeMap::new(), confirmed: 0 };
    let begun = Instant::now();
    trial.job.expect(0, &["--firstfire"]).unwrap();
    let taken = begun.elapsed();
    trial.compare_with_ledgers();
    trial.assert_done();
    taken
}

#[test]
fn killed_at_random_moments_and_run_again() {
    let seed = std::env::var("AUTOEXEC_CRASH_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("AUTOEXEC_CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    // Early moments meet the start, late ones the work and the end of phases.
    let span = calibrate().div_f64(3.0).min(Duration::from_millis(600));
    let (mut kills, mut jobs, mut resets, mut confirmed) = (0, 0, 0, 0);
    while kills < KILLS {
        let mut trial = Trial { job: job(), resets: BTreeMap::new(), confirmed: 0 };
        let (stop, reads, dir) = (AtomicBool::new(false), AtomicUsize::new(0), trial.job.dir());
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    reads.fetch_add(read_all(&dir), Ordering::Relaxed);
                    // Not all of a processor.
                    std::thread::park_timeout(Duration::from_millis(10));
                }
            });
            // Set also when an assertion fails: the scope waits for the reader.
            let stop_reader = StopOnDrop(&stop);
            kills += trial.kill_until_done(&mut random, span);
            drop(stop_reader);
            reader.join().unwrap();
        });
        assert!(reads.into_inner() > 50, "the reader saw next to nothing");
        trial.assert_done();
        jobs += 1;
        resets += trial.resets.values().sum::<usize>();
        confirmed += trial.confirmed;
    }
    println!(
        "{kills} kills, {jobs} jobs; a person said {confirmed} times that it was done and {resets} times to repeat it"
    );
}

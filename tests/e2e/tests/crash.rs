//! SIGKILL at any moment: what is on disk is whole, and a later process brings the job to its end.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{key, node, one_shot, op, params, phase};
use autoexec_e2e::wait::{LONG, until};
use autoexec_test_support::server::{Call, CallName};
use serde_json::{Value, json};

const NODES: [u32; 6] = [71, 72, 73, 74, 75, 76];
const PHASES: [&str; 2] = ["A", "B"];
const KILLS: u32 = 25;
/// Of one job.
const MOST_KILLS: u32 = 30;

/// Writes its output the way an old tool does, through a rename, and takes a moment.
const TOOL: &str = "#!/bin/sh\nsleep 0.02\necho \"$OPERATION_ID on $NODE_NAME\"\n\
                    printf '{\"made\": \"%s\"}' \"$NODE_NAME\" > \"$OUTPUT_PATH.new\"\nmv \"$OUTPUT_PATH.new\" \"$OUTPUT_PATH\"\n";

fn job() -> TestJob {
    let phase_of = |(name, first): (&str, u32)| {
        let operations = (first..first + 3).map(|number| {
            autoexec_e2e::build::with_output(op("basic/work", "runner_target", number), "made", "text")
        });
        phase(name, "runner_target", operations)
    };
    let mut params = params(PHASES.into_iter().zip([1, 11]).map(|phase| one_shot([phase_of(phase)])));
    params["roundCount"] = json!(2);
    let job = TestJob::new(params, &NODES.map(node)).unwrap();
    job.home.write_local_plugin("basic", "work", TOOL).unwrap();
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

fn last_statuses(calls: &[Call]) -> BTreeMap<String, String> {
    let statuses = calls.iter().filter(|call| call.name == CallName::NodeStatus).map(Call::json);
    statuses
        .map(|body| {
            let place = format!("{} {}", body["phase"].as_str().unwrap_or_default(), body["resourceId"]);
            (place, body["status"].as_str().unwrap_or_default().to_owned())
        })
        .collect()
}

/// Kills processes of one job until one of them ends by itself, and returns how many were killed.
fn kill_until_done(job: &TestJob, random: &mut fastrand::Rng) -> u32 {
    for kills in 0.. {
        let flags: &[&str] = if kills == 0 { &["--firstfire"] } else { &[] };
        let mut running = job.start(flags).unwrap();
        // A machine that is too busy to get anywhere in that time is given a run without a kill in the end.
        let moment = if kills < MOST_KILLS { Duration::from_micros(random.u64(0..120_000)) } else { LONG };
        // Waits for the moment; an early end of the process ends the wait too.
        let ended =
            until("the end", moment, || running.is_running().is_ok_and(|runs| !runs).then_some(())).is_ok();
        let finished = running.kill().unwrap();
        if ended {
            assert_eq!(finished.code, Some(0), "{}\n{}", finished.stderr, job.console());
            return kills;
        }
    }
    unreachable!("the loop ends by itself")
}

fn assert_done(job: &TestJob) {
    for (phase, first) in PHASES.into_iter().zip([1, 11]) {
        for id in NODES {
            let status = job.status(phase, &key(id));
            assert_eq!(status["status"], "succeed", "{phase} {id}: {status}");
            for number in first..first + 3 {
                assert_eq!(status[&format!("basic/work_{number}")], "succeed", "{phase} {id}: {status}");
            }
        }
    }
    for id in NODES {
        let outputs: Value = serde_json::from_str(&job.file(&format!("output/{}.json", key(id)))).unwrap();
        for number in [1, 2, 3, 11, 12, 13] {
            assert_eq!(outputs[&format!("basic/work_{number}")]["made"], format!("n{id}"), "{outputs}");
        }
    }
    let calls = job.server.calls();
    let last = last_statuses(&calls);
    assert_eq!(last.len(), PHASES.len() * NODES.len());
    assert!(last.values().all(|status| status == "succeed"), "{last:?}");
    assert_eq!(calls.last().map(|call| call.name), Some(CallName::NextGroup));
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn killed_at_random_moments_and_run_again() {
    let seed = std::env::var("AUTOEXEC_CRASH_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("AUTOEXEC_CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut kills = 0;
    while kills < KILLS {
        let job = job();
        let (stop, reads) = (AtomicBool::new(false), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    reads.fetch_add(read_all(&job.dir()), Ordering::Relaxed);
                }
            });
            // Set also when an assertion fails: the scope waits for the reader.
            let stop_reader = StopOnDrop(&stop);
            kills += kill_until_done(&job, &mut random);
            drop(stop_reader);
            reader.join().unwrap();
        });
        assert!(reads.into_inner() > 100, "the reader saw next to nothing");
        assert_done(&job);
    }
    println!("{kills} kills");
}

//! `--cleanstatus` and `--purgejobdata`.

use std::fs::File;
use std::time::{Duration, SystemTime};

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{node, one_shot, op, params, phase};

use crate::{BLOCK, FIRE, code, mode, prepare, release, text, wait_until_started};

fn job() -> TestJob {
    let params = params([one_shot([phase("A", "runner", [op("basic/block", "runner", 1)])])]);
    let job = TestJob::new(params, &[node(71)]).unwrap();
    prepare(&job);
    job.home.write_local_plugin("basic", "block", BLOCK).unwrap();
    job
}

#[test]
fn cleaned_statuses_let_the_job_run_again() {
    let job = job();
    job.home.write_local_plugin("basic", "block", "#!/bin/sh\necho ran >> \"$AUTOEXEC_HOME/ran\"\n").unwrap();
    let ran = || std::fs::read_to_string(job.home.path().join("ran")).unwrap().lines().count();
    job.expect(0, &FIRE).unwrap();
    job.expect(0, &["--execid", "901"]).unwrap();
    assert_eq!(ran(), 1, "the second run skips what succeeded");
    let cleaned = mode(&job, &["--cleanstatus"]);
    assert_eq!(code(&cleaned), 0, "{}", text(&cleaned.stderr));
    assert!(!job.dir().join("status").exists());
    job.expect(0, &["--execid", "902"]).unwrap();
    assert_eq!(ran(), 2);
    assert_eq!(code(&mode(&TestJob::empty("9").unwrap(), &["--cleanstatus"])), 0, "there was nothing");
}

#[test]
fn old_jobs_are_purged_and_one_that_runs_stays() {
    let job = job();
    let running = job.start(&FIRE).unwrap();
    wait_until_started(&job);
    let long_ago = SystemTime::now() - Duration::from_hours(24 * 90);
    for id in ["5", "620011223344"] {
        for name in ["params.json", "nodes.json", "log/console.txt"] {
            let path = job.home.job_dir(id).join(name);
            if !path.exists() {
                job.home.write_job_file(id, name, "{}").unwrap();
            }
            File::open(path).unwrap().set_modified(long_ago).unwrap();
        }
    }
    let purged = mode(&job, &["--purgejobdata", "30"]);
    assert_eq!(code(&purged), 0, "{}", text(&purged.stderr));
    let printed = text(&purged.stdout);
    assert!(
        printed.contains("INFO: Job 5 removed.")
            && printed.contains("INFO: Job 620011223344 is running and stays."),
        "{printed}"
    );
    assert!(!job.home.job_dir("5").exists() && job.dir().join("params.json").exists());
    release(&job);
    assert_eq!(running.wait().unwrap().code, Some(0), "{}", job.console());
    let wrong = mode(&job, &["--purgejobdata", "soon"]);
    assert_eq!(code(&wrong), 64);
    assert!(text(&wrong.stderr).contains("`soon` is not a number of days"), "{}", text(&wrong.stderr));
}

//! What can be seen while a job runs, and signals to it.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use autoexec_e2e::build::{key, node, one_shot, op, params, phase};
use autoexec_e2e::wait::{LONG, until};
use autoexec_e2e::{Finished, Running, TestJob};
use autoexec_test_support::server::CallName;
use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

/// Says something, marks that it has, and blocks until the test opens the FIFO.
const TOOL: &str = "#!/bin/sh\necho 'the line that people wait for'\nprintf 'half a line'\n\
                    : > \"$AUTOEXEC_HOME/printed\"\nread answer < \"$AUTOEXEC_HOME/fifo\"\necho \" answered $answer\"\n";

struct Stage {
    job: TestJob,
    running: Option<Running>,
    fifo: PathBuf,
}

/// A job whose first operation is blocked after its first line, and has a second operation.
fn blocked() -> Stage {
    let operations = [op("basic/block", "runner_target", 1), op("basic/after", "runner_target", 2)];
    let params = params([one_shot([phase("A", "runner_target", operations)])]);
    let job = TestJob::new(params, &[node(71), node(72)]).unwrap();
    job.home.write_local_plugin("basic", "block", TOOL).unwrap();
    job.home.write_local_plugin("basic", "after", "#!/bin/sh\necho after\n").unwrap();
    let fifo = job.home.path().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    let running = Some(job.start(&["--firstfire"]).unwrap());
    let printed = job.home.path().join("printed");
    until("the tool's line", LONG, || printed.exists().then_some(())).unwrap();
    Stage { job, running, fifo }
}

impl Stage {
    fn log(&self) -> String {
        self.job.node_log("A", &key(71))
    }

    fn open_fifo(&self) -> Option<File> {
        let nonblocking = OFlag::O_NONBLOCK.bits();
        OpenOptions::new().write(true).custom_flags(nonblocking).open(&self.fifo).ok()
    }

    /// Lets the tool go on. Opening fails until it reads.
    fn answer(&self, text: &str) {
        let mut writer = until("a reader of the FIFO", LONG, || self.open_fifo()).unwrap();
        writer.write_all(format!("{text}\n").as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        self.running.as_ref().unwrap().signal(signal).unwrap();
    }

    fn finish(&mut self) -> Finished {
        self.running.take().unwrap().wait().unwrap()
    }

    fn history(&self) -> Vec<String> {
        let directory = self.job.dir().join(format!("log/A/{}.hislog", key(71)));
        let entries = std::fs::read_dir(directory).unwrap().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// First words of the calls that say `status`, in canonical order.
    fn calls_that_say(&self, status: &str) -> Vec<String> {
        let lines =
            self.job.call_lines().into_iter().filter(|line| line.contains(&format!("status={status}")));
        lines.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect()
    }
}

#[test]
fn a_line_is_in_the_log_at_once_and_history_says_running() {
    let mut stage = blocked();
    until("the line in the node log", Duration::from_millis(500), || {
        stage.log().contains(" the line that people wait for\n").then_some(())
    })
    .unwrap();
    let log = stage.log();
    assert!(log.ends_with('\n'), "only whole lines are in the file: {log:?}");
    let [name] = stage.history().try_into().unwrap();
    let (stamp, rest) = name.split_once('.').unwrap();
    assert_eq!((stamp.len(), rest), (15, "running.u-77.txt"), "{name}");
    assert_eq!(stage.job.status("A", &key(71))["status"], "running");

    stage.answer("yes");
    let printed = || stage.job.node_log("A", &key(72)).contains("wait for").then_some(());
    until("the second node", LONG, printed).unwrap();
    stage.answer("again");
    assert_eq!(stage.finish().code, Some(0), "{}", stage.job.console());
    let log = stage.log();
    assert!(log.contains(" half a line answered yes\n"), "{log}");
    assert!(stage.job.node_log("A", &key(72)).contains(" answered again\n"));
    let [name] = stage.history().try_into().unwrap();
    assert!(name.ends_with(".succeed.u-77.txt"), "{name}");
}

#[test]
fn a_process_that_is_told_to_pause_lets_the_operation_end() {
    let mut stage = blocked();
    stage.signal(Signal::SIGUSR1);
    until("the pause", LONG, || stage.job.console().contains("Pause requested").then_some(())).unwrap();
    stage.signal(Signal::SIGUSR1);
    stage.answer("go on");
    assert_eq!(stage.finish().code, Some(0), "a pause is no failure: {}", stage.job.console());
    let status = stage.job.status("A", &key(71));
    assert_eq!(
        (&status["status"], &status["basic/block_1"]),
        (&"paused".into(), &"succeed".into()),
        "{status}"
    );
    assert!(!stage.log().contains(" after\n"), "the next operation is not started");
    // One job status, though the signal came twice.
    assert_eq!(stage.calls_that_say("paused"), ["node-status", "job-status", "phase-status"]);
    assert_eq!(stage.job.server.calls_of(CallName::NextGroup).len(), 0);

    // A later process goes on with the next operation, and with the second node.
    stage.running = Some(stage.job.start(&[]).unwrap());
    stage.answer("second");
    assert_eq!(stage.finish().code, Some(0), "{}", stage.job.console());
    assert!(stage.log().contains("Operation basic/block_1 has been executed in status:succeed, skip."));
    assert_eq!(stage.job.status("A", &key(72))["status"], "succeed");
}

#[test]
fn term_int_and_hup_abort() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let mut stage = blocked();
        stage.signal(signal);
        let finished = stage.finish();
        assert_eq!(
            finished.code,
            Some(1),
            "{signal}: an aborted node is a failed one: {}",
            stage.job.console()
        );
        let status = stage.job.status("A", &key(71));
        assert_eq!(status["status"], "aborted", "{signal}: {status}");
        assert_eq!(
            stage.calls_that_say("aborted"),
            ["node-status", "job-status", "phase-status"],
            "{signal}"
        );
        assert!(stage.open_fifo().is_none(), "{signal}: the tool still reads, so it still runs");
    }
}

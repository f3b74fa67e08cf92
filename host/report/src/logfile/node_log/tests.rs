//! A node's log as its readers see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use autoexec_model::{OpName, Place};
use serde_json::json;

use super::*;
use crate::logfile::FailOperator;
use crate::logfile::clock::testing::manual_clock;

struct Fixture {
    dir: tempfile::TempDir,
    phase: PhaseName,
    node: Node,
    clock: LogClock,
    offset: Arc<AtomicI64>,
}

impl Fixture {
    fn new() -> Self {
        let object = json!({"resourceId": 71, "host": "10.1.0.1", "port": 8080, "username": "app",
                "protocol": "ssh", "protocolPort": 22});
        let node = Node::from_object(object.as_object().unwrap().clone()).unwrap();
        let (clock, offset) = manual_clock();
        let phase = PhaseName::new("检查").unwrap();
        let fixture = Self { dir: tempfile::tempdir().unwrap(), phase, node, clock, offset };
        fixture.job().create().unwrap();
        fixture.job().prepare_unit(&fixture.phase, &fixture.node.key()).unwrap();
        fixture
    }

    fn job(&self) -> JobDir {
        JobDir::at(self.dir.path())
    }

    fn log(&self) -> NodeLog {
        NodeLog::create(&self.job(), &self.phase, &self.node, "a/b", self.clock.clone()).unwrap()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.job().node_log(&self.phase, &self.node.key())).unwrap()
    }

    /// Without the time.
    fn lines(&self) -> Vec<String> {
        self.text().lines().map(|line| line.strip_prefix("22:13:20 ").unwrap().to_owned()).collect()
    }

    fn history(&self) -> Vec<String> {
        let directory = self.job().node_history(&self.phase, &self.node.key());
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn operation(place: Place) -> OperationRef {
    OperationRef { id: OpId::new("basic/free_501").unwrap(), name: OpName::new("basic/free").unwrap(), place }
}

#[test]
fn a_whole_run_byte_for_byte() {
    let fixture = Fixture::new();
    let log = fixture.log();
    let op = operation(Place::Target);
    log.launched().unwrap();
    log.status_changed(NodeStatus::Running).unwrap();
    log.op_start(&op).unwrap();
    log.op_help("one\ntwo").unwrap();
    log.op_help("").unwrap();
    log.execute_line("basic/free --p ******").unwrap();
    log.job_directory("/tmp/x").unwrap();
    log.upload_begin().unwrap();
    log.upload_success().unwrap();
    log.output(OutputStream::Stdout, b"Mem: 1\nno line end").unwrap();
    log.op_result(&op, OpStatus::Succeed).unwrap();
    log.op_end(&op, Duration::from_millis(1234)).unwrap();
    log.op_skipped(&op.id).unwrap();
    log.if_condition("$A == 5", true).unwrap();
    log.node_complete(NodeStatus::Succeed).unwrap();
    log.status_change_failed(NodeStatus::Succeed, "{\"Status\":\"ERROR\"}").unwrap();
    log.ended(Duration::from_secs(61)).unwrap();
    log.finish(NodeStatus::Succeed).unwrap();
    let expected = "\
22:13:20 ======[71]10.1.0.1:8080 Launched by ssh://app@10.1.0.1:22======
22:13:20 INFO: Change node status to running.
22:13:20 ------START--[basic/free_501] remote execution start...
22:13:20 ------one---
22:13:20 ------two---
22:13:20 INFO: Execute -> basic/free --p ******
22:13:20 INFO: Job directory:/tmp/x
22:13:20 INFO: Begin to upload remote operation...
22:13:20 INFO: Remote operation upload success.
22:13:20 Mem: 1
22:13:20 no line end
22:13:20 FINE: Execute operation basic/free on remote OS succeed.
22:13:20 ------END--[basic/free_501] remote execution complete -- duration: 1.23 second.
22:13:20 \n22:13:20 INFO: Operation basic/free_501 has been executed in status:succeed, skip.
22:13:20 INFO: IF condition [ $A == 5 ] = True
22:13:20 \n22:13:20 FINE: Node execute complete, status:succeed.
22:13:20 INFO: Change node status to succeed failed, {\"Status\":\"ERROR\"}
22:13:20 ======[71]10.1.0.1:8080 executed by ssh://app@10.1.0.1:22 ended, duration:61.00 second ======
";
    assert_eq!(fixture.text(), expected);
    assert_eq!(fixture.history(), ["20231114-221320.succeed.a_b.txt"]);
    assert_eq!(log.warnings(), 0);
}

#[test]
fn results_name_the_place_and_the_gravity() {
    let fixture = Fixture::new();
    let log = fixture.log();
    for (place, status) in [
        (Place::Runner, OpStatus::Succeed),
        (Place::RunnerTarget, OpStatus::Ignored),
        (Place::Native, OpStatus::Failed),
        (Place::Target, OpStatus::Aborted),
    ] {
        log.op_result(&operation(place), status).unwrap();
    }
    log.node_complete(NodeStatus::Paused).unwrap();
    assert_eq!(
        fixture.lines(),
        [
            "FINE: Execute operation basic/free on runner succeed.",
            "WARN: Execute operation basic/free on runner to target ignored.",
            "ERROR: Execute operation basic/free failed.",
            "ERROR: Execute operation basic/free on remote OS aborted.",
            "INFO: Node execute complete, status:paused.",
        ]
    );
    assert_eq!(log.warnings(), 3);
}

#[test]
fn history_keeps_every_run_even_within_one_second() {
    let fixture = Fixture::new();
    for text in ["one", "two"] {
        let log = fixture.log();
        log.line(text).unwrap();
        assert!(fixture.history().iter().any(|name| name.contains(".running.")));
        log.finish(NodeStatus::Failed).unwrap();
        log.finish(NodeStatus::Succeed).unwrap();
    }
    let names = ["20231114-221320.failed.a_b.txt", "20231114-221321.failed.a_b.txt"];
    assert_eq!(fixture.history(), names);
    let directory = fixture.job().node_history(&fixture.phase, &fixture.node.key());
    for (name, text) in names.iter().zip(["one", "two"]) {
        assert_eq!(fs::read_to_string(directory.join(name)).unwrap(), format!("22:13:20 {text}\n"));
    }
    // A crashed run keeps `running`; the next one takes another second for its link.
    fixture.log().line("crashed").unwrap();
    fixture.log().line("again").unwrap();
    assert_eq!(
        fixture.history()[1..],
        [
            "20231114-221320.running.a_b.txt",
            "20231114-221321.failed.a_b.txt",
            "20231114-221321.running.a_b.txt"
        ]
    );
}

#[test]
fn a_new_log_leaves_readers_of_the_old_one_alone() {
    let fixture = Fixture::new();
    fixture.log().line("old").unwrap();
    let mut reader = File::open(fixture.log().path()).unwrap();
    let log = fixture.log();
    fixture.log().line("newest").unwrap();
    log.line("unlinked").unwrap();
    let mut seen = String::new();
    io::Read::read_to_string(&mut reader, &mut seen).unwrap();
    assert_eq!(seen, "");
    assert_eq!(fixture.lines(), ["newest"]);
}

#[test]
fn warnings_count_at_line_starts_only() {
    let fixture = Fixture::new();
    let log = fixture.log();
    let long = format!("{}ERROR: middle\n", "x".repeat(crate::logfile::MAX_LINE));
    log.output(OutputStream::Stdout, long.as_bytes()).unwrap();
    log.output(OutputStream::Stdout, b"ERR").unwrap();
    log.output(OutputStream::Stderr, b"WARN: other stream\n").unwrap();
    log.output(OutputStream::Stdout, b"OR: split\n an ERROR: inside\n\x1b[31mWARN: red\n").unwrap();
    log.message(Level::Error, "ours").unwrap();
    assert_eq!(log.warnings(), 4);
    assert_eq!(fixture.lines()[2..4], ["WARN: other stream", "ERROR: split"]);
}

#[test]
fn a_fail_pattern_fails_the_operation_it_matched_in() {
    let fixture = Fixture::new();
    let log = fixture.log();
    let op = operation(Place::Runner);
    let (patterns, _) = FailPatterns::new(["ORA-\\d+"], FailOperator::And, Some("ORA-0+\\b"), false);
    log.output(OutputStream::Stdout, b"ORA-1\n").unwrap();
    log.arm(patterns);
    log.output(OutputStream::Stdout, b"x ORA").unwrap();
    assert!(!log.failed_by_pattern());
    log.output(OutputStream::Stdout, b"-942 y\nORA-00\n").unwrap();
    assert!(log.failed_by_pattern());
    log.op_start(&op).unwrap();
    assert!(!log.failed_by_pattern());
    let (tolerated, _) = FailPatterns::new(["bad"], FailOperator::And, None, true);
    log.arm(tolerated);
    log.line("bad").unwrap();
    assert!(!log.failed_by_pattern());
    let lines = fixture.lines();
    assert_eq!(lines[1..4], ["x ORA-942 y", "ERROR: Fail pattern ORA-\\d+ matched for pre line.", "ORA-00"]);
    assert_eq!(lines[5..], ["bad", "WARN: Fail pattern bad matched for pre line."]);
    assert_eq!(log.warnings(), 2);
}

#[test]
fn an_exploding_pattern_is_told_once() {
    let fixture = Fixture::new();
    let log = fixture.log();
    let (patterns, _) = FailPatterns::new(["(?:(?=a)a+)+b"], FailOperator::And, None, false);
    log.arm(patterns);
    let line = "a".repeat(5000);
    log.line(&line).unwrap();
    log.line(&line).unwrap();
    assert_eq!(fixture.lines().iter().filter(|line| line.contains("too complex")).count(), 1);
    assert!(!log.failed_by_pattern());
}

#[test]
fn threads_do_not_mix_their_lines() {
    let fixture = Fixture::new();
    let log = fixture.log();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || {
                for number in 0..200 {
                    log.line(&format!("thread {thread} line {number}\nsecond {thread} {number}")).unwrap();
                }
            });
        }
    });
    let lines = fixture.lines();
    assert_eq!(lines.len(), 1600);
    for pair in lines.chunks(2) {
        let first = pair[0].strip_prefix("thread ").unwrap().replace(" line ", " ");
        assert_eq!(pair[1], format!("second {first}"));
    }
}

#[test]
fn the_time_is_that_of_the_line_end() {
    let fixture = Fixture::new();
    let log = fixture.log();
    log.output(OutputStream::Stdout, b"slow ").unwrap();
    fixture.offset.store(5, Ordering::SeqCst);
    log.output(OutputStream::Stdout, b"line\n").unwrap();
    assert_eq!(fixture.text(), "22:13:25 slow line\n");
}

#[test]
fn names_that_are_too_long_are_explained() {
    let fixture = Fixture::new();
    let phase = PhaseName::new("阶".repeat(90)).unwrap();
    let error =
        NodeLog::create(&fixture.job(), &phase, &fixture.node, "u", fixture.clock.clone()).unwrap_err();
    assert!(error.to_string().contains("has 270 bytes"), "{error}");
    let user = "u".repeat(250);
    let log =
        NodeLog::create(&fixture.job(), &fixture.phase, &fixture.node, &user, fixture.clock.clone()).unwrap();
    let error = log.line("shown nevertheless").unwrap_err();
    assert!(matches!(error, LogError::NameTooLong { .. }), "{error}");
    log.line("and not reported again").unwrap();
    assert_eq!(fixture.lines(), ["shown nevertheless", "and not reported again"]);
    log.finish(NodeStatus::Succeed).unwrap();
}

#[test]
fn a_full_disk_is_an_error_and_the_next_line_starts_anew() {
    let fixture = Fixture::new();
    let log = fixture.log();
    log.line("before").unwrap();
    let good = {
        let mut state = log.lock();
        let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        state.lines.out.swap_file(full)
    };
    let error = log.line("lost").unwrap_err();
    assert!(error.to_string().contains("10.1.0.1-8080-71.txt"), "{error}");
    log.lock().lines.out.swap_file(good);
    log.line("after").unwrap();
    assert_eq!(fixture.text(), "22:13:20 before\n\n22:13:20 after\n");
}

#[test]
fn a_prompt_is_shown_and_patterns_still_see_the_whole_line() {
    let fixture = Fixture::new();
    let log = fixture.log();
    let (patterns, _) = FailPatterns::new(["wrong password$", "^ERROR: no"], FailOperator::Or, None, false);
    log.arm(patterns);
    log.output(OutputStream::Stdout, b"Password: wrong").unwrap();
    log.show_held(Duration::from_hours(1)).unwrap();
    assert_eq!(fixture.lines(), [""; 0], "it wrote a moment ago");
    log.show_held(Duration::ZERO).unwrap();
    assert_eq!(fixture.lines(), ["Password: wrong"]);
    assert!(!log.failed_by_pattern(), "the line goes on");
    log.output(OutputStream::Stdout, b" password\nERR").unwrap();
    assert!(log.failed_by_pattern());
    log.show_held(Duration::ZERO).unwrap();
    log.output(OutputStream::Stdout, b"OR: no way").unwrap();
    log.show_held(Duration::ZERO).unwrap();
    // The end of the line comes without a further piece.
    log.output(OutputStream::Stdout, b"\nlast\n").unwrap();
    log.end_output().unwrap();
    let hit = |pattern: &str| format!("ERROR: Fail pattern {pattern} matched for pre line.");
    let expected = [
        "Password: wrong",
        " password",
        &hit("wrong password$"),
        "ERR",
        "OR: no way",
        &hit("^ERROR: no"),
        "last",
    ];
    assert_eq!(fixture.lines(), expected);
    assert_eq!(log.warnings(), 3, "two hits, and the line that says ERROR: when it is whole");
}

//! The log of one node in one phase: `log/<P>/<K>.txt`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use autoexec_events::{Level, OperationRef};
use autoexec_model::{Node, NodeStatus, OpId, OpStatus, PhaseName};
use autoexec_store::JobDir;
use autoexec_store::atomic::PRIVATE;
use autoexec_store::safe_component;

use super::appender::LineAppender;
use super::charset::Charset;
use super::clock::LogClock;
use super::controls::visible;
use super::decoder::LineDecoder;
use super::error::{LogError, check_names, io_error};
use super::fail_patterns::FailPatterns;
use super::history::{self, RunningLink};
use super::lines;

/// Tries to create the file after removing the old one; more than one is needed only when another program
/// creates it in between.
const MAX_CREATE_TRIES: usize = 16;

/// Which of its two streams a plugin wrote to. Both go to the same log, but half a line of one must not be
/// completed by the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStream {
    /// Standard output, and everything where the two are one.
    Stdout,
    /// Standard error, where it is separate.
    Stderr,
}

/// The log of one node in one phase. All methods may be called from any thread; each writes its lines in one
/// piece and returns when they can be read.
#[derive(Debug)]
pub struct NodeLog {
    path: PathBuf,
    launched: String,
    node: Node,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    lines: CheckedLines,
    stdout: LineDecoder,
    stderr: LineDecoder,
    history: History,
    history_dir: PathBuf,
    user: String,
}

#[derive(Debug)]
enum History {
    /// Nothing is written yet.
    Due,
    /// The link says `running`.
    Running(RunningLink),
    /// The link has its final name, or could not be made.
    Done,
}

/// Lines on their way to the file: counted, and checked against the fail patterns.
#[derive(Debug)]
struct CheckedLines {
    out: LineAppender,
    warnings: u64,
    patterns: Option<FailPatterns>,
    hit: bool,
    told_too_complex: bool,
}

impl NodeLog {
    /// Starts a new log: an old one is unlinked, never truncated, since people may be looking at it and its
    /// history link holds the same file. The directories must be there ([`JobDir::prepare_unit`]).
    pub fn create(
        job: &JobDir,
        phase: &PhaseName,
        node: &Node,
        exec_user: &str,
        clock: LogClock,
    ) -> Result<Self, LogError> {
        let key = node.key();
        let path = job.node_log(phase, &key);
        let history_dir = job.node_history(phase, &key);
        check_names(&path)?;
        check_names(&history_dir)?;
        let file = replace(&path)?;
        let state = State {
            lines: CheckedLines::new(LineAppender::new(file, path.clone(), clock)),
            stdout: LineDecoder::default(),
            stderr: LineDecoder::default(),
            history: History::Due,
            history_dir,
            user: safe_component(exec_user),
        };
        Ok(Self { path, launched: lines::launched(node), node: node.clone(), state: Mutex::new(state) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Lines so far that start with `ERROR:` or `WARN:`, ours and those of plugins.
    pub fn warnings(&self) -> u64 {
        self.lock().lines.warnings
    }

    /// Sets the encoding of plugin output that is not UTF-8 (a target agent tells its own).
    pub fn set_charset(&self, charset: Charset) {
        let mut state = self.lock();
        state.stdout.set_charset(charset);
        state.stderr.set_charset(charset);
    }

    /// Checks every line from now on against `patterns`.
    pub fn arm(&self, patterns: FailPatterns) {
        let mut state = self.lock();
        state.lines.patterns = Some(patterns);
        state.lines.told_too_complex = false;
    }

    /// Whether a fail pattern that is not tolerated matched since the current operation started.
    pub fn failed_by_pattern(&self) -> bool {
        self.lock().lines.hit
    }

    /// Bytes a plugin wrote, in whatever pieces they came. Complete lines appear at once.
    pub fn output(&self, stream: OutputStream, bytes: &[u8]) -> Result<(), LogError> {
        self.lock().decode(stream, |decoder, sink| decoder.feed(bytes, sink))
    }

    /// Shows what there is of lines that have not ended, for a plugin that has been silent for a while: it may be
    /// waiting at a prompt.
    pub fn flush_partial(&self) -> Result<(), LogError> {
        self.lock().decode_both(LineDecoder::flush_partial)
    }

    /// Writes last lines that had no line end. To be called when the plugin's output has ended.
    pub fn end_output(&self) -> Result<(), LogError> {
        self.lock().end_output()
    }

    /// A text of ours; each of its lines becomes a line.
    pub fn line(&self, text: &str) -> Result<(), LogError> {
        self.lock().text(text)
    }

    /// A text of ours with the prefix of its level.
    pub fn message(&self, level: Level, text: &str) -> Result<(), LogError> {
        self.line(&lines::message(level, text))
    }

    /// The first line (★).
    pub fn launched(&self) -> Result<(), LogError> {
        self.line(&self.launched)
    }

    /// The server took the status of the node.
    pub fn status_changed(&self, status: NodeStatus) -> Result<(), LogError> {
        self.message(Level::Info, &format!("Change node status to {status}."))
    }

    /// The server did not take the status of the node; `reply` is what it said.
    pub fn status_change_failed(&self, status: NodeStatus, reply: &str) -> Result<(), LogError> {
        self.message(Level::Info, &format!("Change node status to {status} failed, {reply}"))
    }

    /// The start of an operation (★). Forgets a hit of a fail pattern in the one before.
    pub fn op_start(&self, operation: &OperationRef) -> Result<(), LogError> {
        let mut state = self.lock();
        state.end_output()?;
        state.lines.hit = false;
        state.text(&lines::op_start(operation))
    }

    /// The help text of an operation, one marker per line; nothing if there is none.
    pub fn op_help(&self, help: &str) -> Result<(), LogError> {
        let marked: Vec<String> = help.lines().map(|line| format!("------{line}---")).collect();
        if marked.is_empty() { Ok(()) } else { self.line(&marked.join("\n")) }
    }

    /// An operation is left out because an earlier run finished it.
    pub fn op_skipped(&self, operation: &OpId) -> Result<(), LogError> {
        let text = format!("Operation {operation} has been executed in status:succeed, skip.");
        self.message(Level::Info, &text)
    }

    /// The command about to be run. Secrets must be hidden already.
    pub fn execute_line(&self, command: &str) -> Result<(), LogError> {
        self.message(Level::Info, &format!("Execute -> {command}"))
    }

    /// The directory a remote operation works in.
    pub fn job_directory(&self, directory: &str) -> Result<(), LogError> {
        self.message(Level::Info, &format!("Job directory:{directory}"))
    }

    /// The upload to a target begins.
    pub fn upload_begin(&self) -> Result<(), LogError> {
        self.message(Level::Info, "Begin to upload remote operation...")
    }

    /// The upload to a target is done.
    pub fn upload_success(&self) -> Result<(), LogError> {
        self.message(Level::Info, "Remote operation upload success.")
    }

    /// How an operation ended (★).
    pub fn op_result(&self, operation: &OperationRef, status: OpStatus) -> Result<(), LogError> {
        let mut state = self.lock();
        state.end_output()?;
        state.text(&lines::op_result(operation, status))
    }

    /// The end of an operation (★) and an empty line.
    pub fn op_end(&self, operation: &OperationRef, duration: Duration) -> Result<(), LogError> {
        let mut state = self.lock();
        state.end_output()?;
        state.text(&lines::op_end(operation, duration))
    }

    /// The value of a condition and an empty line.
    pub fn if_condition(&self, condition: &str, holds: bool) -> Result<(), LogError> {
        self.line(&lines::if_condition(condition, holds))
    }

    /// All operations are done.
    pub fn node_complete(&self, status: NodeStatus) -> Result<(), LogError> {
        self.line(&lines::node_complete(status))
    }

    /// The last line (★).
    pub fn ended(&self, duration: Duration) -> Result<(), LogError> {
        let mut state = self.lock();
        state.end_output()?;
        state.text(&lines::ended(&self.node, duration))
    }

    /// Gives the history link its final name. To be called however the run of the node ended; without it the
    /// name says `running`, as after a crash.
    pub fn finish(&self, status: NodeStatus) -> Result<(), LogError> {
        let mut state = self.lock();
        state.end_output()?;
        match std::mem::replace(&mut state.history, History::Done) {
            History::Running(link) => link.finish(status, &state.user, state.lines.out.clock()),
            History::Due | History::Done => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the state usable: at worst a batch of lines is lost.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn text(&mut self, text: &str) -> Result<(), LogError> {
        for line in lines::physical_lines(text) {
            self.lines.add(&visible(line), true)?;
        }
        self.write()
    }

    fn decode(
        &mut self,
        stream: OutputStream,
        step: impl FnOnce(&mut LineDecoder, &mut dyn FnMut(super::Line<'_>)),
    ) -> Result<(), LogError> {
        let decoder = match stream {
            OutputStream::Stdout => &mut self.stdout,
            OutputStream::Stderr => &mut self.stderr,
        };
        let (lines, mut result) = (&mut self.lines, Ok(()));
        step(decoder, &mut |line| {
            let added = lines.add(&line.text, line.starts_line);
            if result.is_ok() {
                result = added;
            }
        });
        result.and_then(|()| self.write())
    }

    fn decode_both(
        &mut self,
        step: impl Fn(&mut LineDecoder, &mut dyn FnMut(super::Line<'_>)),
    ) -> Result<(), LogError> {
        self.decode(OutputStream::Stdout, &step)?;
        self.decode(OutputStream::Stderr, &step)
    }

    fn end_output(&mut self) -> Result<(), LogError> {
        self.decode_both(LineDecoder::finish)
    }

    fn write(&mut self) -> Result<(), LogError> {
        let wrote = self.lines.out.write()?;
        if wrote && matches!(self.history, History::Due) {
            // Set first: a file system without hard links is reported once, not with every line.
            self.history = History::Done;
            let out = &self.lines.out;
            let link = history::link_running(out.path(), &self.history_dir, &self.user, out.clock())?;
            self.history = History::Running(link);
        }
        Ok(())
    }
}

impl CheckedLines {
    fn new(out: LineAppender) -> Self {
        Self { out, warnings: 0, patterns: None, hit: false, told_too_complex: false }
    }

    fn add(&mut self, line: &str, starts_line: bool) -> Result<(), LogError> {
        self.append(line, starts_line)?;
        match self.verdict(line) {
            Some(extra) => self.append(&extra, true),
            None => Ok(()),
        }
    }

    fn append(&mut self, line: &str, starts_line: bool) -> Result<(), LogError> {
        self.warnings += u64::from(starts_line && lines::is_warning(line));
        self.out.push(line)
    }

    /// The line to add after `line`, if the fail patterns have something to say about it.
    fn verdict(&mut self, line: &str) -> Option<String> {
        let patterns = self.patterns.as_ref()?;
        match patterns.check(line) {
            Ok(None) => None,
            Ok(Some(matched)) => {
                let tolerated = patterns.is_tolerated();
                self.hit |= !tolerated;
                let level = if tolerated { Level::Warn } else { Level::Error };
                Some(lines::message(level, &format!("Fail pattern {matched} matched for pre line.")))
            }
            Err(_) if self.told_too_complex => None,
            Err(_) => {
                self.told_too_complex = true;
                Some(lines::message(
                    Level::Warn,
                    "A fail pattern is too complex to be tried on pre line, not checked.",
                ))
            }
        }
    }
}

/// Creates the file anew.
fn replace(path: &Path) -> Result<File, LogError> {
    let mut tries = 0;
    loop {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(io_error("remove the old log", path)(error));
            }
            _ => {}
        }
        tries += 1;
        match OpenOptions::new().append(true).create_new(true).mode(PRIVATE).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < MAX_CREATE_TRIES => {}
            result => return result.map_err(io_error("create the log", path)),
        }
    }
}

#[cfg(test)]
mod tests {
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
        OperationRef {
            id: OpId::new("basic/free_501").unwrap(),
            name: OpName::new("basic/free").unwrap(),
            place,
        }
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
        assert_eq!(
            lines[1..4],
            ["x ORA-942 y", "ERROR: Fail pattern ORA-\\d+ matched for pre line.", "ORA-00"]
        );
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
                        log.line(&format!("thread {thread} line {number}\nsecond {thread} {number}"))
                            .unwrap();
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
            NodeLog::create(&fixture.job(), &fixture.phase, &fixture.node, &user, fixture.clock.clone())
                .unwrap();
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
}

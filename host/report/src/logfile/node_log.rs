//! The log of one node in one phase: `log/<P>/<K>.txt`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use autoexec_events::{Level, OperationRef};
use autoexec_model::{Node, NodeStatus, OpId, OpStatus, PhaseName};
use autoexec_store::JobDir;
use autoexec_store::atomic::PRIVATE;
use autoexec_store::safe_component;

use super::appender::LineAppender;
use super::charset::Charset;
use super::checked_lines::CheckedLines;
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
    /// When a plugin wrote last.
    last_output: Instant,
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
            last_output: Instant::now(),
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
        self.lock().lines.arm(patterns);
    }

    /// Whether a fail pattern that is not tolerated matched since the current operation started.
    pub fn failed_by_pattern(&self) -> bool {
        self.lock().lines.hit
    }

    /// Bytes a plugin wrote, in whatever pieces they came. Complete lines appear at once.
    pub fn output(&self, stream: OutputStream, bytes: &[u8]) -> Result<(), LogError> {
        let mut state = self.lock();
        state.last_output = Instant::now();
        state.decode(stream, |decoder, sink| decoder.feed(bytes, sink))
    }

    /// Shows what there is of lines that have not ended, if the plugin has been silent for this long: it may be
    /// waiting at a prompt.
    pub fn show_held(&self, silent_for: Duration) -> Result<(), LogError> {
        let mut state = self.lock();
        if state.last_output.elapsed() < silent_for {
            return Ok(());
        }
        state.decode_both(LineDecoder::flush_partial)
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
            self.lines.add(&visible(line))?;
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
            let added = lines.add_output(&line);
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
        self.decode_both(LineDecoder::finish)?;
        self.lines.end_line()?;
        self.write()
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
mod tests;

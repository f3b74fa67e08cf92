//! The console log of a job: `log/console.txt`.
//!
//! Several processes append to it, and the runner sends the standard error of each there too.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use autoexec_events::{Level, NodeRef};
use autoexec_model::{JobId, NodeStatus, PhaseCounts, PhaseName, PhaseStatus};
use autoexec_store::JobDir;
use autoexec_store::atomic::PRIVATE;
use autoexec_store::safe_component;

use super::appender::LineAppender;
use super::clock::LogClock;
use super::controls::visible;
use super::error::{LogError, io_error};
use super::{history, lines};

/// What to do with a console log that is there already (`spec/cli.md` §1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsoleStart {
    /// `--firstfire`: start a new log; the history link keeps the old text.
    New,
    /// `--firstfire --reuseconslog`: start a new history, but keep the file. The runner has just made it and
    /// the standard error of this process goes there.
    Reuse,
    /// A later process of the same job: append.
    Append,
}

/// The console log. All methods may be called from any thread; each writes its lines in one piece.
#[derive(Debug)]
pub struct ConsoleLog {
    path: PathBuf,
    out: Mutex<LineAppender>,
}

impl ConsoleLog {
    /// Opens the log. The `log` directory must be there ([`JobDir::create`]).
    pub fn open(
        job: &JobDir,
        start: ConsoleStart,
        exec_user: &str,
        clock: LogClock,
    ) -> Result<Self, LogError> {
        let path = job.console_log();
        if start == ConsoleStart::New {
            unlink(&path)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(PRIVATE)
            .open(&path)
            .map_err(io_error("open", &path))?;
        if start != ConsoleStart::Append {
            let directory = job.console_history();
            fs::create_dir_all(&directory).map_err(io_error("create the directory", &directory))?;
            history::link_console(&path, &directory, &safe_component(exec_user), &clock)?;
        }
        Ok(Self { path: path.clone(), out: Mutex::new(LineAppender::new(file, path, clock)) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A text; each of its lines becomes a line.
    pub fn line(&self, text: &str) -> Result<(), LogError> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        lines::physical_lines(text).try_for_each(|line| out.push(&visible(line)))?;
        out.write().map(drop)
    }

    /// A text with the prefix of its level.
    pub fn message(&self, level: Level, text: &str) -> Result<(), LogError> {
        self.line(&lines::message(level, text))
    }

    /// The process begins to work on the job.
    pub fn job_start(&self, job: &JobId) -> Result<(), LogError> {
        self.message(Level::Info, &format!("JobId:{job} start..."))
    }

    /// A phase begins.
    pub fn phase_begin(&self, phase: &PhaseName) -> Result<(), LogError> {
        self.message(Level::Info, &format!("Begin to execute phase:{phase} operations..."))
    }

    /// A node begins; `status` is the one an earlier run left.
    pub fn node_begin(&self, node: &NodeRef, status: NodeStatus) -> Result<(), LogError> {
        self.message(Level::Info, &format!("{} begin...", lines::node_execute(node, status)))
    }

    /// A node ended well (ignored failures included).
    pub fn node_succeed(&self, node: &NodeRef, status: NodeStatus) -> Result<(), LogError> {
        self.message(Level::Info, &format!("{} succeed.", lines::node_execute(node, status)))
    }

    /// A node stopped before its end, because the job was paused.
    pub fn node_paused(&self, node: &NodeRef) -> Result<(), LogError> {
        self.message(Level::Info, &format!("{} paused.", lines::node_execute(node, NodeStatus::Paused)))
    }

    /// A node ended badly.
    pub fn node_failed(&self, node: &NodeRef, status: NodeStatus) -> Result<(), LogError> {
        self.message(Level::Error, &format!("{} failed.", lines::node_execute(node, status)))
    }

    /// A phase has its final status.
    pub fn phase_complete(&self, phase: &PhaseName, status: PhaseStatus) -> Result<(), LogError> {
        self.message(Level::Info, &format!("Execute phase:{phase} complete, status:{status}."))
    }

    /// The summary of a phase.
    pub fn phase_finish(&self, phase: &PhaseName, counts: &PhaseCounts) -> Result<(), LogError> {
        self.line(&lines::phase_finish(phase, counts))
    }
}

fn unlink(path: &Path) -> Result<(), LogError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("remove the old log", path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use autoexec_model::{Node, ResourceId};

    use super::*;
    use crate::logfile::clock::testing::manual_clock;

    fn job() -> (tempfile::TempDir, JobDir) {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir::at(dir.path());
        job.create().unwrap();
        (dir, job)
    }

    fn open(job: &JobDir, start: ConsoleStart) -> ConsoleLog {
        ConsoleLog::open(job, start, "user", manual_clock().0).unwrap()
    }

    fn text(job: &JobDir) -> String {
        fs::read_to_string(job.console_log()).unwrap()
    }

    fn history(job: &JobDir) -> Vec<(String, String)> {
        let Ok(entries) = fs::read_dir(job.console_history()) else { return Vec::new() };
        let mut files: Vec<_> = entries
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                (name, fs::read_to_string(path).unwrap())
            })
            .collect();
        files.sort();
        files
    }

    #[test]
    fn a_first_fire_starts_a_new_log_and_history_keeps_the_old() {
        let (_dir, job) = job();
        open(&job, ConsoleStart::New).line("one").unwrap();
        open(&job, ConsoleStart::Append).line("later").unwrap();
        open(&job, ConsoleStart::New).line("two").unwrap();
        assert_eq!(text(&job), "22:13:20 two\n");
        let expected = [
            ("20231114-221320.user.txt", "22:13:20 one\n22:13:20 later\n"),
            ("20231114-221321.user.txt", "22:13:20 two\n"),
        ];
        assert_eq!(history(&job), expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn what_the_runner_wrote_before_stays_when_the_file_is_reused() {
        let (_dir, job) = job();
        fs::write(job.console_log(), "stderr of the process\n").unwrap();
        open(&job, ConsoleStart::Reuse).line("one").unwrap();
        assert_eq!(text(&job), "stderr of the process\n22:13:20 one\n");
        assert_eq!(history(&job).len(), 1);
    }

    #[test]
    fn a_later_process_appends_and_makes_no_history() {
        let (_dir, job) = job();
        open(&job, ConsoleStart::Append).line("one").unwrap();
        assert_eq!(text(&job), "22:13:20 one\n");
        assert!(history(&job).is_empty());
    }

    #[test]
    fn the_messages_of_a_phase() {
        let (_dir, job) = job();
        let log = open(&job, ConsoleStart::Append);
        let phase = PhaseName::new("检查").unwrap();
        let mut node = NodeRef::from(&Node::local());
        (node.resource, node.host, node.port) = (ResourceId(71), "10.1.0.1".to_owned(), None);
        log.job_start(&JobId::new("123").unwrap()).unwrap();
        log.phase_begin(&phase).unwrap();
        log.node_begin(&node, NodeStatus::Pending).unwrap();
        log.node_succeed(&node, NodeStatus::Succeed).unwrap();
        log.node_failed(&node, NodeStatus::Failed).unwrap();
        log.phase_complete(&phase, PhaseStatus::Failed).unwrap();
        let counts =
            PhaseCounts { succeed: 1, failed: 2, ignored: 3, paused: 4, skipped: 5, ..Default::default() };
        log.phase_finish(&phase, &counts).unwrap();
        log.message(Level::Warn, "a\u{1b}[0m\u{0}\nb").unwrap();
        let expected = "\
22:13:20 INFO: JobId:123 start...
22:13:20 INFO: Begin to execute phase:检查 operations...
22:13:20 INFO: Node(71) status:pending 10.1.0.1: execute begin...
22:13:20 INFO: Node(71) status:succeed 10.1.0.1: execute succeed.
22:13:20 ERROR: Node(71) status:failed 10.1.0.1: execute failed.
22:13:20 INFO: Execute phase:检查 complete, status:failed.
22:13:20 INFO: Execute phase:检查 finish, suceessCount:1, failCount:2, ignoreCount:3, pauseCount:4, skipCount:5
22:13:20 --------------------------------------------------------------
22:13:20 WARN: a␀
22:13:20 b
";
        assert_eq!(text(&job), expected);
    }

    #[test]
    fn several_writers_of_one_file_do_not_mix_their_lines() {
        let (_dir, job) = job();
        let block = "x".repeat(500);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                // One opened file each, as several processes have.
                let (log, block) = (open(&job, ConsoleStart::Append), &block);
                scope.spawn(move || {
                    for number in 0..200 {
                        log.line(&format!("{writer} {number} {block}")).unwrap();
                    }
                });
            }
        });
        let text = text(&job);
        assert_eq!(text.lines().count(), 800);
        assert!(
            text.lines().all(|line| line.starts_with("22:13:20 ") && line.ends_with(&format!(" {block}")))
        );
    }
}

//! A job: a home, a server that knows it, and the processes that run it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use autoexec_test_support::home::TestHome;
use autoexec_test_support::server::{Call, Config, ConsoleDouble, Scope};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::calls::{Line, lines};
use crate::wait;

/// What the runner adds to every start; the token is a secret of the user.
const PASS_THROUGH: &str = r#"{"runnerId":1,"tenant":"demo"}"#;

/// Longest run of a process; one that takes longer is killed and fails its test.
const LIMIT: Duration = Duration::from_mins(2);

/// Nodes last changed at this moment, in seconds since 1970: before every file a test makes.
const MODIFIED: f64 = 1_700_000_000.0;

/// A job at a server.
#[derive(Debug)]
pub struct TestJob {
    /// The installation.
    pub home: TestHome,
    /// The server.
    pub server: ConsoleDouble,
    id: String,
}

/// How a process ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard error.
    pub stderr: String,
}

/// A process at work; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stderr: PathBuf,
}

impl TestJob {
    /// A home and a server that has the job 620011223344 with these parameters and, where the list is not empty,
    /// these nodes.
    pub fn new(params: Value, nodes: &[Value]) -> Result<Self> {
        let job = Self::empty("620011223344")?;
        job.server.set_params(params);
        if !nodes.is_empty() {
            job.server.set_nodes(Scope::Job, crate::build::node_file(nodes), MODIFIED);
        }
        Ok(job)
    }

    /// A home and a server that knows nothing yet.
    pub fn empty(id: &str) -> Result<Self> {
        let server = ConsoleDouble::start(Config::default())?;
        let home = TestHome::new(&server.base_url(), &server.config().user, &server.config().key)?;
        Ok(Self { home, server, id: id.to_owned() })
    }

    /// Sets a node list of the server.
    pub fn set_nodes(&self, scope: Scope, text: &str) {
        self.server.set_nodes(scope, text, MODIFIED);
    }

    /// The job id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The job directory.
    pub fn dir(&self) -> PathBuf {
        self.home.job_dir(&self.id)
    }

    /// The program with `--jobid`, `--execuser` and `--passthroughenv` as the runner passes them, and `flags`.
    pub fn command(&self, flags: &[&str]) -> Result<Command> {
        let fixed = ["--jobid", &self.id, "--execuser", "u-77", "--passthroughenv", PASS_THROUGH];
        self.home.autoexec(fixed.iter().chain(flags))
    }

    /// Starts a process.
    pub fn start(&self, flags: &[&str]) -> Result<Running> {
        self.start_command(self.command(flags)?)
    }

    /// Starts a command in the way the runner does: standard output to nowhere, an input that says nothing.
    pub fn start_command(&self, mut command: Command) -> Result<Running> {
        let stderr = self.home.path().join("stderr.txt");
        let file = File::create(&stderr).with_context(|| stderr.display().to_string())?;
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(file).spawn()?;
        Ok(Running { child, stderr })
    }

    /// Runs a process to its end.
    pub fn run(&self, flags: &[&str]) -> Result<Finished> {
        self.start(flags)?.wait().with_context(|| format!("console log:\n{}", self.console()))
    }

    /// Runs a process that has to end with `code`.
    pub fn expect(&self, code: i32, flags: &[&str]) -> Result<Finished> {
        let finished = self.run(flags)?;
        ensure!(
            finished.code == Some(code),
            "{flags:?} ended with {:?} instead of {code}\nstandard error:\n{}\nconsole log:\n{}",
            finished.code,
            finished.stderr,
            self.console()
        );
        Ok(finished)
    }

    /// A file of the job directory; empty while there is none.
    pub fn file(&self, relative: &str) -> String {
        std::fs::read_to_string(self.dir().join(relative)).unwrap_or_default()
    }

    /// The console log.
    pub fn console(&self) -> String {
        self.file("log/console.txt")
    }

    /// The log of a node in a phase.
    pub fn node_log(&self, phase: &str, key: &str) -> String {
        self.file(&format!("log/{phase}/{key}.txt"))
    }

    /// The status file of a node in a phase; null while there is none.
    pub fn status(&self, phase: &str, key: &str) -> Value {
        serde_json::from_str(&self.file(&format!("status/{phase}/{key}.json"))).unwrap_or_default()
    }

    /// All calls so far as lines in their canonical order.
    pub fn call_lines(&self) -> Vec<String> {
        self.lines_of(&self.server.calls())
    }

    /// Some calls as lines in their canonical order.
    pub fn lines_of(&self, calls: &[Call]) -> Vec<String> {
        lines(calls, &self.id).into_iter().map(Line::into_text).collect()
    }

    /// Installs a component; `file` is below the directory of built guests.
    pub fn install_component(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        self.home.write(&format!("plugins/wasm/{name}.wasm"), bytes)
    }
}

impl Running {
    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(self.pid(), signal).context("sending a signal to the program")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Result<Finished> {
        let status = wait::until("the end of the process", LIMIT, || self.child.try_wait().transpose())??;
        Ok(self.finished(status))
    }

    /// Kills it, as a crash would.
    pub fn kill(mut self) -> Result<Finished> {
        self.child.kill()?;
        let status = self.child.wait()?;
        Ok(self.finished(status))
    }

    fn finished(&self, status: ExitStatus) -> Finished {
        let stderr = std::fs::read_to_string(&self.stderr).unwrap_or_default();
        Finished { code: status.code(), stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already in nearly all tests.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All regular files below a directory, paths relative to it.
///
/// # Errors
/// A directory can not be read.
pub fn files_below(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut rest = vec![directory.to_owned()];
    while let Some(next) = rest.pop() {
        for entry in std::fs::read_dir(&next).with_context(|| next.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                rest.push(entry.path());
            } else {
                files.push(entry.path().strip_prefix(directory)?.to_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

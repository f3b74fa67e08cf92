//! The running processes of a home's jobs, found in `/proc` (`spec/cli.md` §1.1, §1.6).
//!
//! A process is known by the kernel's name for it, `autoexec`, and by its own command line. The caller says what a
//! command line means; nothing is matched as a piece of text (defect 15).

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use autoexec_model::JobId;
use autoexec_store::Home;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// The kernel's name for a run of this program and of the one it replaces.
const PROGRAM: &str = "autoexec";

/// Why processes cannot be looked at or signalled.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// `/proc` cannot be listed.
    #[error("cannot list /proc to find the processes of the job: {0}")]
    List(io::Error),
    /// A signal was refused.
    #[error("cannot send a signal to process {pid}: {cause}; run it as the user who runs the job")]
    Signal {
        /// The process.
        pid: u32,
        /// The answer of the system.
        cause: io::Error,
    },
    /// Their end cannot be waited for.
    #[error("cannot wait for the end of the processes of the job: {0}")]
    Wait(io::Error),
}

/// A process that runs a job. Held by a descriptor, so that its number cannot become another process's.
#[derive(Debug)]
pub struct JobProcess {
    pid: u32,
    job: JobId,
    fd: OwnedFd,
}

impl JobProcess {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The job it runs.
    pub fn job(&self) -> &JobId {
        &self.job
    }

    /// Sends a signal; a process that is gone needs none.
    pub fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        match pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(ProcessError::Signal { pid: self.pid, cause: error.into() }),
        }
    }
}

/// Waits until all have ended, reaped or not, or `limit` has passed (none: for ever). Returns those that are left.
pub(crate) fn wait_for_end(
    processes: &[JobProcess],
    limit: Option<Duration>,
) -> Result<Vec<&JobProcess>, ProcessError> {
    let deadline = limit.map(|limit| Instant::now() + limit);
    let mut alive: Vec<&JobProcess> = processes.iter().collect();
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        // A descriptor of a process becomes readable when the process ends.
        let mut fds: Vec<_> = alive.iter().map(|process| PollFd::new(&process.fd, PollFlags::IN)).collect();
        let changed = match poll(&mut fds, left.map(timespec).as_ref()) {
            Ok(changed) => changed > 0,
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(ProcessError::Wait(error.into())),
        };
        let ended: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ended = ended.into_iter();
        alive.retain(|_| !ended.next().unwrap_or(false));
        if alive.is_empty() || !changed {
            return Ok(alive);
        }
    }
}

fn timespec(time: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

/// Finds the processes of `home` that run a job. `job_of` gets the arguments after the program's name and says
/// which job they run; none for another mode.
///
/// This process is left out, and so is the child of a found process with the same command line: between `fork` and
/// `exec` a plugin looks like the executor that starts it. A home that cannot be found out counts as ours.
pub fn running(
    home: &Home,
    job_of: &dyn Fn(&[OsString]) -> Option<JobId>,
) -> Result<Vec<JobProcess>, ProcessError> {
    let ours = canonical(home.root());
    let entries = fs::read_dir("/proc").map_err(ProcessError::List)?;
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let seen: Vec<Seen> = pids.filter(|pid| *pid != std::process::id()).filter_map(look_at).collect();
    let is_starting_child = |process: &Seen| {
        seen.iter().any(|other| other.pid == process.parent && other.arguments == process.arguments)
    };
    let unwanted: Vec<u32> =
        seen.iter().filter(|process| is_starting_child(process)).map(|process| process.pid).collect();
    let processes = seen.into_iter().filter(|process| !unwanted.contains(&process.pid));
    Ok(processes
        .filter(|process| process.home.as_deref().is_none_or(|home| canonical(home) == ours))
        .filter_map(|process| {
            let job = job_of(arguments_of_program(&process.arguments))?;
            Some(JobProcess { pid: process.pid, job, fd: process.fd })
        })
        .collect())
}

/// A process of the right name.
struct Seen {
    pid: u32,
    parent: u32,
    arguments: Vec<OsString>,
    home: Option<PathBuf>,
    fd: OwnedFd,
}

/// None for a process of another name, and for one that vanishes while we look.
fn look_at(pid: u32) -> Option<Seen> {
    let proc = PathBuf::from(format!("/proc/{pid}"));
    if fs::read(proc.join("comm")).ok()?.trim_ascii_end() != PROGRAM.as_bytes() {
        return None;
    }
    // Everything below is about the process that the descriptor holds, or the number has vanished by then.
    let fd = pidfd_open(Pid::from_raw(i32::try_from(pid).ok()?)?, PidfdFlags::empty()).ok()?;
    let arguments = words(&fs::read(proc.join("cmdline")).ok()?);
    if arguments.is_empty() {
        return None;
    }
    let home = home_of(&proc);
    // Of a process that is just ending the home is gone before the rest: it is nobody's any more, least of all ours.
    if home.is_none() && fs::read(proc.join("cmdline")).ok()?.is_empty() {
        return None;
    }
    Some(Seen { pid, parent: parent(&proc)?, arguments, home, fd })
}

fn words(bytes: &[u8]) -> Vec<OsString> {
    let text = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let words = text.split(|byte| *byte == 0).map(|word| OsStr::from_bytes(word).to_owned());
    if text.is_empty() { Vec::new() } else { words.collect() }
}

fn parent(proc: &Path) -> Option<u32> {
    let status = fs::read_to_string(proc.join("status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

/// `AUTOEXEC_HOME` of the process, else the directory above the one that holds its program.
fn home_of(proc: &Path) -> Option<PathBuf> {
    if let Some(home) = environment_home(proc) {
        let cwd = fs::read_link(proc.join("cwd")).unwrap_or_default();
        return Some(cwd.join(home));
    }
    let program = fs::read_link(proc.join("exe")).ok()?;
    // An interpreter says nothing about the home; a program replaced by a newer one is shown as deleted.
    let name = program.file_name()?.as_bytes();
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    (name == PROGRAM.as_bytes()).then(|| program.parent()?.parent().map(Path::to_owned)).flatten()
}

fn environment_home(proc: &Path) -> Option<PathBuf> {
    let environment = words(&fs::read(proc.join("environ")).ok()?);
    let home = environment.iter().find_map(|entry| entry.as_bytes().strip_prefix(b"AUTOEXEC_HOME="))?;
    (!home.is_empty()).then(|| PathBuf::from(OsStr::from_bytes(home)))
}

/// The arguments after the program; a script (the replaced program is one) stands after its interpreter.
fn arguments_of_program(arguments: &[OsString]) -> &[OsString] {
    let is_program = |word: &OsString| Path::new(word).file_name() == Some(OsStr::new(PROGRAM));
    let program = arguments.iter().take(3).position(is_program).unwrap_or(0);
    arguments.get(program + 1..).unwrap_or_default()
}

fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The process groups that a process started for its children, to be ended when it has to be killed itself.
pub(crate) fn child_groups(pid: u32) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|child| parent(&PathBuf::from(format!("/proc/{child}"))) == Some(pid))
        .filter_map(|child| Pid::from_raw(i32::try_from(child).ok()?))
        .filter(|child| rustix::process::getpgid(Some(*child)) == Ok(*child))
        .collect()
}

#[cfg(test)]
pub(crate) mod testing {
    //! Real processes of the name `autoexec`.

    use std::io::Read;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A home whose `bin/autoexec` is a shell.
    pub(crate) fn home() -> (tempfile::TempDir, Home) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        // By a process of its own: a child that another test forks must not hold the file open for writing.
        let copied = Command::new("cp").arg("/bin/sh").arg(dir.path().join("bin/autoexec")).status().unwrap();
        assert!(copied.success());
        let home = Home::new(dir.path());
        (dir, home)
    }

    /// A process that has run `script` up to its first output. It ends when dropped.
    pub(crate) struct Process(pub(crate) Child);

    impl Drop for Process {
        fn drop(&mut self) {
            // It may have ended already.
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    pub(crate) fn start(home: &Home, script: &str, arguments: &[&str], own_home: Option<&Path>) -> Process {
        let mut command = Command::new(home.root().join("bin/autoexec"));
        command.args(["-c", script, "autoexec"]).args(arguments).env_remove("AUTOEXEC_HOME");
        if let Some(own_home) = own_home {
            command.env("AUTOEXEC_HOME", own_home);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut first = [0];
        child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
        Process(child)
    }

    /// The job is what stands behind `--jobid`; a stand-in for the real command line's parser.
    pub(crate) fn job_of(arguments: &[OsString]) -> Option<JobId> {
        let flag = arguments.iter().position(|argument| argument == "--jobid")?;
        JobId::new(arguments.get(flag + 1)?.to_str()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{Process, home, job_of, start};
    use super::*;

    const WAIT: &str = "echo; read x";

    fn found(home: &Home) -> Vec<(u32, String)> {
        let mut found: Vec<_> = running(home, &job_of)
            .unwrap()
            .iter()
            .map(|process| (process.pid(), process.job().to_string()))
            .collect();
        found.sort();
        found
    }

    fn ids(processes: &[(&Process, &str)]) -> Vec<(u32, String)> {
        let mut ids: Vec<_> =
            processes.iter().map(|(process, job)| (process.0.id(), (*job).to_owned())).collect();
        ids.sort();
        ids
    }

    #[test]
    fn the_processes_of_this_home_are_found_with_their_jobs() {
        let (_dir, home) = home();
        let first = start(&home, WAIT, &["--jobid", "620"], None);
        let second = start(&home, WAIT, &["--jobid", "62001"], None);
        let _other_mode = start(&home, WAIT, &["--purge"], None);
        assert_eq!(found(&home), ids(&[(&first, "620"), (&second, "62001")]));
        drop(first);
        assert_eq!(found(&home), ids(&[(&second, "62001")]));
    }

    #[test]
    fn the_home_is_that_of_the_variable_and_else_that_of_the_program() {
        let (_dir, ours) = home();
        let (_other_dir, other) = home();
        let _in_another_home = start(&other, WAIT, &["--jobid", "1"], None);
        let _elsewhere = start(&ours, WAIT, &["--jobid", "2"], Some(other.root()));
        let by_variable = start(&other, WAIT, &["--jobid", "3"], Some(ours.root()));
        let by_program = start(&ours, WAIT, &["--jobid", "4"], None);
        // A running program that was replaced by a newer one.
        fs::remove_file(ours.root().join("bin/autoexec")).unwrap();
        assert_eq!(found(&ours), ids(&[(&by_variable, "3"), (&by_program, "4")]));
    }

    #[test]
    fn a_child_that_is_just_being_started_is_not_taken_for_the_executor() {
        let (_dir, home) = home();
        // The subshell is a fork with the same command line.
        let process = start(&home, "(echo; read y) <&0; read x", &["--jobid", "5"], None);
        assert_eq!(found(&home), ids(&[(&process, "5")]));
    }

    #[test]
    fn a_script_is_recognised_behind_its_interpreter() {
        let words = |text: &[&str]| text.iter().map(OsString::from).collect::<Vec<_>>();
        let rest = words(&["--jobid", "5"]);
        for command in [
            &["/h/bin/autoexec", "--jobid", "5"][..],
            &["/usr/bin/python3", "/h/bin/autoexec", "--jobid", "5"],
            &["/usr/bin/python3", "-u", "/h/bin/autoexec", "--jobid", "5"],
            &["something", "--jobid", "5"],
        ] {
            assert_eq!(arguments_of_program(&words(command)), rest, "{command:?}");
        }
        assert!(arguments_of_program(&words(&["autoexec"])).is_empty());
    }

    #[test]
    fn only_groups_that_a_process_made_for_its_children_are_its_own() {
        let (_dir, home) = home();
        let parent =
            start(&home, "exec 3<&0; setsid sh -c 'echo; read x <&3' & wait", &["--jobid", "6"], None);
        let groups = child_groups(parent.0.id());
        assert_eq!(groups.len(), 1, "{groups:?}");
        rustix::process::kill_process_group(groups[0], Signal::KILL).unwrap();
        let me = std::process::id();
        assert!(!child_groups(me).iter().any(|group| group.as_raw_nonzero().get().cast_unsigned() == me));
    }
}

//! Which process it was: a process id alone is reused (`spec/defects.md` 28).

use std::fs;
use std::io;

use crate::StoreError;
use crate::error::io_error;

/// The name the kernel shows for a run of this program and of the one it replaces (`spec/cli.md` §1.1).
const PROGRAM: &str = "autoexec";

/// A process of this machine, told from later ones with the same id by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessIdentity {
    /// The process id.
    pub pid: u32,
    /// Start time in clock ticks since boot, field 22 of `/proc/<pid>/stat`. Files of the replaced program
    /// lack it.
    pub start: Option<u64>,
}

/// The parts of `/proc/<pid>/stat` we look at.
struct Stat {
    name: String,
    state: char,
    start: u64,
}

impl ProcessIdentity {
    /// This process.
    pub fn current() -> Result<Self, StoreError> {
        let pid = std::process::id();
        let path = stat_path(pid);
        let text = fs::read_to_string(&path).map_err(io_error("read", path.as_ref()))?;
        let start = parse_stat(&text).map(|stat| stat.start).ok_or_else(|| StoreError::Broken {
            path: path.into(),
            reason: "it does not have the fields of proc(5)".to_owned(),
        })?;
        Ok(Self { pid, start: Some(start) })
    }

    /// Whether the process runs. Without a start time a process of that id counts only if it is an `autoexec`.
    pub fn is_alive(&self) -> bool {
        read_stat(self.pid).is_some_and(|stat| match self.start {
            Some(start) => stat.start == start,
            None => stat.name == PROGRAM,
        })
    }

    /// Whether any process has this id, whichever it is.
    pub fn exists(pid: u32) -> bool {
        match fs::metadata(format!("/proc/{pid}")) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::NotFound,
        }
    }
}

fn stat_path(pid: u32) -> String {
    format!("/proc/{pid}/stat")
}

/// Reads the state of a process that runs; none for a vanished one and for one that only waits to be reaped.
fn read_stat(pid: u32) -> Option<Stat> {
    let stat = parse_stat(&fs::read_to_string(stat_path(pid)).ok()?)?;
    (!matches!(stat.state, 'Z' | 'X' | 'x')).then_some(stat)
}

/// The name may hold blanks and parentheses, so the fields are counted from the last `)`.
fn parse_stat(text: &str) -> Option<Stat> {
    let (head, tail) = text.rsplit_once(')')?;
    let name = head.split_once('(')?.1.to_owned();
    let mut fields = tail.split_whitespace();
    let state = fields.next()?.chars().next()?;
    // `state` is field 3 and the start time field 22: 18 fields lie between them.
    let start = fields.nth(18)?.parse().ok()?;
    Some(Stat { name, state, start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn we_are_alive_and_somebody_with_our_id_is_not_us() {
        let me = ProcessIdentity::current().unwrap();
        assert!(me.is_alive());
        let earlier = ProcessIdentity { start: me.start.map(|s| s - 1), ..me };
        assert!(!earlier.is_alive());
    }

    #[test]
    fn a_pid_without_start_time_counts_only_for_our_program() {
        // The test runner is not called `autoexec`.
        assert!(!ProcessIdentity { pid: std::process::id(), start: None }.is_alive());
    }

    #[test]
    fn a_zombie_and_a_reaped_process_are_dead() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let stat = read_stat(child.id()).unwrap();
        let identity = ProcessIdentity { pid: child.id(), start: Some(stat.start) };
        assert!(identity.is_alive());
        child.kill().unwrap();
        // Not reaped yet: it turns into a zombie as soon as the signal is delivered.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while identity.is_alive() {
            assert!(std::time::Instant::now() < deadline, "the killed child still counts as alive");
            std::thread::yield_now();
        }
        assert!(ProcessIdentity::exists(identity.pid));
        child.wait().unwrap();
        assert!(!identity.is_alive());
    }

    #[test]
    fn names_with_parentheses_do_not_shift_the_fields() {
        let tail = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20";
        let stat = parse_stat(&format!("77 (a) b (c) {tail}")).unwrap();
        assert_eq!((stat.name.as_str(), stat.state, stat.start), ("a) b (c", 'S', 4242));
        assert!(parse_stat("").is_none());
        assert!(parse_stat("77 (x) S 1 2").is_none());
    }
}

//! A control group as `logind` makes one for each login: it holds what the login starts, whatever session that makes.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Where systemd keeps its groups: beside those of the first version, or as the only ones.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/systemd", "/sys/fs/cgroup"];
const PROCESSES: &str = "cgroup.procs";

/// A scope; its processes go back to where they were found when it is dropped.
#[derive(Debug)]
pub struct Scope {
    root: &'static Path,
    directory: PathBuf,
}

impl Scope {
    /// Makes `user.slice/<name>`. None, and a line that says so, where that is not for us to do: containers often have their groups
    /// to look at only.
    #[expect(clippy::print_stdout, reason = "whoever reads the tests' output is to know")]
    pub fn new(name: &str) -> Result<Option<Self>> {
        let has_processes = |root: &&str| Path::new(root).join(PROCESSES).exists();
        let Some(root) = ROOTS.iter().copied().find(has_processes).map(Path::new) else {
            println!("SKIPPED, needs control groups");
            return Ok(None);
        };
        let directory = root.join("user.slice").join(name);
        if let Err(error) = make(&directory) {
            let forbidden = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
            if forbidden.contains(&error.kind()) {
                println!("SKIPPED, needs control groups that can be made: {error}");
                return Ok(None);
            }
            return Err(error).with_context(|| directory.display().to_string());
        }
        Ok(Some(Self { root, directory }))
    }

    /// Puts a process into it, and what that starts from now on.
    pub fn enter(&self, pid: u32) -> Result<()> {
        let processes = self.directory.join(PROCESSES);
        fs::write(&processes, pid.to_string()).with_context(|| processes.display().to_string())
    }
}

/// Another test may remove the slice, which was empty, while a group is made in it.
fn make(directory: &Path) -> io::Result<()> {
    let mut made = Ok(());
    for _ in 0..100 {
        made = fs::create_dir_all(directory);
        if !matches!(&made, Err(error) if error.kind() == ErrorKind::NotFound) {
            break;
        }
    }
    made
}

impl Drop for Scope {
    fn drop(&mut self) {
        let there = fs::read_to_string(self.directory.join(PROCESSES)).unwrap_or_default();
        for pid in there.lines() {
            // It may have ended.
            let _ = fs::write(self.root.join(PROCESSES), pid);
        }
        let _ = fs::remove_dir(&self.directory);
        // Other tests may have theirs in it.
        let _ = self.directory.parent().map(fs::remove_dir);
    }
}

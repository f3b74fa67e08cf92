//! Why a target's file system did not take what it was given. Tools say little about it: the `printf` of a shell has "I/O
//! error" for a full disk, and a script that may not be started where it lies is "Permission denied".

use super::connection::Worker;
use super::error::{SshErrorKind, Step};
use super::patience::{Cancel, Patience};
use super::resident::word;
use super::script;
use crate::stop::StopLevel;

/// The most that is read of the answer.
const MAX_ANSWER: usize = 8 * 1024;
/// Less than this is as good as nothing: a directory and a file take as much.
const FEW_KIB: u64 = 64;
const FEW_INODES: u64 = 8;

/// What is known of a file system.
#[derive(Debug, Default, PartialEq, Eq)]
struct FileSystem {
    mount: String,
    /// KiB that are free, and of how many.
    room: Option<(u64, u64)>,
    /// Files that can still be made, and of how many.
    inodes: Option<(u64, u64)>,
    read_only: bool,
    no_exec: bool,
}

/// Adds to an error of the target what is wrong with the file system of `dir`.
pub(super) fn explained<T>(
    result: Result<T, SshErrorKind>,
    worker: &Worker,
    dir: &str,
    cancel: &Cancel,
) -> Result<T, SshErrorKind> {
    result.map_err(|kind| match kind {
        SshErrorKind::Remote { action, code, message } => {
            let message = match look(worker, dir, cancel).and_then(|found| found.complaint()) {
                Some(complaint) if message.is_empty() => complaint,
                Some(complaint) => format!("{message}; {complaint}"),
                None => message,
            };
            SshErrorKind::Remote { action, code, message }
        }
        kind => kind,
    })
}

/// What is wrong with the file system of `dir` as a place to write to.
pub(super) fn complaint(worker: &Worker, dir: &str, cancel: &Cancel) -> Option<String> {
    look(worker, dir, cancel)?.complaint()
}

/// Why a script in `dir` could not be started, if it is for the file system.
pub(super) fn no_start(worker: &Worker, dir: &str, cancel: &Cancel) -> Option<String> {
    let found = look(worker, dir, cancel).filter(|found| found.no_exec)?;
    Some(format!(
        "{} of the target is mounted noexec: no program or script in it can be started. Mount it without noexec, or give the \
         script an interpreter",
        found.mount
    ))
}

/// None where nothing can be said, a target without these tools included.
fn look(worker: &Worker, dir: &str, cancel: &Cancel) -> Option<FileSystem> {
    let limit = worker.settings.write_timeout;
    let mut patience = Patience::new(Step::Output, limit, cancel, Some(StopLevel::Terminate)).up_to(0);
    let body = format!(
        "d={}; while [ ! -d \"$d\" ]; do case $d in */*) d=${{d%/*}} ;; *) d= ;; esac; [ \"$d\" ] || d=/; done; \
         LC_ALL=C; export LC_ALL; k=$(df -Pk \"$d\" 2>/dev/null | tail -n 1); echo \"room $k\"; \
         echo \"inodes $(df -Pi \"$d\" 2>/dev/null | tail -n 1)\"; \
         echo \"mount $(grep -F \" ${{k##* }} \" /proc/self/mounts 2>/dev/null | tail -n 1)\"",
        word(dir)
    );
    let mut answer = Vec::new();
    let ran = script::run(&worker.link, &body, &mut patience, None, &mut |bytes| {
        let room = MAX_ANSWER.saturating_sub(answer.len()).min(bytes.len());
        answer.extend_from_slice(bytes.get(..room).unwrap_or_default());
    });
    ran.is_ok().then(|| FileSystem::parse(&String::from_utf8_lossy(&answer)))
}

impl FileSystem {
    fn parse(answer: &str) -> Self {
        let mut found = Self::default();
        for line in answer.lines() {
            let Some((what, rest)) = line.split_once(' ') else { continue };
            let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
            match (what, fields.as_slice()) {
                ("room", [_, all, _, free, _, .., mount]) => {
                    found.room = pair(free, all);
                    found.mount = mount.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
                }
                // Some file systems have no number of files: 0 of 0.
                ("inodes", [_, all, _, free, ..]) => {
                    found.inodes = pair(free, all).filter(|(_, all)| *all > 0);
                }
                ("mount", [_, _, _, options, ..]) => {
                    let has = |wanted: &str| options.split(',').any(|option| option == wanted);
                    (found.read_only, found.no_exec) = (has("ro"), has("noexec"));
                }
                _ => {}
            }
        }
        found
    }

    fn complaint(&self) -> Option<String> {
        let Self { mount, .. } = self;
        if self.read_only {
            return Some(format!("{mount} of the target is mounted read-only: mount it for writing"));
        }
        let full = |few: u64, unit: &str, (free, all): (u64, u64)| {
            (free < few).then(|| {
                format!("{mount} of the target is full ({free} of {all} {unit} are free): make room there")
            })
        };
        self.room
            .and_then(|room| full(FEW_KIB, "KiB", room))
            .or_else(|| self.inodes.and_then(|inodes| full(FEW_INODES, "inodes", inodes)))
    }
}

fn pair(free: &str, all: &str) -> Option<(u64, u64)> {
    free.parse().ok().zip(all.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(answer: &str) -> Option<String> {
        FileSystem::parse(answer).complaint()
    }

    #[test]
    fn what_is_wrong_is_said() {
        let full = "room tmpfs 256 256 0 100% /tmp\ninodes tmpfs 1000 3 997 1% /tmp\nmount tmpfs /tmp tmpfs rw,size=256k 0 0\n";
        let text = complaint(full).unwrap();
        assert_eq!(text, "/tmp of the target is full (0 of 256 KiB are free): make room there");
        let files = "room tmpfs 25600 2 25598 1% /tmp\ninodes tmpfs 10 10 0 100% /tmp\nmount tmpfs /tmp tmpfs rw 0 0\n";
        assert!(complaint(files).unwrap().contains("0 of 10 inodes"));
        let shut = "room /dev/a 256 0 256 0% /tmp\ninodes - \nmount /dev/a /tmp ext4 ro,noexec 0 0\n";
        assert!(complaint(shut).unwrap().contains("/tmp of the target is mounted read-only"));
        assert!(FileSystem::parse(shut).no_exec);
    }

    #[test]
    fn nothing_is_said_where_nothing_is_known_or_wrong() {
        for answer in [
            "",
            "room \ninodes \nmount \n",
            "room tmpfs 99999 0 99999 0% /tmp\ninodes btrfs 0 0 0 - /tmp\nmount tmpfs /tmp tmpfs rw,nosuid 0 0\n",
            "room a b c d e f\ninodes x y z\nmount \u{1}\n",
            "room tmpfs 1 -1 -5 0% /tmp\u{1b}[2J\n",
        ] {
            assert_eq!(complaint(answer), None, "{answer:?}");
        }
    }
}

//! Files that appear complete or not at all: written under a temporary name beside the target, then renamed.
//!
//! The temporary name starts with a dot and ends in `.tmp`, so nobody who lists `*.json` or `*.txt` takes what
//! a killed process left for a file of the job. It does not contain the target's name, which may be as long
//! as a name can be.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::Serialize;

use crate::error::io_error;
use crate::json::{self, Style};
use crate::{ProcessIdentity, StoreError};

/// Mode of files that only we, the runner and the plugins (one user) read: they may hold secrets.
pub const PRIVATE: u32 = 0o600;

const TEMPORARY_PREFIX: &str = ".autoexec-";
/// How such a name ends.
pub const TEMPORARY_SUFFIX: &str = ".tmp";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A file being written. It replaces its target on [`commit`](Self::commit) and vanishes when dropped before.
#[derive(Debug)]
pub struct Staged {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    committed: bool,
}

impl Staged {
    /// Opens a temporary file beside `target`, with `mode` less the process' umask.
    pub fn create(target: &Path, mode: u32) -> Result<Self, StoreError> {
        let directory = parent(target);
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = format!("{}{number}{TEMPORARY_SUFFIX}", temporary_prefix());
            let temporary = directory.join(name);
            match OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary) {
                Ok(file) => return Ok(Self { file, temporary, target: target.to_owned(), committed: false }),
                // A process with our id, dead or in another container, left it: take the next number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error("create a temporary file for", target)(error)),
            }
        }
    }

    /// Gives the file its name, replacing what had it.
    pub fn commit(self) -> Result<(), StoreError> {
        self.rename()
    }

    /// As [`commit`](Self::commit), for what is only there to be looked at. A file system that writes out at once what replaces a file
    /// by a rename (ext4) does not do so here, which is most of the cost; after a power loss the file may be empty.
    pub fn commit_unsynced(self) -> Result<(), StoreError> {
        match renameat_with(CWD, &self.temporary, CWD, &self.target, RenameFlags::EXCHANGE) {
            // What was there before has the temporary name now, and vanishes with it.
            Ok(()) => Ok(()),
            // There is none yet, or the file system cannot exchange names.
            Err(_) => self.rename(),
        }
    }

    /// As [`commit`](Self::commit), and content and name survive a power loss.
    pub fn commit_synced(self) -> Result<(), StoreError> {
        let directory = parent(&self.target).to_owned();
        self.file.sync_all().map_err(io_error("write to disk", &self.target))?;
        self.rename()?;
        File::open(&directory).and_then(|d| d.sync_all()).map_err(io_error("write to disk", &directory))
    }

    fn rename(mut self) -> Result<(), StoreError> {
        fs::rename(&self.temporary, &self.target).map_err(io_error("replace", &self.target))?;
        self.committed = true;
        Ok(())
    }
}

impl Write for Staged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.committed {
            // Nothing better to do with an error: the name is one that nobody reads.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Replaces the content of `path`, with `mode` less the umask. Readers see the old or the new content.
pub fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    staged_with(path, bytes, mode)?.commit()
}

/// As [`write()`], for what is only there to be looked at, see [`Staged::commit_unsynced`].
pub fn write_unsynced(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    staged_with(path, bytes, mode)?.commit_unsynced()
}

/// As [`write()`], and returns only when the file would survive a power loss.
pub fn write_synced(path: &Path, bytes: &[u8], mode: u32) -> Result<(), StoreError> {
    staged_with(path, bytes, mode)?.commit_synced()
}

/// Replaces the content of `path` by `value` as JSON.
pub fn write_json<T: Serialize + ?Sized>(
    path: &Path,
    value: &T,
    style: Style,
    mode: u32,
) -> Result<(), StoreError> {
    write(path, &encoded(path, value, style)?, mode)
}

/// `value` as the JSON that `path` is to hold.
pub(crate) fn encoded<T: Serialize + ?Sized>(
    path: &Path,
    value: &T,
    style: Style,
) -> Result<Vec<u8>, StoreError> {
    json::to_bytes(value, style)
        .map_err(|error| StoreError::Encode { path: path.to_owned(), reason: error.to_string() })
}

/// Removes what killed processes left in `directory` and below it under temporary names. Returns how many entries.
///
/// Whatever vanishes meanwhile is no error: other processes of the job are at work beside us. Links are not followed.
pub fn remove_leftovers(directory: &Path) -> Result<usize, StoreError> {
    let mut removed = 0;
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries.map_err(io_error("list", &directory))?,
        };
        for entry in entries {
            let entry = entry.map_err(io_error("list", &directory))?;
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            let path = entry.path();
            match entry.file_name().to_str().and_then(writer_of) {
                Some(writer) if ProcessIdentity::exists(writer) => {}
                Some(_) => {
                    let gone = if is_dir { fs::remove_dir_all(path) } else { fs::remove_file(path) };
                    removed += usize::from(gone.is_ok());
                }
                None if is_dir => open.push(path),
                None => {}
            }
        }
    }
    Ok(removed)
}

/// How the name of a temporary file or directory of this process begins; it ends in [`TEMPORARY_SUFFIX`]. Whoever
/// makes one without [`Staged`] names it so, and [`remove_leftovers`] finds it.
pub fn temporary_prefix() -> String {
    format!("{TEMPORARY_PREFIX}{}-", std::process::id())
}

/// The process that made a temporary file, if `name` is the name of one.
fn writer_of(name: &str) -> Option<u32> {
    let middle = name.strip_prefix(TEMPORARY_PREFIX)?.strip_suffix(TEMPORARY_SUFFIX)?;
    middle.split_once('-')?.0.parse().ok()
}

fn staged_with(path: &Path, bytes: &[u8], mode: u32) -> Result<Staged, StoreError> {
    let mut staged = Staged::create(path, mode)?;
    staged.write_all(bytes).map_err(io_error("write", path))?;
    Ok(staged)
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_content_is_replaced_and_nothing_else_is_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(format!("{}.json", "n".repeat(250)));
        write(&path, b"old and longer", PRIVATE).unwrap();
        write_synced(&path, b"new", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        write_unsynced(&path, b"to look at", PRIVATE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"to look at");
        assert_eq!(names(dir.path()).len(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_dropped_file_leaves_the_target_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        write(&path, b"old", PRIVATE).unwrap();
        let mut staged = Staged::create(&path, PRIVATE).unwrap();
        staged.write_all(b"half").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(staged);
        assert_eq!(names(dir.path()), ["a"]);
    }

    #[test]
    fn a_failed_write_names_the_file_and_cleans_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("taken");
        fs::create_dir(&path).unwrap();
        let error = write(&path, b"x", PRIVATE).unwrap_err();
        assert!(error.to_string().contains("taken"), "{error}");
        assert_eq!(names(dir.path()), ["taken"]);
        let error = write(&dir.path().join("no/such"), b"x", PRIVATE).unwrap_err();
        assert!(error.to_string().contains("no/such`: No such file"), "{error}");
    }

    #[test]
    fn a_reader_never_sees_half_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("status.json");
        let contents = [vec![b'a'; 100_000], vec![b'b'; 50_000]];
        write(&path, &contents[0], PRIVATE).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 0..300 {
                    write(&path, &contents[round % 2], PRIVATE).unwrap();
                }
            });
            while !writer.is_finished() {
                let seen = fs::read(&path).unwrap();
                assert!(contents.contains(&seen), "{} bytes", seen.len());
            }
        });
    }

    #[test]
    fn only_leftovers_of_dead_processes_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let own = format!(".autoexec-{}-0.tmp", std::process::id());
        let below = dir.path().join("status/P");
        fs::create_dir_all(&below).unwrap();
        for place in [dir.path(), &below] {
            for name in [&format!(".autoexec-{dead}-7.tmp"), &own, ".autoexec-x-1.tmp", "a.tmp"] {
                fs::write(place.join(name), "").unwrap();
            }
        }
        let staging = dir.path().join(format!(".autoexec-{dead}-package.abc.tmp"));
        fs::create_dir(&staging).unwrap();
        fs::write(staging.join("member"), "").unwrap();
        assert_eq!(remove_leftovers(dir.path()).unwrap(), 3);
        assert_eq!(names(&below), [own.as_str(), ".autoexec-x-1.tmp", "a.tmp"]);
        assert_eq!(names(dir.path()), [own.as_str(), ".autoexec-x-1.tmp", "a.tmp", "status"]);
        assert_eq!(remove_leftovers(&dir.path().join("none")).unwrap(), 0);
    }
}

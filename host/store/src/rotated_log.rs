//! A log of JSON lines that several processes write and that never grows beyond a bound.
//!
//! Nobody waits for another process here: a line is one `write` to the end of the file, and a file that is full is set
//! aside by whoever gets its lock first. Until that one is done the others go on in the full file, so the bound may be
//! passed by what they write in that moment; no line is lost.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FlockOperation, flock};
use serde::Serialize;

use crate::StoreError;
use crate::atomic::PRIVATE;
use crate::error::io_error;
use crate::layout::create_dirs;

/// A log with its older files `<name>.1` (the youngest) to `<name>.<kept>`. Opened at the first line; all methods may be
/// called from any thread.
#[derive(Debug)]
pub struct RotatedLog {
    path: PathBuf,
    limit: u64,
    kept: u32,
    tail: Mutex<Tail>,
}

#[derive(Debug, Default)]
struct Tail {
    file: Option<File>,
    /// The last line could not be written completely. It is not taken back, because another process may have
    /// written after it; the next line ends it instead.
    torn: bool,
}

impl RotatedLog {
    /// The log at `path`, mode 0600: a new file is begun before one grows beyond `limit` bytes, and `kept` old ones stay.
    pub fn new(path: impl Into<PathBuf>, limit: u64, kept: u32) -> Self {
        Self { path: path.into(), limit, kept, tail: Mutex::default() }
    }

    /// The file that is written now.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a record as a line.
    pub fn append<T: Serialize + ?Sized>(&self, record: &T) -> Result<(), StoreError> {
        let mut line = serde_json::to_vec(record)
            .map_err(|error| StoreError::Encode { path: self.path.clone(), reason: error.to_string() })?;
        line.push(b'\n');
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.torn {
            line.insert(0, b'\n');
        }
        let file = self.current(tail.file.take(), line.len() as u64)?;
        let written = tail.file.insert(file).write_all(&line);
        tail.torn = written.is_err();
        written.map_err(io_error("append to", &self.path))
    }

    /// The open file, or a new one when another process has set it aside or it is full.
    fn current(&self, open: Option<File>, line: u64) -> Result<File, StoreError> {
        let file = match open {
            Some(file) if self.is_at_path(&file) => file,
            _ => self.open()?,
        };
        let length = file.metadata().map_err(io_error("inspect", &self.path))?.len();
        if length > 0 && length + line > self.limit && self.set_aside(&file)? {
            return self.open();
        }
        Ok(file)
    }

    fn open(&self) -> Result<File, StoreError> {
        if let Some(directory) = self.path.parent() {
            create_dirs(directory)?;
        }
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(PRIVATE)
            .open(&self.path)
            .map_err(io_error("open", &self.path))
    }

    /// Whether the name still stands for the file: the identity is compared, because the name moves on.
    fn is_at_path(&self, file: &File) -> bool {
        let identity = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
        matches!((file.metadata(), fs::metadata(&self.path)), (Ok(a), Ok(b)) if identity(&a) == identity(&b))
    }

    /// Gives the full file its number. False when another process is at it: then this one goes on in the old file.
    fn set_aside(&self, file: &File) -> Result<bool, StoreError> {
        if flock(file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Ok(false);
        }
        // The lock may have come after another process was done; then the name is another file's.
        if self.is_at_path(file) {
            for number in (1..self.kept).rev() {
                move_if_there(&self.numbered(number), &self.numbered(number + 1))?;
            }
            move_if_there(&self.path, &self.numbered(1))?;
        }
        Ok(true)
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

fn move_if_there(from: &Path, to: &Path) -> Result<(), StoreError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("rename", from)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::sync::Arc;

    use super::*;

    fn read(path: &Path) -> Vec<u64> {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_full_file_is_set_aside_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("logs/a.jsonl");
        // Two lines of four bytes fit.
        let log = RotatedLog::new(&path, 8, 2);
        for number in 100..107_u64 {
            log.append(&number).unwrap();
        }
        assert_eq!(read(&path), [106]);
        assert_eq!(read(&dir.path().join("logs/a.jsonl.1")), [104, 105]);
        assert_eq!(read(&dir.path().join("logs/a.jsonl.2")), [102, 103]);
        assert_eq!(fs::read_dir(dir.path().join("logs")).unwrap().count(), 3);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_line_larger_than_the_bound_is_still_written() {
        let dir = tempfile::tempdir().unwrap();
        let log = RotatedLog::new(dir.path().join("a"), 2, 1);
        for number in [1000_u64, 2000] {
            log.append(&number).unwrap();
        }
        assert_eq!((read(log.path()), read(&log.numbered(1))), (vec![2000], vec![1000]));
    }

    /// Each thread has a log of its own, as another process has.
    #[test]
    fn writers_side_by_side_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = Arc::new(dir.path().join("a"));
        let writers: Vec<_> = (0..4_u64)
            .map(|writer| {
                let path = Arc::clone(&path);
                std::thread::spawn(move || {
                    let log = RotatedLog::new(path.as_path(), 600, 1000);
                    for number in 0..500 {
                        log.append(&(1000 * (writer + 1) + number)).unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.join().unwrap();
        }
        let files: Vec<PathBuf> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() > 1, "{files:?}");
        let mut numbers: Vec<u64> = files.iter().flat_map(|file| read(file)).collect();
        numbers.sort_unstable();
        let all: Vec<u64> =
            (1..=4).flat_map(|writer| (0..500).map(move |number| 1000 * writer + number)).collect();
        assert_eq!(numbers, all);
    }

    #[test]
    fn an_error_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("logs"), "").unwrap();
        let error = RotatedLog::new(dir.path().join("logs/a"), 8, 1).append(&1).unwrap_err().to_string();
        assert!(error.contains("logs"), "{error}");
    }
}

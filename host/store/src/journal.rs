//! The journal: what happened, one JSON record per line, written before anybody else is told.
//!
//! One file per process, `<job>/.journal/<stamp>-<pid>.jsonl`, so that no two processes share one. The first
//! line names format and version. A record is one `write` call; a process that is killed leaves at most its
//! last line incomplete, and the reader leaves that out.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::atomic::PRIVATE;
use crate::error::{io_error, json_reason};
use crate::layout::create_dirs;
use crate::read::read_regular;
use crate::{JobDir, StoreError, history_stamp};

/// The version of the journal format this program writes, and the newest it reads.
pub const JOURNAL_VERSION: u64 = 1;

const FORMAT: &str = "autoexec-journal";
const EXTENSION: &str = "jsonl";

/// Far above what a job writes; keeps a broken disk or a foreign file from taking all memory.
const MAX_JOURNAL: u64 = 1024 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u64,
    pid: u32,
}

/// A journal being written. All methods may be called from any thread.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    tail: Mutex<Tail>,
}

#[derive(Debug)]
struct Tail {
    file: File,
    /// Length of the complete records in bytes.
    length: u64,
    /// Set when half a record could neither be completed nor taken back.
    torn: bool,
}

impl Journal {
    /// Starts the journal of this process in `job`.
    pub fn create(job: &JobDir) -> Result<Self, StoreError> {
        create_dirs(&job.journals())?;
        let (path, file) = create_file(job, &history_stamp(Timestamp::now(), &TimeZone::system()))?;
        let journal = Self { path, tail: Mutex::new(Tail { file, length: 0, torn: false }) };
        let header = Header { format: FORMAT.to_owned(), version: JOURNAL_VERSION, pid: std::process::id() };
        journal.append(&header)?;
        Ok(journal)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a record. When it returns, the record survives the death of this process.
    pub fn append<T: Serialize + ?Sized>(&self, record: &T) -> Result<(), StoreError> {
        let mut line = serde_json::to_vec(record)
            .map_err(|error| StoreError::Encode { path: self.path.clone(), reason: error.to_string() })?;
        line.push(b'\n');
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.append(&line).map_err(io_error("append to", &self.path))
    }

    /// As [`append`](Self::append), and the record also survives a power loss.
    pub fn append_synced<T: Serialize + ?Sized>(&self, record: &T) -> Result<(), StoreError> {
        self.append(record)?;
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.file.sync_data().map_err(io_error("write to disk", &self.path))
    }
}

impl Tail {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            return Err(io::Error::other("an earlier record could not be written completely"));
        }
        // A short write happens on a full disk. `write_all` tries the rest; if that fails, half a record in
        // the middle of the file would make all later ones unreadable, so it is taken back.
        match self.file.write_all(line) {
            Ok(()) => {
                self.length += line.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.torn = self.file.set_len(self.length).is_err();
                Err(error)
            }
        }
    }
}

fn create_file(job: &JobDir, stamp: &str) -> Result<(PathBuf, File), StoreError> {
    let base = format!("{stamp}-{}", std::process::id());
    let mut number = 1;
    loop {
        // A second number only after a process with our id in the same second (another container).
        let name = if number == 1 { base.clone() } else { format!("{base}-{number}") };
        let path = job.journals().join(format!("{name}.{EXTENSION}"));
        match OpenOptions::new().append(true).create_new(true).mode(PRIVATE).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(io_error("create", &path)(error)),
        }
    }
}

/// The journals of a job, oldest first. A job without any has none; that is no error.
pub fn journals(job: &JobDir) -> Result<Vec<PathBuf>, StoreError> {
    let directory = job.journals();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_error("list", &directory)(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(io_error("list", &directory))?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// What was read from a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalContent<T> {
    /// The process that wrote it; none if it died before the first line was complete.
    pub pid: Option<u32>,
    /// The records in order.
    pub records: Vec<T>,
    /// Whether the last line was incomplete: the process was killed while it wrote.
    pub torn: bool,
}

/// Reads a journal, leaving out an incomplete last line.
pub fn read_journal<T: DeserializeOwned>(path: &Path) -> Result<JournalContent<T>, StoreError> {
    let bytes = read_regular(path, MAX_JOURNAL)?
        .ok_or_else(|| io_error("open", path)(io::Error::from(io::ErrorKind::NotFound)))?;
    let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let (lines, rest) = bytes.split_at(complete);
    let mut lines = lines.split_inclusive(|byte| *byte == b'\n').enumerate();
    let pid = match lines.next() {
        Some((_, line)) => Some(check_header(path, line)?),
        None => None,
    };
    let records = lines.map(|(index, line)| parse_line(path, index + 1, line)).collect::<Result<_, _>>()?;
    Ok(JournalContent { pid, records, torn: !rest.is_empty() })
}

fn check_header(path: &Path, line: &[u8]) -> Result<u32, StoreError> {
    let header: Header = parse_line(path, 1, line)?;
    if header.format != FORMAT {
        return Err(StoreError::Broken { path: path.to_owned(), reason: "it is not a journal".to_owned() });
    }
    if header.version > JOURNAL_VERSION {
        let (path, found) = (path.to_owned(), header.version);
        return Err(StoreError::JournalVersion { path, found, supported: JOURNAL_VERSION });
    }
    Ok(header.pid)
}

fn parse_line<T: DeserializeOwned>(path: &Path, number: usize, line: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(line).map_err(|error| StoreError::Broken {
        path: path.to_owned(),
        reason: format!("record {number}: {}", json_reason(&error)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Event {
        number: u32,
        text: String,
    }

    fn event(number: u32) -> Event {
        Event { number, text: "a\nb".to_owned() }
    }

    #[test]
    fn records_come_back_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir::at(dir.path());
        assert!(journals(&job).unwrap().is_empty());
        let journal = Journal::create(&job).unwrap();
        for number in 0..100 {
            journal.append(&event(number)).unwrap();
        }
        journal.append_synced(&event(100)).unwrap();
        let content: JournalContent<Event> = read_journal(journal.path()).unwrap();
        assert_eq!(content.records, (0..=100).map(event).collect::<Vec<_>>());
        assert_eq!((content.pid, content.torn), (Some(std::process::id()), false));
        assert_eq!(fs::metadata(journal.path()).unwrap().permissions().mode() & 0o777, 0o600);
        let second = Journal::create(&job).unwrap();
        assert_ne!(second.path(), journal.path());
        assert_eq!(journals(&job).unwrap().len(), 2);
    }

    #[test]
    fn a_torn_last_line_is_left_out_wherever_it_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::create(&JobDir::at(dir.path())).unwrap();
        journal.append(&event(1)).unwrap();
        let whole = fs::read(journal.path()).unwrap();
        let cut = dir.path().join("cut.jsonl");
        for length in 0..whole.len() {
            fs::write(&cut, &whole[..length]).unwrap();
            let content: JournalContent<Event> = read_journal(&cut).unwrap();
            let complete_lines = whole[..length].split(|byte| *byte == b'\n').count() - 1;
            assert_eq!(content.records.len(), complete_lines.saturating_sub(1), "cut at {length}");
            assert_eq!(content.torn, length > 0 && whole[length - 1] != b'\n', "cut at {length}");
        }
    }

    #[test]
    fn foreign_newer_and_broken_journals_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            read_journal::<Event>(&path).unwrap_err().to_string()
        };
        assert!(read("{\"format\":\"other\",\"version\":1,\"pid\":1}\n").contains("not a journal"));
        assert!(read("{\"format\":\"autoexec-journal\",\"version\":9,\"pid\":1}\n").contains("version 9"));
        let broken = read(
            "{\"format\":\"autoexec-journal\",\"version\":1,\"pid\":1}\n{\"number\":\"s3cret\",\"text\":\"\"}\n",
        );
        assert!(broken.contains("record 2") && !broken.contains("s3cret"), "{broken}");
        assert!(read_journal::<Event>(&dir.path().join("none")).is_err());
    }

    fn tail_of(file: File, length: u64) -> Tail {
        Tail { file, length, torn: false }
    }

    #[test]
    fn a_record_that_does_not_fit_is_taken_back() {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
        let memory = memfd_create("journal", MemfdFlags::ALLOW_SEALING).unwrap();
        let file = File::from(memory);
        let mut tail = tail_of(file.try_clone().unwrap(), 0);
        tail.append(b"{}\n").unwrap();
        // From here on the file cannot grow, as on a full disk.
        fcntl_add_seals(&file, SealFlags::GROW).unwrap();
        assert!(tail.append(b"{}\n").is_err());
        assert_eq!((tail.length, tail.torn, file.metadata().unwrap().len()), (3, false, 3));
    }

    #[test]
    fn a_journal_that_cannot_be_mended_refuses_to_go_on() {
        // The device fails every write and cannot be truncated.
        let mut tail = tail_of(OpenOptions::new().append(true).open("/dev/full").unwrap(), 0);
        assert!(tail.append(b"{}\n").is_err());
        assert!(tail.torn);
        tail.file = OpenOptions::new().append(true).open("/dev/null").unwrap();
        assert!(tail.append(b"{}\n").is_err());
    }
}

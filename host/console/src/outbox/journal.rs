//! The outbox file: JSON lines, appended; a line per callback and a line per acknowledgement.
//!
//! The first line names format and version. A process that is killed may leave a last line that is torn; the next
//! process skips it and writes the file anew with what is left. Only one process at a time may have the file, which a
//! lock on `<file>.lock` keeps, because the file itself is replaced.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::{Callback, OutboxError, Seq};

/// The first line. A release that changes the records raises the version and reads the older ones.
const HEADER: &str = r#"{"format":"autoexec-outbox","version":1}"#;

/// Longest line that is read: a callback with a large exported variable stays below.
const LONGEST_LINE: usize = 16 << 20;

/// A line as it is written.
#[derive(Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Callback { seq: Seq, callback: &'a Callback },
    Acknowledged { ack: Seq },
    Rejected { ack: Seq, rejected: &'a str },
}

/// A line as it is read.
#[derive(Deserialize)]
#[serde(untagged)]
enum Read {
    Callback { seq: Seq, callback: Callback },
    Acknowledged { ack: Seq },
}

/// What stood in the file.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) callbacks: BTreeMap<Seq, Callback>,
    pub(super) unreadable: usize,
    last: u64,
}

/// How a callback ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending<'a> {
    Delivered,
    Rejected(&'a str),
}

/// The open file.
#[derive(Debug)]
pub(super) struct Journal {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    last: u64,
    outstanding: usize,
    /// A write ended within a line; the next one starts a new line.
    torn: bool,
    closed: bool,
    /// Held, not used: closing it gives the lock back.
    lock: Option<File>,
}

impl Journal {
    /// Takes the file, reads what is left in it and writes that anew.
    pub(super) fn open(path: &Path) -> Result<(Self, Left), OutboxError> {
        let lock = take_lock(path)?;
        let left = read(path)?;
        let file = rewrite(path, &left).map_err(|source| OutboxError::File {
            path: path.to_owned(),
            action: "write",
            source,
        })?;
        let state = State {
            file,
            last: left.last,
            outstanding: left.callbacks.len(),
            torn: false,
            closed: false,
            lock: Some(lock),
        };
        Ok((Self { state: Mutex::new(state) }, left))
    }

    /// Numbers `callback`, writes it, and hands it to `then` before anybody else can append.
    ///
    /// The inner result is about the writing; the callback has its number in any case.
    pub(super) fn append(
        &self,
        callback: Callback,
        then: impl FnOnce(Seq, Callback),
    ) -> Result<(Seq, io::Result<()>), OutboxError> {
        let mut state = self.state();
        if state.closed {
            return Err(OutboxError::Closed);
        }
        state.last += 1;
        state.outstanding += 1;
        let seq = Seq(state.last);
        let written = state.write(&Written::Callback { seq, callback: &callback });
        then(seq, callback);
        Ok((seq, written))
    }

    /// Records that `seq` is finished. When all are, the file shrinks to its first line.
    pub(super) fn acknowledge(&self, seq: Seq, ending: Ending<'_>) {
        let mut state = self.state();
        state.outstanding = state.outstanding.saturating_sub(1);
        let recorded = if state.outstanding == 0 {
            state.clear()
        } else {
            match ending {
                Ending::Delivered => state.write(&Written::Acknowledged { ack: seq }),
                Ending::Rejected(rejected) => state.write(&Written::Rejected { ack: seq, rejected }),
            }
        };
        if let Err(error) = recorded {
            // The next process would send it again, which the server takes as the same status.
            tracing::warn!(%error, seq = seq.0, "an acknowledgement could not be written to the outbox");
        }
    }

    /// Callbacks without an acknowledgement.
    pub(super) fn outstanding(&self) -> usize {
        self.state().outstanding
    }

    /// Accepts no further callbacks.
    pub(super) fn close(&self) {
        self.state().closed = true;
    }

    /// Lets another process have the file; nothing may be acknowledged after it.
    pub(super) fn release(&self) {
        let mut state = self.state();
        state.closed = true;
        state.lock = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn write(&mut self, line: &Written<'_>) -> io::Result<()> {
        let mut text = Vec::with_capacity(320);
        if self.torn {
            text.push(b'\n');
        }
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
        let written = self.file.write_all(&text);
        self.torn = written.is_err();
        written
    }

    fn clear(&mut self) -> io::Result<()> {
        // The file is in append mode: the next line goes to the new end.
        self.file.set_len(HEADER.len() as u64 + 1)?;
        self.torn = false;
        Ok(())
    }
}

fn take_lock(path: &Path) -> Result<File, OutboxError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let wrong = |source| OutboxError::File { path: name.clone(), action: "lock", source };
    let file =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&name).map_err(wrong)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OutboxError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(wrong(error)),
    }
}

fn read(path: &Path) -> Result<Left, OutboxError> {
    let wrong = |source| OutboxError::File { path: path.to_owned(), action: "read", source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Left::default()),
        Err(error) => return Err(wrong(error)),
    };
    let mut lines = BufReader::new(file);
    let Some(first) = next_line(&mut lines).map_err(wrong)? else { return Ok(Left::default()) };
    if first.text != HEADER.as_bytes() {
        let found = String::from_utf8_lossy(&first.text).chars().take(80).collect();
        return Err(OutboxError::Format { path: path.to_owned(), found });
    }
    let mut left = Left::default();
    while let Some(line) = next_line(&mut lines).map_err(wrong)? {
        left.take(&line);
    }
    Ok(left)
}

/// A line without its end.
struct Line {
    text: Vec<u8>,
    is_whole: bool,
}

fn next_line(lines: &mut BufReader<File>) -> io::Result<Option<Line>> {
    let mut text = Vec::new();
    if lines.read_until(b'\n', &mut text)? == 0 {
        return Ok(None);
    }
    let is_whole = text.pop_if(|last| *last == b'\n').is_some() && text.len() <= LONGEST_LINE;
    Ok(Some(Line { text, is_whole }))
}

impl Left {
    fn take(&mut self, line: &Line) {
        if line.text.is_empty() {
            return;
        }
        let record = if line.is_whole { serde_json::from_slice(&line.text).ok() } else { None };
        match record {
            Some(Read::Callback { seq, callback }) => {
                self.last = self.last.max(seq.0);
                self.callbacks.insert(seq, callback);
            }
            Some(Read::Acknowledged { ack }) => {
                self.callbacks.remove(&ack);
            }
            None => self.unreadable += 1,
        }
    }
}

/// Writes the header and what is left to a new file in place of the old one; gives it open for appending.
fn rewrite(path: &Path, left: &Left) -> io::Result<File> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Mode 0600 is tempfile's own. The name is one that the next process of the job removes if this one is killed here.
    let prefix = format!(".autoexec-{}-outbox.", std::process::id());
    let mut temporary = tempfile::Builder::new().prefix(&prefix).suffix(".tmp").tempfile_in(directory)?;
    let mut text = format!("{HEADER}\n").into_bytes();
    for (seq, callback) in &left.callbacks {
        serde_json::to_writer(&mut text, &Written::Callback { seq: *seq, callback })?;
        text.push(b'\n');
    }
    temporary.write_all(&text)?;
    temporary.as_file().sync_data()?;
    temporary.persist(path).map_err(|error| error.error)?;
    OpenOptions::new().append(true).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use autoexec_model::{GroupNo, JobId, RunnerId};

    use super::*;
    use crate::{NextGroup, UnixTime};

    fn callback(group: i64) -> Callback {
        Callback::NextGroup(NextGroup {
            job: JobId::new("620011223344").unwrap(),
            runner: RunnerId(1),
            group: GroupNo(group),
            time: UnixTime::from_secs(1_700_000_000.5),
        })
    }

    fn append(journal: &Journal, group: i64) -> Seq {
        let (seq, written) = journal.append(callback(group), |_, _| ()).unwrap();
        written.unwrap();
        seq
    }

    fn lines(path: &Path) -> usize {
        std::fs::read_to_string(path).unwrap().lines().count()
    }

    #[test]
    fn what_is_not_acknowledged_is_left_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox");
        let (journal, left) = Journal::open(&path).unwrap();
        assert!(left.callbacks.is_empty());
        let seqs: Vec<Seq> = (0..5).map(|group| append(&journal, group)).collect();
        journal.acknowledge(seqs[0], Ending::Delivered);
        journal.acknowledge(seqs[2], Ending::Rejected("no"));
        drop(journal);

        let (journal, left) = Journal::open(&path).unwrap();
        let kept: Vec<_> = left.callbacks.into_iter().collect();
        assert_eq!(kept, [(seqs[1], callback(1)), (seqs[3], callback(3)), (seqs[4], callback(4))]);
        assert_eq!((journal.outstanding(), lines(&path)), (3, 4), "rewritten without what is finished");
        assert!(append(&journal, 9) > seqs[4], "numbers go on");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn the_file_shrinks_when_all_is_acknowledged_and_can_be_used_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox");
        let (journal, _) = Journal::open(&path).unwrap();
        let first = append(&journal, 1);
        journal.acknowledge(first, Ending::Delivered);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{HEADER}\n"));
        append(&journal, 2);
        drop(journal);
        assert_eq!(
            Journal::open(&path).unwrap().1.callbacks.into_values().collect::<Vec<_>>(),
            [callback(2)]
        );
    }

    #[test]
    fn every_way_to_tear_the_last_line_loses_only_that_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox");
        let (journal, _) = Journal::open(&path).unwrap();
        append(&journal, 1);
        let whole = std::fs::metadata(&path).unwrap().len();
        append(&journal, 2);
        drop(journal);
        let text = std::fs::read(&path).unwrap();
        for end in usize::try_from(whole).unwrap() + 1..text.len() {
            std::fs::write(&path, &text[..end]).unwrap();
            let (_, left) = Journal::open(&path).unwrap();
            assert_eq!((left.callbacks.len(), left.unreadable), (1, 1), "cut at {end}");
        }
    }

    #[test]
    fn a_full_disk_does_not_refuse_a_callback() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox");
        let (journal, _) = Journal::open(&path).unwrap();
        let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let file = std::mem::replace(&mut journal.state().file, full);
        let mut given = None;
        let (seq, written) = journal.append(callback(1), |seq, _| given = Some(seq)).unwrap();
        assert_eq!((given, written.unwrap_err().kind()), (Some(seq), io::ErrorKind::StorageFull));
        journal.state().file = file;
        append(&journal, 2);
        assert_eq!(journal.outstanding(), 2);
        drop(journal);
        let (_, left) = Journal::open(&path).unwrap();
        assert_eq!(
            (left.callbacks.into_values().collect::<Vec<_>>(), left.unreadable),
            (vec![callback(2)], 0)
        );
    }

    #[test]
    fn damage_in_the_middle_is_counted_and_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox");
        let line = serde_json::to_string(&Written::Callback { seq: Seq(7), callback: &callback(7) }).unwrap();
        std::fs::write(&path, format!("{HEADER}\n\u{0}\u{0}{{\n{line}\n\n{{\"other\":1}}\n")).unwrap();
        let (_, left) = Journal::open(&path).unwrap();
        assert_eq!((left.callbacks.len(), left.unreadable, left.last), (1, 2, 7));
    }

    #[test]
    fn a_file_that_is_something_else_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox");
        for other in ["{\"format\":\"autoexec-outbox\",\"version\":2}\n", "hello\n"] {
            std::fs::write(&path, other).unwrap();
            let error = Journal::open(&path).unwrap_err();
            assert!(matches!(error, OutboxError::Format { .. }), "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), other);
        }
        std::fs::write(&path, "").unwrap();
        assert!(Journal::open(&path).is_ok(), "an empty file is a new one");
    }

    #[test]
    fn a_second_process_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("outbox");
        let first = Journal::open(&path).unwrap();
        assert!(matches!(Journal::open(&path), Err(OutboxError::InUse { .. })));
        drop(first);
        assert!(Journal::open(&path).is_ok());
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = Journal::open(Path::new("/nonexistent/dir/outbox")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/dir/outbox.lock"), "{error}");
    }
}

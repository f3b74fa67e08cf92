//! Putting a tree of files on a target in one stream (defects 43, 51, 53).

use std::fs::File;
use std::io::{self, BufWriter, Cursor, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

use walkdir::WalkDir;

use super::connection::Worker;
use super::error::{SshErrorKind, Step, excerpt};
use super::exec::Conversation;
use super::feed::{Feed, Outcome};
use super::marker::{Filter, Report, Token};
use super::patience::{Cancel, Patience};
use super::sftp;
use super::shell::quote;
use crate::stop::StopLevel;

/// The command line has no path and no secret in it: the first line of the input is the script, and the stream follows.
const STREAM_SHELL: &str = r#"exec /bin/sh -c 'IFS= read -r l && eval "$l"'"#;
const BUFFER: usize = 32 * 1024;

/// Where the bytes of an uploaded file come from.
#[derive(Clone)]
pub enum UploadSource {
    /// A local file; a symbolic link is followed.
    File(PathBuf),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// One file to put on a target.
#[derive(Clone)]
pub struct UploadEntry {
    /// Its content.
    pub source: UploadSource,
    /// Path relative to the target directory, with `/` and without `..`.
    pub dest: String,
    /// Permission bits it gets, such as 0o700.
    pub mode: u32,
}

impl UploadEntry {
    /// All regular files below `root`, following symbolic links, with `dest` (may be empty) put before their relative
    /// paths and the permission bits they have. A missing root is an error, a loop of links too.
    pub fn tree(root: &Path, dest: &str) -> io::Result<Vec<Self>> {
        let mut entries = Vec::new();
        for found in WalkDir::new(root).follow_links(true).sort_by_file_name() {
            let found = found?;
            if !found.file_type().is_file() {
                continue;
            }
            let relative = found.path().strip_prefix(root).unwrap_or(found.path());
            let Some(relative) = relative.to_str() else {
                let text = format!("{}: the name is not UTF-8", found.path().display());
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            };
            let dest = if dest.is_empty() { relative.to_owned() } else { format!("{dest}/{relative}") };
            let mode = found.metadata()?.permissions().mode() & 0o777;
            entries.push(Self { source: UploadSource::File(found.path().to_owned()), dest, mode });
        }
        Ok(entries)
    }

    /// The path to name in an error about the content.
    pub(super) fn local_path(&self) -> PathBuf {
        match &self.source {
            UploadSource::File(path) => path.clone(),
            UploadSource::Bytes(_) => PathBuf::from(&self.dest),
        }
    }

    /// Opens the content; its length is fixed here.
    pub(super) fn open(&self) -> Result<Content, SshErrorKind> {
        match &self.source {
            UploadSource::Bytes(bytes) => Ok(Content {
                length: bytes.len() as u64,
                modified: 0,
                reader: Box::new(Cursor::new(bytes.clone())),
            }),
            UploadSource::File(path) => open_file(path).map_err(|source| local(path, source)),
        }
    }
}

fn local(path: &Path, source: io::Error) -> SshErrorKind {
    SshErrorKind::LocalFile { path: path.to_owned(), source }
}

fn open_file(path: &Path) -> io::Result<Content> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let length = metadata.len();
    Ok(Content {
        length,
        modified: modified.unwrap_or_default().as_secs(),
        reader: Box::new(Whole { file, left: length }),
    })
}

/// The content of an entry.
pub(super) struct Content {
    pub(super) length: u64,
    pub(super) modified: u64,
    pub(super) reader: Box<dyn Read>,
}

/// Exactly the bytes the file had when opened: a stream whose header promised more would be silently damaged.
struct Whole {
    file: File,
    left: u64,
}

impl Read for Whole {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(buffer) = buffer.get_mut(..want).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let length = self.file.read(buffer)?;
        if length == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter while it was read"));
        }
        self.left -= length as u64;
        Ok(length)
    }
}

pub(super) fn upload(
    worker: &Worker,
    entries: &[UploadEntry],
    dir: &str,
    cancel: &Cancel,
) -> Result<(), SshErrorKind> {
    check(entries, dir)?;
    if entries.is_empty() {
        return Ok(());
    }
    let token = Token::random()?;
    let mut patience =
        Patience::new(Step::Start, worker.settings.write_timeout, cancel, Some(StopLevel::Terminate));
    let filter = Some(Filter::new(&token));
    let mut conversation = Conversation::start(&worker.link, STREAM_SHELL, filter, false, &patience, None)?;
    let result = send(worker, &mut conversation, entries, dir, &token, &mut patience);
    let tar_missing = conversation.last == Some(Report::NoTar);
    conversation.close(&worker.link);
    if tar_missing {
        tracing::debug!(target = %worker.target, "no tar on the target; uploading over SFTP");
        return sftp::upload(worker, entries, dir, cancel);
    }
    result
}

fn check(entries: &[UploadEntry], dir: &str) -> Result<(), SshErrorKind> {
    if dir.is_empty() || dir.contains(['\0', '\n']) {
        let detail = "it is empty or holds a NUL byte or a line break".to_owned();
        return Err(SshErrorKind::Invalid { what: "remote directory", detail });
    }
    let inside = |dest: &str| {
        !dest.is_empty()
            && !dest.ends_with('/')
            && !dest.contains('\0')
            && Path::new(dest).components().all(|part| matches!(part, Component::Normal(_)))
    };
    match entries.iter().find(|entry| !inside(&entry.dest)) {
        None => Ok(()),
        Some(entry) => Err(SshErrorKind::Invalid {
            what: "upload path",
            detail: format!("{:?} is not a path below the target directory", entry.dest),
        }),
    }
}

fn send(
    worker: &Worker,
    conversation: &mut Conversation,
    entries: &[UploadEntry],
    dir: &str,
    token: &Token,
    patience: &mut Patience<'_>,
) -> Result<(), SshErrorKind> {
    let link = &worker.link;
    // Modes are exact (-p); the owner is whoever extracts, for the headers say root and only root can obey.
    let line = format!(
        "{start}; if cd {dir} 2>/dev/null; then if command -v tar >/dev/null 2>&1; then {ready}; tar -xpf -; {exit}; \
         else {notar}; fi; else {nodir}; fi\n",
        start = token.report("start", "0"),
        dir = quote(dir),
        ready = token.report("ready", "0"),
        exit = token.report("exit", "\"$?\""),
        notar = token.report("notar", "0"),
        nodir = token.report("nodir", "0"),
    );
    conversation.send(link, line.as_bytes(), patience, &mut |_| {})?;
    await_ready(worker, conversation, dir, patience)?;
    let outcome = Outcome::default();
    let streamed = stream(worker, conversation, entries, patience.at(Step::Send), &outcome);
    match streamed {
        Ok(()) => conversation.end_input(link, patience)?,
        // What tar says about its own end is the better message.
        Err(_) if outcome.remote_ended() => {}
        Err(kind) => return Err(kind),
    }
    conversation.until_exit(link, patience, None, &mut |_| {})?;
    match conversation.exit {
        Some((0, _)) if !outcome.remote_ended() => Ok(()),
        Some((code, _)) => {
            let action = format!("unpacking files in {dir}");
            Err(SshErrorKind::Remote { action, code, message: excerpt(&conversation.stderr) })
        }
        None => Err(SshErrorKind::NoExit),
    }
}

fn await_ready(
    worker: &Worker,
    conversation: &mut Conversation,
    dir: &str,
    patience: &Patience<'_>,
) -> Result<(), SshErrorKind> {
    loop {
        match conversation.last {
            Some(Report::Ready) => return Ok(()),
            Some(Report::NoDirectory) => return Err(SshErrorKind::RemoteDirectory { dir: dir.to_owned() }),
            // The caller takes the other way.
            Some(Report::NoTar) => return Err(SshErrorKind::NoExit),
            _ if conversation.ended => return Err(SshErrorKind::NotStarted { output: conversation.noise() }),
            _ => {}
        }
        if !conversation.pump(&worker.link, &mut |_| {})? {
            patience.check()?;
            worker.link.wait(patience.until())?;
        }
    }
}

/// Writes the archive.
fn stream(
    worker: &Worker,
    conversation: &mut Conversation,
    entries: &[UploadEntry],
    patience: Patience<'_>,
    outcome: &Outcome,
) -> Result<(), SshErrorKind> {
    let feed = Feed::new(&worker.link, conversation, patience, outcome);
    let mut archive = tar::Builder::new(BufWriter::with_capacity(BUFFER, feed));
    for entry in entries {
        if let Err(kind) = append(&mut archive, entry, outcome) {
            outcome.shut();
            return Err(kind);
        }
    }
    let finished = archive.into_inner().and_then(|mut buffer| buffer.flush());
    finished.map_err(|error| {
        outcome.take_error().unwrap_or(SshErrorKind::Channel { step: Step::Send, detail: error.to_string() })
    })
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    entry: &UploadEntry,
    outcome: &Outcome,
) -> Result<(), SshErrorKind> {
    let content = entry.open()?;
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(content.length);
    header.set_mode(entry.mode & 0o7777);
    header.set_mtime(content.modified);
    header.set_uid(0);
    header.set_gid(0);
    let appended = archive.append_data(&mut header, &entry.dest, content.reader);
    appended.map_err(|error| match (outcome.take_error(), &entry.source) {
        (Some(kind), _) => kind,
        (None, UploadSource::File(path)) => local(path, error),
        (None, UploadSource::Bytes(_)) => {
            SshErrorKind::Invalid { what: "upload path", detail: format!("{:?}: {error}", entry.dest) }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_must_stay_below_the_directory() {
        let entry =
            |dest: &str| UploadEntry { source: UploadSource::Bytes(vec![]), dest: dest.into(), mode: 0o600 };
        for bad in ["", "/etc/passwd", "../a", "a/../b", "./a", "a/", "a\0b"] {
            assert!(check(&[entry(bad)], "/tmp").is_err(), "{bad:?}");
        }
        assert!(check(&[entry("a/b c/\u{e9}")], "/tmp").is_ok());
        assert!(check(&[], "a\nb").is_err());
    }

    #[test]
    fn a_tree_follows_links_and_keeps_modes() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("real/sub")).unwrap();
        std::fs::write(dir.path().join("real/sub/f"), "x").unwrap();
        std::fs::set_permissions(dir.path().join("real/sub/f"), std::fs::Permissions::from_mode(0o750))
            .unwrap();
        std::fs::create_dir(dir.path().join("top")).unwrap();
        std::os::unix::fs::symlink("../real", dir.path().join("top/link")).unwrap();
        let entries = UploadEntry::tree(&dir.path().join("top"), "lib").unwrap();
        let found: Vec<_> = entries.iter().map(|entry| (entry.dest.as_str(), entry.mode)).collect();
        assert_eq!(found, [("lib/link/sub/f", 0o750)]);
        std::os::unix::fs::symlink("..", dir.path().join("top/loop")).unwrap();
        assert!(UploadEntry::tree(&dir.path().join("top"), "").is_err());
    }

    #[test]
    fn a_file_that_shrinks_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "12345").unwrap();
        let mut content = open_file(&path).unwrap();
        std::fs::write(&path, "1").unwrap();
        let error = content.reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let mut content = open_file(&path).unwrap();
        std::fs::write(&path, "123456789").unwrap();
        let mut read = Vec::new();
        content.reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"1");
    }
}

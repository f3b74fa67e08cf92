//! Files to put on a target.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use crate::ssh::isolation::plain;

/// Bytes that have to move within a limit of a transfer to count as progress: a peer that sends a byte a second makes none.
pub(crate) const PROGRESS: usize = 4096;

/// Where the bytes of an uploaded file come from.
#[derive(Clone, Serialize, Deserialize)]
pub enum UploadSource {
    /// A local file; a symbolic link is followed.
    File(#[serde(with = "plain::path")] PathBuf),
    /// These bytes.
    Bytes(#[serde(with = "plain::bytes")] Vec<u8>),
    /// No bytes: whatever a file of this name had in it is gone. Where that costs less there is none afterwards.
    Nothing,
    /// A file of the process that asked for the upload, in the one that sends it: that can open nothing itself.
    #[serde(skip)]
    Lent(LentFile),
}

/// Opens files for a process that can not.
pub(crate) trait Lender: Send + Sync {
    /// The file of the entry with this number in the request.
    fn open(&self, number: u32) -> io::Result<File>;
}

/// A file of another process.
#[derive(Clone)]
pub struct LentFile {
    /// Its name there, for messages.
    pub(crate) path: PathBuf,
    pub(crate) number: u32,
    /// What that process knows of it; nothing where it can not be read.
    pub(crate) fact: Option<FileFact>,
    pub(crate) lender: Arc<dyn Lender>,
}

/// What is known of a file that is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileFact {
    pub(crate) length: u64,
    /// SHA-256, where it was asked for.
    pub(crate) digest: Option<[u8; 32]>,
}

/// One file to put on a target.
#[derive(Clone, Serialize, Deserialize)]
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
    pub(crate) fn local_path(&self) -> PathBuf {
        match &self.source {
            UploadSource::File(path) => path.clone(),
            UploadSource::Lent(lent) => lent.path.clone(),
            UploadSource::Bytes(_) | UploadSource::Nothing => PathBuf::from(&self.dest),
        }
    }

    /// The length of the content.
    pub(crate) fn length(&self) -> io::Result<u64> {
        match &self.source {
            UploadSource::Bytes(bytes) => Ok(bytes.len() as u64),
            UploadSource::Nothing => Ok(0),
            UploadSource::File(path) => std::fs::metadata(path).map(|found| found.len()),
            UploadSource::Lent(LentFile { fact: Some(fact), .. }) => Ok(fact.length),
            // Why nothing is known of it.
            UploadSource::Lent(lent) => lent.lender.open(lent.number)?.metadata().map(|found| found.len()),
        }
    }

    /// Whether the destination stays below the directory it is relative to.
    pub(crate) fn is_inside(&self) -> bool {
        let dest = self.dest.as_str();
        !dest.is_empty()
            && !dest.ends_with('/')
            && !dest.contains('\0')
            && Path::new(dest).components().all(|part| matches!(part, Component::Normal(_)))
    }

    /// Opens the content; its length is fixed here.
    pub(crate) fn open(&self) -> io::Result<Content> {
        match &self.source {
            UploadSource::Bytes(bytes) => Ok(Content {
                length: bytes.len() as u64,
                modified: 0,
                reader: Box::new(Cursor::new(bytes.clone())),
            }),
            UploadSource::Nothing => Ok(Content { length: 0, modified: 0, reader: Box::new(io::empty()) }),
            UploadSource::File(path) => content(open_file(path)?),
            UploadSource::Lent(lent) => content(lent.lender.open(lent.number)?),
        }
    }
}

/// Opens a regular file, and nothing else: opening what is none may wait or have an effect.
pub(crate) fn open_file(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    File::open(path)
}

fn content(file: File) -> io::Result<Content> {
    let metadata = file.metadata()?;
    let modified = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let length = metadata.len();
    Ok(Content {
        length,
        modified: modified.unwrap_or_default().as_secs(),
        reader: Box::new(Whole { file, left: length }),
    })
}

/// The content of an entry.
pub(crate) struct Content {
    pub(crate) length: u64,
    pub(crate) modified: u64,
    pub(crate) reader: Box<dyn Read + Send>,
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let mut shrinking = content(File::open(&path).unwrap()).unwrap();
        std::fs::write(&path, "1").unwrap();
        let error = shrinking.reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let mut growing = content(File::open(&path).unwrap()).unwrap();
        std::fs::write(&path, "123456789").unwrap();
        let mut read = Vec::new();
        growing.reader.read_to_end(&mut read).unwrap();
        assert_eq!(read, b"1");
    }
}

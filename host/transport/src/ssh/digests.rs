//! Digests of local files.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sha2::{Digest as _, Sha256};

use crate::entry::{FileFact, UploadEntry, UploadSource};
use crate::output::with_buffer;

/// SHA-256 of a file.
pub(super) type FileDigest = [u8; 32];

/// Digests of local files, for all connections: a file is read once, and again when it has changed.
#[derive(Debug, Clone, Default)]
pub struct Digests {
    all: Arc<Mutex<HashMap<PathBuf, Arc<Known>>>>,
    /// Held while new files are read: whoever needs the same ones finds them afterwards.
    reading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    digest: OnceLock<Option<FileDigest>>,
}

/// What changes with a file's content: size, time and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: (i64, i64),
    inode: u64,
}

/// Of a file that was never met, or has changed since.
struct HasToBeRead;

impl Stamp {
    /// That of a file which can be looked at.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Some(Self { length: metadata.len(), modified, inode: metadata.ino() })
    }
}

impl Digests {
    /// Digest and length of a file; none where it cannot be read, which its upload will say.
    pub(super) fn of(&self, path: &Path) -> Option<(FileDigest, u64)> {
        let stamp = Stamp::of(path)?;
        let known = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            let known = all.entry(path.to_owned()).or_insert_with(|| Known::new(stamp));
            if known.stamp != stamp {
                *known = Known::new(stamp);
            }
            Arc::clone(known)
        };
        // Whoever wants the same file meanwhile waits for this one instead of reading it as well.
        let digest = known.digest.get_or_init(|| File::open(path).and_then(digest_of).ok());
        digest.map(|digest| (digest, stamp.length))
    }

    /// Digest and length of each entry that is a file which can be read. Files that were never met, or have changed, are read
    /// first, by one caller at a time: whoever needs the same ones finds them afterwards.
    pub(super) async fn facts(&self, entries: &[UploadEntry]) -> Vec<Option<FileFact>> {
        let paths = paths(entries);
        // Where nothing is to be read, another thread costs more than the look.
        if let Ok(facts) = paths.iter().map(|path| self.known(path.as_deref())).collect() {
            return facts;
        }
        let turn = self.reading.lock().await;
        let digests = self.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let fact = |path: PathBuf| {
                let (digest, length) = digests.of(&path)?;
                Some(FileFact { length, digest: Some(digest) })
            };
            paths.into_iter().map(|path| path.and_then(fact)).collect()
        });
        let facts = looking.await;
        drop(turn);
        // Without them each file says for itself what is wrong with it.
        facts.unwrap_or_else(|_| vec![None; entries.len()])
    }

    /// What is known of a file.
    fn known(&self, path: Option<&Path>) -> Result<Option<FileFact>, HasToBeRead> {
        let Some((path, stamp)) = path.and_then(|path| Some((path, Stamp::of(path)?))) else {
            return Ok(None);
        };
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(path).filter(|known| known.stamp == stamp);
        let digest = known.and_then(|known| known.digest.get()).ok_or(HasToBeRead)?;
        Ok(digest.map(|digest| FileFact { length: stamp.length, digest: Some(digest) }))
    }
}

/// The local file of each entry that is one.
pub(super) fn paths(entries: &[UploadEntry]) -> Vec<Option<PathBuf>> {
    let path = |entry: &UploadEntry| match &entry.source {
        UploadSource::File(path) => Some(path.clone()),
        UploadSource::Bytes(_) | UploadSource::Nothing | UploadSource::Lent(_) => None,
    };
    entries.iter().map(path).collect()
}

/// The length of each entry that is a file which can be looked at.
pub(super) fn lengths(entries: &[UploadEntry]) -> Vec<Option<FileFact>> {
    let fact = |path: PathBuf| Some(FileFact { length: Stamp::of(&path)?.length, digest: None });
    paths(entries).into_iter().map(|path| path.and_then(fact)).collect()
}

impl Known {
    fn new(stamp: Stamp) -> Arc<Self> {
        Arc::new(Self { stamp, digest: OnceLock::new() })
    }
}

pub(super) fn digest_of(mut file: impl io::Read) -> io::Result<FileDigest> {
    let mut hasher = Sha256::new();
    with_buffer(|buffer| {
        loop {
            match file.read(buffer)? {
                0 => return Ok(hasher.finalize().into()),
                length => hasher.update(buffer.get(..length).unwrap_or_default()),
            }
        }
    })
}

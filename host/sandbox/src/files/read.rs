//! Looking at files and reading them.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use autoexec_grants::DataDirection;
use cap_std::fs::{Metadata, MetadataExt, OpenOptions};

use super::{Entry, Last, Place, base, not_regular, open_regular};
use crate::border::Border;
use crate::host::FileError;

/// What an entry of a listing costs beside its name, in bytes.
const ENTRY_SIZE: u64 = 64;

impl Border {
    pub(crate) async fn stat(self: &Arc<Self>, path: String) -> Result<Entry, FileError> {
        self.blocking(move |border| {
            let asked = path;
            let Place { root, path, granted, .. } =
                border.place(&asked, DataDirection::Read, Last::Followed)?;
            // The name by which it was asked for: that of a fetched file in the cache is the executor's.
            let name = Path::new(&asked).file_name().or_else(|| granted.file_name()).unwrap_or_default();
            entry(name.to_string_lossy().into_owned(), &root.metadata(&path)?).ok_or_else(not_regular)
        })
        .await
    }

    pub(crate) async fn list(self: &Arc<Self>, path: String) -> Result<Vec<Entry>, FileError> {
        self.blocking(move |border| {
            let Place { root, path, links, .. } = border.place(&path, DataDirection::Read, Last::Followed)?;
            let base = base(&path);
            let limit = border.limits.response;
            let mut size = 0;
            let mut entries = Vec::new();
            for found in root.read_dir(&path)? {
                let found = found?;
                let Ok(name) = found.file_name().into_string() else { continue };
                let fetched = links.as_ref().and_then(|links| links.target(&root, &base.join(&name)));
                let facts = match &fetched {
                    Some((cache, target)) => cache.metadata(target),
                    None => found.metadata(),
                };
                // One that was removed in the meantime is left out, as are other links.
                let Some(entry) = facts.ok().and_then(|facts| entry(name, &facts)) else {
                    continue;
                };
                size += ENTRY_SIZE + entry.name.len() as u64;
                if size > limit {
                    return Err(FileError::TooLarge(limit));
                }
                entries.push(entry);
            }
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(entries)
        })
        .await
    }

    pub(crate) async fn read(
        self: &Arc<Self>,
        path: String,
        offset: u64,
        length: u32,
    ) -> Result<Vec<u8>, FileError> {
        self.blocking(move |border| {
            let Place { root, path, .. } = border.place(&path, DataDirection::Read, Last::Followed)?;
            let file = open_regular(&root, &path, OpenOptions::new().read(true))?;
            let there = file.metadata()?.len().saturating_sub(offset);
            let length = u64::from(length).min(there).min(border.limits.response);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
            let mut filled = 0;
            while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
                match file.read_at(rest, offset + filled as u64)? {
                    0 => break,
                    read => filled += read,
                }
            }
            bytes.truncate(filled);
            Ok(bytes)
        })
        .await
    }
}

/// None for what is neither a regular file nor a directory.
fn entry(name: String, facts: &Metadata) -> Option<Entry> {
    let is_directory = facts.is_dir();
    (is_directory || facts.is_file()).then(|| Entry {
        name,
        is_directory,
        size: if is_directory { 0 } else { facts.len() },
        modified: facts.mtime(),
        mode: facts.mode() & 0o777,
    })
}

/// Whether there is anything, and whether it is a file or a directory.
pub(super) fn kind_of(root: &cap_std::fs::Dir, path: &Path) -> Result<Option<bool>, FileError> {
    match root.symlink_metadata(path) {
        Ok(facts) if facts.is_dir() => Ok(Some(true)),
        Ok(facts) if facts.is_file() || facts.file_type().is_symlink() => Ok(Some(false)),
        Ok(_) => Err(not_regular()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

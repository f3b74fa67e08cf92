//! Links of the executor to files that it has fetched for the job (`spec/workdir.md` §5.1): the only ones that may lead out of a
//! granted directory.

use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::base;
use crate::host::FetchedFiles;

/// Such links below a granted directory.
#[derive(Debug, Clone)]
pub(super) struct Links {
    /// The directory that they are in, below the granted one.
    at: PathBuf,
    cache: PathBuf,
}

impl Links {
    /// None where the granted directory has none.
    pub(super) fn below(granted: &Path, fetched: Option<FetchedFiles>) -> Option<Self> {
        let FetchedFiles { links, cache } = fetched?;
        let at = links.strip_prefix(granted).ok()?.to_owned();
        Some(Self { at, cache })
    }

    /// The same for a directory below the granted one.
    pub(super) fn seen_from(self, directory: &Path) -> Option<Self> {
        let at = self.at.strip_prefix(base(directory)).ok()?.to_owned();
        Some(Self { at, ..self })
    }

    /// The file that `path` below `root` is a link to: its directory, opened, and its name. None for anything but a link at
    /// the right place to a regular file at the right place.
    pub(super) fn target(&self, root: &Dir, path: &Path) -> Option<(Dir, PathBuf)> {
        if path.parent()? != self.at || !root.symlink_metadata(path).ok()?.is_symlink() {
            return None;
        }
        let target = root.read_link_contents(path).ok()?;
        let name = PathBuf::from(target.file_name()?);
        if target.parent()? != self.cache {
            return None;
        }
        let cache = Dir::open_ambient_dir(&self.cache, ambient_authority()).ok()?;
        let is_file = cache.symlink_metadata(&name).ok()?.is_file();
        is_file.then_some((cache, name))
    }
}

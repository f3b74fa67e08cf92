//! Downloaded files: kept once per installation, linked into jobs (`spec/workdir.md` §5.1, `spec/defects.md` 69).

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::atomic::{PRIVATE, Staged};
use crate::error::io_error;
use crate::layout::create_dirs;
use crate::names::{base_name, check_file_name};
use crate::{Home, JobDir, StoreError};

/// The server's id of a file; it names the file in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(String);

impl FileId {
    /// Checks that the id is a plain file name. One with a leading dot is refused, since hidden names are ours.
    pub fn new(text: impl Into<String>) -> Result<Self, StoreError> {
        let text = text.into();
        check_file_name("a file id", &text)?;
        if text.starts_with('.') {
            return Err(StoreError::Name { what: "a file id", text });
        }
        Ok(Self(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The directory of downloaded files.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The cache of an installation.
    pub fn new(home: &Home) -> Self {
        Self { root: home.cache() }
    }

    /// Where the file lies, or would.
    pub fn path(&self, id: &FileId) -> PathBuf {
        self.root.join(id.as_str())
    }

    /// Opens a new version of a file; it takes the place of the old one when committed.
    pub fn stage(&self, id: &FileId) -> Result<Staged, StoreError> {
        create_dirs(&self.root)?;
        Staged::create(&self.path(id), PRIVATE)
    }

    /// Links a cached file into a job as `file/<name>` and returns that path, relative to the job directory.
    ///
    /// `name` comes from the server and only its last segment counts. A second file of that name gets its id
    /// as a prefix, so neither stands in for the other; the same file linked again gives the same path.
    pub fn link(&self, job: &JobDir, id: &FileId, name: &str) -> Result<String, StoreError> {
        let name = base_name(name)?;
        create_dirs(&job.files())?;
        for candidate in [name.clone(), format!("{}-{name}", id.as_str())] {
            check_file_name("a file name", &candidate)?;
            if link_as(&self.path(id), &job.files().join(&candidate))? {
                return Ok(format!("file/{candidate}"));
            }
        }
        Err(StoreError::Name { what: "the name of one more file of the job (the name is taken)", text: name })
    }
}

/// Makes the link unless the name stands for something else already.
fn link_as(target: &Path, link: &Path) -> Result<bool, StoreError> {
    match symlink(target, link) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(fs::read_link(link).is_ok_and(|existing| existing == target))
        }
        Err(error) => Err(io_error("create the link", link)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn two_files_of_one_name_stay_apart() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let (cache, job) = (Cache::new(&home), JobDir::at(dir.path().join("job")));
        for (id, content) in [("11", "one"), ("12", "two")] {
            let mut staged = cache.stage(&FileId::new(id).unwrap()).unwrap();
            staged.write_all(content.as_bytes()).unwrap();
            staged.commit().unwrap();
        }
        let link = |id: &str, name: &str| cache.link(&job, &FileId::new(id).unwrap(), name).unwrap();
        assert_eq!(link("11", "../包 1.zip"), "file/包 1.zip");
        assert_eq!(link("12", "包 1.zip"), "file/12-包 1.zip");
        assert_eq!(link("11", "包 1.zip"), "file/包 1.zip");
        assert_eq!(link("12", "包 1.zip"), "file/12-包 1.zip");
        assert_eq!(fs::read_to_string(job.root().join("file/12-包 1.zip")).unwrap(), "two");
        assert!(cache.link(&job, &FileId::new("11").unwrap(), "..").is_err());
    }

    #[test]
    fn an_id_cannot_leave_the_cache() {
        for bad in ["", "..", "../x", "a/b", ".hidden", "a\n"] {
            assert!(FileId::new(bad).is_err(), "{bad:?}");
        }
    }
}

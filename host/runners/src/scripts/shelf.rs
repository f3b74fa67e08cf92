//! The directory of a bundle's scripts: version files, what they use, and the links to them.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use autoexec_store::atomic;

use super::error::io_error;
use super::{SCRIPT_MODE, ScriptError};

static NEXT_LINK: AtomicU64 = AtomicU64::new(0);

/// `<job>/script[/<bundle>]`.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    directory: PathBuf,
}

/// The local copy of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LocalCopy {
    /// Its version, where the file name says it.
    pub(super) version: Option<i64>,
    /// When it was fetched.
    pub(super) fetched: SystemTime,
    /// Name of the version file.
    pub(super) file: String,
}

impl Shelf {
    /// Creates the directory.
    pub(super) fn open(directory: PathBuf) -> Result<Self, ScriptError> {
        fs::create_dir_all(&directory).map_err(io_error("create the directory", &directory))?;
        Ok(Self { directory })
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The copy that the link `<scriptId>` stands for, if it is still there.
    pub(super) fn local_copy(&self, script: i64) -> Option<LocalCopy> {
        let target = fs::read_link(self.path(&script.to_string())).ok()?;
        // Only the name counts: a link may be one of the replaced system, which had whole paths.
        let file = target.file_name()?.to_str()?.to_owned();
        let metadata = fs::symlink_metadata(self.path(&file)).ok().filter(fs::Metadata::is_file)?;
        let version =
            file.split('.').next().and_then(|text| text.parse().ok()).filter(|version| *version != 0);
        Some(LocalCopy { version, fetched: metadata.modified().ok()?, file })
    }

    /// Whether a version file is there.
    pub(super) fn has(&self, file: &str) -> bool {
        fs::symlink_metadata(self.path(file)).is_ok_and(|metadata| metadata.is_file())
    }

    /// Writes a script, replacing what has the name: a draft changes without a new version.
    pub(super) fn write(&self, file: &str, content: &[u8]) -> Result<(), ScriptError> {
        Ok(atomic::write(&self.path(file), content, SCRIPT_MODE)?)
    }

    /// Sets when a version file was fetched: the moment of the request, because a change that the server saw while
    /// the answer was under way must count as newer.
    pub(super) fn set_fetched(&self, file: &str, at: SystemTime) -> Result<(), ScriptError> {
        let path = self.path(file);
        let opened = fs::OpenOptions::new().write(true).open(&path);
        opened.and_then(|file| file.set_modified(at)).map_err(io_error("set the time of", &path))
    }

    /// Writes the ids of the libraries that a version uses.
    pub(super) fn write_uses(&self, file: &str, libraries: &[i64]) -> Result<(), ScriptError> {
        let ids: Vec<String> = libraries.iter().map(i64::to_string).collect();
        let path = self.path(&format!("{file}.lib"));
        Ok(atomic::write(&path, ids.join(",").as_bytes(), atomic::PRIVATE)?)
    }

    /// Points the link `name` to `file`, at once: nobody finds it missing.
    pub(super) fn link(&self, name: &str, file: &str) -> Result<(), ScriptError> {
        let link = self.path(name);
        if fs::read_link(&link).is_ok_and(|target| target == Path::new(file)) {
            return Ok(());
        }
        let temporary = self.temporary_link(file)?;
        fs::rename(&temporary, &link).map_err(|cause| {
            // It has a name that nobody reads; the error that matters is the first.
            let _ = fs::remove_file(&temporary);
            io_error("replace the link", &link)(cause)
        })
    }

    fn temporary_link(&self, file: &str) -> Result<PathBuf, ScriptError> {
        loop {
            let number = NEXT_LINK.fetch_add(1, Ordering::Relaxed);
            let path = self.path(&format!(".autoexec-{}-link{number}.tmp", std::process::id()));
            match symlink(file, &path) {
                Ok(()) => return Ok(path),
                // Left by a dead process with our id: take the next number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(cause) => return Err(io_error("create the link", &path)(cause)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shelf() -> (tempfile::TempDir, Shelf) {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path().join("script/b")).unwrap();
        (dir, shelf)
    }

    #[test]
    fn a_version_file_is_found_through_the_link_of_its_script() {
        let (_dir, shelf) = shelf();
        assert_eq!(shelf.local_copy(7), None);
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        shelf.write("31.check.sh", b"x").unwrap();
        shelf.set_fetched("31.check.sh", at).unwrap();
        shelf.link("7", "31.check.sh").unwrap();
        let copy = LocalCopy { version: Some(31), fetched: at, file: "31.check.sh".to_owned() };
        assert_eq!(shelf.local_copy(7), Some(copy));
        fs::remove_file(shelf.path("31.check.sh")).unwrap();
        assert_eq!(shelf.local_copy(7), None, "a dangling link is no copy");
    }

    #[test]
    fn a_link_of_the_replaced_system_is_understood() {
        let (_dir, shelf) = shelf();
        shelf.write("31.check.sh", b"x").unwrap();
        symlink(shelf.path("31.check.sh"), shelf.path("7")).unwrap();
        assert_eq!(shelf.local_copy(7).unwrap().file, "31.check.sh");
    }

    #[test]
    fn content_and_links_are_replaced() {
        let (_dir, shelf) = shelf();
        for (file, content) in [("1.x.sh", "old"), ("1.x.sh", "draft"), ("2.x.sh", "new")] {
            shelf.write(file, content.as_bytes()).unwrap();
            shelf.link("x.sh", file).unwrap();
            assert_eq!(fs::read_to_string(shelf.path("x.sh")).unwrap(), content);
        }
        shelf.write_uses("2.x.sh", &[8, 9]).unwrap();
        assert_eq!(fs::read_to_string(shelf.path("2.x.sh.lib")).unwrap(), "8,9");
        let mut names: Vec<_> =
            fs::read_dir(shelf.directory()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["1.x.sh", "2.x.sh", "2.x.sh.lib", "x.sh"], "no temporary name is left");
    }

    #[test]
    fn a_directory_in_the_way_of_a_link_is_named() {
        let (_dir, shelf) = shelf();
        fs::create_dir(shelf.path("x.sh")).unwrap();
        let error = shelf.link("x.sh", "1.x.sh").unwrap_err().to_string();
        assert!(error.contains("script/b/x.sh"), "{error}");
    }
}

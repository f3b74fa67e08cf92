//! Secrets of one operation in files, for a native tool that takes them so: command line and environment of a process can be
//! read by others of its user (defect 66).

use std::cell::Cell;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use autoexec_store::atomic;
use tempfile::TempDir;

/// A directory that only this user can enter; it goes with this value, and with the next process of the job when this one
/// is killed.
pub(crate) struct SecretFiles {
    directory: TempDir,
    count: Cell<usize>,
}

impl SecretFiles {
    pub(crate) fn create(job_dir: &Path) -> Result<Self, String> {
        let directory = tempfile::Builder::new()
            .prefix(&format!("{}secrets.", atomic::temporary_prefix()))
            .suffix(atomic::TEMPORARY_SUFFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(job_dir)
            .map_err(|error| format!("Can not create a directory in {}: {error}", job_dir.display()))?;
        Ok(Self { directory, count: Cell::new(0) })
    }

    /// Writes a secret; its file.
    pub(crate) fn write(&self, secret: &str) -> Result<PathBuf, String> {
        let number = self.count.replace(self.count.get() + 1);
        let path = self.directory.path().join(number.to_string());
        atomic::write(&path, secret.as_bytes(), atomic::PRIVATE).map_err(|error| error.to_string())?;
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_is_in_a_private_file_and_goes_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let files = SecretFiles::create(dir.path()).unwrap();
        let (one, two) = (files.write("one").unwrap(), files.write("two").unwrap());
        assert_eq!(
            std::fs::read_to_string(&one).unwrap() + &std::fs::read_to_string(&two).unwrap(),
            "onetwo"
        );
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&one), mode(one.parent().unwrap())), (0o600, 0o700));
        drop(files);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

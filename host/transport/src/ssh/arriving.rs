//! A file on its way here.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::NamedTempFile;

use super::error::SshErrorKind;

/// A file on its way here, with what has arrived of it: another connection goes on with that. Clones are the same.
#[derive(Debug, Clone)]
pub struct Arriving {
    local: PathBuf,
    part: Arc<Mutex<Part>>,
}

#[derive(Debug)]
enum Part {
    /// Under its temporary name, of which its length says how much has arrived.
    Temporary(NamedTempFile),
    /// Whole, with this many bytes.
    Whole(u64),
}

impl Arriving {
    /// A file that gets the name `local` once it is whole.
    pub fn new(local: &Path) -> Result<Self, SshErrorKind> {
        let dir = local.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Under a name that the next process of the job removes if this one is killed here.
        let prefix = format!(".autoexec-{}-fetch.", std::process::id());
        let file = tempfile::Builder::new().prefix(&prefix).suffix(".tmp").tempfile_in(dir);
        let file = file.map_err(|source| SshErrorKind::LocalFile { path: local.to_owned(), source })?;
        Ok(Self { local: local.to_owned(), part: Arc::new(Mutex::new(Part::Temporary(file))) })
    }

    /// How many bytes have arrived.
    pub fn length(&self) -> u64 {
        match &*self.part.lock().unwrap_or_else(PoisonError::into_inner) {
            Part::Temporary(file) => file.as_file().metadata().map_or(0, |metadata| metadata.len()),
            Part::Whole(length) => *length,
        }
    }

    /// The name it is to have.
    pub(super) fn local(&self) -> &Path {
        &self.local
    }

    /// Whether all of it is here.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&*self.part.lock().unwrap_or_else(PoisonError::into_inner), Part::Whole(_))
    }

    /// What has arrived, for the process that writes what follows.
    pub(super) fn file(&self) -> Result<File, SshErrorKind> {
        let part = self.part.lock().unwrap_or_else(PoisonError::into_inner);
        let file = match &*part {
            Part::Temporary(file) => file.as_file().try_clone(),
            Part::Whole(_) => Err(io::Error::other("all of it is here")),
        };
        file.map_err(|source| SshErrorKind::LocalFile { path: self.local.clone(), source })
    }

    /// All of it is here: it gets its name.
    pub(super) fn finish(&self, length: u64) -> Result<(), SshErrorKind> {
        let mut part = self.part.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *part, Part::Whole(length)) {
            Part::Temporary(file) => file.persist(&self.local).map(drop).map_err(|error| {
                let source = error.error;
                *part = Part::Temporary(error.file);
                SshErrorKind::LocalFile { path: self.local.clone(), source }
            }),
            Part::Whole(_) => Ok(()),
        }
    }
}

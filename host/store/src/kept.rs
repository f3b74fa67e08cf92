//! Directories that a run keeps on targets between two phases: `.kept`, one file for each, so that those of a killed run are
//! found. Not part of the reference.

use std::fs;
use std::io;
use std::path::PathBuf;

use autoexec_model::ResourceId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::atomic::{self, PRIVATE};
use crate::error::{io_error, json_reason};
use crate::json::Style;
use crate::layout::{create_dirs, remove_if_there};
use crate::names::check_file_name;
use crate::read::load_object;
use crate::{JobDir, Loaded, ProcessIdentity, StoreError};

/// Tries to make a file in a directory that another process of the job may just be removing because it is empty.
const TRIES: u32 = 5;

/// A directory on a target, and whose login reaches it. It holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptDirectory {
    /// The node.
    pub resource: ResourceId,
    /// Its host.
    pub host: String,
    /// Port of the login.
    pub port: u16,
    /// Login name.
    pub user: String,
    /// Absolute path on the target.
    pub directory: String,
}

/// What processes that have died left.
#[derive(Debug, Default)]
pub struct LeftDirectories {
    /// The directories.
    pub found: Vec<KeptDirectory>,
    /// Notes that cannot be used.
    pub broken: Vec<StoreError>,
}

/// The notes of one job.
#[derive(Debug)]
pub struct KeptNotes {
    job: JobDir,
}

/// The form on disk.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Note {
    pid: u32,
    start: Option<u64>,
    resource_id: i64,
    host: String,
    port: u16,
    user: String,
    directory: String,
}

impl KeptNotes {
    /// Those of this job; nothing is made or read yet.
    pub fn new(job: &JobDir) -> Self {
        Self { job: job.clone() }
    }

    /// Notes a directory of this process. When it returns, the note survives the death of the process.
    pub fn add(&self, kept: &KeptDirectory) -> Result<(), StoreError> {
        let path = self.file(&kept.directory)?;
        let ProcessIdentity { pid, start } = ProcessIdentity::current()?;
        let KeptDirectory { resource, host, port, user, directory } = kept.clone();
        let note = Note { pid, start, resource_id: resource.0, host, port, user, directory };
        let mut tries = 0;
        loop {
            create_dirs(&self.job.kept())?;
            match atomic::write_json(&path, &note, Style::Compact, PRIVATE) {
                Err(StoreError::Io { cause, .. })
                    if cause.kind() == io::ErrorKind::NotFound && tries < TRIES =>
                {
                    tries += 1;
                }
                result => return result,
            }
        }
    }

    /// The directory is gone; the last note takes the directory of the notes with it.
    pub fn remove(&self, directory: &str) -> Result<(), StoreError> {
        remove_if_there(&self.file(directory)?)?;
        // It holds others, or is gone already.
        let _ = fs::remove_dir(self.job.kept());
        Ok(())
    }

    /// What processes that have died left.
    pub fn left(&self) -> Result<LeftDirectories, StoreError> {
        let directory = self.job.kept();
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(LeftDirectories::default()),
            entries => entries.map_err(io_error("list", &directory))?,
        };
        let mut left = LeftDirectories::default();
        for entry in entries {
            let path = entry.map_err(io_error("list", &directory))?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match load_object(&path)?.and_then(note) {
                Loaded::Found(note) if ProcessIdentity { pid: note.pid, start: note.start }.is_alive() => {}
                Loaded::Found(Note { resource_id, host, port, user, directory, .. }) => {
                    let resource = ResourceId(resource_id);
                    left.found.push(KeptDirectory { resource, host, port, user, directory });
                }
                Loaded::Missing => {}
                Loaded::Broken { reason } => left.broken.push(StoreError::Broken { path, reason }),
            }
        }
        Ok(left)
    }

    /// The note of a directory, by its name.
    fn file(&self, directory: &str) -> Result<PathBuf, StoreError> {
        let name = format!("{}.json", directory.rsplit('/').next().unwrap_or_default());
        check_file_name("the name of a kept directory", &name)?;
        Ok(self.job.kept().join(name))
    }
}

fn note(object: Map<String, Value>) -> Result<Note, String> {
    serde_json::from_value(Value::Object(object)).map_err(|error| json_reason(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(number: i64) -> KeptDirectory {
        KeptDirectory {
            resource: ResourceId(number),
            host: "10.1.0.1".to_owned(),
            port: 22,
            user: "root".to_owned(),
            directory: format!("/tmp/autoexec-1-{number}-1.0123456789ab"),
        }
    }

    #[test]
    fn what_a_dead_process_kept_is_found_and_the_last_note_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let job = JobDir::at(home.path());
        let notes = KeptNotes::new(&job);
        assert!(notes.left().unwrap().found.is_empty());
        notes.add(&kept(1)).unwrap();
        notes.add(&kept(2)).unwrap();
        assert!(notes.left().unwrap().found.is_empty(), "this process is alive");
        let path = job.kept().join("autoexec-1-2-1.0123456789ab.json");
        let text = fs::read_to_string(&path).unwrap();
        let ours = format!("\"pid\": {}", std::process::id());
        assert!(text.contains(&ours), "{text}");
        fs::write(&path, text.replace(&ours, "\"pid\": 4194305")).unwrap();
        fs::write(job.kept().join("x.json"), "{\"pid\": \"secret\"}").unwrap();
        let left = notes.left().unwrap();
        assert_eq!(left.found, [kept(2)]);
        let broken = left.broken.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        assert!(broken.contains("/x.json") && !broken.contains("secret"), "{broken}");
        fs::remove_file(job.kept().join("x.json")).unwrap();
        for number in [1, 2, 3] {
            notes.remove(&kept(number).directory).unwrap();
        }
        assert!(!job.kept().exists());
    }
}

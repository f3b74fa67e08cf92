//! Files on their way between the runner and a node.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use autoexec_sandbox::{
    DownloadSink, SourceFacts, SourceFile, SourceKind, TargetEntry, TargetError, UploadSource as Source,
};
use autoexec_transport::{UploadEntry, UploadSource};

/// What an upload sends.
pub(super) struct Staged {
    pub(super) entries: Vec<UploadEntry>,
    /// Directories, for those without files.
    pub(super) directories: Vec<String>,
    pub(super) is_file: bool,
    pub(super) total: u64,
    /// The opened files, by whose descriptors the entries read them.
    pub(super) files: Vec<SourceFile>,
}

pub(super) fn stage(source: Source, name: &str) -> Result<Staged, TargetError> {
    let mut staged =
        Staged { entries: Vec::new(), directories: Vec::new(), is_file: false, total: 0, files: Vec::new() };
    match source {
        Source::File(file) => {
            staged.is_file = true;
            staged.add(file, format!("{name}/content"));
        }
        Source::Directory(found) => {
            for entry in found {
                let entry = entry?;
                let path = entry.path.to_str().ok_or_else(|| {
                    TargetError::Other(format!("{}: the name is not UTF-8", entry.path.display()))
                })?;
                match entry.kind {
                    SourceKind::Directory(_) => staged.directories.push(path.to_owned()),
                    SourceKind::File(file) => staged.add(file, format!("{name}/content/{path}")),
                }
            }
        }
    }
    Ok(staged)
}

impl Staged {
    fn add(&mut self, file: SourceFile, dest: String) {
        use std::os::fd::AsRawFd as _;
        // Opened anew through the descriptor: the file that was granted, whatever its path leads to now.
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.file.as_raw_fd()));
        self.total += file.size;
        self.entries.push(UploadEntry {
            source: UploadSource::File(path),
            dest,
            mode: file.facts.mode & 0o777,
        });
        self.files.push(file);
    }
}

pub(super) fn one_file(
    mut file: std::fs::File,
    facts: &TargetEntry,
    sink: &mut dyn DownloadSink,
) -> Result<u64, TargetError> {
    Ok(sink.file(Path::new(""), times(facts.modified, facts.mode), &mut file)?)
}

pub(super) fn unpack(file: std::fs::File, sink: &mut dyn DownloadSink) -> Result<u64, TargetError> {
    let mut archive = tar::Archive::new(file);
    let mut total = 0;
    for member in archive.entries().map_err(TargetError::from)? {
        let mut member = member.map_err(TargetError::from)?;
        let path = member.path().map_err(TargetError::from)?.into_owned();
        let path: PathBuf = path.components().filter(|part| *part != std::path::Component::CurDir).collect();
        let modified = member.header().mtime().unwrap_or_default();
        let facts =
            times(i64::try_from(modified).unwrap_or_default(), member.header().mode().unwrap_or(0o600));
        let kind = member.header().entry_type();
        if kind.is_dir() {
            sink.directory(&path, facts)?;
        } else if kind.is_file() {
            let size = member.size();
            total += sink.file(&path, facts, &mut member.by_ref().take(size))?;
        }
    }
    Ok(total)
}

fn times(modified: i64, mode: u32) -> SourceFacts {
    let since = Duration::from_secs(u64::try_from(modified).unwrap_or_default());
    SourceFacts { modified: UNIX_EPOCH + since, mode: mode & 0o777 }
}

//! Files on their way between the runner and a node.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use autoexec_sandbox::{
    DownloadSink, SourceFacts, SourceFile, SourceKind, TargetEntry, TargetError, UploadSource as Source,
};
use autoexec_transport::{TarBounds, TarError, tar_members};
use autoexec_transport::{UploadEntry, UploadSource};

use super::MAX_DOWNLOAD;

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
    let mut total = 0;
    let read = tar_members(file, TarBounds::bytes(MAX_DOWNLOAD), |member, content| {
        let parts = member.path.components();
        let path: PathBuf = parts.filter(|part| *part != std::path::Component::CurDir).collect();
        let facts = times(i64::try_from(member.modified).unwrap_or_default(), member.mode);
        if member.is_directory {
            sink.directory(&path, facts)?;
        } else {
            total += sink.file(&path, facts, content)?;
        }
        Ok::<_, TargetError>(())
    });
    match read {
        Ok(()) => Ok(total),
        Err(TarError::Taking(error)) => Err(error),
        Err(TarError::Broken(error)) => Err(TargetError::from(error)),
        Err(TarError::TooLarge(limit)) => Err(TargetError::TooLarge(limit)),
        Err(error @ TarError::TooMany(_)) => Err(TargetError::Other(format!("the directory: {error}"))),
    }
}

fn times(modified: i64, mode: u32) -> SourceFacts {
    let since = Duration::from_secs(u64::try_from(modified).unwrap_or_default());
    SourceFacts { modified: UNIX_EPOCH + since, mode: mode & 0o777 }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek as _, Write as _};

    use autoexec_sandbox::FileError;

    use super::*;

    struct Names(Vec<String>);

    impl DownloadSink for Names {
        fn directory(&mut self, path: &Path, _: SourceFacts) -> Result<(), FileError> {
            self.0.push(path.display().to_string());
            Ok(())
        }
        fn file(
            &mut self,
            path: &Path,
            facts: SourceFacts,
            content: &mut dyn Read,
        ) -> Result<u64, FileError> {
            self.0.push(format!("{} {:o}", path.display(), facts.mode));
            std::io::copy(content, &mut std::io::sink()).map_err(FileError::from)
        }
    }

    /// An archive of a directory and a file, with a comment of this length on the file.
    fn unpacked(comment: usize) -> (Result<u64, TargetError>, Vec<String>) {
        let mut archive = tar::Builder::new(Vec::new());
        let text = format!("{comment} comment={}\n", "x".repeat(comment - 17));
        for (name, kind, content) in [
            ("./d", tar::EntryType::Directory, ""),
            ("comment", tar::EntryType::XHeader, text.as_str()),
            ("./d/f", tar::EntryType::Regular, "abc"),
        ] {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o750);
            archive.append_data(&mut header, name, content.as_bytes()).unwrap();
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&archive.into_inner().unwrap()).unwrap();
        file.rewind().unwrap();
        let mut names = Names(Vec::new());
        (unpack(file, &mut names), names.0)
    }

    #[test]
    fn a_targets_archive_is_unpacked_and_what_describes_its_members_is_bounded() {
        let (total, names) = unpacked(1_000_000);
        assert_eq!(total, Ok(3));
        assert_eq!(names, ["d", "d/f 750"]);
        assert!(unpacked(2_000_000).0.is_err());
    }
}

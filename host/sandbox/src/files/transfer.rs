//! Copies between granted directories and the step's node: handed over as opened files, so that whoever copies reaches
//! nothing else.

use std::fs::Permissions;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use autoexec_grants::DataDirection;
use cap_std::fs::{Dir, Metadata, MetadataExt, OpenOptions};

use super::fetched::Links;
use super::write::{make_directory, open_directory, replace};
use super::{Last, Place, base, open_regular};
use crate::border::Border;
use crate::host::{DownloadSink, FileError, SourceEntry, SourceFacts, SourceFile, SourceKind, UploadSource};

impl Border {
    /// What is to be copied to the node.
    pub(crate) async fn upload_source(self: &Arc<Self>, path: &str) -> Result<UploadSource, FileError> {
        let path = path.to_owned();
        self.blocking(move |border| {
            let Place { root, path, links, .. } = border.place(&path, DataDirection::Read, Last::Followed)?;
            if root.metadata(&path)?.is_dir() {
                let links = links.and_then(|links| links.seen_from(&path));
                let root = root.open_dir(&path)?;
                let pending = children(&root, Path::new("."))?;
                return Ok(UploadSource::Directory(Box::new(Tree {
                    border: Arc::clone(border),
                    root,
                    links,
                    pending,
                })));
            }
            Ok(UploadSource::File(source_file(&root, &path)?))
        })
        .await
    }

    /// Where what comes from the node is written.
    pub(crate) async fn download_sink(
        self: &Arc<Self>,
        path: &str,
        keep_times: bool,
    ) -> Result<Box<dyn DownloadSink>, FileError> {
        let path = path.to_owned();
        self.blocking(move |border| {
            let Place { root, path, .. } = border.place(&path, DataDirection::Write, Last::AsItIs)?;
            let sink = Sink { border: Arc::clone(border), root, base: path, keep_times };
            Ok(Box::new(sink) as Box<dyn DownloadSink>)
        })
        .await
    }
}

fn source_file(root: &Dir, path: &Path) -> Result<SourceFile, FileError> {
    let file = open_regular(root, path, OpenOptions::new().read(true))?;
    let known = file.metadata()?;
    let facts = SourceFacts { modified: known.modified()?, mode: known.permissions().mode() & 0o777 };
    Ok(SourceFile { file, size: known.len(), facts })
}

fn facts_of(known: &Metadata) -> SourceFacts {
    let modified = known.modified().map_or(SystemTime::UNIX_EPOCH, cap_std::time::SystemTime::into_std);
    SourceFacts { modified, mode: known.mode() & 0o777 }
}

/// The entries of a directory, the first name last.
fn children(root: &Dir, path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let mut names = Vec::new();
    for found in root.read_dir(path)? {
        names.push(found?.file_name());
    }
    names.sort_by(|a, b| b.cmp(a));
    let base = base(path);
    Ok(names.into_iter().map(|name| base.join(name)).collect())
}

/// Walks a directory, parents first. Links and anything but files and directories are left out, but for links to what was
/// fetched for the job.
struct Tree {
    border: Arc<Border>,
    root: Dir,
    links: Option<Links>,
    /// What is still to come, the next one last.
    pending: Vec<PathBuf>,
}

impl Iterator for Tree {
    type Item = Result<SourceEntry, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(path) = self.pending.pop() {
            match self.entry(path) {
                Ok(None) => {}
                Ok(Some(entry)) => return Some(Ok(entry)),
                Err(error) => {
                    self.pending.clear();
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl Tree {
    fn entry(&mut self, path: PathBuf) -> Result<Option<SourceEntry>, FileError> {
        self.border.still_wanted()?;
        let known = self.root.symlink_metadata(&path)?;
        if known.is_dir() {
            self.pending.append(&mut children(&self.root, &path)?);
            return Ok(Some(SourceEntry { path, kind: SourceKind::Directory(facts_of(&known)) }));
        }
        let file = if known.is_file() {
            source_file(&self.root, &path)?
        } else if let Some((cache, name)) =
            self.links.as_ref().and_then(|links| links.target(&self.root, &path))
        {
            source_file(&cache, &name)?
        } else {
            return Ok(None);
        };
        Ok(Some(SourceEntry { path, kind: SourceKind::File(file) }))
    }
}

/// A granted directory that is written to.
struct Sink {
    border: Arc<Border>,
    root: Dir,
    /// The destination below the granted directory.
    base: PathBuf,
    keep_times: bool,
}

impl Sink {
    /// The names come from the node, which may be hostile.
    fn destination(&self, path: &Path) -> Result<PathBuf, FileError> {
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if !plain {
            return Err(FileError::Denied(format!(
                "the node named a file `{}`, which is no plain path below the destination",
                path.to_string_lossy().chars().take(200).collect::<String>()
            )));
        }
        Ok(if path.as_os_str().is_empty() { self.base.clone() } else { self.base.join(path) })
    }
}

impl DownloadSink for Sink {
    fn directory(&mut self, path: &Path, facts: SourceFacts) -> Result<(), FileError> {
        let path = self.destination(path)?;
        self.border.still_wanted()?;
        make_directory(&self.root, &path)?;
        // The owner has to be able to write what comes next.
        let mode = (facts.mode & 0o777) | 0o700;
        Ok(open_directory(&self.root, &path)?.set_permissions(Permissions::from_mode(mode))?)
    }

    fn file(&mut self, path: &Path, facts: SourceFacts, content: &mut dyn Read) -> Result<u64, FileError> {
        let path = self.destination(path)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.border.still_wanted()?;
            make_directory(&self.root, parent)?;
        }
        let keep_times = self.keep_times;
        replace(&self.border, &self.root, &path, content, |file| {
            file.set_permissions(Permissions::from_mode(facts.mode & 0o777))?;
            if keep_times {
                file.set_modified(facts.modified)?;
            }
            Ok(())
        })
    }
}

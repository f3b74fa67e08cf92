//! Files below the granted directories of the runner: never outside of them, never anything but regular files and
//! directories, and never in the way of the call's end.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use autoexec_grants::{Access, DataDirection};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, FileType, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

use fetched::Links;

use crate::border::Border;
use crate::host::FileError;

mod fetched;
mod read;
mod transfer;
mod write;

/// What is known of a file (`entry` in the WIT).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) is_directory: bool,
    pub(crate) size: u64,
    pub(crate) modified: i64,
    pub(crate) mode: u32,
}

/// A path that was permitted: the granted directory, opened, and the way from there.
#[derive(Debug)]
struct Place {
    /// Path of the granted directory.
    granted: PathBuf,
    root: Dir,
    /// Without `..`; `.` for the granted directory itself.
    path: PathBuf,
    /// Links that may lead out of it.
    links: Option<Links>,
}

impl Border {
    /// Runs something that may block for as long as a disk likes, on a thread of its own. A call that is stopped does not wait
    /// for it, and what it does after that has no effect.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, FileError> {
        let border = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&border)).await;
        done.unwrap_or_else(|error| Err(FileError::Other(error.to_string())))
    }

    /// Asks the policy and opens the granted directory. Blocks.
    fn place(&self, path: &str, direction: DataDirection, last: Last) -> Result<Place, FileError> {
        let path = normalised(path)?;
        self.permit_file(&path, direction)?;
        let host = self.host().map_err(|over| FileError::Other(over.to_string()))?;
        let granted =
            host.granted_directory(&path, direction).map_err(|denied| FileError::Denied(denied.0))?;
        let (granted, root) = open_granted(granted)?;
        let below = path.strip_prefix(&granted).map_err(|_| {
            FileError::Denied(format!("{} is not below {}", path.display(), granted.display()))
        })?;
        let below = if below.as_os_str().is_empty() { Path::new(".") } else { below };
        let links = match direction {
            DataDirection::Read => Links::below(&granted, host.fetched_files()),
            DataDirection::Write => None,
        };
        if last == Last::Followed
            && let Some((cache, name)) = links.as_ref().and_then(|links| links.target(&root, below))
        {
            return Ok(Place { granted, root: cache, path: name, links: None });
        }
        let settled = settled(&root, below, last)?;
        if settled != below {
            // A link was followed; it must not lead to what the policy denies below the granted directory.
            self.permit_file(&granted.join(&settled), direction)?;
        }
        Ok(Place { granted, root, path: settled, links })
    }

    fn permit_file(&self, path: &Path, direction: DataDirection) -> Result<(), FileError> {
        let text = path.to_str().ok_or_else(|| FileError::Denied("the path is not UTF-8".into()))?;
        self.permit(&Access::Filesystem { path: text, direction })
            .map_err(|denied| FileError::Denied(denied.0))
    }

    /// Fails when the call is over. Asked before each change.
    fn still_wanted(&self) -> Result<(), FileError> {
        self.check_alive().map_err(|over| FileError::Other(over.to_string()))
    }

    /// A directory that is granted for writing, opened.
    pub(crate) async fn open_directory(self: &Arc<Self>, path: &str) -> Result<OwnedFd, FileError> {
        let path = path.to_owned();
        self.blocking(move |border| {
            let place = border.place(&path, DataDirection::Write, Last::Followed)?;
            Ok(place.root.open_dir(&place.path)?.into_std_file().into())
        })
        .await
    }
}

/// What becomes of the last part of a path when it is a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// The link is followed.
    Followed,
    /// The link itself is meant: replaced, renamed, removed.
    AsItIs,
}

/// Opens what the policy names: a directory, or a single file, of which the directory is opened.
fn open_granted(granted: PathBuf) -> Result<(PathBuf, Dir), FileError> {
    let opened = Dir::open_ambient_dir(&granted, ambient_authority());
    let unusable = |error: std::io::Error| {
        FileError::Other(format!("the granted directory {} can not be opened: {error}", granted.display()))
    };
    match (opened, granted.parent()) {
        (Ok(root), _) => Ok((granted, root)),
        (Err(error), Some(parent))
            if matches!(error.kind(), std::io::ErrorKind::NotADirectory | std::io::ErrorKind::NotFound) =>
        {
            let root = Dir::open_ambient_dir(parent, ambient_authority()).map_err(unusable)?;
            Ok((parent.to_owned(), root))
        }
        (Err(error), _) => Err(unusable(error)),
    }
}

/// The path without links on the way, all of which must stay below `root`. What does not exist yet stays as it is.
fn settled(root: &Dir, path: &Path, last: Last) -> Result<PathBuf, FileError> {
    if last == Last::Followed {
        match root.canonicalize(path) {
            Ok(real) if real.as_os_str().is_empty() => return Ok(PathBuf::from(".")),
            Ok(real) => return Ok(real),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Ok(path.to_owned()) };
    if parent.as_os_str().is_empty() {
        return Ok(path.to_owned());
    }
    match root.canonicalize(parent) {
        Ok(real) => Ok(real.join(name)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error.into()),
    }
}

/// An absolute path without `.`, `..` and doubled slashes.
fn normalised(path: &str) -> Result<PathBuf, FileError> {
    if !path.starts_with('/') {
        return Err(FileError::Denied(format!("`{}` is not an absolute path", shown(path))));
    }
    if path.contains('\0') {
        return Err(FileError::Denied("a path can not hold a zero byte".into()));
    }
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::RootDir | Component::Normal(_) => clean.push(component),
            Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(FileError::Denied(format!("`{}` holds `..`", shown(path))));
            }
        }
    }
    Ok(clean)
}

/// The beginning of a path that a guest chose, for an error.
fn shown(path: &str) -> String {
    path.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Opens a regular file. A FIFO or device is refused without being opened, and one that is put there in that moment does not
/// block.
fn open_regular(root: &Dir, path: &Path, options: &mut OpenOptions) -> Result<File, FileError> {
    if let Ok(known) = root.metadata(path) {
        check_regular(known.file_type())?;
    }
    options.custom_flags(flags(OFlags::NONBLOCK | OFlags::NOCTTY));
    let file = root.open_with(path, options)?.into_std();
    let facts = file.metadata()?;
    if !facts.is_file() {
        return Err(not_regular());
    }
    if facts.nlink() > 1 {
        return Err(FileError::WrongKind(
            "it has more than one name (hard link), so it may belong to something outside the granted directory; \
             replace it by a copy"
                .into(),
        ));
    }
    Ok(file)
}

/// What names below a directory are joined to, so that the granted directory itself leaves no `.` in them.
fn base(directory: &Path) -> &Path {
    if directory == Path::new(".") { Path::new("") } else { directory }
}

fn check_regular(kind: FileType) -> Result<(), FileError> {
    if kind.is_file() {
        Ok(())
    } else if kind.is_dir() {
        Err(FileError::WrongKind("it is a directory".into()))
    } else {
        Err(not_regular())
    }
}

fn not_regular() -> FileError {
    FileError::WrongKind("it is neither a regular file nor a directory".into())
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_have_no_way_up() {
        assert_eq!(normalised("/a//b/./c/").unwrap(), PathBuf::from("/a/b/c"));
        assert_eq!(normalised("/").unwrap(), PathBuf::from("/"));
        for bad in ["", "a", "./a", "/a/../b", "/..", "/a/b/..", "/a\0b"] {
            assert!(matches!(normalised(bad), Err(FileError::Denied(_))), "{bad}");
        }
    }
}

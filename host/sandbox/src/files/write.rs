//! Changing files.

use std::fs::Permissions;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use autoexec_grants::DataDirection;
use cap_std::fs::{Dir, DirBuilder, DirBuilderExt, OpenOptions, OpenOptionsExt};
use rustix::fs::OFlags;

use super::read::kind_of;
use super::{Last, Place, flags, open_regular};
use crate::border::Border;
use crate::host::FileError;

/// Bytes written between two looks whether the call is still wanted.
const PIECE: usize = 256 << 10;

impl Border {
    pub(crate) async fn write(self: &Arc<Self>, path: String, content: Vec<u8>) -> Result<(), FileError> {
        self.blocking(move |border| {
            let Place { root, path, .. } = border.place(&path, DataDirection::Write, Last::AsItIs)?;
            replace(border, &root, &path, &mut content.as_slice(), |_| Ok(())).map(|_| ())
        })
        .await
    }

    pub(crate) async fn append(self: &Arc<Self>, path: String, content: Vec<u8>) -> Result<(), FileError> {
        self.blocking(move |border| {
            let Place { root, path, .. } = border.place(&path, DataDirection::Write, Last::Followed)?;
            border.still_wanted()?;
            let mut options = OpenOptions::new();
            options.append(true).create(true).mode(0o600);
            let mut file = open_regular(&root, &path, &mut options)?;
            for piece in content.chunks(PIECE) {
                border.still_wanted()?;
                file.write_all(piece)?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn create_directory(self: &Arc<Self>, path: String) -> Result<(), FileError> {
        self.blocking(move |border| {
            let Place { root, path, .. } = border.place(&path, DataDirection::Write, Last::Followed)?;
            border.still_wanted()?;
            make_directory(&root, &path)
        })
        .await
    }

    pub(crate) async fn rename(self: &Arc<Self>, old: String, new: String) -> Result<(), FileError> {
        self.blocking(move |border| {
            let old = border.place(&old, DataDirection::Write, Last::AsItIs)?;
            let new = border.place(&new, DataDirection::Write, Last::AsItIs)?;
            if old.granted != new.granted {
                return Err(FileError::Denied(format!(
                    "{} and {} are two granted directories; rename inside one of them",
                    old.granted.display(),
                    new.granted.display()
                )));
            }
            kind_of(&old.root, &old.path)?.ok_or(FileError::NotFound)?;
            kind_of(&new.root, &new.path)?;
            border.still_wanted()?;
            Ok(old.root.rename(&old.path, &new.root, &new.path)?)
        })
        .await
    }

    pub(crate) async fn remove(self: &Arc<Self>, path: String) -> Result<(), FileError> {
        self.blocking(move |border| {
            let Place { root, path, .. } = border.place(&path, DataDirection::Write, Last::AsItIs)?;
            let is_directory = kind_of(&root, &path)?.ok_or(FileError::NotFound)?;
            border.still_wanted()?;
            if is_directory {
                root.remove_dir(&path)?;
            } else {
                root.remove_file(&path)?;
            }
            Ok(())
        })
        .await
    }

    pub(crate) async fn set_modified(self: &Arc<Self>, path: String, modified: i64) -> Result<(), FileError> {
        let time = instant(modified)?;
        self.blocking(move |border| {
            let Place { root, path, .. } = border.place(&path, DataDirection::Write, Last::Followed)?;
            let file = open_any(&root, &path)?;
            border.still_wanted()?;
            Ok(file.set_modified(time)?)
        })
        .await
    }

    pub(crate) async fn set_mode(self: &Arc<Self>, path: String, mode: u32) -> Result<(), FileError> {
        self.blocking(move |border| {
            let Place { root, path, .. } = border.place(&path, DataDirection::Write, Last::Followed)?;
            let file = open_any(&root, &path)?;
            border.still_wanted()?;
            Ok(file.set_permissions(Permissions::from_mode(mode & 0o777))?)
        })
        .await
    }
}

/// A directory, opened so that its times and permissions can be set: a handle of [`Dir`] is only good for paths below it.
pub(super) fn open_directory(root: &Dir, path: &Path) -> Result<std::fs::File, FileError> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(flags(OFlags::DIRECTORY));
    Ok(root.open_with(path, &options)?.into_std())
}

/// A file or a directory, opened for looking only.
fn open_any(root: &Dir, path: &Path) -> Result<std::fs::File, FileError> {
    if root.metadata(path)?.is_dir() {
        return open_directory(root, path);
    }
    open_regular(root, path, OpenOptions::new().read(true))
}

fn instant(seconds: i64) -> Result<SystemTime, FileError> {
    let distance = Duration::from_secs(seconds.unsigned_abs());
    let time = if seconds < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.ok_or_else(|| FileError::Other("the time is out of range".into()))
}

/// Makes a directory and those above it, for the owner only.
pub(super) fn make_directory(root: &Dir, path: &Path) -> Result<(), FileError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    match root.create_dir_with(path, &builder) {
        // `.` exists, and so may any part of the way.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists && root.is_dir(path) => Ok(()),
        made => Ok(made?),
    }
}

/// Writes beside and renames, if the call is still wanted. `finish` gets the file before it takes its place.
pub(super) fn replace(
    border: &Border,
    root: &Dir,
    path: &Path,
    content: &mut dyn Read,
    finish: impl FnOnce(&std::fs::File) -> Result<(), FileError>,
) -> Result<u64, FileError> {
    if kind_of(root, path)? == Some(true) {
        return Err(FileError::WrongKind("it is a directory".into()));
    }
    let temporary = temporary_name(path)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    border.still_wanted()?;
    let mut file = root.open_with(&temporary, &options)?.into_std();
    let written = copy(border, content, &mut file).and_then(|bytes| {
        finish(&file)?;
        border.still_wanted()?;
        root.rename(&temporary, root, path)?;
        Ok(bytes)
    });
    if written.is_err() {
        // The first error is the one to report; a left-over file is only litter.
        let _removed = root.remove_file(&temporary);
    }
    written
}

fn copy(border: &Border, from: &mut dyn Read, to: &mut std::fs::File) -> Result<u64, FileError> {
    let mut buffer = vec![0; PIECE];
    let mut bytes = 0;
    loop {
        border.still_wanted()?;
        match from.read(&mut buffer)? {
            0 => return Ok(bytes),
            read => {
                to.write_all(buffer.get(..read).unwrap_or_default())?;
                bytes += read as u64;
            }
        }
    }
}

/// A name in the same directory that nobody guesses.
fn temporary_name(path: &Path) -> Result<PathBuf, FileError> {
    let mut random = [0; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| FileError::Other(error.to_string()))?;
    Ok(path.with_file_name(format!(".autoexec-{}.tmp", hex::encode(random))))
}

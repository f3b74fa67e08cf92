//! Tar streams: what an agent unpacks, and what it sends of a directory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use tokio::sync::mpsc;

use super::error::{Step, TagentErrorKind};
use super::frame::DATA_CHUNK;
use super::transfer::Piece;
use crate::entry::{UploadEntry, UploadSource};
use crate::tar_stream::{TarBounds, TarError, tar_members};

/// Writes an archive of the files and the directories between. Old tars do not make those by themselves.
pub(super) fn pack(entries: &[UploadEntry], pieces: &mpsc::Sender<Piece>) -> Result<(), TagentErrorKind> {
    let mut archive = tar::Builder::new(io::BufWriter::with_capacity(DATA_CHUNK, Pieces(pieces)));
    let mut made = BTreeSet::new();
    for entry in entries {
        for parent in parents(&entry.dest) {
            if made.insert(parent.to_owned()) {
                let mut header = header(tar::EntryType::Directory, 0, 0o700, 0);
                let written = archive.append_data(&mut header, parent, io::empty());
                written.map_err(|error| at(entry, error))?;
            }
        }
        let content =
            entry.open().map_err(|source| TagentErrorKind::LocalFile { path: entry.local_path(), source })?;
        let mut header =
            header(tar::EntryType::Regular, content.length, entry.mode & 0o7777, content.modified);
        archive.append_data(&mut header, &entry.dest, content.reader).map_err(|error| at(entry, error))?;
    }
    let written = archive.into_inner().and_then(|mut buffer| buffer.flush());
    written.map_err(|error| TagentErrorKind::ConnectionLost { step: Step::Upload, detail: error.to_string() })
}

fn header(kind: tar::EntryType, size: u64, mode: u32, modified: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(modified);
    // The owner is whoever unpacks: only root could obey another.
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn at(entry: &UploadEntry, error: io::Error) -> TagentErrorKind {
    match &entry.source {
        UploadSource::Bytes(_) | UploadSource::Nothing => {
            TagentErrorKind::Invalid { what: "upload path", detail: format!("{:?}: {error}", entry.dest) }
        }
        _ => TagentErrorKind::LocalFile { path: entry.local_path(), source: error },
    }
}

/// `a` and `a/b` of `a/b/c`.
fn parents(dest: &str) -> impl Iterator<Item = &str> {
    dest.match_indices('/').filter_map(|(at, _)| dest.get(..at)).filter(|parent| !parent.is_empty())
}

/// Sends what is written.
struct Pieces<'a>(&'a mpsc::Sender<Piece>);

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(Ok(bytes.to_vec()));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the upload is over"))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes the files and directories of an archive below `local`; anything else in it is left out. The bytes of the
/// files. The archive is a peer's: no member may leave the directory, go through a link, or be larger than allowed.
pub(super) fn unpack(
    pieces: mpsc::Receiver<Vec<u8>>,
    local: &Path,
    remote: &str,
    max_bytes: u64,
) -> Result<u64, TagentErrorKind> {
    let broken = |detail: String| TagentErrorKind::Protocol { step: Step::Download, detail };
    let received = Received { pieces, rest: Vec::new(), used: 0 };
    let mut total: u64 = 0;
    let read = tar_members(received, TarBounds::bytes(max_bytes), |member, content| {
        let Some(inside) = inside(&member.path) else {
            return Err(broken(format!(
                "the archive of {remote} has the member {}, which leaves the directory",
                member.path.display()
            )));
        };
        let place = local.join(&inside);
        let at_local = |source| TagentErrorKind::LocalFile { path: place.clone(), source };
        if member.is_directory {
            return make_directory(local, &inside).map_err(at_local);
        }
        let parent = inside.parent().unwrap_or(Path::new(""));
        make_directory(local, parent).map_err(at_local)?;
        // Not through a link that is there already.
        match fs::remove_file(&place) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at_local(error)),
            _ => {}
        }
        let mut file = File::create_new(&place).map_err(at_local)?;
        let copied = io::copy(content, &mut file)
            .map_err(|error| broken(format!("a file of {remote} is not whole: {error}")))?;
        total = total.saturating_add(copied);
        if copied != member.size {
            return Err(broken(format!("a file of {remote} is cut off")));
        }
        Ok(())
    });
    match read {
        Ok(()) => Ok(total),
        Err(TarError::Taking(kind)) => Err(kind),
        Err(TarError::TooLarge(limit)) => Err(TagentErrorKind::TooLarge { path: remote.to_owned(), limit }),
        Err(error) => Err(broken(format!("what it sends of {remote} is not usable: {error}"))),
    }
}

/// The path below the directory; empty for the directory itself.
fn inside(path: &Path) -> Option<PathBuf> {
    path.components().try_fold(PathBuf::new(), |inside, part| match part {
        Component::Normal(name) => Some(inside.join(name)),
        Component::CurDir => Some(inside),
        _ => None,
    })
}

/// Makes the directories below `root` one by one, none of them a link.
fn make_directory(root: &Path, inside: &Path) -> io::Result<()> {
    let mut place = root.to_owned();
    for part in inside.components() {
        place.push(part);
        match fs::create_dir(&place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        if !fs::symlink_metadata(&place)?.is_dir() {
            let text = format!("{} is in the way", place.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, text));
        }
    }
    Ok(())
}

/// Reads what is received; its end is the end of the archive.
struct Received {
    pieces: mpsc::Receiver<Vec<u8>>,
    rest: Vec<u8>,
    used: usize,
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.used >= self.rest.len() {
            let Some(piece) = self.pieces.blocking_recv() else { return Ok(0) };
            (self.rest, self.used) = (piece, 0);
        }
        let rest = self.rest.get(self.used..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        self.used += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(bytes: &[u8], local: &Path, max_bytes: u64) -> Result<u64, TagentErrorKind> {
        let (sender, receiver) = mpsc::channel(bytes.len() + 1);
        for piece in bytes.chunks(777) {
            sender.blocking_send(piece.to_vec()).unwrap();
        }
        drop(sender);
        unpack(receiver, local, "/remote", max_bytes)
    }

    fn packed(entries: &[UploadEntry]) -> Vec<u8> {
        let (sender, mut receiver) = mpsc::channel(10_000);
        pack(entries, &sender).unwrap();
        drop(sender);
        std::iter::from_fn(|| receiver.blocking_recv()).flat_map(Result::unwrap).collect()
    }

    fn entry(dest: &str, bytes: &[u8]) -> UploadEntry {
        UploadEntry { source: UploadSource::Bytes(bytes.to_vec()), dest: dest.to_owned(), mode: 0o640 }
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let long = "x".repeat(150);
        let bytes = packed(&[entry("a/b/c", b"one"), entry("a/d", b""), entry(&long, &vec![7; 100_000])]);
        assert_eq!(through(&bytes, dir.path(), 200_000).unwrap(), 100_003);
        assert_eq!(fs::read(dir.path().join("a/b/c")).unwrap(), b"one");
        assert_eq!(fs::read(dir.path().join(&long)).unwrap().len(), 100_000);
        assert!(matches!(through(&bytes, dir.path(), 100_002), Err(TagentErrorKind::TooLarge { .. })));
        assert!(through(&bytes[..600], dir.path(), 200_000).is_err(), "a stream that is cut off");
        assert!(through(b"no archive at all", dir.path(), 200_000).is_err());
    }

    #[test]
    fn a_hostile_archive_stays_inside() {
        let outside = tempfile::tempdir().unwrap();
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        for (name, kind) in [
            ("../evil", tar::EntryType::Regular),
            ("link/evil", tar::EntryType::Regular),
            ("/evil", tar::EntryType::Regular),
        ] {
            let mut archive = tar::Builder::new(Vec::new());
            let mut header = header(kind, 3, 0o644, 0);
            // `append_data` refuses such names, an enemy does not.
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            archive.append(&header, &b"bad"[..]).unwrap();
            let bytes = archive.into_inner().unwrap();
            assert!(through(&bytes, dir.path(), 100).is_err(), "{name}");
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        // Links are left out.
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = header(tar::EntryType::Symlink, 0, 0o777, 0);
        archive.append_link(&mut header, "here", "/etc/passwd").unwrap();
        let bytes = archive.into_inner().unwrap();
        assert_eq!(through(&bytes, dir.path(), 100).unwrap(), 0);
        assert!(fs::symlink_metadata(dir.path().join("here")).is_err());
    }
}

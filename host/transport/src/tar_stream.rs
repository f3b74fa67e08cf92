//! Tar streams that a target made: their members, within bounds.

use std::cell::Cell;
use std::io::{self, Read};
use std::path::PathBuf;
use std::rc::Rc;

/// Most bytes in front of a member: its header, and what tells long names and other facts of it. They are held in
/// memory, so what they announce of themselves is not to be believed.
const MAX_HEADERS: u64 = 1024 * 1024;
/// Most bytes behind the last member: archivers fill their last record.
const MAX_PADDING: u64 = 1024 * 1024;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy)]
pub struct TarBounds {
    /// Bytes of all members together, those that are left out as well.
    pub bytes: u64,
    /// Members: empty ones cost a place in the file system each.
    pub members: u64,
}

impl TarBounds {
    /// So many bytes, in as many members as any directory that somebody fetches may have.
    pub fn bytes(bytes: u64) -> Self {
        Self { bytes, members: 200_000 }
    }
}

/// A file or a directory of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarMember {
    /// Its path as it stands there: it may lead anywhere.
    pub path: PathBuf,
    /// A directory, not a file.
    pub is_directory: bool,
    /// Permission bits.
    pub mode: u32,
    /// Seconds since 1970.
    pub modified: u64,
    /// Bytes of a file.
    pub size: u64,
}

/// Why an archive was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum TarError<E> {
    /// It is no archive, or one that cannot be used.
    #[error("it is no tar stream: {0}")]
    Broken(io::Error),
    /// More bytes than the bound.
    #[error("it holds more than {0} bytes")]
    TooLarge(u64),
    /// More members than the bound.
    #[error("it has more than {0} members")]
    TooMany(u64),
    /// Whoever takes the members.
    #[error("{0}")]
    Taking(E),
}

/// Gives the files and directories of an archive, each with its content, to `take`; all else in it is left out. What
/// comes is read to its end, for the peer has its say only then.
pub fn tar_members<E>(
    from: impl Read,
    bounds: TarBounds,
    mut take: impl FnMut(&TarMember, &mut dyn Read) -> Result<(), E>,
) -> Result<(), TarError<E>> {
    let left = Rc::new(Cell::new(0));
    let mut archive = tar::Archive::new(Metered { from, left: Rc::clone(&left) });
    let mut entries = archive.entries().map_err(TarError::Broken)?;
    let (mut members, mut bytes): (u64, u64) = (0, 0);
    loop {
        left.set(MAX_HEADERS);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(TarError::Broken)?;
        members += 1;
        if members > bounds.members {
            return Err(TarError::TooMany(bounds.members));
        }
        bytes = bytes.saturating_add(entry.size());
        if bytes > bounds.bytes {
            return Err(TarError::TooLarge(bounds.bytes));
        }
        let kind = entry.header().entry_type();
        if kind.is_gnu_sparse() {
            // A few bytes of it may stand for any number.
            return Err(TarError::Broken(io::Error::other("it has a sparse member")));
        }
        left.set(u64::MAX);
        if kind.is_dir() || kind.is_file() {
            let member = TarMember {
                path: entry.path().map_err(TarError::Broken)?.into_owned(),
                is_directory: kind.is_dir(),
                mode: entry.header().mode().unwrap_or(0o600),
                modified: entry.header().mtime().unwrap_or_default(),
                size: entry.size(),
            };
            take(&member, &mut entry).map_err(TarError::Taking)?;
        }
        // So that nothing but headers is read for the next one.
        io::copy(&mut entry, &mut io::sink()).map_err(TarError::Broken)?;
    }
    left.set(MAX_PADDING);
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(TarError::Broken)?;
    Ok(())
}

/// Reads so many bytes and fails then.
struct Metered<R> {
    from: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left.get()).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 && !buffer.is_empty() {
            return Err(io::Error::other("too many bytes that belong to no member"));
        }
        let read = self.from.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.left.set(self.left.get().saturating_sub(read as u64));
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: TarBounds = TarBounds { bytes: 1000, members: 3 };

    fn archive(members: &[(&str, tar::EntryType, &[u8])]) -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, kind, content) in members {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o640);
            header.set_mtime(7);
            archive.append_data(&mut header, name, *content).unwrap();
        }
        archive.into_inner().unwrap()
    }

    fn names(archive: &[u8]) -> Result<Vec<String>, TarError<io::Error>> {
        let mut names = Vec::new();
        tar_members(archive, BOUNDS, |member, content| {
            let length = if member.is_directory { 0 } else { io::copy(content, &mut io::sink())? };
            names.push(format!("{} {length}/{} {:o}", member.path.display(), member.size, member.mode));
            Ok(())
        })?;
        Ok(names)
    }

    use tar::EntryType::{Directory, Fifo, Regular, XHeader};

    #[test]
    fn files_and_directories_are_given() {
        let bytes = archive(&[("d", Directory, b""), ("d/f", Regular, b"abc"), ("p", Fifo, b"")]);
        assert_eq!(names(&bytes).unwrap(), ["d 0/0 640", "d/f 3/3 640"]);
        // Whoever leaves content where it is gets the next member all the same.
        let bytes = archive(&[("a", Regular, &[1; 900]), ("b", Regular, b"x")]);
        let mut seen = 0;
        let taking = |_: &TarMember, _: &mut dyn Read| {
            seen += 1;
            Ok::<_, io::Error>(())
        };
        tar_members(&*bytes, BOUNDS, taking).unwrap();
        assert_eq!(seen, 2);
    }

    #[test]
    fn bounds_hold_for_what_is_left_out_too() {
        let bytes = archive(&[("a", Regular, &[1; 500]), ("p", Fifo, &[1; 501])]);
        assert!(matches!(names(&bytes), Err(TarError::TooLarge(1000))));
        let bytes = archive(&[("a", Directory, b""), ("b", Fifo, b""), ("c", Fifo, b""), ("d", Fifo, b"")]);
        assert!(matches!(names(&bytes), Err(TarError::TooMany(3))));
    }

    #[test]
    fn what_describes_a_member_is_not_held_in_any_length() {
        let comment = |length: usize| format!("{length} comment={}\n", "x".repeat(length - 17));
        for (length, good) in [(1_000_000, true), (2_000_000, false)] {
            let text = comment(length);
            assert_eq!(text.len(), length);
            let bytes = archive(&[("x", XHeader, text.as_bytes()), ("f", Regular, b"abc")]);
            assert_eq!(names(&bytes).is_ok(), good, "{length}");
        }
        // One that announces 4 GiB is given up before they are there.
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(4 << 30);
        header.set_cksum();
        let endless = header.as_bytes().chain(io::repeat(b'x'));
        let ended = tar_members(endless, TarBounds::bytes(1 << 40), |_, _| Ok::<_, io::Error>(()));
        assert!(matches!(ended, Err(TarError::Broken(_))), "{ended:?}");
    }

    #[test]
    fn the_stream_is_read_to_its_end_but_not_for_ever() {
        let bytes = archive(&[("f", Regular, b"abc")]);
        let mut padded = &[&bytes[..], &vec![0; 500_000]].concat()[..];
        tar_members(&mut padded, BOUNDS, |_, _| Ok::<_, io::Error>(())).unwrap();
        assert!(padded.is_empty());
        let endless = tar_members(bytes.chain(io::repeat(0)), BOUNDS, |_, _| Ok::<_, io::Error>(()));
        assert!(matches!(endless, Err(TarError::Broken(_))), "{endless:?}");
    }
}

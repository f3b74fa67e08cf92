//! Packages: tar files of several scripts, unpacked beside the scripts that use them.
//!
//! An archive is unpacked into a fresh directory and looked at as a whole before anything of it is moved to where
//! scripts run. What is refused: absolute paths, `..`, links that lead or may lead out, entries behind a link, devices
//! and FIFOs, more than [`Bounds`] allow. Targets get the members, not the archive: it is judged once, here, and they
//! need no `tar`.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use autoexec_store::atomic;
use tar::{Archive, Entry, EntryType};
use walkdir::WalkDir;

use super::ScriptError;
use super::error::io_error;

/// How much a package may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Bytes of all files together.
    pub(super) bytes: u64,
    /// Entries; also members reached over links.
    pub(super) entries: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { bytes: 1 << 30, entries: 50_000 }
    }
}

/// What is wrong with a package.
#[derive(Debug)]
pub enum PackageProblem {
    /// Not a tar file, or cut off.
    NotTar(io::Error),
    /// Compressed: tools read only plain tar here.
    Compressed,
    /// A path that is absolute or holds `..`.
    Outside(PathBuf),
    /// A link that leads out of the package, or to nothing in it.
    Link(PathBuf),
    /// An entry that lies behind a link.
    BehindLink(PathBuf),
    /// A device, a FIFO or another entry that is no file, directory or link.
    Kind(PathBuf),
    /// A name that is not UTF-8.
    Name(PathBuf),
    /// More bytes than the limit.
    TooLarge(u64),
    /// More entries than the limit.
    TooMany(usize),
    /// The file system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for PackageProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTar(error) => write!(f, "it is not a complete tar file ({error})"),
            Self::Compressed => f.write_str("it is compressed; upload it as a plain tar file"),
            Self::Outside(path) => write!(f, "`{}` would lie outside of it", path.display()),
            Self::Link(path) => write!(f, "the link `{}` leads out of it or to nothing", path.display()),
            Self::BehindLink(path) => write!(f, "`{}` lies behind a link", path.display()),
            Self::Kind(path) => write!(f, "`{}` is neither file nor directory nor link", path.display()),
            Self::Name(path) => write!(f, "the name `{}` is not UTF-8", path.display()),
            Self::TooLarge(limit) => write!(f, "it holds more than {limit} bytes"),
            Self::TooMany(limit) => write!(f, "it holds more than {limit} entries"),
            Self::Io(path, error) => write!(f, "`{}`: {error}", path.display()),
        }
    }
}

/// A file of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Path relative to the directory of the package.
    pub(super) name: String,
    /// Permission bits; only the owner has any.
    pub(super) mode: u32,
}

/// Unpacks `archive` into `directory`, over what is there, and lists its files. On an error `directory` is as it was.
pub(super) fn unpack(archive: &Path, directory: &Path, bounds: Bounds) -> Result<Vec<Member>, ScriptError> {
    let staging = tempfile::Builder::new()
        .prefix(&format!("{}package.", atomic::temporary_prefix()))
        .suffix(atomic::TEMPORARY_SUFFIX)
        .tempdir_in(directory)
        .map_err(io_error("create a directory in", directory))?;
    let named = |problem| ScriptError::Package { archive: archive.to_owned(), problem };
    let file = File::open(archive).map_err(io_error("open", archive))?;
    Unpacking { root: staging.path(), bounds, bytes: 0 }.all(file).map_err(named)?;
    let members = members(staging.path(), bounds).map_err(named)?;
    merge(staging.path(), directory)?;
    Ok(members)
}

struct Unpacking<'a> {
    root: &'a Path,
    bounds: Bounds,
    bytes: u64,
}

impl Unpacking<'_> {
    fn all(mut self, mut file: File) -> Result<(), PackageProblem> {
        refuse_compressed(&mut file)?;
        let mut archive = Archive::new(file);
        for (number, entry) in archive.entries().map_err(PackageProblem::NotTar)?.enumerate() {
            if number >= self.bounds.entries {
                return Err(PackageProblem::TooMany(self.bounds.entries));
            }
            self.one(entry.map_err(PackageProblem::NotTar)?)?;
        }
        Ok(())
    }

    fn one(&mut self, mut entry: Entry<'_, File>) -> Result<(), PackageProblem> {
        let kind = entry.header().entry_type();
        if matches!(kind, EntryType::XGlobalHeader) {
            return Ok(());
        }
        let path = entry.path().map_err(PackageProblem::NotTar)?.into_owned();
        let inside = inside(&path)?;
        if inside.as_os_str().is_empty() {
            return Ok(());
        }
        let place = self.place(&path, &inside)?;
        let wrong = |error| PackageProblem::Io(path.clone(), error);
        match kind {
            EntryType::Directory => make_directory(&place).map_err(wrong),
            EntryType::Regular | EntryType::Continuous => self.file(&mut entry, &path, &place),
            EntryType::Symlink => {
                let target = link_target(&entry, &path)?;
                if !stays_inside(&inside, &target) {
                    return Err(PackageProblem::Link(path));
                }
                symlink(&target, &place).map_err(wrong)
            }
            EntryType::Link => {
                let target = self.root.join(self::inside(&link_target(&entry, &path)?)?);
                fs::hard_link(target, &place).map_err(|_| PackageProblem::Link(path))
            }
            _ => Err(PackageProblem::Kind(path)),
        }
    }

    /// Where an entry goes. Its directories are made; none of them may be a link, because what a link names is only
    /// known to lie inside when everything above it is real. An earlier entry of the same name gives way, as in `tar`.
    fn place(&self, path: &Path, inside: &Path) -> Result<PathBuf, PackageProblem> {
        let wrong = |error| PackageProblem::Io(path.to_owned(), error);
        let mut place = self.root.to_owned();
        for component in inside.parent().into_iter().flat_map(Path::components) {
            place.push(component);
            match fs::symlink_metadata(&place) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => return Err(PackageProblem::BehindLink(path.to_owned())),
                Err(_) => make_directory(&place).map_err(wrong)?,
            }
        }
        let place = self.root.join(inside);
        if fs::symlink_metadata(&place).is_ok_and(|found| !found.is_dir()) {
            fs::remove_file(&place).map_err(wrong)?;
        }
        Ok(place)
    }

    fn file(&mut self, entry: &mut Entry<'_, File>, path: &Path, place: &Path) -> Result<(), PackageProblem> {
        let wrong = |error| PackageProblem::Io(path.to_owned(), error);
        let mode = (entry.header().mode().map_err(PackageProblem::NotTar)? & 0o700) | 0o600;
        let mut file = File::options().write(true).create_new(true).mode(mode).open(place).map_err(wrong)?;
        let left = self.bounds.bytes - self.bytes;
        let declared = entry.size();
        let written = io::copy(&mut entry.take(left.saturating_add(1)), &mut file).map_err(wrong)?;
        if written > left {
            return Err(PackageProblem::TooLarge(self.bounds.bytes));
        }
        if written < declared {
            return Err(PackageProblem::NotTar(io::ErrorKind::UnexpectedEof.into()));
        }
        self.bytes += written;
        Ok(())
    }
}

/// The replaced system's `tar xf` would have guessed the compression; a plain word about it helps more than a bad
/// checksum.
fn refuse_compressed(file: &mut File) -> Result<(), PackageProblem> {
    const MARKS: [&[u8]; 4] = [b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"];
    let mut start = Vec::new();
    file.by_ref().take(8).read_to_end(&mut start).map_err(PackageProblem::NotTar)?;
    io::Seek::rewind(file).map_err(PackageProblem::NotTar)?;
    if MARKS.iter().any(|mark| start.starts_with(mark)) {
        return Err(PackageProblem::Compressed);
    }
    Ok(())
}

/// The path without `.`; refused when it is absolute, holds `..` or is not text.
fn inside(path: &Path) -> Result<PathBuf, PackageProblem> {
    if path.to_str().is_none() {
        return Err(PackageProblem::Name(path.to_owned()));
    }
    let mut inside = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => inside.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(PackageProblem::Outside(path.to_owned()));
            }
        }
    }
    Ok(inside)
}

fn link_target(entry: &Entry<'_, File>, path: &Path) -> Result<PathBuf, PackageProblem> {
    let target = entry.link_name().map_err(PackageProblem::NotTar)?;
    target.map(std::borrow::Cow::into_owned).ok_or_else(|| PackageProblem::Link(path.to_owned()))
}

/// Whether a symbolic link at `link` can only lead into the package: `..` only in front, and no more of them than the
/// link is deep. A `..` behind a name would be taken after that name, maybe a link itself, was followed.
fn stays_inside(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    let mut named = false;
    target.components().all(|component| match component {
        Component::CurDir => true,
        Component::Normal(_) => {
            named = true;
            true
        }
        Component::ParentDir if !named && depth > 0 => {
            depth -= 1;
            true
        }
        Component::ParentDir | Component::RootDir | Component::Prefix(_) => false,
    })
}

fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        result => result?,
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// The files below `root`, those reached over links included: targets get files only.
fn members(root: &Path, bounds: Bounds) -> Result<Vec<Member>, PackageProblem> {
    let mut members = Vec::new();
    let walk = WalkDir::new(root).follow_links(true).sort_by_file_name();
    for (number, found) in walk.into_iter().enumerate() {
        if number > bounds.entries {
            return Err(PackageProblem::TooMany(bounds.entries));
        }
        let relative = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_owned();
        // A link to nothing, or one that goes round in circles.
        let found =
            found.map_err(|error| PackageProblem::Link(error.path().map(relative).unwrap_or_default()))?;
        if !found.file_type().is_file() {
            continue;
        }
        let path = relative(found.path());
        let name = path.to_str().ok_or_else(|| PackageProblem::Name(path.clone()))?.to_owned();
        let metadata = found.metadata().map_err(|_| PackageProblem::Link(path.clone()))?;
        members.push(Member { name, mode: metadata.permissions().mode() & 0o777 });
    }
    Ok(members)
}

/// Moves everything below `from` to `to`. Directories are joined; a link that is in the way of a directory goes.
fn merge(from: &Path, to: &Path) -> Result<(), ScriptError> {
    for entry in fs::read_dir(from).map_err(io_error("list", from))? {
        let entry = entry.map_err(io_error("list", from))?;
        let (source, place) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(io_error("inspect", &source))?.is_dir() {
            if fs::symlink_metadata(&place).is_ok_and(|found| !found.is_dir()) {
                fs::remove_file(&place).map_err(io_error("replace", &place))?;
            }
            make_directory(&place).map_err(io_error("create the directory", &place))?;
            merge(&source, &place)?;
        } else {
            fs::rename(&source, &place).map_err(io_error("replace", &place))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use tar::{Builder, Header};

    use super::*;

    /// Name, kind, and content or link target of an entry.
    type Sketch<'a> = (&'a str, EntryType, &'a str);

    /// An archive whose names and link targets are written as they stand, which a well-behaved builder refuses.
    fn archive(entries: &[Sketch<'_>]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, kind, text) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o4755);
            let content: &[u8] = if *kind == EntryType::Regular { text.as_bytes() } else { b"" };
            header.set_size(content.len() as u64);
            let old = header.as_old_mut();
            old.name[..name.len()].copy_from_slice(name.as_bytes());
            if *kind != EntryType::Regular {
                old.linkname[..text.len()].copy_from_slice(text.as_bytes());
            }
            header.set_cksum();
            builder.append(&header, content).unwrap();
        }
        builder.into_inner().unwrap()
    }

    struct Place {
        dir: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("b")).unwrap();
            Self { dir }
        }

        fn directory(&self) -> PathBuf {
            self.dir.path().join("b")
        }

        fn unpack(&self, bytes: &[u8], bounds: Bounds) -> Result<Vec<Member>, ScriptError> {
            let archive = self.dir.path().join("p.tar");
            fs::write(&archive, bytes).unwrap();
            unpack(&archive, &self.directory(), bounds)
        }

        fn problem(&self, entries: &[Sketch<'_>]) -> String {
            let error = self.unpack(&archive(entries), Bounds::default()).unwrap_err();
            assert_eq!(fs::read_dir(self.directory()).unwrap().count(), 0, "nothing is left of it");
            assert!(!Path::new("/tmp/autoexec-escaped").exists());
            let text = error.to_string();
            assert!(text.contains("p.tar"), "{text}");
            text
        }
    }

    use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};

    #[test]
    fn files_directories_and_inner_links_are_unpacked() {
        let place = Place::new();
        let bytes = archive(&[
            ("./", Directory, ""),
            ("lib/", Directory, ""),
            ("lib/deep/mod.py", Regular, "x = 1\n"),
            ("run.sh", Regular, "old"),
            ("run.sh", Regular, "new"),
            ("lib/alias.py", Symlink, "deep/mod.py"),
            ("lib/up", Symlink, "../run.sh"),
            ("hard.sh", Link, "run.sh"),
            ("数据.txt", Regular, "y"),
        ]);
        let members = place.unpack(&bytes, Bounds::default()).unwrap();
        let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["hard.sh", "lib/alias.py", "lib/deep/mod.py", "lib/up", "run.sh", "数据.txt"]);
        assert!(members.iter().all(|member| member.mode == 0o700), "no set-user-id, nothing for others");
        let read = |name: &str| fs::read_to_string(place.directory().join(name)).unwrap();
        assert_eq!(
            (read("run.sh"), read("lib/up"), read("lib/alias.py")),
            ("new".into(), "new".into(), "x = 1\n".into())
        );
        // Once more, over what is there.
        assert_eq!(place.unpack(&bytes, Bounds::default()).unwrap(), members);
    }

    #[test]
    fn whatever_leads_out_is_refused() {
        let place = Place::new();
        let cases: &[(&str, &[Sketch<'_>])] = &[
            ("`../escaped` would lie outside", &[("../escaped", Regular, "x")]),
            ("would lie outside", &[("a/../../escaped", Regular, "x")]),
            ("would lie outside", &[("/tmp/autoexec-escaped", Regular, "x")]),
            ("the link `l`", &[("l", Symlink, "/tmp")]),
            ("the link `l`", &[("l", Symlink, "..")]),
            ("the link `a/l`", &[("a/l", Symlink, "../../x")]),
            ("the link `l`", &[("a/b/up", Symlink, "../.."), ("l", Symlink, "a/b/up/../x")]),
            (
                "`d/x` lies behind a link",
                &[("s/", Directory, ""), ("d", Symlink, "s"), ("d/x", Regular, "x")],
            ),
            ("the link `l`", &[("l", Symlink, "missing")]),
            ("the link `l`", &[("l", Symlink, "l")]),
            ("would lie outside", &[("h", Link, "/etc/passwd")]),
            ("would lie outside", &[("h", Link, "../p.tar")]),
            ("the link `h`", &[("h", Link, "missing")]),
            ("`dev` is neither", &[("dev", Char, "")]),
            ("`dev` is neither", &[("dev", Block, "")]),
            ("`pipe` is neither", &[("pipe", Fifo, "")]),
        ];
        for (expected, entries) in cases {
            let text = place.problem(entries);
            assert!(text.contains(expected), "{entries:?}: {text}");
        }
    }

    #[test]
    fn sizes_and_counts_are_bounded() {
        let place = Place::new();
        let bytes = archive(&[("a", Regular, "12345"), ("b", Regular, "67890")]);
        let bounds = |bytes, entries| Bounds { bytes, entries };
        assert!(place.unpack(&bytes, bounds(10, 2)).is_ok());
        let text = place.unpack(&bytes, bounds(9, 2)).unwrap_err().to_string();
        assert!(text.contains("more than 9 bytes"), "{text}");
        let text = place.unpack(&bytes, bounds(10, 1)).unwrap_err().to_string();
        assert!(text.contains("more than 1 entries"), "{text}");
    }

    #[test]
    fn links_do_not_multiply_without_bound() {
        // Each level names the next one twice: 2^20 paths from 40 links.
        let mut entries = vec![("d20/f".to_owned(), Regular, "x".to_owned())];
        for level in (0..20).rev() {
            for side in ["l", "r"] {
                entries.push((format!("d{level}/{side}"), Symlink, format!("../d{}", level + 1)));
            }
        }
        let entries: Vec<_> =
            entries.iter().map(|(name, kind, text)| (name.as_str(), *kind, text.as_str())).collect();
        let place = Place::new();
        let error = place.unpack(&archive(&entries), Bounds { bytes: 100, entries: 100 }).unwrap_err();
        assert!(error.to_string().contains("more than 100 entries"), "{error}");
    }

    #[test]
    fn what_is_no_plain_tar_is_named() {
        let place = Place::new();
        let whole = archive(&[("a", Regular, &"x".repeat(2000))]);
        let mut compressed = vec![0x1f, 0x8b];
        compressed.write_all(&[0; 600]).unwrap();
        for (bytes, expected) in [
            (&whole[..700], "not a complete tar file"),
            (b"#!/bin/sh\n".repeat(100).as_slice(), "not a complete tar file"),
            (&compressed, "it is compressed"),
        ] {
            let text = place.unpack(bytes, Bounds::default()).unwrap_err().to_string();
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn links_of_scripts_in_the_way_are_replaced_and_not_followed() {
        let place = Place::new();
        let outside = place.dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        symlink(&outside, place.directory().join("lib")).unwrap();
        fs::write(place.directory().join("7.x.sh"), "version").unwrap();
        symlink("7.x.sh", place.directory().join("x.sh")).unwrap();
        place
            .unpack(&archive(&[("lib/a", Regular, "a"), ("x.sh", Regular, "x")]), Bounds::default())
            .unwrap();
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        assert_eq!(fs::read_to_string(place.directory().join("7.x.sh")).unwrap(), "version");
        assert_eq!(fs::read_to_string(place.directory().join("lib/a")).unwrap(), "a");
    }
}

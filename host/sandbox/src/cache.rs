//! Compiled tools on disk, so that a process starts a tool in a fraction of a millisecond.
//!
//! Compiled code is native code: whoever can change it owns the executor. So the directory is private (0700), every
//! file carries an HMAC under a random key that only the owner can read, and the bytes that were checked are the bytes
//! that are loaded. A file that does not check out is compiled again, never loaded. Files are written under a temporary
//! name and renamed, so any number of processes can share the directory.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use hmac::{Hmac, KeyInit, Mac};
use rustix::fs::OFlags;
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

/// First bytes of a file; the number is the format's version.
const MAGIC: &[u8] = b"autoexec-cwasm 1\n";

const KEY_FILE: &str = "key";
const KEY_LEN: usize = 32;
const TAG_LEN: usize = 32;

/// The cache of one directory, for one engine configuration.
pub(crate) struct CompiledCache {
    dir: PathBuf,
    key: [u8; KEY_LEN],
    /// Tells wasmtime versions, compiler settings and machines apart.
    engine: u64,
}

impl CompiledCache {
    /// Opens the directory, making it if needed. None, with a warning, when it can not be trusted or used: tools are
    /// compiled in every process then, which is slower but right.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> Option<Self> {
        let opened = private_dir(dir).and_then(|()| read_or_make_key(dir));
        match opened {
            Ok(key) => Some(Self { dir: dir.to_owned(), key, engine: engine_id(engine) }),
            Err(error) => {
                tracing::warn!(
                    dir = %dir.display(),
                    "the cache of compiled tools is not used ({error}); tools are compiled at every start. \
                     Make it a directory of this user with mode 0700, or remove it"
                );
                None
            }
        }
    }

    /// The compiled component, if there is one that this host wrote for this engine.
    pub(crate) fn read(&self, engine: &Engine, digest: &[u8; 32]) -> Option<Component> {
        let path = self.path(digest);
        let bytes = match read_private(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(file = %path.display(), "compiled tool can not be read ({error}); compiling again");
                return None;
            }
        };
        let Some(code) = self.verified(digest, &bytes) else {
            tracing::warn!(file = %path.display(), "compiled tool is damaged or was changed by somebody else; compiling again");
            return None;
        };
        // SAFETY: the bytes carry an HMAC under a key that only this user can read, so this program wrote them with
        // `Component::serialize`, for this digest and this engine configuration; they are in memory of our own, so
        // nobody changes them between the check and here.
        match unsafe { Component::deserialize(engine, code) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::debug!(file = %path.display(), "compiled tool does not fit this engine ({error:#}); compiling again");
                None
            }
        }
    }

    /// Keeps a compiled component. A cache that can not be written costs time, not the job.
    pub(crate) fn write(&self, digest: &[u8; 32], component: &Component) {
        let path = self.path(digest);
        let written = component
            .serialize()
            .map_err(|error| io::Error::other(format!("{error:#}")))
            .and_then(|code| write_whole(&path, &[MAGIC, &self.tag(digest, &code), &code]));
        if let Err(error) = written {
            tracing::warn!(file = %path.display(), "compiled tool can not be kept ({error}); it is compiled again next time");
        }
    }

    fn path(&self, digest: &[u8; 32]) -> PathBuf {
        self.dir.join(format!("{}-{:016x}.cwasm", hex::encode(digest), self.engine))
    }

    /// The code behind a right header; none otherwise.
    fn verified<'a>(&self, digest: &[u8; 32], bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (tag, code) = bytes.strip_prefix(MAGIC)?.split_at_checked(TAG_LEN)?;
        self.mac(digest, code)?.verify_slice(tag).is_ok().then_some(code)
    }

    fn tag(&self, digest: &[u8; 32], code: &[u8]) -> Vec<u8> {
        self.mac(digest, code).map(|mac| mac.finalize().into_bytes().to_vec()).unwrap_or_default()
    }

    /// Over digest and engine too, so that a good file under another name does not check out. HMAC takes keys of any
    /// length, so there always is one.
    fn mac(&self, digest: &[u8; 32], code: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        mac.update(MAGIC);
        mac.update(digest);
        mac.update(&self.engine.to_le_bytes());
        mac.update(code);
        Some(mac)
    }
}

/// Shows where it is, never its key.
impl std::fmt::Debug for CompiledCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompiledCache").field("dir", &self.dir).finish_non_exhaustive()
    }
}

fn engine_id(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

fn private_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let metadata = fs::symlink_metadata(dir)?;
    check_private(&metadata, metadata.is_dir())
}

fn check_private(metadata: &fs::Metadata, right_kind: bool) -> io::Result<()> {
    let own = metadata.uid() == rustix::process::geteuid().as_raw();
    let problem = match (right_kind, own, metadata.mode() & 0o077) {
        (false, ..) => "it is a link or of the wrong kind",
        (_, false, _) => "it belongs to another user",
        (_, _, 0) => return Ok(()),
        _ => "others have access to it",
    };
    Err(io::Error::new(io::ErrorKind::PermissionDenied, problem))
}

fn read_or_make_key(dir: &Path) -> io::Result<[u8; KEY_LEN]> {
    let path = dir.join(KEY_FILE);
    match read_key(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_key(&path)?;
            read_key(&path)
        }
        read => read,
    }
}

fn read_key(path: &Path) -> io::Result<[u8; KEY_LEN]> {
    let mut key = [0; KEY_LEN];
    open_private(path)?.read_exact(&mut key)?;
    Ok(key)
}

/// Opens a file of this user that nobody else has access to. Never follows a link, and never waits for the other end of a
/// pipe; what was checked is what is read.
fn open_private(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    check_private(&metadata, metadata.is_file())?;
    Ok(file)
}

fn read_private(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_private(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes the key under a temporary name and links it, so that of several processes one wins and nobody reads half a key.
fn make_key(path: &Path) -> io::Result<()> {
    let mut key = [0; KEY_LEN];
    rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty())?;
    let temporary = temporary_name(path);
    write_new(&temporary, &[&key])?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

fn write_whole(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = temporary_name(path);
    let written = write_new(&temporary, parts).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one to report; a left-over file is only litter.
        let _removed = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))
}

fn temporary_name(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("{}-{count}.tmp", std::process::id()))
}

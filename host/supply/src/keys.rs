//! Public keys, and the set of them that a site trusts.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Largest file that is read as a public key; real ones have about 115 bytes.
const MAX_KEY_FILE: u64 = 4 << 10;

/// Bytes of a public key: algorithm, key id, key.
const KEY_BYTES: usize = 42;

/// A key's number, as minisign prints it: 16 hexadecimal digits in upper case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(u64);

impl KeyId {
    /// From the bytes that stand after the algorithm in a key or signature.
    pub(crate) fn after_algorithm(bytes: &[u8]) -> Option<Self> {
        let number = bytes.get(2..10)?.try_into().ok()?;
        Some(Self(u64::from_le_bytes(number)))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016X}", self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_id = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(text, 16).ok().filter(|_| is_id);
        number.map(Self).ok_or_else(|| format!("`{text}` is no key id: 16 hexadecimal digits"))
    }
}

impl TryFrom<String> for KeyId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

/// A public key in minisign's format: a comment line and a line of base64.
#[derive(Clone)]
pub struct PublicKey {
    id: KeyId,
    key: minisign_verify::PublicKey,
}

impl PublicKey {
    /// Reads the text of a `.pub` file.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = lines.next().ok_or("it is empty")?;
        let encoded = if first.starts_with("untrusted comment:") {
            lines.next().ok_or("the line with the key is missing after the comment")?
        } else {
            first
        };
        if lines.next().is_some() {
            return Err("there is more than a comment and one key; a file holds one key".to_owned());
        }
        let bytes = STANDARD.decode(encoded).map_err(|_| "the key is not base64".to_owned())?;
        if bytes.len() != KEY_BYTES {
            return Err(format!("a minisign public key has {KEY_BYTES} bytes, this one {}", bytes.len()));
        }
        let id = KeyId::after_algorithm(&bytes).ok_or("the key has no id")?;
        let key = minisign_verify::PublicKey::from_base64(encoded).map_err(|error| error.to_string())?;
        Ok(Self { id, key })
    }

    /// Its number.
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn minisign(&self) -> &minisign_verify::PublicKey {
        &self.key
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id)
    }
}

/// A key that a site trusts.
#[derive(Debug, Clone)]
pub struct TrustedKey {
    /// Name of its file without `.pub`; whose key it is.
    pub name: String,
    /// Where it stands; none if it was given otherwise.
    pub path: Option<PathBuf>,
    /// The key.
    pub key: PublicKey,
}

/// The keys whose signatures count.
#[derive(Debug, Clone, Default)]
pub struct TrustedKeys(Vec<TrustedKey>);

/// Why the trusted keys can not be used. One unreadable key makes the set unusable: leaving it out would turn a good
/// signature into one of a stranger, and nobody would know why.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// A file or the directory can not be read.
    #[error("trusted keys: {}: {problem}", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system says.
        problem: io::Error,
    },
    /// A file is no public key.
    #[error("trusted key {name}: {problem}; it must be a minisign public key (`minisign -G` writes one)")]
    Key {
        /// The file, or the name it was given under.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// Two files with keys of one number: which of them signed could not be told.
    #[error("trusted keys {first} and {second} have the same key id {id}; remove one")]
    Twice {
        /// The number.
        id: KeyId,
        /// One file.
        first: String,
        /// The other.
        second: String,
    },
}

impl TrustedKeys {
    /// All `*.pub` of a directory, sorted by name. A directory that is not there holds no keys.
    pub fn load(directory: &Path) -> Result<Self, TrustError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |problem| TrustError::Read { path, problem }
        };
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(unreadable(directory)(error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(unreadable(directory))?.path();
            // Editors leave hidden files behind.
            let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
            if !hidden && path.extension().is_some_and(|extension| extension == "pub") {
                paths.push(path);
            }
        }
        paths.sort();
        let mut keys = Self::default();
        for path in paths {
            let size = fs::metadata(&path).map_err(unreadable(&path))?.len();
            if size > MAX_KEY_FILE {
                let problem = format!("it has {size} bytes");
                return Err(TrustError::Key { name: path.display().to_string(), problem });
            }
            let text = fs::read_to_string(&path).map_err(unreadable(&path))?;
            let key = PublicKey::parse(&text)
                .map_err(|problem| TrustError::Key { name: path.display().to_string(), problem })?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            keys.add(TrustedKey { name, path: Some(path), key })?;
        }
        Ok(keys)
    }

    /// Keys given by name and text.
    pub fn of<'a>(keys: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, TrustError> {
        let mut all = Self::default();
        for (name, text) in keys {
            let key = PublicKey::parse(text)
                .map_err(|problem| TrustError::Key { name: name.to_owned(), problem })?;
            all.add(TrustedKey { name: name.to_owned(), path: None, key })?;
        }
        Ok(all)
    }

    fn add(&mut self, key: TrustedKey) -> Result<(), TrustError> {
        if let Some(first) = self.get(key.key.id()) {
            return Err(TrustError::Twice { id: key.key.id(), first: first.name.clone(), second: key.name });
        }
        self.0.push(key);
        Ok(())
    }

    /// The key of this number.
    pub fn get(&self, id: KeyId) -> Option<&TrustedKey> {
        self.0.iter().find(|key| key.key.id() == id)
    }

    /// All, in the order of their files' names.
    pub fn iter(&self) -> impl Iterator<Item = &TrustedKey> {
        self.0.iter()
    }

    /// Whether no signature can count.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

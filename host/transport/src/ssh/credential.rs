//! Ways to log in with what they need, for a process that can open no file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::isolation::plain;
use super::settings::SshAuth;
use crate::secret::Secret;

/// Far more than any private key has.
const LONGEST_KEY: u64 = 256 * 1024;

/// One way to log in.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Credential {
    Password(#[serde(with = "plain::secret")] Secret),
    Key {
        /// For messages.
        #[serde(with = "plain::path")]
        path: PathBuf,
        key: Key,
        #[serde(with = "plain::maybe_secret")]
        passphrase: Option<Secret>,
    },
    Agent,
}

/// A private key, as its file has it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Key {
    Read(#[serde(with = "plain::secret")] Secret),
    /// Why there is none.
    Unreadable(String),
}

impl Credential {
    /// Reads what is in files.
    pub(super) fn gather(auth: &[SshAuth]) -> Vec<Self> {
        let gather = |auth: &SshAuth| match auth {
            SshAuth::Password(password) => Self::Password(password.clone()),
            SshAuth::KeyFile { path, passphrase } => {
                let key = read(path).map_or_else(
                    |error| Key::Unreadable(error.to_string()),
                    |text| Key::Read(Secret::new(text)),
                );
                Self::Key { path: path.clone(), key, passphrase: passphrase.clone() }
            }
            SshAuth::Agent => Self::Agent,
        };
        auth.iter().map(gather).collect()
    }
}

fn read(path: &Path) -> io::Result<String> {
    // Of its size from the beginning: a vector that grows leaves copies.
    let file = File::open(path)?;
    let length = file.metadata()?.len().min(LONGEST_KEY);
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1));
    file.take(LONGEST_KEY + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LONGEST_KEY {
        return Err(io::Error::other(format!("it has more than {LONGEST_KEY} bytes")));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) if !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(io::Error::other("it is no key in a text form")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(path: &Path) -> Key {
        let auth = [SshAuth::KeyFile { path: path.to_owned(), passphrase: None }];
        match Credential::gather(&auth).pop() {
            Some(Credential::Key { key, .. }) => key,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_no_key_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let why = |path: &Path| match key_of(path) {
            Key::Unreadable(why) => why,
            Key::Read(_) => panic!("it was read"),
        };
        assert!(why(&path).contains("No such file"));
        std::fs::write(&path, [0xff; 8]).unwrap();
        assert!(why(&path).contains("text"));
        std::fs::write(&path, vec![b'x'; 256 * 1024 + 1]).unwrap();
        assert!(why(&path).contains("bytes"));
        std::fs::write(&path, "a key").unwrap();
        let Key::Read(text) = key_of(&path) else { panic!("not read") };
        assert_eq!(text.expose(), "a key");
    }
}

//! Forms of values on their way between the processes: bytes as bytes, paths that are no UTF-8, the errors of the
//! system, and secrets, which go over the private sockets and nowhere else.

use std::cell::Cell;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use serde::de::Visitor;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

struct RawRef<'a>(&'a [u8]);

impl Serialize for RawRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

struct Raw(Vec<u8>);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Raw;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Raw, E> {
                Ok(Raw(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// `Vec<u8>`.
pub(crate) mod bytes {
    use super::{Deserialize, Deserializer, Raw, RawRef, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        RawRef(bytes).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Raw::deserialize(deserializer).map(|raw| raw.0)
    }
}

/// `Zeroizing<Vec<u8>>`.
pub(crate) mod wiped_bytes {
    use zeroize::Zeroizing;

    use super::{Deserialize, Deserializer, Raw, RawRef, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        bytes: &Zeroizing<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        RawRef(bytes).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Zeroizing<Vec<u8>>, D::Error> {
        Raw::deserialize(deserializer).map(|raw| Zeroizing::new(raw.0))
    }
}

/// `Option<Vec<u8>>`.
pub(crate) mod maybe_bytes {
    use super::{Deserialize, Deserializer, Raw, RawRef, Serialize, Serializer};

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(crate) fn serialize<S: Serializer>(
        bytes: &Option<Vec<u8>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        bytes.as_deref().map(RawRef).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<u8>>, D::Error> {
        Option::<Raw>::deserialize(deserializer).map(|raw| raw.map(|raw| raw.0))
    }
}

/// `PathBuf`, UTF-8 or not.
pub(crate) mod path {
    use super::{
        Deserialize, Deserializer, OsStrExt, OsString, OsStringExt, PathBuf, Raw, RawRef, Serialize,
        Serializer,
    };

    pub(crate) fn serialize<S: Serializer>(path: &std::path::Path, serializer: S) -> Result<S::Ok, S::Error> {
        RawRef(path.as_os_str().as_bytes()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Raw::deserialize(deserializer).map(|raw| OsString::from_vec(raw.0).into())
    }
}

/// `io::Error`: its number, or its text where it has none.
pub(crate) mod io_error {
    use std::io;

    use super::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(error: &io::Error, serializer: S) -> Result<S::Ok, S::Error> {
        (error.raw_os_error(), error.to_string()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<io::Error, D::Error> {
        let (number, text) = <(Option<i32>, String)>::deserialize(deserializer)?;
        Ok(number.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error))
    }
}

/// A secret. Formats for people and files are refused: what derives `Serialize` must not be a way around [`Secret`].
///
/// [`Secret`]: crate::Secret
struct SecretRef<'a>(&'a crate::Secret);

impl Serialize for SecretRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return Err(S::Error::custom("a secret is not written"));
        }
        serializer.serialize_str(self.0.expose())
    }
}

/// `Secret`.
pub(crate) mod secret {
    use super::{Deserialize, Deserializer, SecretRef, Serialize, Serializer};
    use crate::secret::Secret;

    pub(crate) fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        SecretRef(secret).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

/// `Option<Secret>`.
pub(crate) mod maybe_secret {
    use super::{Deserialize, Deserializer, SecretRef, Serialize, Serializer};
    use crate::secret::Secret;

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(crate) fn serialize<S: Serializer>(
        secret: &Option<Secret>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(SecretRef).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Secret>, D::Error> {
        Option::<String>::deserialize(deserializer).map(|text| text.map(Secret::new))
    }
}

/// The jump hosts of a rule or a target.
pub(crate) mod jumps {
    use std::sync::Arc;

    use super::{Deserialize, Deserializer, Serialize, Serializer};
    use crate::ssh::rules::JumpHost;

    #[expect(clippy::ref_option, reason = "the signature is serde's")]
    pub(crate) fn serialize<S: Serializer>(
        jumps: &Option<Vec<Arc<JumpHost>>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let jumps: Option<Vec<&JumpHost>> =
            jumps.as_ref().map(|jumps| jumps.iter().map(|jump| &**jump).collect());
        jumps.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<Arc<JumpHost>>>, D::Error> {
        let jumps = Option::<Vec<JumpHost>>::deserialize(deserializer)?;
        Ok(jumps.map(|jumps| jumps.into_iter().map(Arc::new).collect()))
    }
}

/// An error inside of another. Ours are two deep; a worker that sends more wants our stack.
pub(crate) mod nested {
    use super::{Deserialize, Deserializer, Serialize, Serializer, deeper};
    use crate::ssh::error::SshErrorKind;

    #[expect(clippy::borrowed_box, reason = "the signature is serde's")]
    pub(crate) fn serialize<S: Serializer>(
        kind: &Box<SshErrorKind>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        kind.serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Box<SshErrorKind>, D::Error> {
        deeper(|| SshErrorKind::deserialize(deserializer).map(Box::new))
    }
}

const DEEPEST: u32 = 4;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

fn deeper<T, E: serde::de::Error>(read: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    let depth = DEPTH.get();
    if depth >= DEEPEST {
        return Err(E::custom("errors are nested too deeply"));
    }
    DEPTH.set(depth + 1);
    let read = read();
    DEPTH.set(depth);
    read
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{frame, record};
    use super::*;
    use crate::secret::Secret;
    use crate::ssh::become_user::{Account, Method};
    use crate::ssh::credential::{Credential, Key};
    use crate::ssh::rules::{HostPatterns, HostRule, JumpHost};
    use crate::ssh::settings::{SshAuth, SshSettings, SshTarget};

    fn there_and_back<T: Serialize + serde::de::DeserializeOwned>(value: &T) -> T {
        let frame = frame(value, 1 << 20).unwrap();
        record(&frame[super::super::protocol::HEADER..]).unwrap()
    }

    fn target() -> SshTarget {
        let path = PathBuf::from(OsString::from_vec(b"/k\xff".to_vec()));
        let passphrase = Some(Secret::new("words".to_owned()));
        let auth = vec![
            SshAuth::Password(Secret::new("hunter2".to_owned())),
            SshAuth::KeyFile { path, passphrase },
            SshAuth::Agent,
        ];
        SshTarget { host: "h".to_owned(), port: 22, user: "u".to_owned(), auth, jumps: None }
    }

    #[test]
    fn settings_arrive_without_a_way_to_log_in_anywhere() {
        let jump = JumpHost { target: target(), logins_per_second: Some(0.5) };
        let rule = HostRule {
            jumps: Some(vec![std::sync::Arc::new(jump)]),
            ..HostRule::new(HostPatterns::new(["a*", "!ab"]))
        };
        let settings = SshSettings { rules: vec![rule], ..SshSettings::new("/kh".into()) };
        let arrived = there_and_back(&settings);
        let jump = &arrived.rules[0].jumps.as_ref().unwrap()[0];
        assert_eq!((jump.target.to_string().as_str(), jump.logins_per_second), ("u@h:22", Some(0.5)));
        assert!(jump.target.auth.is_empty());
        let bytes = frame(&settings, 1 << 20).unwrap();
        assert!(!bytes.windows(7).any(|part| part == b"hunter2"));
    }

    #[test]
    fn ways_to_log_in_arrive_with_secrets_and_odd_paths() {
        let arrived: Vec<Credential> = there_and_back(&Credential::gather(&target().auth));
        let [
            Credential::Password(password),
            Credential::Key { path, key: Key::Unreadable(_), passphrase: Some(passphrase) },
            Credential::Agent,
        ] = &arrived[..]
        else {
            panic!("{arrived:?}")
        };
        assert_eq!((password.expose(), passphrase.expose()), ("hunter2", "words"));
        assert_eq!(path.as_os_str().as_bytes(), b"/k\xff");
    }

    #[test]
    fn a_secret_is_written_to_no_text() {
        let password = Some(Secret::new("hunter2".to_owned()));
        let account = Account { user: "u".to_owned(), method: Method::Su, password };
        assert!(serde_json::to_string(&account).is_err());
        assert!(serde_json::to_string(&Credential::gather(&target().auth)).is_err());
        assert_eq!(there_and_back(&account).password.unwrap().expose(), "hunter2");
    }

    #[test]
    fn an_error_of_the_system_keeps_its_number() {
        let kind = |source| crate::ssh::error::SshErrorKind::LocalFile { path: "/f".into(), source };
        for source in [std::io::Error::from_raw_os_error(13), std::io::Error::other("text")] {
            let (number, text) = (source.raw_os_error(), source.to_string());
            let arrived = there_and_back(&kind(source));
            let crate::ssh::error::SshErrorKind::LocalFile { source, .. } = arrived else {
                panic!("{arrived}")
            };
            assert_eq!((source.raw_os_error(), source.to_string()), (number, text));
        }
    }
}

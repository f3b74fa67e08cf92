//! Secrets and the RC4-hex scheme that the server, the configuration file and existing plugins share
//! (`spec/cli.md` §1.9).
//!
//! RC4 is here to *read* what others wrote; nothing new is protected with it except where plugins read it.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// A text that must not be printed. No `Display`; `Debug` hides it; memory is cleared on drop.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Wraps a plain text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The plain text. Every call is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Why an encrypted text could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RevealError {
    /// Not an even number of hexadecimal digits.
    #[error("the encrypted text is not hexadecimal")]
    NotHex,
    /// There is no key: `password.key` is not configured.
    #[error("there is no key to decrypt with: set `password.key` in conf/config.ini")]
    NoKey,
}

/// The key of job secrets (`password.key`) or the compiled-in master key.
#[derive(Debug, Clone)]
pub struct SecretKey(Secret);

const MARKS: [&str; 3] = ["{ENCRYPTED}", "{RC4}", "RC4:"];

impl SecretKey {
    /// A key from its text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Secret::new(text))
    }

    /// The key compiled into every installation, under which `password.key` itself is stored. It hides
    /// nothing from anybody who has this source; it is needed to read existing files.
    pub fn master() -> Self {
        Self::new("c3H002LGZRrseEPck9tsNgfXHJcl0USJ")
    }

    /// Decrypts a text that carries one of the prefixes `{ENCRYPTED}`, `{RC4}` or `RC4:`; any other text is
    /// plain and comes back as it is.
    pub fn reveal(&self, text: &str) -> Result<Secret, RevealError> {
        match MARKS.iter().find_map(|mark| text.strip_prefix(mark)) {
            Some(hex) => self.decrypt(hex),
            None => Ok(Secret::new(text)),
        }
    }

    /// Decrypts hexadecimal text. Bytes that are not UTF-8 are read as Latin-1.
    pub fn decrypt(&self, hex: &str) -> Result<Secret, RevealError> {
        if self.0.expose().is_empty() {
            return Err(RevealError::NoKey);
        }
        let mut bytes = hex::decode(hex.trim()).map_err(|_| RevealError::NotHex)?;
        apply_rc4(self.0.expose().as_bytes(), &mut bytes);
        Ok(Secret::new(match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => error.into_bytes().iter().map(|byte| char::from(*byte)).collect(),
        }))
    }

    /// Encrypts to lower-case hexadecimal, without prefix.
    pub fn encrypt(&self, plain: &Secret) -> String {
        let mut bytes = plain.expose().as_bytes().to_vec();
        apply_rc4(self.0.expose().as_bytes(), &mut bytes);
        hex::encode(bytes)
    }

    /// Whether `text` is a job option that is really encrypted: `{RC4}` and the same text after a round trip.
    pub fn reveal_job_option(&self, text: &str) -> Option<Secret> {
        let hex = text.strip_prefix("{RC4}")?;
        let plain = self.decrypt(hex).ok()?;
        (self.encrypt(&plain) == hex).then_some(plain)
    }
}

/// Whether `text` carries one of the prefixes of an encrypted value.
pub fn is_encrypted(text: &str) -> bool {
    MARKS.iter().any(|mark| text.starts_with(mark))
}

/// Plain RC4 without drop. Written out because the key length varies at run time and the published crates
/// fix it in the type.
fn apply_rc4(key: &[u8], data: &mut [u8]) {
    if key.is_empty() {
        return;
    }
    let mut state: [u8; 256] = std::array::from_fn(|i| u8::try_from(i).unwrap_or(0));
    let mut j = 0u8;
    for i in 0..=255u8 {
        let key_byte = key[usize::from(i) % key.len()];
        j = j.wrapping_add(state[usize::from(i)]).wrapping_add(key_byte);
        state.swap(usize::from(i), usize::from(j));
    }
    let (mut i, mut j) = (0u8, 0u8);
    for byte in data {
        i = i.wrapping_add(1);
        j = j.wrapping_add(state[usize::from(i)]);
        state.swap(usize::from(i), usize::from(j));
        *byte ^= state[usize::from(state[usize::from(i)].wrapping_add(state[usize::from(j)]))];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_the_specification() {
        let table = [
            ("Key", "Plaintext", "bbf316e8d940af0ad3"),
            ("k3y-for-tests-0123456789abcdefgh", "s3cret-Pa55", "d94cf101ca62a06c8680c8"),
            (
                "c3H002LGZRrseEPck9tsNgfXHJcl0USJ",
                "k3y-for-tests-0123456789abcdefgh",
                "c34ecd89482c0abbe905cb6f8547b217a7c46be9afd52005f1845257b59ba6f3",
            ),
            ("k3y-for-tests-0123456789abcdefgh", "密码1", "4fd014940f97bc"),
        ];
        for (key, plain, hex) in table {
            let key = SecretKey::new(key);
            assert_eq!(key.encrypt(&Secret::new(plain)), hex);
            for prefix in MARKS {
                assert_eq!(key.reveal(&format!("{prefix}{hex}")).unwrap().expose(), plain);
            }
        }
    }

    #[test]
    fn plain_text_passes_and_broken_hex_is_an_error_without_the_text() {
        let key = SecretKey::new("k");
        assert_eq!(key.reveal("plain").unwrap().expose(), "plain");
        for broken in ["{RC4}abc", "{RC4}zz", "{RC4}é1"] {
            let error = key.reveal(broken).unwrap_err().to_string();
            assert_eq!(error, "the encrypted text is not hexadecimal");
        }
        assert!(matches!(SecretKey::new("").reveal("{RC4}00"), Err(RevealError::NoKey)));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin1() {
        let key = SecretKey::new("Key");
        let mut bytes = vec![0xe9, b'a'];
        apply_rc4(b"Key", &mut bytes);
        let hex = hex::encode(bytes);
        assert_eq!(key.decrypt(&hex).unwrap().expose(), "éa");
    }

    #[test]
    fn nothing_prints_a_secret() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
        assert_eq!(format!("{:?}", SecretKey::new("hunter2")), "SecretKey(Secret(..))");
    }
}

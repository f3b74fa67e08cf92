//! Private keys in the format of OpenSSH: what they tell without a passphrase, and those that sign by themselves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, Signature};
use zeroize::Zeroizing;

use super::fields::{Reader, put};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Cipher of a file without a passphrase.
const NONE: &[u8] = b"none";
const ED25519: &[u8] = b"ssh-ed25519";

/// The public key of a private one, as a line of `authorized_keys`; none for other formats. libssh2 can work it out by itself, but tries
/// every format that OpenSSL knows before this one, which takes longer than the whole rest of a login.
pub(super) fn public_part(text: &str) -> Option<String> {
    let bytes = decoded(text)?;
    let public = Container::read(&bytes)?.public;
    let name = Reader(public).text().ok()?;
    name.bytes().all(|byte| byte.is_ascii_graphic()).then(|| format!("{name} {}", STANDARD.encode(public)))
}

/// True for a file behind a passphrase, of OpenSSH's format or one of OpenSSL's.
pub(super) fn is_encrypted(text: &str) -> bool {
    let container = decoded(text);
    match container.as_ref().and_then(|bytes| Container::read(bytes)) {
        Some(container) => container.cipher != NONE,
        None => {
            text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----") || text.contains("Proc-Type: 4,ENCRYPTED")
        }
    }
}

/// A key that signs by itself: for an Ed25519 key without a passphrase, as `ssh-keygen` makes it, a login needs nothing of
/// OpenSSL's decoders.
pub(super) struct Ed25519Key {
    seed: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl Ed25519Key {
    /// The key of a file; none for another type or format, or behind a passphrase.
    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = decoded(text)?;
        let container = Container::read(&bytes)?;
        if container.cipher != NONE {
            return None;
        }
        let mut private = Reader(container.private);
        let (check, again) = (private.number32().ok()?, private.number32().ok()?);
        if check != again || private.bytes().ok()? != ED25519 {
            return None;
        }
        let public = private.bytes().ok()?.try_into().ok()?;
        // The seed, and the public key once more.
        let seed = private.bytes().ok()?.first_chunk::<32>()?;
        let key = Self { seed: Zeroizing::new(*seed), public };
        (key.public_blob() == container.public).then_some(key)
    }

    /// The public key as it is sent.
    pub(super) fn public_blob(&self) -> Vec<u8> {
        let mut blob = Vec::new();
        put(&mut blob, ED25519);
        put(&mut blob, &self.public);
        blob
    }

    /// The signature of a message; none if seed and public key do not belong together.
    pub(super) fn sign(&self, message: &[u8]) -> Option<Signature> {
        let pair = Ed25519KeyPair::from_seed_and_public_key(&*self.seed, &self.public).ok()?;
        Some(pair.sign(message))
    }
}

/// The body of the file.
fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = text.trim_start().strip_prefix(BEGIN)?.split_once(END)?.0;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    STANDARD.decode(body.as_bytes()).ok().map(Zeroizing::new)
}

/// What a file holds (OpenSSH's PROTOCOL.key).
struct Container<'a> {
    cipher: &'a [u8],
    public: &'a [u8],
    /// Empty where it is cut off: not everybody needs it.
    private: &'a [u8],
}

impl<'a> Container<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Reader(bytes.strip_prefix(MAGIC)?);
        let cipher = fields.bytes().ok()?;
        let _derivation = (fields.bytes().ok()?, fields.bytes().ok()?);
        if fields.number32().ok()? != 1 {
            return None;
        }
        Some(Self { cipher, public: fields.bytes().ok()?, private: fields.bytes().unwrap_or_default() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use ring::signature::{ED25519 as ED25519_ALGORITHM, UnparsedPublicKey};

    use super::*;

    #[test]
    fn keys_behind_a_passphrase_are_told_from_others() {
        let dir = tempfile::tempdir().unwrap();
        for (number, (format, words)) in
            [("RFC4716", ""), ("RFC4716", "words"), ("PEM", ""), ("PEM", "words"), ("PKCS8", "words")]
                .into_iter()
                .enumerate()
        {
            let path = dir.path().join(number.to_string());
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "rsa", "-b", "2048", "-m", format, "-N", words, "-f"]).arg(&path);
            assert!(keygen.status().unwrap().success());
            let text = fs::read_to_string(path).unwrap();
            assert_eq!(is_encrypted(&text), !words.is_empty(), "{format} {words}");
        }
    }

    #[test]
    fn the_public_key_is_that_of_ssh_keygen() {
        let dir = tempfile::tempdir().unwrap();
        for (number, arguments) in
            [vec!["-t", "ed25519"], vec!["-t", "rsa", "-b", "2048"], vec!["-t", "ecdsa"]].iter().enumerate()
        {
            for passphrase in ["", "a passphrase"] {
                let key = dir.path().join(format!("key{number}{}", passphrase.len()));
                let made = Command::new("ssh-keygen")
                    .arg("-q")
                    .args(arguments)
                    .args(["-N", passphrase, "-C", "", "-f"])
                    .arg(&key)
                    .status();
                assert!(made.unwrap().success());
                let public = fs::read_to_string(key.with_extension("pub")).unwrap();
                assert_eq!(public_part(&fs::read_to_string(&key).unwrap()).unwrap(), public.trim());
            }
        }
    }

    fn made(arguments: &[&str]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        let made = Command::new("ssh-keygen").arg("-q").args(arguments).arg("-f").arg(&key).status();
        assert!(made.unwrap().success());
        fs::read_to_string(&key).unwrap()
    }

    #[test]
    fn an_open_ed25519_key_signs_by_itself_and_no_other() {
        let text = made(&["-t", "ed25519", "-N", ""]);
        let key = Ed25519Key::read(&text).unwrap();
        let signature = key.sign(b"message").unwrap();
        let public = UnparsedPublicKey::new(&ED25519_ALGORITHM, key.public);
        public.verify(b"message", signature.as_ref()).unwrap();
        assert!(public.verify(b"another", signature.as_ref()).is_err());
        let line = format!("ssh-ed25519 {}", STANDARD.encode(key.public_blob()));
        assert_eq!(public_part(&text).unwrap(), line);
        let other = Ed25519Key::read(&made(&["-t", "ed25519", "-N", ""])).unwrap();
        assert!(Ed25519Key { seed: other.seed, public: key.public }.sign(b"message").is_none());
        assert!(Ed25519Key::read(&made(&["-t", "ed25519", "-N", "a passphrase"])).is_none());
        assert!(Ed25519Key::read(&made(&["-t", "ecdsa", "-N", ""])).is_none());
    }

    #[test]
    fn what_is_cut_off_or_in_another_format_has_none() {
        let text = made(&["-t", "ed25519", "-N", ""]);
        let body = text.trim().strip_prefix(BEGIN).unwrap().strip_suffix(END).unwrap().trim_end();
        for end in 0..body.len() {
            // The private part may be missing: nobody looks at it here.
            let cut = format!("{BEGIN}{}{END}", body.get(..end).unwrap());
            let public = public_part(&cut);
            assert!(public.is_none() || public == public_part(&text));
            assert!(Ed25519Key::read(&cut).is_none(), "cut at {end}");
        }
        for other in ["", "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n", BEGIN, "key"] {
            assert_eq!(public_part(other), None);
            assert!(Ed25519Key::read(other).is_none());
        }
    }
}

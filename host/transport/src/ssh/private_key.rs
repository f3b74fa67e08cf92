//! What a private key in the format of OpenSSH tells without its passphrase.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::fields::Reader;

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";

/// The public key of a private one, as a line of `authorized_keys`; none for other formats. libssh2 can work it out by itself, but tries
/// every format that OpenSSL knows before this one, which takes longer than the whole rest of a login.
pub(super) fn public_part(text: &str) -> Option<String> {
    let body = text.trim_start().strip_prefix(BEGIN)?.split_once(END)?.0;
    let body: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    let bytes = Zeroizing::new(STANDARD.decode(body.as_bytes()).ok()?);
    let mut fields = Reader(bytes.strip_prefix(MAGIC)?);
    let _cipher_and_derivation = (fields.bytes().ok()?, fields.bytes().ok()?, fields.bytes().ok()?);
    if fields.number32().ok()? != 1 {
        return None;
    }
    let public = fields.bytes().ok()?;
    let name = Reader(public).text().ok()?;
    name.bytes().all(|byte| byte.is_ascii_graphic()).then(|| format!("{name} {}", STANDARD.encode(public)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

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

    #[test]
    fn what_is_cut_off_or_in_another_format_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let key = dir.path().join("key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status();
        assert!(made.unwrap().success());
        let text = fs::read_to_string(&key).unwrap();
        let body = text.trim().strip_prefix(BEGIN).unwrap().strip_suffix(END).unwrap();
        for end in 0..body.len() {
            // The private part may be missing: nobody looks at it here.
            let cut = public_part(&format!("{BEGIN}{}{END}", body.get(..end).unwrap()));
            assert!(cut.is_none() || cut == public_part(&text));
        }
        for other in ["", "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n", BEGIN, "key"] {
            assert_eq!(public_part(other), None);
        }
    }
}

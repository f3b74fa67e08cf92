//! OpenSSH host certificates: a host key signed by an authority that a `@cert-authority` line names.
//!
//! libssh2 checks that the server owns the key inside the certificate; whether an authority vouches for that key, for
//! this host and now, is checked here (OpenSSH's PROTOCOL.certkeys).

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::fields::{Reader, put};
use super::known_hosts::{HostKey, wildcard};

const HOST: u32 = 2;

/// A certificate taken apart. Nothing in it is trusted before [`Certificate::verify`].
#[derive(Debug)]
pub(super) struct Certificate<'a> {
    kind: u32,
    principals: Vec<&'a [u8]>,
    valid_after: u64,
    valid_before: u64,
    critical: &'a [u8],
    authority: &'a [u8],
    signed: &'a [u8],
    signature: &'a [u8],
    plain_key: HostKey,
}

/// True for the key types that are certificates.
pub(super) fn is_certificate(key_type: &str) -> bool {
    key_type.ends_with("-cert-v01@openssh.com")
}

impl<'a> Certificate<'a> {
    /// Takes a certificate apart; the error says what is wrong with its form.
    pub(super) fn parse(blob: &'a [u8]) -> Result<Self, &'static str> {
        let mut reader = Reader(blob);
        let key_type = reader.text()?;
        let base = key_type.strip_suffix("-cert-v01@openssh.com").ok_or("it is no certificate")?;
        reader.bytes()?;
        let fields = match base {
            "ssh-ed25519" => 1,
            "ssh-rsa" => 2,
            _ if base.starts_with("ecdsa-sha2-nistp") => 2,
            _ => return Err("its key is of an unknown type"),
        };
        let mut plain = Vec::new();
        put(&mut plain, base.as_bytes());
        for _ in 0..fields {
            put(&mut plain, reader.bytes()?);
        }
        reader.number64()?;
        let kind = reader.number32()?;
        reader.bytes()?;
        let mut names = Reader(reader.bytes()?);
        let mut principals = Vec::new();
        while !names.0.is_empty() {
            principals.push(names.bytes()?);
        }
        let (valid_after, valid_before) = (reader.number64()?, reader.number64()?);
        let critical = reader.bytes()?;
        reader.bytes()?;
        reader.bytes()?;
        let authority = reader.bytes()?;
        let signed = blob.get(..blob.len() - reader.0.len()).ok_or("it is cut off")?;
        let signature = reader.bytes()?;
        if !reader.0.is_empty() {
            return Err("there is something after its end");
        }
        Ok(Self {
            kind,
            principals,
            valid_after,
            valid_before,
            critical,
            authority,
            signed,
            signature,
            plain_key: HostKey::new(plain),
        })
    }

    /// The key that signed it, to be looked for among the authorities.
    pub(super) fn authority(&self) -> HostKey {
        HostKey::new(self.authority.to_vec())
    }

    /// The host's own key.
    pub(super) fn key(&self) -> &HostKey {
        &self.plain_key
    }

    /// Checks everything but who the authority is: signature, kind, names, time. `now` is in seconds since 1970.
    pub(super) fn verify(&self, host: &str, now: u64) -> Result<(), String> {
        verify_signature(self.authority, self.signed, self.signature)?;
        if self.kind != HOST {
            return Err("it is no host certificate".to_owned());
        }
        if !self.critical.is_empty() {
            return Err("it has critical options, which host certificates do not have".to_owned());
        }
        if now < self.valid_after {
            return Err("it is not valid yet; compare the clocks".to_owned());
        }
        if now >= self.valid_before {
            return Err("it has expired; the host needs a new one".to_owned());
        }
        let host = host.to_ascii_lowercase();
        let named = |name: &[u8]| wildcard(name, host.as_bytes());
        if !self.principals.iter().any(|name| named(name)) {
            let names: Vec<String> =
                self.principals.iter().take(8).map(|name| name.escape_ascii().to_string()).collect();
            return Err(format!(
                "it is for {}",
                if names.is_empty() { "no host".into() } else { names.join(", ") }
            ));
        }
        Ok(())
    }
}

fn verify_signature(key: &[u8], signed: &[u8], signature: &[u8]) -> Result<(), String> {
    let malformed = |problem: &'static str| format!("its signature cannot be checked: {problem}");
    let mut key = Reader(key);
    let mut signature = Reader(signature);
    let key_type = key.text().map_err(malformed)?;
    let scheme = signature.text().map_err(malformed)?;
    let bytes = signature.bytes().map_err(malformed)?;
    let verified = match (key_type, scheme) {
        ("ssh-ed25519", "ssh-ed25519") => {
            UnparsedPublicKey::new(&ED25519, key.bytes().map_err(malformed)?).verify(signed, bytes)
        }
        ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256") => {
            key.bytes().map_err(malformed)?;
            let fixed = fixed_ecdsa(bytes, 32).map_err(malformed)?;
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.bytes().map_err(malformed)?)
                .verify(signed, &fixed)
        }
        ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384") => {
            key.bytes().map_err(malformed)?;
            let fixed = fixed_ecdsa(bytes, 48).map_err(malformed)?;
            UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, key.bytes().map_err(malformed)?)
                .verify(signed, &fixed)
        }
        ("ssh-rsa", "rsa-sha2-256" | "rsa-sha2-512") => {
            let e = unsigned(key.bytes().map_err(malformed)?);
            let n = unsigned(key.bytes().map_err(malformed)?);
            let scheme = if scheme == "rsa-sha2-256" {
                &RSA_PKCS1_2048_8192_SHA256
            } else {
                &RSA_PKCS1_2048_8192_SHA512
            };
            RsaPublicKeyComponents { n, e }.verify(scheme, signed, bytes)
        }
        _ => return Err(malformed("neither Ed25519, ECDSA (P-256, P-384) nor RSA with SHA-2")),
    };
    verified.map_err(|_| "the signature of its authority is wrong".to_owned())
}

/// `r` and `s` of SSH (each a number of any length) as two numbers of `size` bytes.
fn fixed_ecdsa(bytes: &[u8], size: usize) -> Result<Vec<u8>, &'static str> {
    let mut reader = Reader(bytes);
    let mut fixed = Vec::with_capacity(2 * size);
    for _ in 0..2 {
        let number = unsigned(reader.bytes()?);
        let zeros = size.checked_sub(number.len()).ok_or("a number is too large")?;
        fixed.resize(fixed.len() + zeros, 0);
        fixed.extend_from_slice(number);
    }
    Ok(fixed)
}

/// A number of SSH without the zero bytes before it.
fn unsigned(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::time::{SystemTime, UNIX_EPOCH};

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn keygen(dir: &Path, arguments: &[&str]) {
        let status = Command::new("ssh-keygen").current_dir(dir).arg("-q").args(arguments).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    }

    fn blob(dir: &Path, file: &str) -> Vec<u8> {
        let text = std::fs::read_to_string(dir.join(file)).unwrap();
        STANDARD.decode(text.split_whitespace().nth(1).unwrap()).unwrap()
    }

    fn now() -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    /// Makes an authority and a certificate for a host key with OpenSSH's own tool.
    fn certificate(authority: &[&str], host: &[&str], options: &[&str]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        keygen(dir.path(), &[&["-N", "", "-f", "ca", "-t"], authority].concat());
        keygen(dir.path(), &[&["-N", "", "-f", "key", "-t"], host].concat());
        keygen(dir.path(), &[&["-s", "ca", "-I", "id"], options, &["key.pub"]].concat());
        (blob(dir.path(), "ca.pub"), blob(dir.path(), "key.pub"), blob(dir.path(), "key-cert.pub"))
    }

    #[test]
    fn certificates_of_every_usable_kind_are_verified() {
        for authority in
            [&["ed25519"][..], &["ecdsa", "-b", "256"], &["ecdsa", "-b", "384"], &["rsa", "-b", "2048"]]
        {
            for host in [&["ed25519"][..], &["ecdsa"], &["rsa", "-b", "2048"]] {
                let (ca, key, cert) = certificate(authority, host, &["-h", "-n", "web1,*.example.org"]);
                let parsed = Certificate::parse(&cert).unwrap();
                assert_eq!(parsed.authority(), HostKey::new(ca), "{authority:?} {host:?}");
                assert_eq!(*parsed.key(), HostKey::new(key), "{authority:?} {host:?}");
                for name in ["web1", "WEB1", "a.example.org"] {
                    parsed.verify(name, now()).unwrap();
                }
                let wrong = parsed.verify("web2", now()).unwrap_err();
                assert!(wrong.contains("it is for web1, *.example.org"), "{wrong}");
            }
        }
    }

    #[test]
    fn what_does_not_hold_is_named() {
        let valid = ["-h", "-n", "h", "-V", "20200101000000Z:20300101000000Z"];
        let (_, _, cert) = certificate(&["ed25519"], &["ed25519"], &valid);
        let parsed = Certificate::parse(&cert).unwrap();
        let (start, end) = (1_577_836_800, 1_893_456_000);
        parsed.verify("h", start).unwrap();
        assert!(parsed.verify("h", start - 1).unwrap_err().contains("not valid yet"));
        assert!(parsed.verify("h", end).unwrap_err().contains("expired"));
        let (_, _, user) = certificate(&["ed25519"], &["ed25519"], &["-n", "h"]);
        assert!(
            Certificate::parse(&user)
                .unwrap()
                .verify("h", now())
                .unwrap_err()
                .contains("no host certificate")
        );
        let (_, _, nameless) = certificate(&["ed25519"], &["ed25519"], &["-h"]);
        let wrong = Certificate::parse(&nameless).unwrap().verify("h", now()).unwrap_err();
        assert!(wrong.contains("for no host"), "{wrong}");
    }

    #[test]
    fn no_changed_byte_and_no_cut_is_accepted() {
        let (ca, _, cert) = certificate(&["ed25519"], &["ed25519"], &["-h", "-n", "h"]);
        let now = now();
        for at in 0..cert.len() {
            let mut changed = cert.clone();
            changed[at] ^= 1;
            let accepted = Certificate::parse(&changed).is_ok_and(|parsed| {
                parsed.authority() == HostKey::new(ca.clone()) && parsed.verify("h", now).is_ok()
            });
            assert!(!accepted, "byte {at}");
            assert!(Certificate::parse(&cert[..at]).is_err(), "cut at {at}");
        }
    }
}

//! The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::MongoUser;

const SALT: &[u8] = b"salt of the double";
const ROUNDS: u32 = 4096;

/// A login under way.
#[derive(Debug)]
pub(super) struct Login {
    client_first: String,
    server_first: String,
    salted: Vec<u8>,
    pub(super) skips_last: bool,
}

impl Login {
    /// Takes the client's first message and gives the server's; none for a user who is not known.
    pub(super) fn begin(user: &MongoUser, message: &str, skips_last: bool) -> Option<(Self, String)> {
        let bare = message.strip_prefix("n,,")?;
        let (name, nonce) = (attribute(bare, "n=")?, attribute(bare, "r=")?);
        if name.replace("=2C", ",").replace("=3D", "=") != user.name {
            return None;
        }
        let server_first = format!("r={nonce}from-the-double,s={},i={ROUNDS}", STANDARD.encode(SALT));
        let salted = salted_password(&user.password);
        let login =
            Self { client_first: bare.to_owned(), server_first: server_first.clone(), salted, skips_last };
        Some((login, server_first))
    }

    /// Takes the client's last message and gives the server's signature; none when the proof is wrong.
    pub(super) fn finish(&self, message: &str) -> Option<String> {
        let (without_proof, proof) = message.rsplit_once(",p=")?;
        let proof = STANDARD.decode(proof).ok()?;
        let all = format!("{},{},{without_proof}", self.client_first, self.server_first);
        let stored = Sha256::digest(hmac(&self.salted, b"Client Key"));
        let signature = hmac(&stored, all.as_bytes());
        let key: Vec<u8> = proof.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
        if Sha256::digest(&key) != stored {
            return None;
        }
        let server = hmac(&hmac(&self.salted, b"Server Key"), all.as_bytes());
        Some(format!("v={}", STANDARD.encode(server)))
    }
}

fn attribute<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message.split(',').find_map(|part| part.strip_prefix(name))
}

fn salted_password(password: &str) -> Vec<u8> {
    let first = [SALT, &1_u32.to_be_bytes()].concat();
    let mut last = hmac(password.as_bytes(), &first);
    let mut sum = last.clone();
    for _ in 1..ROUNDS {
        last = hmac(password.as_bytes(), &last);
        sum.iter_mut().zip(&last).for_each(|(sum, byte)| *sum ^= byte);
    }
    sum
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    // A key of any length is taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

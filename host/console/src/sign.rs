//! The `Authorization` header (`spec/server-api.md` §4.1).

use autoexec_model::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::ConsoleError;

/// Signs requests of one user.
#[derive(Clone)]
pub(crate) struct Signer {
    user: String,
    keyed: Hmac<Sha256>,
}

impl Signer {
    /// Prepares the key: the UTF-8 bytes of the decrypted password.
    pub(crate) fn new(user: &str, key: &Secret) -> Result<Self, ConsoleError> {
        let keyed = Hmac::new_from_slice(key.expose().as_bytes())
            .map_err(|_| ConsoleError::settings("server.password", "it cannot be an HMAC key"))?;
        Ok(Self { user: user.to_owned(), keyed })
    }

    /// The header's value: `Hmac ` and the digest of `user#uri#base64(body)`.
    ///
    /// `uri` is path and query exactly as they go over the wire; `body` is empty for a request without one.
    pub(crate) fn authorization(&self, uri: &str, body: &[u8]) -> String {
        let mut mac = self.keyed.clone();
        for part in [&self.user, "#", uri, "#", &STANDARD.encode(body)] {
            mac.update(part.as_bytes());
        }
        format!("Hmac {}", hex::encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new("autoexec", &Secret::new("tok-4711")).unwrap()
    }

    #[test]
    fn vector_1_a_post_with_a_body() {
        let signed = signer().authorization(
            "/neatlogic/api/rest/autoexec/job/create/param/get",
            br#"{"jobId": "620011223344", "lastModified": 0}"#,
        );
        assert_eq!(signed, "Hmac 57e50829c26be1d2f869af01e79722b1cc9a83ffb748aefbe9b71a143d116b3d");
    }

    #[test]
    fn vector_2_a_get_with_a_query() {
        let signed = signer().authorization("/neatlogic/api/binary/file/download?id=99&lastModified=0", b"");
        assert_eq!(signed, "Hmac 60a80cd745bd0d84b5d04fe949e6c299f1fb996aa1853bb76e3376659600a1ef");
    }
}

//! Making keys and signatures. For `autoexec plugin sign` and for tests; running jobs only verifies.

use autoexec_manifest::{SectionError, read_outline};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::digest::Digest;
use crate::keys::{KeyId, PublicKey};
use crate::signature::Statement;

/// Bytes in the text of a secret key that name how it is encrypted; zero if it is not.
const KDF_BYTES: std::ops::Range<usize> = 2..4;

/// Why something could not be signed. Never holds a piece of a key.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The file is no tool.
    #[error("this can not be signed as a tool: {0}")]
    NotATool(#[from] SectionError),
    /// The secret key is encrypted and there was no password, or a wrong one.
    #[error("the secret key is protected by a password, and the one given does not open it")]
    Password,
    /// The text is not a secret key.
    #[error("this is not a minisign secret key: {0}")]
    Key(String),
    /// The library refused.
    #[error("can not sign: {0}")]
    Sign(String),
}

/// A secret key, ready to sign. Shows its number only.
pub struct SigningKey {
    secret: minisign::SecretKey,
}

impl SigningKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, SignError> {
        let pair = minisign::KeyPair::generate_unencrypted_keypair()
            .map_err(|error| SignError::Sign(error.to_string()))?;
        Ok(Self { secret: pair.sk })
    }

    /// Makes a new key and gives the text of its file, encrypted with `password`, with the key itself.
    pub fn generate_encrypted(password: &str) -> Result<(Self, Zeroizing<String>), SignError> {
        let failed = |error: minisign::PError| SignError::Sign(error.to_string());
        let pair =
            minisign::KeyPair::generate_encrypted_keypair(Some(password.to_owned())).map_err(failed)?;
        let text = Zeroizing::new(pair.sk.to_box(None).map_err(failed)?.into_string());
        let key = Self::read(&text, Some(password))?;
        Ok((key, text))
    }

    /// Whether the text of a secret key's file needs a password.
    pub fn needs_password(text: &str) -> bool {
        let decoded =
            text.lines().nth(1).and_then(|line| STANDARD.decode(line.trim()).ok()).map(Zeroizing::new);
        decoded.is_some_and(|bytes| bytes.get(KDF_BYTES).is_some_and(|kdf| kdf != [0, 0]))
    }

    /// Reads the text of a secret key's file. Never asks the terminal.
    pub fn read(text: &str, password: Option<&str>) -> Result<Self, SignError> {
        let boxed = minisign::SecretKeyBox::from_string(text)
            .map_err(|_| SignError::Key("it is not a comment and a line of base64".to_owned()))?;
        let secret = match (Self::needs_password(text), password) {
            (false, _) => boxed
                .into_unencrypted_secret_key()
                .map_err(|_| SignError::Key("it is damaged or cut off".to_owned()))?,
            (true, Some(password)) => {
                boxed.into_secret_key(Some(password.to_owned())).map_err(|_| SignError::Password)?
            }
            (true, None) => return Err(SignError::Password),
        };
        Ok(Self { secret })
    }

    /// The text of the key's file, not encrypted: for keys of machines, in files of mode 0600.
    pub fn unprotected_text(&self) -> Result<Zeroizing<String>, SignError> {
        let boxed = self.secret.to_box(None).map_err(|error| SignError::Sign(error.to_string()))?;
        Ok(Zeroizing::new(boxed.into_string()))
    }

    /// The text of the public key's file (`NAME.pub`).
    pub fn public(&self) -> Result<String, SignError> {
        let failed = |error: minisign::PError| SignError::Sign(error.to_string());
        let key = minisign::PublicKey::from_secret_key(&self.secret).map_err(failed)?;
        Ok(key.to_box().map_err(failed)?.into_string())
    }

    /// Its number.
    pub fn id(&self) -> Result<KeyId, SignError> {
        let key = PublicKey::parse(&self.public()?).map_err(SignError::Key)?;
        Ok(key.id())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id().ok()).finish_non_exhaustive()
    }
}

/// Signs a component: the text of `NAME.wasm.minisig`. Name and version are taken from its manifest, so only a tool can
/// be signed, and only as what it says it is.
pub fn sign(component: &[u8], key: &SigningKey) -> Result<String, SignError> {
    let manifest = read_outline(component)?.manifest;
    let statement = Statement {
        tool: manifest.name.to_string(),
        version: manifest.version,
        digest: Digest::of(component),
    };
    sign_with_comment(component, key, &statement.to_string())
}

/// Signs with any trusted comment. For tests of what must be refused.
pub(crate) fn sign_with_comment(
    component: &[u8],
    key: &SigningKey,
    comment: &str,
) -> Result<String, SignError> {
    let untrusted = "signature of an autoexec tool";
    minisign::sign(None, &key.secret, component, Some(comment), Some(untrusted))
        .map(minisign::SignatureBox::into_string)
        .map_err(|error| SignError::Sign(error.to_string()))
}

//! Checking a detached signature: who signed, what for, and that it is this file.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use semver::Version;

use crate::digest::Digest;
use crate::keys::{KeyId, TrustedKeys};

/// What is added to the name of a component's file for that of its signature.
pub const SIGNATURE_EXTENSION: &str = "minisig";

/// First words of a trusted comment; the number is the version of its form.
const MARK: &str = "autoexec-tool 1";

/// What a signer states in the trusted comment, in the form
/// `autoexec-tool 1 name=<bundle/name> version=<version> sha256=<digest>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// `bundle/name`.
    pub tool: String,
    /// The tool's version.
    pub version: Version,
    /// SHA-256 of the component's file.
    pub digest: Digest,
}

impl Statement {
    /// Reads a trusted comment. Strict: one form only, so that nothing can be hidden in it.
    ///
    /// # Errors
    /// [`SignatureError::Statement`].
    pub fn parse(comment: &str) -> Result<Self, SignatureError> {
        let wrong = || SignatureError::Statement(shown(comment));
        let rest =
            comment.strip_prefix(MARK).and_then(|rest| rest.strip_prefix(" name=")).ok_or_else(wrong)?;
        let (tool, rest) = rest.split_once(" version=").ok_or_else(wrong)?;
        let (version, digest) = rest.split_once(" sha256=").ok_or_else(wrong)?;
        let statement = Self {
            tool: tool.to_owned(),
            version: Version::parse(version).map_err(|_| wrong())?,
            digest: digest.parse().map_err(|_| wrong())?,
        };
        if statement.to_string() == comment && !tool.contains(char::is_whitespace) {
            Ok(statement)
        } else {
            Err(wrong())
        }
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tool, version, digest } = self;
        write!(f, "{MARK} name={tool} version={version} sha256={digest}")
    }
}

/// Who signed a component, and what they said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// Number of the key.
    pub key: KeyId,
    /// Name of the key at this site.
    pub key_name: String,
    /// What was signed.
    pub statement: Statement,
}

/// A signature that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not in minisign's format, or cut off.
    #[error("the signature can not be read ({0}); it is damaged or cut off. Get it again, or sign again")]
    Format(String),
    /// Made by a key that is not in `conf/trust`.
    #[error(
        "the signature is by key {0}, which is not trusted here; if you trust its owner, put the public key into \
         conf/trust (`autoexec tool trust add FILE`)"
    )]
    UnknownKey(KeyId),
    /// The file or the signed comment is not what was signed.
    #[error(
        "the signature by key {0} does not hold: the file or the signature's comment was changed after signing. \
         Get both again from where they come from"
    )]
    Invalid(KeyId),
    /// Signed, but not as a tool of autoexec.
    #[error(
        "the signature is not one for a tool: its trusted comment is {0:?}; sign with `autoexec plugin sign`"
    )]
    Statement(String),
    /// The statement names another content.
    #[error("the signature is for content with SHA-256 {said}, but this file has {is}")]
    Digest {
        /// In the statement.
        said: Digest,
        /// Of the file.
        is: Digest,
    },
    /// A signature of another tool.
    #[error(
        "the signature is for the tool {said}, but it stands at {is}; a signature holds for one tool only"
    )]
    Tool {
        /// In the statement.
        said: String,
        /// Where it is installed, or the name in the manifest.
        is: String,
    },
    /// A signature of another version.
    #[error("the signature is for version {said}, but the manifest says {is}")]
    Version {
        /// In the statement.
        said: Version,
        /// In the manifest.
        is: Version,
    },
}

/// Checks the text of a signature file against a component's bytes and the trusted keys. That the statement fits the
/// place and the manifest is [`Signer::is_for`]'s to say.
///
/// # Errors
/// Why it does not hold. The order is that of trust: form, key, mathematics, statement.
pub fn verify(
    component: &[u8],
    digest: &Digest,
    signature: &str,
    trusted: &TrustedKeys,
) -> Result<Signer, SignatureError> {
    let unreadable = |error: minisign_verify::Error| SignatureError::Format(error.to_string());
    let id = key_of(signature)?;
    let decoded = minisign_verify::Signature::decode(signature).map_err(unreadable)?;
    let trusted = trusted.get(id).ok_or(SignatureError::UnknownKey(id))?;
    trusted.key.minisign().verify(component, &decoded, false).map_err(|error| match error {
        minisign_verify::Error::InvalidSignature | minisign_verify::Error::UnexpectedKeyId => {
            SignatureError::Invalid(id)
        }
        other => unreadable(other),
    })?;
    let statement = Statement::parse(decoded.trusted_comment())?;
    if statement.digest != *digest {
        return Err(SignatureError::Digest { said: statement.digest, is: *digest });
    }
    Ok(Signer { key: id, key_name: trusted.name.clone(), statement })
}

impl Signer {
    /// Whether the signature is for a tool of this name, as which it is installed, and this version, which its manifest
    /// has.
    ///
    /// # Errors
    /// [`SignatureError::Tool`], [`SignatureError::Version`].
    pub fn is_for(&self, tool: &str, version: &Version) -> Result<(), SignatureError> {
        let Statement { tool: said, version: said_version, .. } = &self.statement;
        if said != tool {
            return Err(SignatureError::Tool { said: said.clone(), is: tool.to_owned() });
        }
        if said_version != version {
            return Err(SignatureError::Version { said: said_version.clone(), is: version.clone() });
        }
        Ok(())
    }
}

/// The number of the key a signature says it is by; nothing is proved by it.
pub(crate) fn key_of(signature: &str) -> Result<KeyId, SignatureError> {
    let cut_off = |what: &str| SignatureError::Format(format!("{what} is missing"));
    let line = signature.lines().nth(1).ok_or_else(|| cut_off("the line with the signature"))?;
    let bytes = STANDARD
        .decode(line.trim())
        .map_err(|_| SignatureError::Format("its second line is not base64".to_owned()))?;
    KeyId::after_algorithm(&bytes).ok_or_else(|| cut_off("the key id"))
}

/// A comment as it may stand in an error: it comes from a file that nobody has vouched for.
fn shown(comment: &str) -> String {
    comment.chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        Statement { tool: "demo/probe".into(), version: Version::new(1, 2, 3), digest: Digest::of(b"x") }
    }

    #[test]
    fn a_statement_is_read_as_it_is_written_and_in_no_other_form() {
        let text = statement().to_string();
        assert_eq!(Statement::parse(&text), Ok(statement()));
        for bad in [
            text.replace("autoexec-tool 1", "autoexec-tool 2"),
            text.replace("1.2.3", "1.2"),
            text.replace(" sha256=", " sha512="),
            text.replace("demo/probe", "demo/ probe"),
            format!("{text} "),
            format!(" {text}"),
            format!("{text} name=other/tool"),
            text.replace("version=1.2.3", "version=1.2.3 version=9.9.9"),
            String::new(),
        ] {
            assert!(matches!(Statement::parse(&bad), Err(SignatureError::Statement(_))), "{bad}");
        }
    }

    #[test]
    fn a_long_comment_is_cut_in_the_error() {
        let error = Statement::parse(&"\u{1b}[31m".repeat(1000)).unwrap_err().to_string();
        assert!(error.len() < 2000 && !error.contains('\u{1b}'), "{error}");
    }
}

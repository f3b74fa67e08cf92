//! Where tools come from: detached signatures, the keys a site trusts, and the lock of what a person approved.
//!
//! A component's file is bound to its name, version and content by a minisign signature beside it
//! (`NAME.wasm.minisig`, [`sign`]); a site says in `conf/trust/*.pub` whose signatures count ([`TrustedKeys`]). Nothing
//! here asks the network. `docs/supply-chain.md` is for people.
//!
//! ```
//! use autoexec_supply::{Digest, SigningKey, TrustedKeys, sign, verify};
//! # use autoexec_manifest::{Manifest, append_manifest};
//! # let manifest = include_str!("../../manifest/tests/minimal.toml");
//! # let manifest: Manifest = toml::from_str(manifest)?;
//! # let mut component = b"\0asm\x0d\0\x01\0".to_vec();
//! # append_manifest(&mut component, &manifest);
//! let key = SigningKey::generate()?;
//! let signature = sign(&component, &key)?;
//! let trusted = TrustedKeys::of([("build", key.public()?.as_str())])?;
//! let signer = verify(&component, &Digest::of(&component), &signature, &trusted)?;
//! assert_eq!(signer.statement.tool, "demo/probe");
//! assert_eq!(signer.key_name, "build");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod check;
mod digest;
mod keys;
mod lock;
mod signature;
mod signing;
#[cfg(test)]
mod tests;

pub use check::{
    Assessment, Candidate, Refusal, Rules, SignatureState, Strictness, read_signature, signature_path,
};
pub use digest::{Digest, DigestError};
pub use keys::{KeyId, PublicKey, TrustError, TrustedKey, TrustedKeys};
pub use lock::{Change, Kind, Lock, LockError, Pinned, Standing};
pub use signature::{SIGNATURE_EXTENSION, SignatureError, Signer, Statement, verify};
pub use signing::{SignError, SigningKey, sign};

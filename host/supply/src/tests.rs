//! Signatures as attackers would want them, with real keys.

use autoexec_manifest::{Manifest, append_manifest};
use semver::Version;

use crate::signature::{SignatureError, Signer, Statement, verify};
use crate::signing::{SignError, SigningKey, sign, sign_with_comment};
use crate::{Digest, TrustError, TrustedKeys};

/// The minimal tool of the manifest crate under a name and a version.
pub(crate) fn component(name: &str, version: &str) -> Vec<u8> {
    let text = include_str!("../../manifest/tests/minimal.toml");
    let mut manifest: Manifest = toml::from_str(text).unwrap();
    manifest.name = name.to_owned().try_into().unwrap();
    manifest.version = Version::parse(version).unwrap();
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    append_manifest(&mut bytes, &manifest);
    bytes
}

fn trusting(key: &SigningKey) -> TrustedKeys {
    TrustedKeys::of([("build", key.public().unwrap().as_str())]).unwrap()
}

fn check(bytes: &[u8], signature: &str, trusted: &TrustedKeys) -> Result<Signer, SignatureError> {
    verify(bytes, &Digest::of(bytes), signature, trusted)
}

#[test]
fn what_was_signed_is_verified_and_the_signer_is_named() {
    let (key, tool) = (SigningKey::generate().unwrap(), component("demo/probe", "1.2.3"));
    let signature = sign(&tool, &key).unwrap();
    let signer = check(&tool, &signature, &trusting(&key)).unwrap();
    assert_eq!((signer.key, signer.key_name.as_str()), (key.id().unwrap(), "build"));
    let expected =
        Statement { tool: "demo/probe".into(), version: Version::new(1, 2, 3), digest: Digest::of(&tool) };
    assert_eq!(signer.statement, expected);
    assert_eq!(signer.is_for("demo/probe", &Version::new(1, 2, 3)), Ok(()));
    assert!(signature.contains(&format!("trusted comment: {expected}\n")), "{signature}");
}

#[test]
fn a_signature_by_another_key_does_not_count() {
    let (own, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let tool = component("demo/probe", "1.0.0");
    let signature = sign(&tool, &other).unwrap();
    let expected = SignatureError::UnknownKey(other.id().unwrap());
    assert_eq!(check(&tool, &signature, &trusting(&own)), Err(expected.clone()));
    assert_eq!(check(&tool, &signature, &TrustedKeys::default()), Err(expected));
}

/// A signature that borrows the number of a trusted key.
#[test]
fn a_key_with_a_trusted_keys_number_does_not_count() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let (own, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let tool = component("demo/probe", "1.0.0");
    let renumber = |text: &str, from: &str| {
        let line = |text: &str| STANDARD.decode(text.lines().nth(1).unwrap()).unwrap();
        let mut bytes = line(text);
        bytes[2..10].copy_from_slice(&line(from)[2..10]);
        text.replacen(text.lines().nth(1).unwrap(), &STANDARD.encode(bytes), 1)
    };
    let forged = renumber(&sign(&tool, &other).unwrap(), &own.public().unwrap());
    assert_eq!(check(&tool, &forged, &trusting(&own)), Err(SignatureError::Invalid(own.id().unwrap())));
}

#[test]
fn a_changed_file_is_refused_wherever_it_was_changed() {
    let (key, tool) = (SigningKey::generate().unwrap(), component("demo/probe", "1.0.0"));
    let (signature, trusted) = (sign(&tool, &key).unwrap(), trusting(&key));
    for at in 0..tool.len() {
        let mut changed = tool.clone();
        changed[at] ^= 1;
        assert!(
            matches!(check(&changed, &signature, &trusted), Err(SignatureError::Invalid(_))),
            "byte {at}"
        );
    }
    for end in [0, 8, tool.len() - 1] {
        assert!(matches!(check(&tool[..end], &signature, &trusted), Err(SignatureError::Invalid(_))));
    }
    let longer = [tool.as_slice(), b"\0"].concat();
    assert!(matches!(check(&longer, &signature, &trusted), Err(SignatureError::Invalid(_))));
}

#[test]
fn a_replaced_comment_is_refused() {
    let (key, tool) = (SigningKey::generate().unwrap(), component("demo/probe", "1.0.0"));
    let (signature, trusted) = (sign(&tool, &key).unwrap(), trusting(&key));
    let changed = signature.replace("version=1.0.0", "version=9.0.0");
    assert_ne!(changed, signature);
    assert!(matches!(check(&tool, &changed, &trusted), Err(SignatureError::Invalid(_))));
    // The comment of another good signature with its global signature: both good, but not together.
    let other = sign(&component("demo/other", "1.0.0"), &key).unwrap();
    let (own, foreign): (Vec<&str>, Vec<&str>) = (signature.lines().collect(), other.lines().collect());
    let mixed = [own[0], own[1], foreign[2], foreign[3]].join("\n");
    assert!(matches!(check(&tool, &mixed, &trusted), Err(SignatureError::Invalid(_))));
    // The untrusted comment may be anything, and means nothing.
    let relabelled = signature.replacen("signature of an autoexec tool", "by root", 1);
    assert!(check(&tool, &relabelled, &trusted).is_ok());
}

#[test]
fn a_statement_about_other_content_is_refused_even_if_it_was_signed() {
    let (key, tool) = (SigningKey::generate().unwrap(), component("demo/probe", "1.0.0"));
    let (trusted, digest) = (trusting(&key), Digest::of(b"something else"));
    let comment = format!("autoexec-tool 1 name=demo/probe version=1.0.0 sha256={digest}");
    let signature = sign_with_comment(&tool, &key, &comment).unwrap();
    let expected = SignatureError::Digest { said: digest, is: Digest::of(&tool) };
    assert_eq!(check(&tool, &signature, &trusted), Err(expected));
    let plain = sign_with_comment(&tool, &key, "timestamp:1700000000\tfile:probe.wasm").unwrap();
    assert!(matches!(check(&tool, &plain, &trusted), Err(SignatureError::Statement(_))));
}

#[test]
fn a_signature_holds_for_one_tool_and_one_version() {
    let (key, tool) = (SigningKey::generate().unwrap(), component("demo/probe", "1.0.0"));
    let signer = check(&tool, &sign(&tool, &key).unwrap(), &trusting(&key)).unwrap();
    let version = Version::new(1, 0, 0);
    assert!(matches!(signer.is_for("demo/other", &version), Err(SignatureError::Tool { .. })));
    let other = signer.is_for("demo/probe", &Version::new(1, 0, 1));
    assert!(matches!(other, Err(SignatureError::Version { .. })));
}

#[test]
fn every_truncation_and_every_foreign_text_is_an_error() {
    let (key, tool) = (SigningKey::generate().unwrap(), component("demo/probe", "1.0.0"));
    let (signature, trusted) = (sign(&tool, &key).unwrap(), trusting(&key));
    for end in 0..signature.trim_end().len() {
        assert!(check(&tool, &signature[..end], &trusted).is_err(), "cut at {end}");
    }
    for text in ["", "\n\n\n\n", "-----BEGIN PGP SIGNATURE-----\nx\n", "a\nQUJD\ntrusted comment: x\nQUJD\n"]
    {
        assert!(matches!(check(&tool, text, &trusted), Err(SignatureError::Format(_))), "{text:?}");
    }
}

#[test]
fn a_legacy_signature_is_refused() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    let (key, tool) = (SigningKey::generate().unwrap(), component("demo/probe", "1.0.0"));
    let signature = sign(&tool, &key).unwrap();
    let line = signature.lines().nth(1).unwrap();
    let mut bytes = STANDARD.decode(line).unwrap();
    assert_eq!(&bytes[..2], b"ED");
    bytes[1] = b'd';
    let legacy = signature.replacen(line, &STANDARD.encode(bytes), 1);
    assert!(matches!(check(&tool, &legacy, &trusting(&key)), Err(SignatureError::Format(_))));
}

#[test]
fn only_tools_can_be_signed() {
    let key = SigningKey::generate().unwrap();
    assert!(matches!(sign(b"#!/bin/sh\n", &key), Err(SignError::NotATool(_))));
    assert!(matches!(sign(b"\0asm\x0d\0\x01\0", &key), Err(SignError::NotATool(_))));
}

#[test]
fn secret_keys_are_read_back_and_never_shown() {
    let key = SigningKey::generate().unwrap();
    let text = key.unprotected_text().unwrap();
    assert!(!SigningKey::needs_password(&text));
    assert_eq!(SigningKey::read(&text, None).unwrap().id().unwrap(), key.id().unwrap());
    let shown = format!("{key:?}");
    assert!(shown.contains(&key.id().unwrap().to_string()) && shown.len() < 80, "{shown}");
    for damaged in [&text[..text.len() / 2], "", "untrusted comment: x\n", "a\nb\n", "a\nQUJD\n"] {
        let error = SigningKey::read(damaged, None).unwrap_err();
        assert!(matches!(error, SignError::Key(_)), "{damaged:?}: {error}");
    }
}

#[test]
fn a_protected_key_opens_with_its_password_only() {
    let (key, text) = SigningKey::generate_encrypted("correct horse").unwrap();
    assert!(SigningKey::needs_password(&text));
    let again = SigningKey::read(&text, Some("correct horse")).unwrap();
    assert_eq!(again.id().unwrap(), key.id().unwrap());
    assert!(matches!(SigningKey::read(&text, Some("wrong")), Err(SignError::Password)));
    assert!(matches!(SigningKey::read(&text, None), Err(SignError::Password)));
}

#[test]
fn trusted_keys_are_read_from_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    assert!(TrustedKeys::load(&dir.path().join("none")).unwrap().is_empty());
    let (a, b) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    write("b.pub", &b.public().unwrap());
    // As people hand it on: the second line only.
    write("a.pub", a.public().unwrap().lines().nth(1).unwrap());
    write("README", "not a key");
    write(".a.pub.swp.pub", "not a key");
    let keys = TrustedKeys::load(dir.path()).unwrap();
    let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(keys.get(a.id().unwrap()).unwrap().name, "a");
    write("c.pub", &b.public().unwrap());
    assert!(matches!(TrustedKeys::load(dir.path()), Err(TrustError::Twice { .. })));
    for bad in ["", "untrusted comment: x\n", "x\n", &"x".repeat(5000), &a.unprotected_text().unwrap()] {
        write("c.pub", bad);
        let error = TrustedKeys::load(dir.path()).unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, TrustError::Key { .. }) && text.contains("c.pub"), "{text}");
    }
}

//! What must hold for any file of a tool. Used by the fuzz targets and by the property tests of `autoexec-supply`.

use autoexec_manifest::{Manifest, NativeManifest, append_manifest, read_outline};
use autoexec_supply::{Digest, Lock, SignatureError, Statement, TrustedKeys, verify};

/// A manifest that is read can be written and read again, and what it asks for has a reason.
pub(crate) fn manifest(bytes: &[u8]) {
    let Ok(manifest) = Manifest::from_json(bytes) else { return };
    let again = Manifest::from_json(manifest.to_json().as_bytes())
        .unwrap_or_else(|error| panic!("it was read and can not be read again: {error}"));
    assert_eq!(again, manifest);
    assert!(manifest.capabilities.iter().all(|request| !request.reason.trim().is_empty()));
    assert!(!manifest.name.base().is_empty() && !manifest.name.bundle().is_empty());
    assert!(
        !manifest.name.as_str().split('/').any(|part| matches!(part, "" | "." | "..")),
        "{}",
        manifest.name
    );
}

/// A native manifest that is read asks only for plain paths and real ports.
pub(crate) fn native_manifest(text: &str) {
    let Ok(manifest) = NativeManifest::parse(text, "db/backup") else { return };
    for request in &manifest.filesystem {
        let parts: Vec<&str> = request.path.split('/').collect();
        assert!(!parts.contains(&"..") && request.path != "/", "{}", request.path);
        assert!(request.path.starts_with(['/', '$']), "{}", request.path);
    }
    assert!(
        manifest
            .tcp
            .iter()
            .flat_map(|request| request.connect.iter().chain(&request.bind))
            .all(|port| *port != 0)
    );
    assert!(manifest.requests().values().all(|reason| !reason.trim().is_empty()));
}

/// The header of a component: no panic; what is a tool stays one when bytes of ours are appended, and two manifests are
/// never taken for one.
pub(crate) fn component_header(bytes: &[u8]) {
    let Ok(outline) = read_outline(bytes) else { return };
    let again = read_outline(bytes).unwrap_or_else(|error| panic!("read once and not twice: {error}"));
    assert_eq!(
        (again.manifest, again.imports, again.exports),
        (outline.manifest.clone(), outline.imports, outline.exports)
    );
    let mut twice = bytes.to_vec();
    append_manifest(&mut twice, &outline.manifest);
    assert!(read_outline(&twice).is_err(), "a second manifest was accepted");
}

/// No text is a signature by a key that is not trusted, and a statement has one form.
pub(crate) fn signature(text: &str) {
    let verdict = verify(b"content", &Digest::of(b"content"), text, &TrustedKeys::default());
    assert!(matches!(verdict, Err(SignatureError::Format(_) | SignatureError::UnknownKey(_))), "{verdict:?}");
    if let Ok(statement) = Statement::parse(text) {
        assert_eq!(statement.to_string(), text);
    }
}

/// A lock that is read is written as one that is read to the same.
pub(crate) fn lock(text: &str) {
    let Ok(lock) = Lock::parse(text) else { return };
    let written = lock.to_text();
    let again = Lock::parse(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(again, lock, "{written}");
    assert_eq!(again.to_text(), written);
}

//! Whatever stands in a tool's file, its signature or the lock: no panic, and what was read is what was meant. The same
//! functions are fuzz targets of `tests/fuzz`.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

#[path = "../../../tests/fuzz/tool_invariants.rs"]
#[expect(clippy::panic, reason = "a broken invariant is a failed test")]
mod tool_invariants;

use autoexec_manifest::{Manifest, append_manifest};
use autoexec_supply::{Digest, Kind, Lock, Pinned, SigningKey, sign};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

fn tool() -> Vec<u8> {
    let manifest: Manifest = toml::from_str(include_str!("../../manifest/tests/minimal.toml")).unwrap();
    let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
    append_manifest(&mut bytes, &manifest);
    bytes
}

/// A real file with a few bytes replaced, removed or put in.
fn damaged(original: Vec<u8>) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<Index>(), any::<u8>(), 0..3_u8);
    vec(change, 0..4).prop_map(move |changes| {
        let mut bytes = original.clone();
        for (index, byte, kind) in changes {
            if bytes.is_empty() {
                continue;
            }
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.truncate(at),
                _ => bytes.insert(at, byte),
            }
        }
        bytes
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Lines of a file in any order, some of them twice, with values that readers look for.
fn shuffled(original: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = String> {
    let lines: Vec<&'static str> = original.lines().collect();
    vec((select(lines), proptest::option::weighted(0.2, select(values))), 0..30).prop_map(|lines| {
        let line = |(line, value): (&str, Option<&str>)| match (line.split_once(" = "), value) {
            (Some((key, _)), Some(value)) => format!("{key} = {value}\n"),
            _ => format!("{line}\n"),
        };
        lines.into_iter().map(line).collect()
    })
}

const NATIVE: &str = include_str!("../../manifest/tests/native.toml");

const VALUES: [&str; 10] = [
    "\"/\"",
    "\"..\"",
    "\"/a/../b\"",
    "[]",
    "[0]",
    "[65536]",
    "\"${job.dir}\"",
    "\"${home}/../x\"",
    "0",
    "\"\"",
];

proptest! {
    #[test]
    fn damaged_components_are_read_or_refused(bytes in damaged(tool())) {
        tool_invariants::component_header(&bytes);
    }

    #[test]
    fn any_bytes_behind_a_components_header(rest in vec(any::<u8>(), 0..200)) {
        tool_invariants::component_header(&[b"\0asm\x0d\0\x01\0".as_slice(), &rest].concat());
    }

    #[test]
    fn damaged_manifests(bytes in damaged(manifest_json())) {
        tool_invariants::manifest(&bytes);
    }

    #[test]
    fn damaged_native_manifests(bytes in damaged(NATIVE.as_bytes().to_vec())) {
        tool_invariants::native_manifest(&text(&bytes));
    }

    #[test]
    fn shuffled_native_manifests(text in shuffled(NATIVE, &VALUES)) {
        tool_invariants::native_manifest(&text);
    }

    #[test]
    fn damaged_signatures(bytes in damaged(signature())) {
        tool_invariants::signature(&text(&bytes));
    }

    #[test]
    fn statements(
        name in "[a-z/ =]{1,12}",
        version in select(vec!["1.0.0", "1.0", "01.0.0", "1.0.0-a+b", "1.0.0 "]),
        digest in select(vec![Digest::of(b"").to_string(), "00".repeat(32).to_uppercase(), "0f".repeat(32)]),
    ) {
        tool_invariants::signature(&format!("autoexec-tool 1 name={name} version={version} sha256={digest}"));
    }

    #[test]
    fn damaged_locks(bytes in damaged(lock().into_bytes())) {
        tool_invariants::lock(&text(&bytes));
    }
}

fn manifest_json() -> Vec<u8> {
    let manifest: Manifest = toml::from_str(include_str!("../../manifest/tests/minimal.toml")).unwrap();
    manifest.to_json().into_bytes()
}

fn signature() -> Vec<u8> {
    sign(&tool(), &SigningKey::generate().unwrap()).unwrap().into_bytes()
}

fn lock() -> String {
    let mut lock = Lock::default();
    for (name, capabilities) in
        [("demo/a", vec![]), ("demo/b", vec!["http".to_owned(), "secret \"x\"".to_owned()])]
    {
        let pinned = Pinned {
            kind: Kind::Component,
            version: semver::Version::new(1, 2, 3),
            sha256: Digest::of(name.as_bytes()),
            capabilities: capabilities.into_iter().collect(),
            key: Some("0123456789ABCDEF".parse().unwrap()),
        };
        lock.insert(name, pinned);
    }
    lock.to_text()
}

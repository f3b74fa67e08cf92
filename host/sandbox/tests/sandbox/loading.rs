//! What is refused before it runs, and what the refusal says.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use autoexec_sandbox::{Candidate, Capability, Grants, LoadError, MissingReason, SandboxSettings};
use tempfile::TempDir;

use crate::handmade::install;
use crate::support::{all_grants, guest, sandbox, small_sandbox};

fn load_text(component: &str) -> LoadError {
    let dir = TempDir::new().unwrap();
    let path = install(dir.path(), wat::parse_str(component).unwrap());
    small_sandbox().load(&path, &all_grants()).unwrap_err()
}

#[test]
fn all_missing_interfaces_are_named_at_once() {
    let error = load_text(
        r#"(component
            (import "acme:magic/wand@1.0.0" (instance))
            (import "wasi:nn/graph@0.2.12" (instance))
            (import "autoexec:tool/net-probe@1.0.0" (instance)))"#,
    );
    let LoadError::Imports { missing, .. } = &error else { panic!("{error}") };
    let reasons: Vec<&MissingReason> = missing.iter().map(|missing| &missing.reason).collect();
    let expected = [
        &MissingReason::Unknown,
        &MissingReason::AmbientWasi,
        &MissingReason::NotRequested(Capability::NetProbe),
    ];
    assert_eq!(reasons, expected);
    let text = error.to_string();
    assert!(
        text.contains("handmade.wasm")
            && text.contains("3 interfaces")
            && text.contains("`acme:magic/wand@1.0.0`"),
        "{text}"
    );
}

#[test]
fn a_capability_without_grant_is_not_linked() {
    let error = small_sandbox().load(&guest("fixture/prober"), &Grants::none()).unwrap_err();
    let LoadError::Imports { missing, .. } = &error else { panic!("{error}") };
    assert_eq!(missing.len(), 1, "{error}");
    assert_eq!(missing[0].reason, MissingReason::NotGranted(Capability::NetProbe));
    assert!(error.to_string().contains("allow `net-probe` for this tool in the policy"), "{error}");
}

#[test]
fn a_component_without_run_is_not_a_tool() {
    assert!(matches!(load_text("(component)"), LoadError::NoRun { reason: None, .. }));
    let wrong_type =
        load_text(r#"(component (instance $i) (export "autoexec:tool/tool@1.0.0" (instance $i)))"#);
    assert!(matches!(&wrong_type, LoadError::NoRun { reason: Some(_), .. }), "{wrong_type}");
}

#[test]
fn what_is_no_component_is_refused_with_its_path() {
    let dir = TempDir::new().unwrap();
    let sandbox = small_sandbox();
    let hello = fs::read(guest("demo/hello")).unwrap();
    let mut damaged = hello.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 64].fill(0xff);
    for (name, bytes) in [
        ("text", b"#!/bin/sh\n".to_vec()),
        ("empty", vec![]),
        ("half", hello[..middle].to_vec()),
        ("damaged", damaged),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        let error = sandbox.load(&path, &all_grants()).unwrap_err();
        assert!(matches!(error, LoadError::NotATool { .. } | LoadError::Compile { .. }), "{name}: {error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    let missing = sandbox.load(&dir.path().join("missing"), &all_grants()).unwrap_err();
    assert!(matches!(missing, LoadError::Read { .. }), "{missing}");
}

#[test]
fn a_file_that_is_not_admitted_is_neither_compiled_nor_taken_from_what_was_loaded() {
    let dir = TempDir::new().unwrap();
    let cache = dir.path().join("cache");
    let sandbox = sandbox(SandboxSettings { slots: 4, cache_dir: Some(cache.clone()), ..Default::default() });
    let refuse = |_: &Candidate<'_>| Err("nobody approved it".to_owned());
    let path = guest("demo/hello");
    let error = sandbox.load_if(&path, &Grants::none(), refuse).unwrap_err();
    assert!(
        matches!(&error, LoadError::Refused { .. }) && error.to_string() == "nobody approved it",
        "{error}"
    );
    let compiled = || {
        fs::read_dir(&cache).unwrap().filter(|entry| {
            entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "cwasm")
        })
    };
    assert_eq!(compiled().count(), 0, "it was compiled");
    let content = fs::read(&path).unwrap();
    let mut seen = None;
    let admit = |file: &Candidate<'_>| {
        assert_eq!(file.bytes, content);
        seen = Some((file.manifest.name.to_string(), file.digest));
        Ok(())
    };
    let tool = sandbox.load_if(&path, &Grants::none(), admit).unwrap();
    let (name, digest) = seen.unwrap();
    assert_eq!((name.as_str(), hex::encode(digest)), ("demo/hello", tool.digest()));
    assert_eq!(compiled().count(), 1);
    assert!(
        sandbox.load_if(&path, &Grants::none(), refuse).is_err(),
        "it was loaded before, and is asked about again"
    );
}

#[test]
fn the_same_content_is_loaded_once_and_other_grants_are_another_tool() {
    let dir = TempDir::new().unwrap();
    let copy: PathBuf = dir.path().join("copy.wasm");
    fs::copy(guest("demo/hello"), &copy).unwrap();
    let sandbox = small_sandbox();
    let first = sandbox.load(&guest("demo/hello"), &Grants::none()).unwrap();
    assert!(Arc::ptr_eq(&first, &sandbox.load(&copy, &Grants::none()).unwrap()));
    assert!(!Arc::ptr_eq(&first, &sandbox.load(&copy, &all_grants()).unwrap()));
    assert_eq!(first.manifest().name.as_str(), "demo/hello");
    assert_eq!(first.digest().len(), 64);
}

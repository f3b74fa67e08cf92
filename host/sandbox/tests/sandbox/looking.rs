//! The exports beside `run`: what a tool would change, and whether an interrupted run took effect.

use std::future::pending;
use std::path::Path;
use std::sync::Arc;

use autoexec_sandbox::{Change, DataDirection, Effect, GrantedDirectory, InvokeError, Limits, ToolHost};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{Recorder, call, load, small_sandbox};

fn host(dir: &Path) -> Arc<dyn ToolHost> {
    let directories = vec![GrantedDirectory { path: dir.to_owned(), direction: DataDirection::Write }];
    Arc::new(Recorder { allowed: vec!["file*".into()], directories, ..Recorder::default() })
}

#[tokio::test]
async fn a_dry_run_says_what_would_change() {
    let sandbox = small_sandbox();
    let tool = load(&sandbox, "fixture/everything");
    assert!(tool.can_check() && tool.can_probe());
    let call = call(&json!({"what": "there", "subject": "/a/file"}));
    let host: Arc<dyn ToolHost> = Recorder::new();
    let changes = sandbox.check(&tool, call, host, Limits::default(), pending()).await.unwrap().unwrap();
    assert_eq!(changes, [Change { subject: "/a/file".into(), before: None, after: Some("there".into()) }]);
}

#[tokio::test]
async fn a_look_reads_but_writes_nothing() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "content").unwrap();
    let sandbox = small_sandbox();
    let tool = load(&sandbox, "fixture/everything");
    let probe = async |what: &str| {
        let call = call(&json!({"what": what, "subject": file}));
        sandbox.probe(&tool, call, host(dir.path()), Limits::default(), pending()).await.unwrap()
    };
    assert_eq!(probe("read").await, Ok(Effect::None));
    let refused = probe("write").await.unwrap_err();
    assert!(refused.message.contains("must change nothing"), "{refused}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "content");
}

#[tokio::test]
async fn a_tool_without_the_export_says_so() {
    let sandbox = small_sandbox();
    let tool = load(&sandbox, "fixture/hostile");
    assert!(!tool.can_check() && !tool.can_probe());
    let host: Arc<dyn ToolHost> = Recorder::new();
    let call = call(&json!({"deed": "behave"}));
    let ended = sandbox.check(&tool, call, host, Limits::default(), pending()).await.unwrap_err();
    assert_eq!(ended, InvokeError::NotExported("autoexec:tool/dry-run"));
}

//! WASI as tool chains bring it along: harmless surroundings, files and network under the same grants as our own
//! interfaces.

use std::fs;
use std::future::pending;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use autoexec_sandbox::{DataDirection, GrantedDirectory, InvokeError, Limits, ToolCall, ToolOutcome};
use serde_json::json;
use tempfile::TempDir;

use crate::servers;
use crate::support::{Recorder, load, run_until, small_sandbox};

/// What the guest answers to these words, or why it did not.
async fn ask(host: &Arc<Recorder>, limits: Limits, words: &[&str]) -> Result<String, String> {
    let sandbox = small_sandbox();
    let tool = load(&sandbox, "fixture/ambient");
    let arguments = words.iter().map(|word| json!(word)).collect();
    let call = ToolCall { arguments, ..ToolCall::default() };
    match run_until(&sandbox, &tool, call, host, limits, pending()).await {
        Ok(ToolOutcome::Succeeded { message }) => Ok(message.unwrap_or_default()),
        Ok(ToolOutcome::Failed(failure)) => Err(failure.message),
        Err(ended) => Err(ended.to_string()),
    }
}

fn host(directories: &[(&Path, DataDirection)], allowed: &[&str]) -> Arc<Recorder> {
    let directories = directories
        .iter()
        .map(|(path, direction)| GrantedDirectory { path: (*path).to_owned(), direction: *direction })
        .collect();
    let allowed = allowed.iter().map(|&rule| rule.to_owned()).collect();
    Arc::new(Recorder { allowed, directories, ..Recorder::default() })
}

#[tokio::test]
async fn there_is_nothing_around_it() {
    let answer = ask(&host(&[], &[]), Limits::default(), &["surroundings"]).await.unwrap();
    assert_eq!(answer, "0 variables, 0 arguments, terminal false, input None, directories []");
    let ended = ask(&host(&[], &[]), Limits::default(), &["exit"]).await.unwrap_err();
    assert!(ended.contains("exit(1)"), "{ended}");
}

#[tokio::test]
async fn standard_output_is_the_log_within_its_limit() {
    let recorder = host(&[], &[]);
    assert_eq!(ask(&recorder, Limits::default(), &["say", "hello"]).await, Ok("said".into()));
    assert_eq!(*recorder.raw.lock(), b"hello");
    let limits = Limits { log: 1000, ..Limits::default() };
    let ended = ask(&recorder, limits, &["say", "hello", "1000"]).await.unwrap_err();
    assert_eq!(ended, InvokeError::LogLimit { limit: 1000 }.to_string());
    assert!(recorder.raw.lock().len() < 1010);
}

#[tokio::test]
async fn granted_directories_are_preopened_and_nothing_else_is_reached() {
    let dir = TempDir::new().unwrap();
    let inside = dir.path().join("in");
    fs::create_dir(&inside).unwrap();
    fs::write(inside.join("a"), "content").unwrap();
    fs::write(dir.path().join("secret"), "secret").unwrap();
    symlink("../secret", inside.join("link")).unwrap();
    fs::hard_link(dir.path().join("secret"), inside.join("hard-link")).unwrap();
    let fifo = inside.join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let at = |name: &str| inside.join(name).to_str().unwrap().to_owned();
    let begin = Instant::now();
    let limits = Limits::default();
    let read_only = || host(&[(&inside, DataDirection::Read)], &[]);
    assert_eq!(ask(&read_only(), limits, &["read", &at("a")]).await, Ok("content".into()));
    for name in ["link", "../secret", "hard-link", "fifo"] {
        let refused = ask(&read_only(), limits, &["read", &at(name)]).await;
        assert!(refused.as_ref().is_err_and(|error| error.contains("not-permitted")), "{name}: {refused:?}");
    }
    let refused = ask(&read_only(), limits, &["write", &at("new")]).await;
    assert!(refused.is_err() && !inside.join("new").exists(), "{refused:?}");
    let writable = host(&[(&inside, DataDirection::Write)], &[]);
    assert_eq!(ask(&writable, limits, &["write", &at("new")]).await, Ok("opened".into()));
    assert!(begin.elapsed() < Duration::from_mins(2), "something waited for the FIFO");
}

#[tokio::test]
async fn open_files_are_limited_and_given_back() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("a"), "content").unwrap();
    let file = dir.path().join("a").to_str().unwrap().to_owned();
    let recorder = host(&[(dir.path(), DataDirection::Read)], &[]);
    let limits = Limits { files: 3, ..Limits::default() };
    assert_eq!(ask(&recorder, limits, &["open-many", &file, "3"]).await, Ok("3".into()));
    assert!(ask(&recorder, limits, &["open-many", &file, "4"]).await.is_err());
    let log = recorder.log_text();
    assert!(log.contains("3 files open at the same time") && log.contains("`files`"), "{log}");
}

#[tokio::test]
async fn names_and_addresses_are_put_to_the_policy() {
    let port = servers::echo_line();
    let connect = ["connect", "localhost", &port.to_string()];
    let lookup = "socket localhost:0";
    let address = format!("socket 127.0.0.1:{port}");
    let limits = Limits::default();
    assert_eq!(ask(&host(&[], &[lookup, &address]), limits, &connect).await, Ok("hello".into()));
    let no_name = ask(&host(&[], &[&address]), limits, &connect).await.unwrap_err();
    assert!(no_name.contains("access-denied"), "{no_name}");
    let no_address = host(&[], &[lookup]);
    let refused = ask(&no_address, limits, &connect).await.unwrap_err();
    assert!(refused.contains("access-denied"), "{refused}");
    assert!(no_address.asked.lock().contains(&address), "{:?}", no_address.asked.lock());
}

#[tokio::test]
async fn nobody_listens() {
    let refused = ask(&host(&[], &["socket*"]), Limits::default(), &["listen", "0"]).await.unwrap_err();
    assert!(refused.contains("access-denied"), "{refused}");
    assert_eq!(ask(&host(&[], &["socket*"]), Limits::default(), &["datagrams"]).await, Ok("created".into()));
}

#[tokio::test]
async fn sockets_are_limited_and_given_back() {
    let recorder = host(&[], &["socket*"]);
    let limits = Limits { sockets: 3, ..Limits::default() };
    assert_eq!(ask(&recorder, limits, &["sockets", "3"]).await, Ok("3".into()));
    let refused = ask(&recorder, limits, &["sockets", "4"]).await.unwrap_err();
    assert!(refused.contains("new-socket-limit"), "{refused}");
    assert!(recorder.log_text().contains("3 sockets open at the same time"), "{}", recorder.log_text());
}

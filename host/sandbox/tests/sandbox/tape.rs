//! Recordings of host calls: the answers come back without anything to answer them, secrets never enter, and the first call
//! that differs is named.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autoexec_sandbox::{
    Captured, DataDirection, DownloadSink, Ending, GrantedDirectory, Limits, SandboxSettings, SecretValue,
    Tape, TargetCommand, TargetEntry, TargetError, TargetHost, TargetSession, ToolOutcome, UploadSource,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::servers::{self, ok};
use crate::support::{Recorder, call, load, run_until, sandbox};

/// A node that says what it got.
struct Node;

#[async_trait]
impl TargetHost for Node {
    async fn capture(&self, command: TargetCommand, _limit: u64) -> Result<Captured, TargetError> {
        let stdout = [command.line.as_bytes(), b" \xff"].concat();
        Ok(Captured { ending: Ending::Exited(0), stdout, stderr: vec![] })
    }

    async fn run(&self, _command: TargetCommand) -> Result<Ending, TargetError> {
        Ok(Ending::Exited(0))
    }

    async fn upload(&self, _source: UploadSource, _remote: &str, _times: bool) -> Result<u64, TargetError> {
        Ok(17)
    }

    async fn download(&self, _: &str, _: Box<dyn DownloadSink>, _: bool) -> Result<u64, TargetError> {
        Err(TargetError::TimedOut)
    }

    async fn list_directory(&self, _path: &str) -> Result<Vec<TargetEntry>, TargetError> {
        Ok(vec![])
    }

    async fn stat(&self, path: &str) -> Result<TargetEntry, TargetError> {
        Err(TargetError::NotFound(path.to_owned()))
    }

    async fn open_session(&self, _columns: u16, _rows: u16) -> Result<Box<dyn TargetSession>, TargetError> {
        Ok(Box::new(Echo(vec![])))
    }
}

struct Echo(Vec<u8>);

#[async_trait]
impl TargetSession for Echo {
    async fn send(&mut self, text: SecretValue) -> Result<(), TargetError> {
        self.0.extend_from_slice(text.expose());
        self.0.extend_from_slice(b"done");
        Ok(())
    }

    async fn receive(&mut self, _timeout: Duration) -> Result<Vec<u8>, TargetError> {
        Ok(std::mem::take(&mut self.0))
    }
}

struct Place {
    dir: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("calls.jsonl")
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    async fn record(&self, host: Recorder, ask: &Value) -> Result<Value, String> {
        taped(Tape::Record(self.file()), host, ask).await
    }

    /// For a host that permits nothing and has nothing.
    async fn replay(&self, ask: &Value) -> Result<Value, String> {
        taped(Tape::Replay(self.file()), Recorder::default(), ask).await
    }
}

async fn taped(tape: Tape, host: Recorder, ask: &Value) -> Result<Value, String> {
    let cache_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-guests");
    let settings = SandboxSettings {
        slots: 4,
        cache_dir: Some(cache_dir),
        tape: Some(tape),
        ..SandboxSettings::default()
    };
    let sandbox = sandbox(settings);
    let tool = load(&sandbox, "fixture/everything");
    let host = Arc::new(host);
    match run_until(&sandbox, &tool, call(ask), &host, Limits::default(), pending()).await {
        Ok(ToolOutcome::Succeeded { .. }) => Ok(host.outputs()["answer"].clone()),
        Ok(ToolOutcome::Failed(failure)) => Err(format!("{:?}: {}", failure.kind, failure.message)),
        Err(ended) => Err(ended.to_string()),
    }
}

fn able(directory: &Path) -> Recorder {
    Recorder {
        allowed: ["probe*", "echo*", "socket*", "GET*", "secret*", "target*", "file*", "Target*"]
            .map(str::to_owned)
            .to_vec(),
        directories: vec![GrantedDirectory { path: directory.to_owned(), direction: DataDirection::Write }],
        target: Some(Box::new(Node)),
        ..Recorder::default()
    }
}

#[tokio::test]
async fn what_was_recorded_is_answered_without_network_node_or_files() {
    let files = tempfile::tempdir().unwrap();
    let file = files.path().join("a.txt");
    std::fs::write(&file, "content").unwrap();
    let echo = servers::echo_line();
    let server = servers::http(|_, out| {
        let body = "s3cret hello";
        write!(
            out,
            "HTTP/1.1 200 OK\r\nset-cookie: id=77\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
    });
    let path = file.display().to_string();
    let asks = [
        json!({"what": "tcp", "subject": "127.0.0.1", "port": echo}),
        json!({"what": "tcp", "subject": "127.0.0.1", "port": 1}),
        json!({"what": "talk", "subject": "127.0.0.1", "port": echo, "text": "hi\n"}),
        json!({"what": "http", "subject": server.url("/x?y")}),
        json!({"what": "read", "subject": path}),
        json!({"what": "list", "subject": files.path().display().to_string()}),
        json!({"what": "command", "subject": "uname -a"}),
        json!({"what": "session", "subject": "show version"}),
        json!({"what": "upload", "subject": path, "text": "/tmp/there"}),
        json!({"what": "secret", "subject": "node"}),
        json!({"what": "nodes", "subject": "p1"}),
        json!({"what": "server", "subject": "job/list"}),
    ];
    let mut wrong = Vec::new();
    for ask in &asks {
        let place = Place::new();
        let recorded = place.record(able(files.path()), ask).await;
        let replayed = place.replay(ask).await;
        if recorded != replayed || place.text().lines().count() < 2 {
            wrong.push(format!("{ask}: {recorded:?}, replayed {replayed:?}\n{}", place.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(server.heads().len(), 1, "a replay asks nobody");
}

#[tokio::test]
async fn secrets_never_enter() {
    let echo = servers::echo_line();
    let server = servers::http(|head, out| out.write_all(ok(head).as_bytes()).unwrap());
    let none = tempfile::tempdir().unwrap();
    let asks = [
        json!({"what": "http-header", "subject": server.url("/"), "text": "password", "password": "s3cret"}),
        json!({"what": "basic", "subject": server.url("/"), "password": "s3cret"}),
        json!({"what": "talk", "subject": "127.0.0.1", "port": echo, "text": "password", "password": "s3cret\n"}),
        json!({"what": "password", "password": "s3cret"}),
    ];
    for ask in &asks {
        let place = Place::new();
        place.record(able(none.path()), ask).await.unwrap();
        let text = place.text();
        let traces = ["s3cret", "autoexec-secret-", "c2NvdHQ6czNjcmV0", "id=77"];
        assert!(traces.iter().all(|trace| !text.contains(trace)), "{ask}: {text}");
        assert!(
            text.contains("secret:option:password") || text.contains("secret-basic:scott:option:password"),
            "{text}"
        );
        let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(place.file()).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        // Another value of the secret makes no difference, since the tool never saw it.
        let mut other = ask.clone();
        other["password"] = "another".into();
        place.replay(&other).await.unwrap();
    }
}

#[tokio::test]
async fn the_first_call_that_differs_ends_the_replay_and_is_named() {
    let echo = servers::echo_line();
    let none = tempfile::tempdir().unwrap();
    let place = Place::new();
    let ask = json!({"what": "tcp", "subject": "127.0.0.1", "port": echo});
    place.record(able(none.path()), &ask).await.unwrap();
    let file = place.file().display().to_string();

    let another = place.replay(&json!({"what": "tcp", "subject": "127.0.0.1", "port": 9})).await.unwrap_err();
    for part in [
        format!("{file}, line 2: expected net-probe.tcp-connect [\"127.0.0.1\",{echo},5000]"),
        "got net-probe.tcp-connect [\"127.0.0.1\",9,5000]".into(),
    ] {
        assert!(another.contains(&part), "{another}");
    }
    let less = place.replay(&json!({"what": "password"})).await.unwrap_err();
    assert!(less.contains("does less") && less.contains("line 2"), "{less}");
    let more = json!({"what": "talk", "subject": "127.0.0.1", "port": echo, "text": "hi\n"});
    place.record(able(none.path()), &more).await.unwrap();
    let text = place.text();
    let shorter: Vec<&str> = text.lines().take(2).collect();
    std::fs::write(place.file(), shorter.join("\n")).unwrap();
    let got = place.replay(&more).await.unwrap_err();
    assert!(got.contains("does more") && got.contains("connection.byte-stream.send"), "{got}");
}

#[tokio::test]
async fn what_is_no_recording_of_this_tool_is_refused_with_its_line() {
    let ask = json!({"what": "password"});
    let place = Place::new();
    let missing = place.replay(&ask).await.unwrap_err();
    assert!(missing.contains("can not be read"), "{missing}");
    let none = tempfile::tempdir().unwrap();
    place.record(able(none.path()), &ask).await.unwrap();
    let text = place.text();
    for (content, part) in [
        (String::new(), "line 1"),
        (text.replace("fixture/everything", "shop/other"), "shop/other"),
        (text.replace("\"autoexecRecording\":1", "\"autoexecRecording\":2"), "format 2"),
        (format!("{text}{{\"cal\":1}}\n"), "is no line of a recording"),
    ] {
        std::fs::write(place.file(), content).unwrap();
        let refused = place.replay(&ask).await.unwrap_err();
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let unwritable = taped(Tape::Record("/nonexistent/calls".into()), able(none.path()), &ask).await;
    assert!(unwritable.unwrap_err().contains("can not be written"));
}

#[tokio::test]
async fn a_recording_holds_one_call() {
    let place = Place::new();
    let cache_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-guests");
    let tape = Some(Tape::Record(place.file()));
    let sandbox = sandbox(SandboxSettings { cache_dir: Some(cache_dir), tape, ..SandboxSettings::default() });
    let tool = load(&sandbox, "fixture/everything");
    let ask = call(&json!({"what": "password"}));
    let once = async || {
        run_until(&sandbox, &tool, ask.clone(), &Recorder::new(), Limits::default(), pending()).await
    };
    once().await.unwrap();
    let again = once().await.unwrap_err().to_string();
    assert!(again.contains("name one node"), "{again}");
}

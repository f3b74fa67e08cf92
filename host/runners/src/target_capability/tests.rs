use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use autoexec_model::Node;
use autoexec_model::command_line::ShellExpansion;
use autoexec_sandbox::{FileError, SecretValue, SourceEntry, SourceFacts, SourceFile, SourceKind};
use autoexec_test_support::agent::{AgentDouble, AgentOptions, Fault, Moment};
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::{Value, json};

use super::*;
use crate::samples::Sample;

#[derive(Default)]
struct Log(Mutex<String>);

impl OperationSink for Log {
    fn output(&self, bytes: &[u8]) {
        self.0.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
    }
    fn info(&self, _: Level, text: &str) {
        let mut log = self.0.lock().unwrap();
        log.push_str(text);
        log.push('\n');
    }
    fn started(&self, _: Option<u32>) {}
    fn executing(&self, _: &str) {}
    fn refused(&self, _: autoexec_events::Refusal) {}
}

/// A call's node behind one of the two protocols.
struct Bed {
    log: Arc<Log>,
    target: NodeTarget,
    _sample: Sample,
}

fn node_of(node: &Value) -> Bed {
    let sample = Sample::new(ShellExpansion::Off);
    let operation = json!({"opName": "b/t", "opId": "b/t_1", "opType": "target"});
    let mut unit = sample.unit(&operation);
    unit.node = Arc::new(Node::from_object(node.as_object().unwrap().clone()).unwrap());
    let log = Arc::new(Log::default());
    let target = NodeTarget::new(&sample.shared, &unit, Arc::clone(&log) as Arc<dyn OperationSink>);
    Bed { log, target, _sample: sample }
}

fn behind(agent: &AgentDouble, credential: &str) -> Bed {
    node_of(
        &json!({"resourceId": 71, "host": "127.0.0.1", "protocol": "tagent", "protocolPort": agent.port(),
        "username": "none", "password": credential}),
    )
}

fn over_ssh(sshd: &Sshd) -> Option<Bed> {
    // Without root only a key can log in, and the samples have none.
    (!sshd.password().is_empty()).then(|| {
        node_of(
            &json!({"resourceId": 71, "host": "127.0.0.1", "protocol": "ssh", "protocolPort": sshd.port(),
            "username": sshd.user(), "password": sshd.password()}),
        )
    })
}

fn command(line: &str, input: &str) -> TargetCommand {
    TargetCommand {
        line: line.to_owned(),
        environment: vec![("WORD".to_owned(), "a 'b'".to_owned())],
        input: SecretValue::new(input.as_bytes().to_vec()),
        timeout: None,
    }
}

fn source(path: &Path) -> SourceFile {
    let file = File::open(path).unwrap();
    let metadata = file.metadata().unwrap();
    let facts =
        SourceFacts { modified: metadata.modified().unwrap(), mode: metadata.permissions().mode() & 0o777 };
    SourceFile { file, size: metadata.len(), facts }
}

struct Into(PathBuf);

impl DownloadSink for Into {
    fn directory(&mut self, path: &Path, _: SourceFacts) -> Result<(), FileError> {
        fs::create_dir_all(self.0.join(path)).map_err(FileError::from)
    }
    fn file(&mut self, path: &Path, _: SourceFacts, content: &mut dyn Read) -> Result<u64, FileError> {
        let place = if path == Path::new("") { self.0.join("one") } else { self.0.join(path) };
        std::io::copy(content, &mut File::create(place)?).map_err(FileError::from)
    }
}

/// Everything the capability can do, the same over both protocols.
async fn everything(bed: &Bed) {
    let target = &bed.target;
    let line = r#"read -r first; echo "$first $WORD"; echo bad >&2; exit 7"#;
    let captured = target.capture(command(line, "se cret\n"), 1000).await.unwrap();
    assert_eq!(
        captured,
        Captured {
            ending: Ending::Exited(7),
            stdout: b"se cret a 'b'\n".to_vec(),
            stderr: b"bad\n".to_vec()
        }
    );
    let all = target.capture(command("cat; printf x", "12345678"), 9).await.unwrap();
    assert_eq!(all.stdout, b"12345678x");
    assert_eq!(target.capture(command("cat", "12345678"), 7).await, Err(TargetError::TooLarge(7)));
    let endless = target.capture(command("while :; do echo yyyyyyyyyyyyyyy; done", ""), 10_000).await;
    assert_eq!(endless, Err(TargetError::TooLarge(10_000)));
    let mut slow = command("sleep 600", "");
    slow.timeout = Some(Duration::from_secs(1));
    assert_eq!(target.capture(slow, 1000).await, Err(TargetError::TimedOut));

    assert_eq!(target.run(command("echo to the log; exit 3", "")).await.unwrap(), Ending::Exited(3));
    assert!(bed.log.0.lock().unwrap().contains("to the log\n"));

    let shell = target.shell().await.unwrap().directory().to_owned();
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("f"), "content").unwrap();
    fs::set_permissions(here.path().join("f"), fs::Permissions::from_mode(0o750)).unwrap();
    let odd = format!("{shell}/odd $x [1]*.txt");
    let sent = target.upload(Source::File(source(&here.path().join("f"))), &odd, false).await.unwrap();
    assert_eq!(sent, 7);
    let tree = vec![
        Ok(SourceEntry {
            path: PathBuf::from("empty"),
            kind: SourceKind::Directory(source(&here.path().join("f")).facts),
        }),
        Ok(SourceEntry {
            path: PathBuf::from("sub/one f"),
            kind: SourceKind::File(source(&here.path().join("f"))),
        }),
    ];
    let to = format!("{shell}/tree");
    target.upload(Source::Directory(Box::new(tree.into_iter())), &to, true).await.unwrap();

    let facts = target.stat(&odd).await.unwrap();
    assert_eq!((facts.name.as_str(), facts.size, facts.is_directory), ("odd $x [1]*.txt", 7, false));
    let names: Vec<(String, bool)> = target
        .list_directory(&to)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| (entry.name, entry.is_directory))
        .collect();
    assert_eq!(names, [("empty".to_owned(), true), ("sub".to_owned(), true)]);
    for missing in [format!("{shell}/none"), "none at home".to_owned()] {
        assert_eq!(target.stat(&missing).await, Err(TargetError::NotFound(missing.clone())));
    }
    let back = tempfile::tempdir().unwrap();
    let fetched = target.download(&odd, Box::new(Into(back.path().to_owned())), false).await.unwrap();
    assert_eq!((fetched, fs::read(back.path().join("one")).unwrap()), (7, b"content".to_vec()));
    let fetched = target.download(&to, Box::new(Into(back.path().to_owned())), false).await.unwrap();
    assert_eq!((fetched, fs::read(back.path().join("sub/one f")).unwrap()), (7, b"content".to_vec()));
    assert!(back.path().join("empty").is_dir());
    let nothing = target.download("/no/such", Box::new(Into(back.path().to_owned())), false).await;
    assert_eq!(nothing, Err(TargetError::NotFound("/no/such".to_owned())));
    target.close().await;
    assert!(!Path::new(&shell).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn over_an_agent() {
    let agent = AgentDouble::start(AgentOptions::default()).unwrap();
    everything(&behind(&agent, "demo-Secret-01")).await;
    assert!(agent.left().is_empty(), "{:?}", agent.left());
    let said: String = agent.requests().iter().map(|request| request.text(0)).collect();
    assert!(!said.contains("se cret") && !said.contains("read -r first"), "agents log commands: {said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_a_real_ssh_server() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    if let Some(bed) = over_ssh(&sshd) {
        everything(&bed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_windows_agent_runs_commands_and_nothing_else() {
    let options =
        AgentOptions { os: "windows".to_owned(), charset: "cp936".to_owned(), ..Default::default() };
    let agent = AgentDouble::start(options).unwrap();
    let bed = behind(&agent, "demo-Secret-01");
    let captured = bed.target.capture(command("cd", ""), 1000).await.unwrap();
    let said = String::from_utf8(captured.stdout).unwrap();
    assert!(said.starts_with(r"C:\tagent\tmp\autoexec-620011-71-1."), "{said}");
    assert!(matches!(bed.target.capture(command("cd", "in"), 10).await, Err(TargetError::Unsupported(_))));
    assert!(matches!(bed.target.stat(r"C:\x").await, Err(TargetError::Unsupported(_))));
    bed.target.close().await;
    assert!(agent.left().is_empty(), "{:?}", agent.left());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_has_its_kind() {
    let agent = AgentDouble::start(AgentOptions::default()).unwrap();
    let wrong = behind(&agent, "wr0ng").target.stat("/").await;
    assert!(matches!(wrong, Err(TargetError::NotAuthenticated(_))), "{wrong:?}");
    let none = behind(&agent, "").target.stat("/").await;
    assert!(matches!(none, Err(TargetError::NotAuthenticated(_))), "{none:?}");
    let bed = behind(&agent, "demo-Secret-01");
    agent.set_fault(Fault::Close(Moment::Data, "upload"));
    let lost = bed.target.stat("/").await;
    assert!(matches!(lost, Err(TargetError::Disconnected(_))), "{lost:?}");
    let mysql =
        json!({"resourceId": 1, "host": "h", "protocol": "mysql", "protocolPort": 3306, "password": "x"});
    let other = node_of(&mysql).target.stat("/").await;
    assert!(matches!(other, Err(TargetError::Unsupported(_))), "{other:?}");
}

/// Reads until `wanted` has come.
async fn seen(session: &mut dyn TargetSession, wanted: &str) -> String {
    let mut text = String::new();
    while !text.contains(wanted) {
        let piece = session.receive(Duration::from_secs(20)).await.unwrap();
        assert!(!piece.is_empty(), "`{wanted}` did not come: {text:?}");
        text.push_str(&String::from_utf8_lossy(&piece));
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_session_over_ssh() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    let Some(bed) = over_ssh(&sshd) else { return };
    let mut session = bed.target.open_session(132, 43).await.unwrap();
    session.send(SecretValue::new("stty size; echo $((40+2))-$TERM\n")).await.unwrap();
    let text = seen(&mut *session, "42-vt100").await;
    assert!(text.contains("43 132"), "{text:?}");
    assert_eq!(session.receive(Duration::from_millis(50)).await.map(|rest| rest.len() < 20), Ok(true));
    // More than the window of a channel, while nobody reads.
    session
        .send(SecretValue::new("stty -echo; head -c 3000000 /dev/zero | tr '\\0' x; echo done-$((1+1))\n"))
        .await
        .unwrap();
    let text = seen(&mut *session, "done-2").await;
    assert!(text.bytes().filter(|byte| *byte == b'x').count() >= 3_000_000);
    session.send(SecretValue::new("exit\n")).await.unwrap();
    let mut last = Ok(Vec::new());
    while last.is_ok() {
        last = session.receive(Duration::from_secs(20)).await;
    }
    assert!(matches!(last, Err(TargetError::Disconnected(_))), "{last:?}");
    assert!(session.send(SecretValue::new("x")).await.is_err());
    // One that is dropped ends at the server.
    let mut session = bed.target.open_session(80, 24).await.unwrap();
    session.send(SecretValue::new("echo pid-$$-end$((1+1))\n")).await.unwrap();
    let text = seen(&mut *session, "end2").await;
    let pid =
        text.split("pid-").find_map(|part| part.split('-').next().filter(|pid| pid.parse::<u32>().is_ok()));
    let process = format!("/proc/{}", pid.unwrap());
    assert!(Path::new(&process).exists());
    drop(session);
    let gone = async {
        while Path::new(&process).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_has_no_sessions() {
    let agent = AgentDouble::start(AgentOptions::default()).unwrap();
    let bed = behind(&agent, "demo-Secret-01");
    assert!(matches!(bed.target.open_session(80, 24).await, Err(TargetError::Unsupported(_))));
}

//! The client of the target agent against a double that is written from the specification by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use autoexec_test_support::agent::{AgentDouble, AgentOptions, Fault, Moment};
use autoexec_transport::tagent::{
    Agent, AgentDir, Charset, Conversion, LineEnds, Start, TagentConnector, TagentError, TagentErrorKind,
    TagentSettings, TagentTarget,
};
use autoexec_transport::{
    Exit, OutputSink, Secret, StopHandle, StopLevel, StopToken, UploadEntry, UploadSource,
};

use crate::harness::{Collected, DEADLINE, lives};

/// For what has to time out: long enough for a busy machine to get as far, short enough for a test.
const SHORT: Duration = Duration::from_secs(2);

fn start(options: AgentOptions) -> AgentDouble {
    AgentDouble::start(options).unwrap()
}

fn settings(limit: Duration) -> TagentSettings {
    TagentSettings {
        connect_timeout: limit,
        read_timeout: Some(limit),
        write_timeout: limit,
        command_limit: DEADLINE,
        max_connections: 4,
    }
}

fn client_with(double: &AgentDouble, credential: &str, settings: TagentSettings) -> Agent {
    let target = TagentTarget {
        host: "127.0.0.1".to_owned(),
        port: double.port(),
        user: "none".to_owned(),
        credential: Secret::new(credential.to_owned()),
    };
    TagentConnector::new(settings).agent(target).unwrap()
}

fn client(double: &AgentDouble) -> Agent {
    client_with(double, "demo-Secret-01", settings(DEADLINE))
}

fn never() -> StopToken {
    StopToken::never()
}

fn file(dest: &str, content: &[u8]) -> UploadEntry {
    UploadEntry { source: UploadSource::Bytes(content.to_vec()), dest: dest.to_owned(), mode: 0o700 }
}

/// A command in a private directory, ready to be started.
async fn prepared(agent: &Agent, line: &str, env: Vec<(String, String)>) -> (AgentDir, Start) {
    let dir = agent.make_private_dir("autoexec-1-2-3", &never()).await.unwrap();
    let (start, entry) = Start::posix(&dir, 1, dir.path(), line, env);
    agent.upload_tree(vec![entry], dir.path(), &never()).await.unwrap();
    (dir, start)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_in_both_variants() {
    for encrypted in [false, true] {
        let double = start(AgentOptions { encrypted, ..AgentOptions::default() });
        let agent = client(&double);
        let info = agent.echo("are you there", &never()).await.unwrap();
        assert_eq!((info.os.as_str(), info.encrypted, info.is_windows()), ("Linux", encrypted, false));
        let env = vec![("NAME".to_owned(), "a 'b' \"c\" 中".to_owned())];
        let line = r#"sh -c 'echo "$NAME in $(pwd)"; echo "$1" >&2; cat; exit 3' sh '$HOME;'"#;
        let (dir, command) = prepared(&agent, line, env).await;
        let output = Collected::new();
        let mut started = false;
        let end = agent.run(&command, &*output, &never(), || started = true).await.unwrap();
        assert!(started);
        assert_eq!((end.exit, end.stopped), (Some(Exit::Code(3)), None), "{}", output.text());
        assert_eq!(output.text(), format!("a 'b' \"c\" 中 in {dir}\n$HOME;\n"));
        let said: Vec<String> = double.requests().iter().map(|request| request.text(0)).collect();
        assert!(said.iter().all(|text| !text.contains("$HOME;")), "arguments are in no request: {said:?}");
        let scripts =
            std::fs::read_dir(format!("{dir}/.autoexec")).unwrap().map(|found| found.unwrap().path());
        let stays: Vec<_> = scripts.filter(|path| path.extension().is_some_and(|sh| sh == "sh")).collect();
        assert!(stays.is_empty(), "arguments stay readable: {stays:?}");
        agent.remove_dir(&dir, &never()).await.unwrap();
        assert_eq!(double.left(), Vec::<std::path::PathBuf>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_trees_go_there_and_come_back() {
    let double = start(AgentOptions::default());
    let agent = client(&double);
    let dir = agent.make_private_dir("autoexec-1-2-3", &never()).await.unwrap();
    let big: Vec<u8> = (0..3_000_000_u32).map(|number| (number / 7).to_le_bytes()[0]).collect();
    let entries = vec![file("a/b/big.bin", &big), file("a/empty", b""), file("run.sh", b"#!/bin/sh\n")];
    agent.upload_tree(entries, dir.path(), &never()).await.unwrap();
    let mode = std::fs::metadata(format!("{dir}/run.sh")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o700);
    assert_eq!(std::fs::read(format!("{dir}/a/b/big.bin")).unwrap(), big);

    let local = tempfile::tempdir().unwrap();
    let place = local.path().join("back.bin");
    let length = agent.download(&dir.join("a/b/big.bin"), &place, 3_000_000, &never()).await.unwrap();
    assert_eq!((length, std::fs::read(&place).unwrap()), (Some(3_000_000), big.clone()));
    assert_eq!(agent.read_file(&dir.join("a/empty"), 0, &never()).await.unwrap(), Some(Vec::new()));
    assert_eq!(agent.read_file(&dir.join("nothing"), 10, &never()).await.unwrap(), None);
    let too_large = agent.download(&dir.join("a/b/big.bin"), &place, 2_999_999, &never()).await.unwrap_err();
    assert!(matches!(too_large.kind(), TagentErrorKind::TooLarge { .. }), "{too_large}");
    assert_eq!(std::fs::read(&place).unwrap(), big, "the old file stays when a new one does not come");
    let folder = agent.read_file(&dir.join("a"), 10, &never()).await.unwrap_err();
    assert!(matches!(folder.kind(), TagentErrorKind::NotAFile { .. }), "{folder}");
    let pattern = agent.read_file(&dir.join("a/b/*.bin"), 10, &never()).await.unwrap_err();
    assert!(pattern.to_string().contains("as a pattern"), "{pattern}");

    let total = agent.download_tree(&dir.join("a"), local.path(), 4_000_000, &never()).await.unwrap();
    assert_eq!(total, Some(3_000_000));
    assert_eq!(std::fs::read(local.path().join("b/big.bin")).unwrap(), big);
    assert!(local.path().join("empty").is_file());

    agent.upload_file(UploadSource::File(place), &dir.join("one.bin"), None, &never()).await.unwrap();
    assert_eq!(std::fs::read(format!("{dir}/one.bin")).unwrap(), big);
    let missing =
        agent.upload_file(UploadSource::Bytes(vec![1]), &dir.join("no/such/x"), None, &never()).await;
    let missing = missing.unwrap_err().to_string();
    assert!(missing.contains("not exists.") && missing.contains("writing "), "{missing}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_could_not_be_read_to_its_end_is_an_error_though_its_archive_is_whole() {
    let double = start(AgentOptions {
        fault: Fault::LateFailure("tar: ./secret: Cannot open: Permission denied"),
        ..AgentOptions::default()
    });
    let agent = client(&double);
    std::fs::create_dir(double.tmp().join("tree")).unwrap();
    std::fs::write(double.tmp().join("tree/f"), "content").unwrap();
    let path = format!("{}/tree", double.tmp().display());
    let local = tempfile::tempdir().unwrap();
    let error = agent.download_tree(&path, local.path(), 1000, &never()).await.unwrap_err().to_string();
    assert!(error.contains("Permission denied"), "{error}");
    // The same where filling is all that comes late.
    double.set_fault(Fault::LateFailure(""));
    assert_eq!(agent.download_tree(&path, local.path(), 1000, &never()).await.unwrap(), Some(7));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_does_not_exist_is_no_missing_file() {
    let double = start(AgentOptions { fault: Fault::NoSuchUser, ..AgentOptions::default() });
    let error = client(&double).read_file("/tmp/output.json", 100, &never()).await.unwrap_err();
    assert!(error.to_string().contains("user not exists."), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_temporary_folder_that_cannot_be_addressed_is_left_as_it_was() {
    for name in ["tag & nt.", "tag[1]nt."] {
        let double = start(AgentOptions { tmp: name.to_owned(), ..AgentOptions::default() });
        let error = client(&double).make_private_dir("autoexec-1-2-3", &never()).await.unwrap_err();
        assert!(matches!(error.kind(), TagentErrorKind::Invalid { .. }), "{error}");
        assert_eq!(double.left(), Vec::<std::path::PathBuf>::new(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_goes_from_agent_to_agent() {
    let (one, other) =
        (start(AgentOptions::default()), start(AgentOptions { encrypted: true, ..Default::default() }));
    let (from, to) = (client(&one), client(&other));
    std::fs::create_dir(one.tmp().join("tree")).unwrap();
    std::fs::write(one.tmp().join("tree/f"), "content").unwrap();
    let path = |double: &AgentDouble, name: &str| format!("{}/{name}", double.tmp().display());
    to.copy_from(&from, &path(&one, "tree/f"), &path(&other, "g"), &never()).await.unwrap();
    to.copy_from(&from, &path(&one, "tree"), &path(&other, "t"), &never()).await.unwrap();
    for name in ["g", "t/f"] {
        assert_eq!(std::fs::read_to_string(other.tmp().join(name)).unwrap(), "content", "{name}");
    }
    let missing = to.copy_from(&from, &path(&one, "none"), &path(&other, "n"), &never()).await.unwrap_err();
    assert!(missing.to_string().contains("there is no such file"), "{missing}");
    assert!(!other.tmp().join("n").exists());
    one.set_fault(Fault::ShortChunk);
    let broken = to.copy_from(&from, &path(&one, "tree/f"), &path(&other, "b"), &never()).await.unwrap_err();
    assert!(matches!(broken.kind(), TagentErrorKind::ConnectionLost { .. }), "{broken}");
    assert!(!other.tmp().join("b").exists(), "the agent removes a file whose sender gave up");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_converted_for_a_gbk_agent() {
    let double = start(AgentOptions { charset: "cp936".to_owned(), ..AgentOptions::default() });
    let agent = client(&double);
    let conversion =
        Conversion { charset: Charset::for_label("cp936").unwrap(), line_ends: LineEnds::Windows };
    let dest = format!("{}/中文.bat", double.tmp().display());
    let source = UploadSource::Bytes("echo 中文\n".as_bytes().to_vec());
    agent.upload_file(source, &dest, Some(conversion), &never()).await.unwrap();
    assert_eq!(std::fs::read(&dest).unwrap(), b"echo \xd6\xd0\xce\xc4\r\n");
    // What a command writes comes back in UTF-8, whichever of the two it writes.
    let (_, command) = prepared(&agent, r"sh -c 'printf \\326\\320\\316\\304\\n; echo 中文'", vec![]).await;
    let output = Collected::new();
    agent.run(&command, &*output, &never(), || {}).await.unwrap();
    assert_eq!(output.text(), "中文\n中文\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_credential_is_seen_before_a_request_is_sent() {
    let double = start(AgentOptions::default());
    let agent = client_with(&double, "wr0ng-Pa55", settings(DEADLINE));
    let error = agent.echo("x", &never()).await.unwrap_err();
    assert!(matches!(error.kind(), TagentErrorKind::Credential), "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("none@127.0.0.1:{}", double.port())), "{text}");
    assert!(!text.contains("wr0ng") && double.requests().is_empty(), "{text}");
    double.set_fault(Fault::RefusesAll);
    let error = client(&double).echo("x", &never()).await.unwrap_err();
    assert!(matches!(error.kind(), TagentErrorKind::Refused), "{error}");
    let nobody = TagentTarget {
        host: "h".to_owned(),
        port: 1,
        user: "u".to_owned(),
        credential: Secret::new(String::new()),
    };
    let error = TagentConnector::new(settings(DEADLINE)).agent(nobody).unwrap_err();
    assert!(matches!(error.kind(), TagentErrorKind::NoCredential), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_told_from_agents() {
    for (greeting, word) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], "SSH-2.0"),
        (b"220 mail.example.net ESMTP\r\n", "220 mail"),
        (b"\0\x0bnot|four|of", "not|four|of"),
        (b"\0\x12a|UTF-8|00|Tagent9", "Tagent9"),
        (b"\0\x14a|utf-16|0|Tagent1.1", "utf-16"),
        (b"\0\x14a|UTF-8|xx|Tagent1.1", "not hexadecimal"),
    ] {
        let double = start(AgentOptions { fault: Fault::Greets(greeting.to_vec()), ..Default::default() });
        let error = client(&double).echo("x", &never()).await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    // One that begins like a chunk and says no more.
    let double = start(AgentOptions { fault: Fault::Greets(b"\0\x40hello".to_vec()), ..Default::default() });
    let error =
        client_with(&double, "demo-Secret-01", settings(SHORT)).echo("x", &never()).await.unwrap_err();
    assert!(matches!(error.kind(), TagentErrorKind::NotAnAgent { .. }), "{error}");
}

/// Everything that a unit does with its agent, up to the first error.
async fn everything(agent: &Agent) -> Result<String, TagentError> {
    let dir = agent.make_private_dir("autoexec-1-2-3", &never()).await?;
    let (command, entry) = Start::posix(&dir, 1, dir.path(), "echo hello", vec![]);
    agent.upload_tree(vec![entry, file("output.json", b"{}")], dir.path(), &never()).await?;
    let output = Collected::new();
    agent.run(&command, &*output, &never(), || {}).await?;
    agent.read_file(&dir.join("output.json"), 1000, &never()).await?;
    agent.remove_dir(&dir, &never()).await?;
    Ok(output.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_dropped_at_any_step_is_an_error_that_says_where() {
    let double = start(AgentOptions::default());
    let agent = client(&double);
    for (moment, verb, words) in [
        (Moment::Greeting, "", "the agent's handshake"),
        (Moment::Verdict, "", "the agent's handshake"),
        (Moment::Answer, "execmd", "waiting for an answer"),
        (Moment::Answer, "upload", "waiting for an answer"),
        (Moment::Answer, "download", "waiting for an answer"),
        (Moment::Data, "upload", "an upload"),
        (Moment::Data, "download", "a download"),
        (Moment::End, "upload", "an upload"),
        (Moment::End, "download", "a download"),
        (Moment::End, "execmd", "waiting for an answer"),
    ] {
        double.set_fault(Fault::Close(moment, verb));
        let begun = Instant::now();
        let error = everything(&agent).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error.kind(), TagentErrorKind::ConnectionLost { .. }), "{moment:?} {verb}: {text}");
        assert!(text.contains(words), "{moment:?} {verb}: {text}");
        assert!(begun.elapsed() < DEADLINE, "{moment:?} {verb}: nothing waits for a connection that is gone");
    }
    double.set_fault(Fault::None);
    assert_eq!(everything(&agent).await.unwrap(), "hello\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_says_nothing_is_given_up_after_the_limit() {
    let double = start(AgentOptions::default());
    let agent = client_with(&double, "demo-Secret-01", settings(SHORT));
    for moment in [Moment::Greeting, Moment::Verdict] {
        double.set_fault(Fault::Silence(moment, ""));
        let begun = Instant::now();
        let error = everything(&agent).await.unwrap_err();
        assert!(matches!(error.kind(), TagentErrorKind::Timeout { .. }), "{moment:?}: {error}");
        assert!(begun.elapsed() >= SHORT, "{moment:?}");
    }
    double.set_fault(Fault::Silence(Moment::Data, "download"));
    let error = everything(&agent).await.unwrap_err();
    assert!(error.to_string().contains("timed out after 2s in a download"), "{error}");
    // Waiting for an answer ends when it is told to, however long it may take.
    double.set_fault(Fault::Silence(Moment::Answer, "execmd"));
    let handle = StopHandle::new();
    let (token, asked) = (handle.token(), double.requests().len());
    let waiting = tokio::spawn(async move { agent.make_private_dir("x", &token).await });
    while double.requests().len() == asked {
        tokio::task::yield_now().await;
    }
    handle.raise(StopLevel::Terminate);
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error.kind(), TagentErrorKind::Stopped), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_sends_byte_by_byte_is_understood_but_not_for_ever() {
    let double =
        start(AgentOptions { fault: Fault::Trickle(Duration::from_millis(1)), ..Default::default() });
    assert_eq!(everything(&client(&double)).await.unwrap(), "hello\n");
    double.set_fault(Fault::Trickle(Duration::from_secs(1)));
    let error =
        client_with(&double, "demo-Secret-01", settings(SHORT)).echo("x", &never()).await.unwrap_err();
    assert!(matches!(error.kind(), TagentErrorKind::NotAnAgent { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lies_about_sizes_are_errors_and_bounded() {
    let double = start(AgentOptions::default());
    let agent = client(&double);
    std::fs::write(double.tmp().join("f"), "content").unwrap();
    let path = format!("{}/f", double.tmp().display());
    double.set_fault(Fault::ShortChunk);
    let error = agent.read_file(&path, 1000, &never()).await.unwrap_err();
    assert!(matches!(error.kind(), TagentErrorKind::ConnectionLost { .. }), "{error}");
    double.set_fault(Fault::EndlessData);
    let error = agent.read_file(&path, 1_000_000, &never()).await.unwrap_err();
    assert!(matches!(error.kind(), TagentErrorKind::TooLarge { .. }), "{error}");
    let error = agent.make_private_dir("x", &never()).await.unwrap_err();
    assert!(matches!(error.kind(), TagentErrorKind::Protocol { .. }), "{error}");
    double.set_fault(Fault::EndlessText);
    let error = agent.read_file(&path, 1000, &never()).await.unwrap_err();
    assert!(error.to_string().contains("longer than 65536 bytes"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_sends_a_byte_in_each_chunk_makes_no_progress() {
    let double = start(AgentOptions::default());
    let agent = client_with(&double, "demo-Secret-01", settings(SHORT));
    std::fs::write(double.tmp().join("f"), "content").unwrap();
    let path = format!("{}/f", double.tmp().display());
    double.set_fault(Fault::EndlessBytes(SHORT / 4));
    let calm = never();
    let reading = agent.read_file(&path, 1_000_000, &calm);
    let error = tokio::time::timeout(DEADLINE / 3, reading).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("timed out after 2s in a download"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_agent_gives_up_says_why() {
    let double =
        start(AgentOptions { fault: Fault::DiskFull("No space left on device"), ..Default::default() });
    let agent = client(&double);
    let dest = format!("{}/x", double.tmp().display());
    let big = vec![1; 5_000_000];
    let error = agent.upload_file(UploadSource::Bytes(big), &dest, None, &never()).await.unwrap_err();
    assert!(error.to_string().contains("the agent says `No space left on device`"), "{error}");
    double.set_fault(Fault::None);
    let lost = UploadSource::File("/no/such/file".into());
    let error = agent.upload_file(lost, &dest, None, &never()).await.unwrap_err();
    assert!(matches!(error.kind(), TagentErrorKind::LocalFile { .. }), "{error}");
    assert!(!double.tmp().join("x").exists(), "nothing half-written stays");
}

/// A process that ignores TERM, with a child, which both say who they are.
const STUBBORN: &str =
    r#"sh -c 'trap "" TERM; sh -c "echo child \$\$; sleep 600" & echo parent $$; while :; do sleep 1; done'"#;

async fn stopped_at(level: StopLevel, line: &str) -> (AgentDouble, autoexec_transport::ssh::RemoteEnd) {
    let double = start(AgentOptions::default());
    let agent = client(&double);
    let (_, command) = prepared(&agent, line, vec![]).await;
    let (output, handle) = (Collected::new(), StopHandle::new());
    let (sink, token) = (Arc::clone(&output), handle.token());
    let running = tokio::spawn(async move { agent.run(&command, &*sink, &token, || {}).await });
    let parent = output.pid("parent").await;
    assert!(lives(parent));
    handle.raise(level);
    let end = running.await.unwrap().unwrap();
    assert!(!lives(parent), "{end:?}");
    (double, end)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_whole_tree_and_proves_it() {
    let polite = r#"sh -c 'trap "echo bye; exit 5" TERM; echo parent $$; while :; do sleep 0.1; done'"#;
    for (level, line) in
        [(StopLevel::Terminate, polite), (StopLevel::Terminate, STUBBORN), (StopLevel::Kill, STUBBORN)]
    {
        let (double, end) = stopped_at(level, line).await;
        assert!(end.stopped.unwrap().proved_dead, "{level:?} {line}: {end:?}");
        assert_eq!(double.live_sessions(), 0, "{level:?} {line}");
        if line == polite {
            assert_eq!(end.exit, Some(Exit::Code(5)), "a command that ends by itself says how");
        }
    }
}

/// Says when the first output comes, and keeps none.
struct First(tokio::sync::Notify);

impl OutputSink for First {
    fn output(&self, _: &[u8]) {
        self.0.notify_one();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_floods_us_is_stopped_like_any_other() {
    let double = start(AgentOptions::default());
    let agent = client(&double);
    let (_, command) = prepared(&agent, "sh -c 'echo here; exec sleep 600'", vec![]).await;
    double.set_fault(Fault::Flood);
    let (output, handle) = (Arc::new(First(tokio::sync::Notify::new())), StopHandle::new());
    let (sink, token) = (Arc::clone(&output), handle.token());
    // Not by a timer of the runtime: one that is kept busy has none.
    let (ended, end) = std::sync::mpsc::channel();
    tokio::spawn(async move { ended.send(agent.run(&command, &*sink, &token, || {}).await) });
    output.0.notified().await;
    double.set_fault(Fault::None);
    handle.raise(StopLevel::Kill);
    let end = end.recv_timeout(DEADLINE).expect("the stop is never asked for");
    assert!(end.unwrap().stopped.unwrap().proved_dead);
    assert_eq!(double.live_sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_without_an_agent_to_ask_is_no_proof() {
    let double = start(AgentOptions::default());
    let agent = client_with(&double, "demo-Secret-01", settings(DEADLINE));
    let (_, command) = prepared(&agent, "sh -c 'echo parent $$; exec sleep 600'", vec![]).await;
    let (output, handle) = (Collected::new(), StopHandle::new());
    let (sink, token) = (Arc::clone(&output), handle.token());
    let running = tokio::spawn(async move { agent.run(&command, &*sink, &token, || {}).await });
    let parent = output.pid("parent").await;
    double.set_fault(Fault::Close(Moment::Greeting, ""));
    handle.raise(StopLevel::Terminate);
    let end = running.await.unwrap().unwrap();
    assert!(!end.stopped.unwrap().proved_dead);
    // It is dead all the same: our connection is gone, and that is what the agent kills a command for.
    let deadline = Instant::now() + DEADLINE;
    while lives(parent) {
        assert!(Instant::now() < deadline, "the agent did not kill it");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_connection_is_cut_is_an_error() {
    let double = start(AgentOptions::default());
    let agent = client(&double);
    let (_, command) = prepared(&agent, "sh -c 'echo parent $$; exec sleep 600'", vec![]).await;
    let output = Collected::new();
    let sink = Arc::clone(&output);
    let running = tokio::spawn(async move { agent.run(&command, &*sink, &never(), || {}).await });
    output.pid("parent").await;
    double.cut_connections();
    let error = running.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("the connection was lost in waiting for output"), "{error}");
    assert!(error.contains("how far it got is not known"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_command_is_stopped_after_the_limit() {
    let double = start(AgentOptions::default());
    let limits = TagentSettings { read_timeout: Some(SHORT), ..settings(DEADLINE) };
    let agent = client_with(&double, "demo-Secret-01", limits);
    let (_, command) = prepared(&agent, "sleep 600", vec![]).await;
    let output = Collected::new();
    let error = agent.run(&command, &*output, &never(), || {}).await.unwrap_err().to_string();
    assert!(error.contains("no output for 2s; the command was stopped and is dead"), "{error}");
    assert_eq!(double.live_sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_commands_share_the_limit_and_a_stop_needs_none_of_it() {
    let double = start(AgentOptions::default());
    let agent = client(&double);
    let (dir, _) = prepared(&agent, "true", vec![]).await;
    let (handle, output) = (StopHandle::new(), Collected::new());
    let mut running = Vec::new();
    // Four connections are allowed, and each of these keeps one.
    for number in 2..6 {
        let (command, entry) =
            Start::posix(&dir, number, dir.path(), "sh -c 'echo here; exec sleep 600'", vec![]);
        agent.upload_tree(vec![entry], dir.path(), &never()).await.unwrap();
        let (agent, token, sink) = (agent.clone(), handle.token(), Arc::clone(&output));
        running.push(tokio::spawn(async move { agent.run(&command, &*sink, &token, || {}).await }));
        while output.text().lines().count() < running.len() {
            tokio::task::yield_now().await;
        }
    }
    let (waiting, token) = (agent.clone(), handle.token());
    let waiting = tokio::spawn(async move { waiting.echo("x", &token).await });
    handle.raise(StopLevel::Kill);
    for command in running {
        assert!(command.await.unwrap().unwrap().stopped.unwrap().proved_dead);
    }
    assert!(matches!(waiting.await.unwrap().unwrap_err().kind(), TagentErrorKind::Stopped));
}

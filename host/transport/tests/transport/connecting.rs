//! Connecting, host keys and login.

use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use autoexec_test_support::sshd::SshdOptions;
use autoexec_transport::ssh::{
    ExecRequest, HostKeyPolicy, SshAuth, SshConnector, SshErrorKind, SshSettings, SshTarget, Step,
};
use autoexec_transport::{Exit, Secret, StopHandle, StopLevel, StopToken};

use crate::harness::{Bed, Collected, DEADLINE, root_or_skip};

fn known_hosts(bed: &Bed) -> String {
    std::fs::read_to_string(&bed.settings.known_hosts).unwrap_or_default()
}

fn record(bed: &Bed, line: &str) {
    std::fs::create_dir_all(bed.settings.known_hosts.parent().unwrap()).unwrap();
    std::fs::write(&bed.settings.known_hosts, line).unwrap();
}

/// The line OpenSSH would have for this server.
fn line_of(bed: &Bed) -> String {
    format!("[127.0.0.1]:{} {}", bed.server.port(), bed.server.host_public_key().unwrap())
}

/// Debian's own libssh2 1.10 has neither strict key exchange nor current ciphers, and `LIBSSH2_SYS_USE_PKG_CONFIG` in a
/// build environment would silently link it.
#[tokio::test]
async fn the_bundled_libssh2_is_linked() {
    let bed = Bed::config(&["LogLevel DEBUG"]);
    bed.connect().await;
    let log = bed.server.log();
    assert!(log.contains("remote software version libssh2_1.11.2"), "{log}");
}

#[tokio::test]
async fn the_right_password_logs_in_and_the_wrong_one_is_refused_without_being_shown() {
    if !root_or_skip("password login") {
        return;
    }
    let bed = Bed::new();
    bed.try_connect(bed.password()).await.unwrap();
    let wrong = SshAuth::Password(Secret::new("not-the-password".to_owned()));
    let error = bed.try_connect(wrong).await.unwrap_err();
    let SshErrorKind::Auth { tried, offered } = error.kind() else { panic!("{error}") };
    assert!(tried[0].starts_with("password") && tried.len() == 1, "{tried:?}");
    assert!(offered.contains(&"password".to_owned()), "{offered:?}");
    let text = format!("{error} {error:?}");
    assert!(text.contains(&format!("{}@127.0.0.1:{}", bed.server.user(), bed.server.port())), "{text}");
    assert!(!text.contains("not-the-password"), "{text}");
}

#[tokio::test]
async fn keyboard_interactive_is_answered_with_the_password() {
    if !root_or_skip("keyboard-interactive login") {
        return;
    }
    let bed = Bed::config(&["PasswordAuthentication no", "KbdInteractiveAuthentication yes"]);
    bed.try_connect(bed.password()).await.unwrap();
}

#[tokio::test]
async fn a_key_and_then_a_password() {
    if !root_or_skip("login in two steps") {
        return;
    }
    let bed = Bed::config(&["AuthenticationMethods publickey,password"]);
    let target = bed.target(vec![bed.key(), bed.password()]);
    SshConnector::new(bed.settings.clone()).connect(&target, &StopToken::never()).await.unwrap();
}

#[tokio::test]
async fn keys_log_in_and_unusable_ones_are_named() {
    let bed = Bed::new();
    bed.connect().await;
    let missing = SshAuth::KeyFile { path: bed.path("no-key"), passphrase: None };
    let error = bed.try_connect(missing).await.unwrap_err().to_string();
    assert!(error.contains("no-key (cannot be read"), "{error}");
    let locked = bed.path("locked");
    let made =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "words", "-f"]).arg(&locked).status();
    assert!(made.unwrap().success());
    let wrong = SshAuth::KeyFile { path: locked, passphrase: Some(Secret::new("others".to_owned())) };
    let error = bed.try_connect(wrong).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Auth { .. }), "{error}");
    assert!(!error.to_string().contains("others"), "{error}");
}

#[tokio::test]
async fn an_encrypted_key_opens_with_its_passphrase() {
    let bed = Bed::new();
    let key = bed.server.key_path();
    let changed =
        Command::new("ssh-keygen").args(["-q", "-p", "-P", "", "-N", "words", "-f"]).arg(&key).status();
    assert!(changed.unwrap().success());
    let with = |passphrase: Option<&str>| SshAuth::KeyFile {
        path: key.clone(),
        passphrase: passphrase.map(|words| Secret::new(words.to_owned())),
    };
    bed.try_connect(with(Some("words"))).await.unwrap();
    for (passphrase, problem) in
        [(None, "it is encrypted, and no passphrase"), (Some("others"), "the passphrase does not open it")]
    {
        let error = bed.try_connect(with(passphrase)).await.unwrap_err().to_string();
        assert!(error.contains(problem) && !error.contains("others"), "{error}");
    }
}

/// Ends a process that a test started.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_keys_of_an_agent_log_in() {
    let bed = Bed::new();
    let socket = bed.path("agent");
    let _agent = Ended(
        Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket).stdout(Stdio::null()).spawn().unwrap(),
    );
    let deadline = Instant::now() + DEADLINE;
    while UnixStream::connect(&socket).is_err() {
        assert!(Instant::now() < deadline, "the agent does not listen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let other = bed.path("other");
    assert!(Command::new("ssh-keygen").args(["-q", "-N", "", "-f"]).arg(&other).status().unwrap().success());
    for key in [&other, &bed.server.key_path()] {
        let added = Command::new("ssh-add").arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket).status();
        assert!(added.unwrap().success());
    }
    logs_in("connecting::child_with_an_agent", &bed, &socket);
}

/// Runs a part of a test as a process of its own: the agent is found by the environment, which a test cannot change for itself alone.
fn logs_in(part: &str, bed: &Bed, agent: &Path) {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", part, "--nocapture"])
        .env("SSH_AUTH_SOCK", agent)
        .env("TEST_PORT", bed.server.port().to_string())
        .env("TEST_USER", bed.server.user())
        .env("TEST_KEY", bed.server.key_path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(
        child.status.success() && text.contains("LOGGED IN"),
        "{text}{}",
        String::from_utf8_lossy(&child.stderr)
    );
}

#[tokio::test]
#[ignore = "a part of the_keys_of_an_agent_log_in, which runs it as a process of its own"]
async fn child_with_an_agent() {
    let variable = |name| std::env::var(name).unwrap();
    let target = SshTarget {
        host: "127.0.0.1".to_owned(),
        port: variable("TEST_PORT").parse().unwrap(),
        user: variable("TEST_USER"),
        auth: vec![SshAuth::Agent],
        jumps: None,
    };
    let settings = SshSettings {
        keepalive: None,
        host_keys: HostKeyPolicy::AcceptAll,
        worker: crate::harness::worker(&[]),
        ..SshSettings::new("/nonexistent".into())
    };
    SshConnector::new(settings).connect(&target, &StopToken::never()).await.unwrap();
    println!("LOGGED IN");
}

#[tokio::test]
async fn a_login_that_hangs_in_an_agent_gives_its_place_back() {
    let bed = Bed::new();
    let socket = bed.path("agent");
    // It takes connections and never answers.
    let _agent = UnixListener::bind(&socket).unwrap();
    logs_in("connecting::child_with_an_agent_that_hangs", &bed, &socket);
}

#[tokio::test]
#[ignore = "a part of a_login_that_hangs_in_an_agent_gives_its_place_back, which runs it as a process of its own"]
async fn child_with_an_agent_that_hangs() {
    let variable = |name| std::env::var(name).unwrap();
    let target = |auth| SshTarget {
        host: "127.0.0.1".to_owned(),
        port: variable("TEST_PORT").parse().unwrap(),
        user: variable("TEST_USER"),
        auth: vec![auth],
        jumps: None,
    };
    let settings = SshSettings {
        keepalive: None,
        host_keys: HostKeyPolicy::AcceptAll,
        max_connections: 1,
        connect_timeout: Duration::from_secs(1),
        worker: crate::harness::worker(&[]),
        ..SshSettings::new("/nonexistent".into())
    };
    let connector = SshConnector::new(settings);
    let error = connector.connect(&target(SshAuth::Agent), &StopToken::never()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Timeout { .. }), "{error}");
    let key = SshAuth::KeyFile { path: variable("TEST_KEY").into(), passphrase: None };
    tokio::time::timeout(DEADLINE, connector.connect(&target(key), &StopToken::never()))
        .await
        .unwrap()
        .unwrap();
    println!("LOGGED IN");
}

#[tokio::test]
async fn a_changed_host_key_is_refused_by_file_and_line_before_anything_is_sent() {
    let mut bed = Bed::new();
    record(&bed, "# first line\n");
    bed.connect().await;
    assert_eq!(known_hosts(&bed).lines().count(), 2);
    bed.server.rotate_host_key().unwrap();
    let error = bed.try_connect(bed.key()).await.unwrap_err();
    let SshErrorKind::HostKeyChanged(change) = error.kind() else { panic!("{error}") };
    assert_eq!((&change.file, change.line), (&bed.settings.known_hosts, 2));
    assert!(change.known.starts_with("SHA256:") && change.known != change.fingerprint);
    let fingerprint = &change.fingerprint;
    let shown = bed.path("shown.pub");
    std::fs::write(&shown, bed.server.host_public_key().unwrap()).unwrap();
    let openssh = Command::new("ssh-keygen").arg("-lf").arg(&shown).output().unwrap();
    assert!(String::from_utf8_lossy(&openssh.stdout).contains(fingerprint.as_str()), "{fingerprint}");
    // The log of the new server has the connection, but no user name and no attempt to log in.
    let log = bed.server.log();
    let since = log.rsplit_once("Server listening").unwrap().1;
    assert!(!since.contains(bed.server.user()), "{since}");
    assert_eq!(known_hosts(&bed).lines().count(), 2, "the file was left alone");
}

#[tokio::test]
async fn strict_refuses_unknown_hosts_and_writes_nothing() {
    let mut bed = Bed::new();
    bed.settings.host_keys = HostKeyPolicy::Strict;
    let error = bed.try_connect(bed.key()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::HostKeyUnknown { .. }), "{error}");
    assert!(!bed.settings.known_hosts.exists());
    record(&bed, &line_of(&bed));
    bed.connect().await;
}

#[tokio::test]
async fn a_line_hashed_by_openssh_is_accepted() {
    let mut bed = Bed::new();
    bed.settings.host_keys = HostKeyPolicy::Strict;
    record(&bed, &line_of(&bed));
    let file = &bed.settings.known_hosts;
    assert!(Command::new("ssh-keygen").args(["-q", "-H", "-f"]).arg(file).status().unwrap().success());
    assert!(known_hosts(&bed).starts_with("|1|"), "{}", known_hosts(&bed));
    bed.connect().await;
}

#[tokio::test]
async fn what_we_record_is_what_openssh_reads() {
    let bed = Bed::new();
    bed.connect().await;
    let found = Command::new("ssh-keygen")
        .arg("-F")
        .arg(format!("[127.0.0.1]:{}", bed.server.port()))
        .arg("-f")
        .arg(&bed.settings.known_hosts)
        .output()
        .unwrap();
    let key = bed.server.host_public_key().unwrap();
    let blob = key.split_whitespace().nth(1).unwrap();
    assert!(String::from_utf8_lossy(&found.stdout).contains(blob));
}

#[tokio::test]
async fn a_revoked_key_is_refused() {
    let bed = Bed::new();
    record(&bed, &format!("{}@revoked * {}", line_of(&bed), bed.server.host_public_key().unwrap()));
    let error = bed.try_connect(bed.key()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::HostKeyRevoked { line: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_further_key_type_on_the_server_is_no_change() {
    let keys = tempfile::tempdir().unwrap();
    let extra = keys.path().join("extra");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&extra).status();
    assert!(made.unwrap().success());
    let config = vec![format!("HostKey {}", extra.display())];
    let bed = Bed::with(SshdOptions { host_key_type: "rsa".to_owned(), config, ..SshdOptions::default() });
    // Known by its RSA key only, although libssh2 would choose Ed25519 by itself.
    record(&bed, &line_of(&bed));
    bed.connect().await;
    assert_eq!(known_hosts(&bed), line_of(&bed));
}

#[tokio::test]
async fn accept_all_looks_at_no_file() {
    let mut bed = Bed::new();
    bed.settings.host_keys = HostKeyPolicy::AcceptAll;
    bed.connect().await;
    bed.server.rotate_host_key().unwrap();
    bed.connect().await;
    assert!(!bed.settings.known_hosts.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_connections_at_once_work_and_record_the_host_once() {
    let bed = Arc::new(Bed::new());
    let connector = SshConnector::new(bed.settings.clone());
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            let (bed, connector) = (Arc::clone(&bed), connector.clone());
            tokio::spawn(async move {
                let never = StopToken::never();
                let mut connection = connector.connect(&bed.target(vec![bed.key()]), &never).await.unwrap();
                let sink = Collected::new();
                let request = ExecRequest { command: format!("echo {number}"), stdin: vec![] };
                let end = connection.exec(request, sink.clone(), &never).await.unwrap();
                assert_eq!(end.exit, Some(Exit::Code(0)));
                assert_eq!(sink.text(), format!("{number}\n"));
                connection
            })
        })
        .collect();
    let mut live = Vec::new();
    for task in tasks {
        live.push(task.await.unwrap());
    }
    assert_eq!(known_hosts(&bed).lines().count(), 1);
}

#[tokio::test]
async fn the_connection_limit_makes_others_wait_and_a_closed_one_lets_them_in() {
    let mut bed = Bed::new();
    bed.settings.max_connections = 1;
    let connector = SshConnector::new(bed.settings.clone());
    let target = bed.target(vec![bed.key()]);
    let never = StopToken::never();
    let first = connector.connect(&target, &never).await.unwrap();
    let mut second = std::pin::pin!(connector.connect(&target, &never));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut second).await;
    assert!(early.is_err(), "the limit does not bind");
    drop(first);
    second.await.unwrap();
}

#[tokio::test]
async fn nobody_there_and_no_such_name() {
    let bed = Bed::new();
    let never = StopToken::never();
    let connector = SshConnector::new(bed.settings.clone());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut target = bed.target(vec![bed.key()]);
    target.port = free;
    let error = connector.connect(&target, &never).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Connect { .. }), "{error}");
    target.host = "no-such-host.invalid".to_owned();
    let error = connector.connect(&target, &never).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Resolve { .. }), "{error}");
}

/// A peer that accepts and says nothing.
fn silent_peer(bed: &Bed) -> (TcpListener, autoexec_transport::ssh::SshTarget) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = bed.target(vec![bed.key()]);
    target.port = listener.local_addr().unwrap().port();
    (listener, target)
}

#[tokio::test]
async fn a_silent_peer_runs_into_the_connect_timeout() {
    let mut bed = Bed::new();
    bed.settings.connect_timeout = Duration::from_millis(700);
    let (_listener, target) = silent_peer(&bed);
    let error =
        SshConnector::new(bed.settings.clone()).connect(&target, &StopToken::never()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Timeout { step: Step::Handshake, .. }), "{error}");
}

#[tokio::test]
async fn a_stop_ends_connecting_at_once() {
    let bed = Bed::new();
    let (_listener, target) = silent_peer(&bed);
    let stop = StopHandle::new();
    let connector = SshConnector::new(bed.settings.clone());
    let token = stop.token();
    let connecting = tokio::spawn(async move { connector.connect(&target, &token).await.map(|_| ()) });
    stop.raise(StopLevel::Terminate);
    let error = connecting.await.unwrap().unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Stopped), "{error}");
}

#[tokio::test]
async fn a_peer_that_speaks_no_ssh_is_an_error() {
    let bed = Bed::new();
    let (listener, target) = silent_peer(&bed);
    let answer = std::thread::spawn(move || {
        use std::io::Write;
        let (mut socket, _) = listener.accept().unwrap();
        socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let error =
        SshConnector::new(bed.settings.clone()).connect(&target, &StopToken::never()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Handshake { .. }), "{error}");
    answer.join().unwrap();
}

//! Jump hosts, login shaping, and what is allowed per host.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use autoexec_test_support::sshd::SshdOptions;
use autoexec_transport::ssh::{
    HostKeyPolicy, HostPatterns, HostRule, JumpHost, Legacy, SshConnector, SshErrorKind, StepLimits,
};
use autoexec_transport::{Exit, StopHandle, StopLevel, StopToken};

use crate::harness::{Bed, Collected, DEADLINE, lives, numbers, shell};

fn everywhere() -> HostRule {
    HostRule::new(HostPatterns::new(["*"]))
}

fn jump(bed: &Bed) -> Arc<JumpHost> {
    Arc::new(JumpHost { target: bed.target(vec![bed.key()]), logins_per_second: None })
}

pub(crate) fn through(bed: &mut Bed, jumps: Vec<Arc<JumpHost>>) -> SshConnector {
    bed.settings.rules = vec![HostRule { jumps: Some(jumps), ..everywhere() }];
    SshConnector::new(bed.settings.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_targets_share_one_connection_to_the_jump_host() {
    let (hop, mut bed) = (Bed::new(), Bed::new());
    let connector = through(&mut bed, vec![jump(&hop)]);
    let mut runs = Vec::new();
    for number in 0..20 {
        let (connector, target) = (connector.clone(), bed.target(vec![bed.key()]));
        runs.push(tokio::spawn(async move {
            let mut connection = connector.connect(&target, &StopToken::never()).await.unwrap();
            let sink = Collected::new();
            let command = shell(&format!("echo {number}; seq 1 {}", number * 5000));
            let end = connection.run(command, sink.clone(), &StopToken::never(), |_| {}).await.unwrap();
            assert_eq!(end.exit, Some(Exit::Code(0)));
            assert!(sink.text() == format!("{number}\n{}", numbers(number * 5000)), "{number}");
        }));
    }
    for run in runs {
        run.await.unwrap();
    }
    let logins = |bed: &Bed| bed.server.log().matches("Accepted publickey").count();
    assert_eq!((logins(&hop), logins(&bed)), (1, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_place_of_a_closed_connection_is_free_while_the_jump_host_stays() {
    let (hop, mut bed) = (Bed::new(), Bed::new());
    bed.settings.max_connections = 1;
    let connector = through(&mut bed, vec![jump(&hop)]);
    let target = bed.target(vec![bed.key()]);
    for _ in 0..3 {
        drop(connector.connect(&target, &StopToken::never()).await.unwrap());
    }
    // A place that was held as long as the jump host would have been free only after its login had ended.
    assert_eq!(hop.server.log().matches("Accepted publickey").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_two_carries_megabytes_both_ways() {
    let (first, second, mut bed) = (Bed::new(), Bed::new(), Bed::new());
    let connector = through(&mut bed, vec![jump(&first), jump(&second)]);
    let target = bed.target(vec![bed.key()]);
    let mut connection = connector.connect(&target, &StopToken::never()).await.unwrap();
    let text = numbers(600_000);
    let sink = Collected::new();
    let request =
        autoexec_transport::ssh::ExecRequest { command: "cat".to_owned(), stdin: text.clone().into_bytes() };
    connection.exec(request, sink.clone(), &StopToken::never()).await.unwrap();
    assert!(sink.text() == text);
    // The second hop was reached from the first one: its own address there is the loopback all the same.
    assert!(second.server.log().contains("Accepted publickey"), "{}", second.server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_jump_host_has_its_own_host_key_check() {
    let (mut hop, mut bed) = (Bed::new(), Bed::new());
    through(&mut bed, vec![jump(&hop)])
        .connect(&bed.target(vec![bed.key()]), &StopToken::never())
        .await
        .unwrap();
    hop.server.rotate_host_key().unwrap();
    let error = through(&mut bed, vec![jump(&hop)])
        .connect(&bed.target(vec![bed.key()]), &StopToken::never())
        .await
        .unwrap_err();
    let SshErrorKind::Jump { jump, problem } = error.kind() else { panic!("{error}") };
    assert!(jump.ends_with(&hop.server.port().to_string()), "{jump}");
    assert!(matches!(**problem, SshErrorKind::HostKeyChanged(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_host_that_may_not_or_cannot_connect_further_is_named() {
    let (hop, mut bed) = (Bed::config(&["AllowTcpForwarding no"]), Bed::new());
    let error = through(&mut bed, vec![jump(&hop)])
        .connect(&bed.target(vec![bed.key()]), &StopToken::never())
        .await
        .unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::JumpRefused { .. }), "{error}");
    let hop = Bed::new();
    let mut nowhere = bed.target(vec![bed.key()]);
    nowhere.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let connector = through(&mut bed, vec![jump(&hop)]);
    let error = connector.connect(&nowhere, &StopToken::never()).await.unwrap_err();
    let SshErrorKind::JumpRefused { to, .. } = error.kind() else { panic!("{error}") };
    assert_eq!(*to, format!("127.0.0.1:{}", nowhere.port));
    // The connection to the jump host is as good as before.
    connector.connect(&bed.target(vec![bed.key()]), &StopToken::never()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_reaches_the_processes_when_the_way_through_the_jump_host_has_broken() {
    let (hop, mut bed) = (Bed::new(), Bed::new());
    let connector = through(&mut bed, vec![jump(&hop)]);
    let mut connection = connector.connect(&bed.target(vec![bed.key()]), &StopToken::never()).await.unwrap();
    let sink = Collected::new();
    let (stop, seen) = (StopHandle::new(), sink.clone());
    let token = stop.token();
    let running = tokio::spawn(async move {
        connection.run(shell("echo pid $$; exec sleep 300"), seen, &token, |_| {}).await
    });
    let pid = sink.pid("pid").await;
    stop.raise(StopLevel::Terminate);
    hop.server.kill_sessions();
    let end = running.await.unwrap().unwrap();
    assert!(end.stopped.unwrap().proved_dead);
    assert!(!lives(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_to_a_group_and_behind_a_jump_host_are_shaped() {
    let (hop, mut bed) = (Bed::new(), Bed::new());
    let limited = HostRule { logins_per_second: Some(4.0), ..everywhere() };
    let slow_jump = JumpHost { logins_per_second: Some(4.0), ..(*jump(&hop)).clone() };
    let behind = HostRule { jumps: Some(vec![Arc::new(slow_jump)]), ..everywhere() };
    for rule in [limited, behind] {
        bed.settings.rules = vec![rule];
        let connector = SshConnector::new(bed.settings.clone());
        let begin = Instant::now();
        let mut logins = Vec::new();
        for _ in 0..5 {
            let (connector, target) = (connector.clone(), bed.target(vec![bed.key()]));
            logins.push(tokio::spawn(async move {
                connector.connect(&target, &StopToken::never()).await.unwrap()
            }));
        }
        for login in logins {
            login.await.unwrap();
        }
        assert!(begin.elapsed() >= Duration::from_millis(990), "{:?}", begin.elapsed());
    }
}

#[tokio::test]
async fn old_algorithms_are_used_only_where_they_are_allowed_and_until_the_day() {
    let mut bed = Bed::config(&["Ciphers aes256-cbc"]);
    let error = bed.try_connect(bed.key()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Handshake { .. }), "{error}");
    assert!(error.to_string().contains("`legacy` in conf/ssh.toml"), "{error}");
    let now = SystemTime::now();
    let hour = Duration::from_hours(1);
    let mut legacy = Legacy {
        algorithms: vec!["aes256-cbc".to_owned()],
        until: now + hour,
        until_text: "tomorrow".to_owned(),
    };
    bed.settings.rules = vec![HostRule { legacy: Some(legacy.clone()), ..everywhere() }];
    bed.connect().await;
    legacy.until = now.checked_sub(hour).unwrap();
    bed.settings.rules = vec![HostRule { legacy: Some(legacy), ..everywhere() }];
    let lines = bed.server.log().lines().count();
    let error = bed.try_connect(bed.key()).await.unwrap_err();
    assert!(error.to_string().contains("were allowed until tomorrow"), "{error}");
    assert_eq!(bed.server.log().lines().count(), lines, "the host was called");
}

#[tokio::test]
async fn a_step_of_connecting_has_its_own_limit() {
    let mut bed = Bed::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut target = bed.target(vec![bed.key()]);
    target.port = listener.local_addr().unwrap().port();
    let limit = Duration::from_millis(300);
    bed.settings.steps = StepLimits { handshake: Some(limit), ..StepLimits::default() };
    let begin = Instant::now();
    let error =
        SshConnector::new(bed.settings.clone()).connect(&target, &StopToken::never()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Timeout { limit: l, .. } if *l == limit), "{error}");
    assert!(begin.elapsed() < DEADLINE / 2);
}

#[tokio::test]
async fn a_host_certificate_of_the_recorded_authority_is_enough_and_no_other_one() {
    let keys = tempfile::tempdir().unwrap();
    let path = |name: &str| keys.path().join(name).display().to_string();
    let keygen = |arguments: &[&str]| {
        let status = std::process::Command::new("ssh-keygen").arg("-q").args(arguments).status().unwrap();
        assert!(status.success(), "{arguments:?}");
    };
    for name in ["ca", "stranger", "host"] {
        keygen(&["-t", "ed25519", "-N", "", "-f", &path(name)]);
    }
    let public = |name: &str| std::fs::read_to_string(path(&format!("{name}.pub"))).unwrap();
    keygen(&["-s", &path("ca"), "-h", "-I", "id", "-n", "127.0.0.1", &path("host.pub")]);
    let config = [format!("HostKey {}", path("host")), format!("HostCertificate {}", path("host-cert.pub"))];
    let mut bed = Bed::with(SshdOptions { config: config.to_vec(), ..SshdOptions::default() });
    bed.settings.host_keys = HostKeyPolicy::Strict;
    let record = |text: String| {
        std::fs::create_dir_all(bed.settings.known_hosts.parent().unwrap()).unwrap();
        std::fs::write(&bed.settings.known_hosts, text).unwrap();
    };
    record(format!("@cert-authority 10.* {}", public("ca")));
    bed.try_connect(bed.key()).await.unwrap_err();
    record(format!("@cert-authority [127.0.0.*]:* {}", public("ca")));
    bed.connect().await;
    record(format!("@cert-authority * {}", public("stranger")));
    let error = bed.try_connect(bed.key()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::HostKeyUnknown { .. }), "{error}");
    record(format!("@cert-authority * {}@revoked * {}", public("ca"), public("host")));
    let error = bed.try_connect(bed.key()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::HostKeyRevoked { line: 2, .. }), "{error}");
    // A certificate for another host.
    keygen(&["-s", &path("ca"), "-h", "-I", "id", "-n", "other", &path("host.pub")]);
    let config = config.to_vec();
    let mut other = Bed::with(SshdOptions { config, ..SshdOptions::default() });
    std::fs::write(&bed.settings.known_hosts, format!("@cert-authority * {}", public("ca"))).unwrap();
    other.settings.known_hosts.clone_from(&bed.settings.known_hosts);
    let error = other.try_connect(other.key()).await.unwrap_err();
    assert!(error.to_string().contains("it is for other"), "{error}");
    // A server without a certificate is not trusted for being seen first where one is expected.
    let plain = Bed::new();
    std::fs::create_dir_all(plain.settings.known_hosts.parent().unwrap()).unwrap();
    std::fs::write(&plain.settings.known_hosts, format!("@cert-authority * {}", public("ca"))).unwrap();
    let error = plain.try_connect(plain.key()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::HostKeyUnknown { .. }), "{error}");
}

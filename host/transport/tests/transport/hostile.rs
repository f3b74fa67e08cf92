//! Peers that are slow, silent or break off, and many idle connections: time and memory stay bounded.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use autoexec_transport::ssh::{
    SshConnector, SshError, SshErrorKind, SshSettings, SshTarget, UploadEntry, UploadSource,
};
use autoexec_transport::{Exit, StopHandle, StopLevel, StopToken};

use crate::harness::{Bed, Collected, DEADLINE, lives, shell};

const LIMIT: Duration = Duration::from_secs(3);

/// Serves each connection on a thread of its own, as long as the test process lives.
fn peer(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = std::sync::Arc::new(serve);
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let serve = std::sync::Arc::clone(&serve);
            std::thread::spawn(move || serve(socket));
        }
    });
    port
}

async fn refused(bed: &Bed, port: u16) -> (String, Duration) {
    let mut settings = bed.settings.clone();
    settings.connect_timeout = LIMIT;
    let target = SshTarget { port, ..bed.target(vec![bed.key()]) };
    let begin = Instant::now();
    let error = SshConnector::new(settings).connect(&target, &StopToken::never()).await.unwrap_err();
    (format!("{:?}", error.kind()), begin.elapsed())
}

#[tokio::test]
async fn a_peer_that_answers_one_byte_a_second_runs_into_the_limit() {
    let bed = Bed::new();
    let port = peer(|mut socket| {
        for byte in b"SSH-2.0-OpenSSH_9.2 with a very long comment that never ends".iter().cycle() {
            if socket.write_all(&[*byte]).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    });
    let (kind, took) = refused(&bed, port).await;
    assert!(kind.starts_with("Timeout"), "{kind}");
    assert!(took < LIMIT + Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn a_peer_that_floods_before_its_banner_is_an_error() {
    let bed = Bed::new();
    let port = peer(|mut socket| while socket.write_all(&[b'x'; 8192]).is_ok() {});
    let (kind, took) = refused(&bed, port).await;
    assert!(kind.starts_with("Handshake") || kind.starts_with("Timeout"), "{kind}");
    assert!(took < LIMIT + Duration::from_secs(10), "{took:?}");
}

#[tokio::test]
async fn a_peer_that_never_answers_runs_into_the_limit() {
    let bed = Bed::new();
    let port = peer(|mut socket| while matches!(socket.read(&mut [0; 512]), Ok(1..)) {});
    let (kind, took) = refused(&bed, port).await;
    assert!(kind.starts_with("Timeout"), "{kind}");
    assert!(took < LIMIT + Duration::from_secs(10), "{took:?}");
}

/// What a server does after so many bytes.
#[derive(Debug, Clone, Copy)]
enum Then {
    Closes,
    FallsSilent,
}

/// A relay to a real server that lets so many bytes of it through, and notes where it paused.
fn relay(server: u16, after: usize, then: Then, pauses: &Arc<Mutex<Vec<usize>>>) -> u16 {
    let pauses = Arc::clone(pauses);
    peer(move |mut near| {
        let Ok(mut far) = TcpStream::connect(("127.0.0.1", server)) else { return };
        let (mut up_from, mut up_to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        let up = std::thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
        let mut through = 0;
        let mut buffer = [0; 4096];
        while through < after {
            let want = (after - through).min(buffer.len());
            let Ok(length @ 1..) = far.read(&mut buffer[..want]) else { break };
            if near.write_all(&buffer[..length]).is_err() {
                break;
            }
            through += length;
            pauses.lock().unwrap().push(through);
        }
        if let Then::FallsSilent = then {
            // Until the client gives up.
            let _ = up.join();
        }
        let _ = near.shutdown(std::net::Shutdown::Both);
        let _ = far.shutdown(std::net::Shutdown::Both);
    })
}

/// Connects to a relay and runs something that does not end by itself; what comes of it.
async fn through(bed: &Bed, after: usize, then: Then) -> (&'static str, SshError, Duration) {
    let port = relay(bed.server.port(), after, then, &Arc::default());
    let target = SshTarget { port, ..bed.target(vec![bed.key()]) };
    let settings = SshSettings {
        known_hosts: bed.path(&format!("known-{after}-{then:?}")),
        connect_timeout: LIMIT,
        write_timeout: LIMIT,
        read_timeout: Some(LIMIT),
        ..bed.settings.clone()
    };
    let begin = Instant::now();
    let (step, error) = match SshConnector::new(settings).connect(&target, &StopToken::never()).await {
        Err(error) => ("connecting", error),
        Ok(mut connection) => {
            let command = shell("while :; do echo something to be cut off; sleep 0.01; done");
            let end = connection.run(command, Collected::new(), &StopToken::never(), |_| {}).await;
            ("running", end.unwrap_err())
        }
    };
    (step, error, begin.elapsed())
}

/// Where a server pauses from its banner to the output of a command: each time it has taken a step and waits for the client.
/// And how many of those steps are a login.
async fn steps(bed: &Bed) -> (Vec<usize>, usize) {
    let pauses = Arc::default();
    let port = relay(bed.server.port(), usize::MAX, Then::Closes, &pauses);
    let target = SshTarget { port, ..bed.target(vec![bed.key()]) };
    let connector = SshConnector::new(bed.settings.clone());
    let mut connection = connector.connect(&target, &StopToken::never()).await.unwrap();
    let login = pauses.lock().unwrap().len();
    connection.run(shell("echo out"), Collected::new(), &StopToken::never(), |_| {}).await.unwrap();
    let pauses = pauses.lock().unwrap();
    (pauses.clone(), login)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_or_falls_silent_at_any_step_is_an_error_in_time() {
    let bed = Arc::new(Bed::new());
    let (steps, login) = steps(&bed).await;
    assert!(steps.len() >= 8, "banner, key exchange, login, channel, output: {steps:?}");
    let mut cuts = vec![(0, Then::Closes)];
    for (at, step) in steps.iter().enumerate() {
        let before = at.checked_sub(1).map_or(0, |before| steps[before]);
        cuts.extend([(before + (step - before) / 2, Then::Closes), (*step, Then::Closes)]);
        // The stop of what runs takes its time, so that is tried once.
        if at < login || at + 1 == steps.len() {
            cuts.push((*step, Then::FallsSilent));
        }
    }
    // Not all at once: a server turns connections away that are many (MaxStartups).
    let places = Arc::new(tokio::sync::Semaphore::new(6));
    let mut trials = tokio::task::JoinSet::new();
    for (after, then) in cuts {
        let (bed, places) = (Arc::clone(&bed), Arc::clone(&places));
        trials.spawn(async move {
            let _place = places.acquire_owned().await;
            (after, then, through(&bed, after, then).await)
        });
    }
    let mut seen = std::collections::BTreeSet::new();
    while let Some(trial) = trials.join_next().await {
        let (after, then, (step, error, took)) = trial.unwrap();
        let limit = if step == "running" { DEADLINE } else { DEADLINE / 4 };
        assert!(took < limit, "{then:?} after {after} bytes: {error} in {took:?}");
        let fits = match error.kind() {
            SshErrorKind::ConnectionLost { .. } | SshErrorKind::NoExit => true,
            SshErrorKind::Timeout { .. } | SshErrorKind::Silent { .. } => matches!(then, Then::FallsSilent),
            // A list of methods that did not come is none.
            SshErrorKind::Handshake { .. } | SshErrorKind::Auth { .. } | SshErrorKind::NotStarted { .. } => {
                matches!(then, Then::Closes)
            }
            _ => false,
        };
        assert!(fits, "{then:?} after {after} of {steps:?} bytes, {step}: {error:?}");
        seen.insert((step, format!("{then:?}")));
    }
    assert_eq!(seen.len(), 4, "both, while connecting and while running: {seen:?}");
}

/// Memory of a process, its share of what it shares included.
fn memory_kib(process: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_cost_little_memory() {
    const CONNECTIONS: u64 = 60;
    let mut bed = Bed::new();
    bed.settings.max_connections = 2000;
    bed.settings.keepalive = None;
    let connector = SshConnector::new(bed.settings.clone());
    let target = bed.target(vec![bed.key()]);
    let mut live = vec![connector.connect(&target, &StopToken::never()).await.unwrap()];
    let before = memory_kib("self");
    for _ in 0..CONNECTIONS / 10 {
        let logins = (0..10).map(|_| {
            let (connector, target) = (connector.clone(), target.clone());
            tokio::spawn(async move { connector.connect(&target, &StopToken::never()).await.unwrap() })
        });
        for login in logins.collect::<Vec<_>>() {
            live.push(login.await.unwrap());
        }
    }
    let each = memory_kib("self").saturating_sub(before) / CONNECTIONS;
    let processes: std::collections::BTreeSet<_> =
        live.iter().map(|connection| connection.process_id().unwrap()).collect();
    let there: u64 = processes.iter().map(|process| memory_kib(&process.to_string())).sum();
    let there = there / u64::try_from(live.len()).unwrap();
    println!("{each} KiB here and {there} KiB in workers for each of {} idle connections", live.len());
    assert!(each < 100 && there < 1500, "{each} and {there} KiB for each connection");
    let mut first = live.swap_remove(0);
    let end = first.run(shell("exit 3"), Collected::new(), &StopToken::never(), |_| {}).await.unwrap();
    assert_eq!(end.exit, Some(Exit::Code(3)));
}

/// A server whose account answers everything with output that never ends.
fn endless() -> Bed {
    let mut bed = Bed::config(&["ForceCommand yes", "LogLevel VERBOSE"]);
    bed.settings.write_timeout = Duration::from_secs(1);
    bed
}

#[tokio::test]
async fn short_requests_to_a_target_that_talks_without_end_run_into_the_limit() {
    let bed = endless();
    let mut connection = bed.connect().await;
    let begin = Instant::now();
    let error = connection.make_private_dir("autoexec-endless", &StopToken::never()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Timeout { .. }), "{error}");
    let error = connection.read_file("/etc/hostname", 1000, &StopToken::never()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Timeout { .. }), "{error}");
    let entry = UploadEntry { source: UploadSource::Bytes(vec![0; 100_000]), dest: "a".into(), mode: 0o600 };
    let error = connection.upload_tree(vec![entry], "/tmp", &StopToken::never()).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Timeout { .. }), "{error}");
    let error =
        connection.run(shell("true"), Collected::new(), &StopToken::never(), |_| {}).await.unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::NotBegun { .. }), "{error}");
    assert!(error.to_string().contains("y y y"), "{error}");
    assert!(begin.elapsed() < DEADLINE, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_target_that_talks_without_end_can_be_stopped() {
    let mut bed = endless();
    bed.settings.write_timeout = DEADLINE * 10;
    let mut connection = bed.connect().await;
    let handle = StopHandle::new();
    let token = handle.token();
    let asked = tokio::spawn(async move { connection.make_private_dir("autoexec-endless", &token).await });
    let deadline = Instant::now() + DEADLINE;
    while !bed.server.log().contains("forced-command") {
        assert!(Instant::now() < deadline, "{}", bed.server.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    handle.raise(StopLevel::Terminate);
    let error = tokio::time::timeout(DEADLINE, asked).await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error.kind(), SshErrorKind::Stopped), "{error}");
}

/// A packet of SSH before any key exchange.
fn plain_packet(kind: u8, length: usize) -> Vec<u8> {
    let padding = 8 - (5 + 1 + length) % 8 + 8;
    let total = u32::try_from(1 + 1 + length + padding).unwrap();
    let mut packet = total.to_be_bytes().to_vec();
    packet.extend([u8::try_from(padding).unwrap(), kind]);
    packet.resize(packet.len() + length + padding, 0);
    packet
}

#[tokio::test]
async fn packets_without_end_instead_of_a_key_exchange_cost_neither_memory_nor_time_nor_leave_a_process() {
    // What nobody knows is kept by libssh2, what is to be ignored is not.
    for (kind, length) in [(200, 30_000), (2, 30_000)] {
        let bed = Bed::new();
        let packet = plain_packet(kind, length);
        let port = peer(move |mut socket| {
            let _ = socket.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
            let many = packet.repeat(8);
            while socket.write_all(&many).is_ok() {}
        });
        let mut settings = bed.settings.clone();
        settings.connect_timeout = LIMIT;
        let target = SshTarget { port, ..bed.target(vec![bed.key()]) };
        let begin = Instant::now();
        let connector = SshConnector::new(settings);
        let connecting = {
            let connector = connector.clone();
            tokio::spawn(async move { connector.connect(&target, &StopToken::never()).await })
        };
        let mut most = 0;
        while !connecting.is_finished() {
            for worker in workers() {
                most = most.max(memory_kib(&worker.to_string()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let error = connecting.await.unwrap().unwrap_err();
        println!("{kind}: {error} {:?} {most} KiB", begin.elapsed());
        assert!(begin.elapsed() < LIMIT + Duration::from_secs(10), "{:?}", begin.elapsed());
        assert!(most < 1200 * 1024, "{most} KiB");
        let deadline = Instant::now() + DEADLINE / 4;
        connector.close().await;
        while !workers().is_empty() {
            assert!(Instant::now() < deadline, "a process is left: {:?}", workers());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// The processes of ours that hold connections. (Each test is a process of its own.)
fn workers() -> Vec<nix::unistd::Pid> {
    autoexec_test_support::process::children_of(nix::unistd::getpid())
        .into_iter()
        .filter(|child| {
            let name = std::fs::read_to_string(format!("/proc/{child}/comm"));
            name.is_ok_and(|name| name.trim() == "autoexec-ssh" && lives(child.as_raw()))
        })
        .collect()
}

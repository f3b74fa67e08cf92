//! Peers that are slow, silent or break off, and many idle connections: time and memory stay bounded.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use autoexec_transport::ssh::{SshConnector, SshErrorKind, SshTarget};
use autoexec_transport::{Exit, StopToken};

use crate::harness::{Bed, Collected, DEADLINE, shell};

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

/// A relay to a real server that breaks off after so many bytes from it.
fn breaking(server: u16, after: usize) -> u16 {
    peer(move |mut near| {
        let Ok(mut far) = TcpStream::connect(("127.0.0.1", server)) else { return };
        let (mut up_from, mut up_to) = (near.try_clone().unwrap(), far.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
        let mut left = after;
        let mut buffer = [0; 512];
        while left > 0 {
            let want = left.min(buffer.len());
            let Ok(length @ 1..) = far.read(&mut buffer[..want]) else { break };
            if near.write_all(&buffer[..length]).is_err() {
                break;
            }
            left -= length;
        }
        let _ = near.shutdown(std::net::Shutdown::Both);
        let _ = far.shutdown(std::net::Shutdown::Both);
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_at_every_step_is_an_error_each_time() {
    let bed = Bed::new();
    let mut steps = std::collections::BTreeSet::new();
    // From the banner to the middle of the output of a command: about 5,000 bytes.
    for after in [0, 10, 60, 500, 1200, 1500, 1700, 1900, 2100, 2400, 2700, 3000, 3500, 4000] {
        let port = breaking(bed.server.port(), after);
        let target = SshTarget { port, ..bed.target(vec![bed.key()]) };
        let mut settings = bed.settings.clone();
        settings.known_hosts = bed.path(&format!("known-{after}"));
        settings.connect_timeout = DEADLINE / 4;
        let begin = Instant::now();
        let connected = SshConnector::new(settings).connect(&target, &StopToken::never()).await;
        let error = match connected {
            Err(error) => error,
            Ok(mut connection) => {
                let command = shell("while :; do echo something to be cut off; sleep 0.01; done");
                connection.run(command, Collected::new(), &StopToken::never(), |_| {}).await.unwrap_err()
            }
        };
        assert!(begin.elapsed() < DEADLINE / 2, "after {after} bytes: {error} in {:?}", begin.elapsed());
        steps.insert(name_of(error.kind()));
    }
    assert!(steps.contains("handshake") && steps.contains("lost"), "{steps:?}");
}

fn name_of(kind: &SshErrorKind) -> &'static str {
    match kind {
        SshErrorKind::Handshake { .. } => "handshake",
        SshErrorKind::ConnectionLost { .. } => "lost",
        _ => "other",
    }
}

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
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
    let before = resident_kib();
    for _ in 0..CONNECTIONS / 10 {
        let logins = (0..10).map(|_| {
            let (connector, target) = (connector.clone(), target.clone());
            tokio::spawn(async move { connector.connect(&target, &StopToken::never()).await.unwrap() })
        });
        for login in logins.collect::<Vec<_>>() {
            live.push(login.await.unwrap());
        }
    }
    let each = resident_kib().saturating_sub(before) / CONNECTIONS;
    println!("{each} KiB for each of {} idle connections", live.len());
    assert!(each < 400, "{each} KiB for each connection");
    let mut first = live.swap_remove(0);
    let end = first.run(shell("exit 3"), Collected::new(), &StopToken::never(), |_| {}).await.unwrap();
    assert_eq!(end.exit, Some(Exit::Code(3)));
}

//! `connection`: TCP, TLS, datagrams and echo requests under the host's rules.

use std::net::UdpSocket;
use std::sync::Arc;
use std::thread;

use autoexec_sandbox::Limits;
use serde_json::json;

use crate::servers;
use crate::support::{Case, Expect, Recorder, rules, run_table, use_everything};

fn recorder(allowed: &[&str]) -> Arc<Recorder> {
    let allowed = allowed.iter().map(|&rule| rule.to_owned()).collect();
    Arc::new(Recorder { allowed, ..Recorder::default() })
}

#[tokio::test]
async fn a_connection_needs_name_and_address() {
    let port = servers::echo_line();
    let rule = |host: &str| format!("socket {host}:{port}");
    let (name, address) = (rule("localhost"), rule("127.0.0.1"));
    let talk = |host: &str| json!({"what": "talk", "subject": host, "port": port, "text": "hello\n"});
    let mapped = format!("socket [::ffff:127.0.0.1]:{port}");
    let table = vec![
        Case {
            name: "nothing",
            ask: talk("127.0.0.1"),
            allow: rules(&[]),
            expect: Expect::Refusal("Denied"),
        },
        Case {
            name: "allowed",
            ask: talk("127.0.0.1"),
            allow: rules(&[&address]),
            expect: Expect::Answer(json!("hello")),
        },
        Case {
            name: "name alone",
            ask: talk("localhost"),
            allow: rules(&[&name]),
            expect: Expect::Refusal("Denied"),
        },
        Case {
            name: "mapped address without its own rule",
            ask: talk("[::ffff:127.0.0.1]"),
            allow: rules(&[&mapped]),
            expect: Expect::Refusal("Denied"),
        },
        Case {
            name: "secret without rule",
            ask: json!({"what": "talk", "subject": "127.0.0.1", "port": port, "text": "password", "password": "x\n"}),
            allow: rules(&[&address]),
            expect: Expect::Refusal("Denied"),
        },
        Case {
            name: "secret with rule",
            ask: json!({"what": "talk", "subject": "127.0.0.1", "port": port, "text": "password", "password": "s3\n"}),
            allow: rules(&[&address, &format!("secret option:password to socket 127.0.0.1:{port}")]),
            expect: Expect::Answer(json!("s3")),
        },
    ];
    run_table(table, Recorder::default).await;
}

#[tokio::test]
async fn open_sockets_are_counted_and_the_limit_is_named() {
    let port = servers::echo_line();
    let ask =
        |many: &str| json!({"what": "connect-many", "subject": "127.0.0.1", "port": port, "text": many});
    let limits = Limits { sockets: 3, ..Limits::default() };
    assert_eq!(use_everything(&recorder(&["socket*"]), &ask("3"), limits).await, Ok(json!(3)));
    let refused = use_everything(&recorder(&["socket*"]), &ask("4"), limits).await.unwrap_err();
    assert!(
        refused.contains("3 sockets open at the same time") && refused.contains("`sockets`"),
        "{refused}"
    );
}

#[tokio::test]
async fn tls_checks_the_certificate_unless_the_policy_names_the_host() {
    let (port, _) = servers::tls("localhost", false);
    let ask = json!({"what": "talk-tls", "subject": "127.0.0.1", "port": port, "text": "localhost"});
    let refused = use_everything(&recorder(&["socket*"]), &ask, Limits::default()).await.unwrap_err();
    assert!(refused.contains("not trusted"), "{refused}");
    let host = Recorder {
        allowed: vec!["socket*".into()],
        unverified: vec!["127.0.0.1".into()],
        ..Recorder::default()
    };
    assert_eq!(use_everything(&Arc::new(host), &ask, Limits::default()).await, Ok(json!("hello")));
}

#[tokio::test]
async fn datagrams_go_to_permitted_peers_only() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut buffer = [0; 100];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let _sent = socket.send_to(&buffer[..length], peer);
        }
    });
    let ask = json!({"what": "datagram", "subject": "127.0.0.1", "port": port});
    assert_eq!(use_everything(&recorder(&["socket*"]), &ask, Limits::default()).await, Ok(json!("hello")));
    assert!(use_everything(&recorder(&[]), &ask, Limits::default()).await.unwrap_err().contains("Denied"));
}

#[tokio::test]
async fn an_echo_request_is_answered_where_it_is_allowed() {
    let ask = json!({"what": "ping", "subject": "127.0.0.1"});
    assert!(use_everything(&recorder(&[]), &ask, Limits::default()).await.unwrap_err().contains("Denied"));
    assert_eq!(use_everything(&recorder(&["echo*"]), &ask, Limits::default()).await, Ok(json!("there")));
    let v6 = json!({"what": "ping", "subject": "::1"});
    if std::net::UdpSocket::bind("[::1]:0").is_ok() {
        assert_eq!(use_everything(&recorder(&["echo*"]), &v6, Limits::default()).await, Ok(json!("there")));
    }
}

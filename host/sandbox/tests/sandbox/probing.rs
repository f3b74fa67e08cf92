//! `net-probe` against real sockets, under the host's rules.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use serde_json::json;

use crate::support::{Recorder, call, load, run, small_sandbox};

async fn probe(host: &str, port: u16, timeout_ms: u64, allowed: &[&str]) -> String {
    let sandbox = small_sandbox();
    let tool = load(&sandbox, "fixture/prober");
    let allowed = allowed.iter().map(|host| format!("probe {host}:{port}")).collect();
    let recorder = Arc::new(Recorder { allowed, ..Recorder::default() });
    let options = json!({"host": host, "port": port, "timeout_ms": timeout_ms});
    run(&sandbox, &tool, call(&options), &recorder).await.unwrap();
    recorder.outputs()["answer"].as_str().map(str::to_owned).unwrap_or_default()
}

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn a_port_that_listens_is_connected_to() {
    let (listener, port) = listener();
    assert_eq!(probe("127.0.0.1", port, 5000, &["127.0.0.1"]).await, "connected");
    listener.accept().unwrap();
}

#[tokio::test]
async fn a_port_that_nobody_has_is_refused() {
    let (listener, port) = listener();
    drop(listener);
    assert_eq!(probe("127.0.0.1", port, 5000, &["127.0.0.1"]).await, "refused");
}

#[tokio::test]
async fn nothing_is_tried_without_a_rule() {
    let (listener, port) = listener();
    listener.set_nonblocking(true).unwrap();
    assert_eq!(probe("127.0.0.1", port, 5000, &[]).await, format!("denied: probe 127.0.0.1:{port}"));
    // Allowed by name, but not the address behind the name.
    let by_name = probe("localhost", port, 5000, &["localhost"]).await;
    assert!(by_name.starts_with("denied: ") && !by_name.contains("localhost"), "{by_name}");
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "somebody connected");
}

#[tokio::test]
async fn a_name_without_address_is_unresolved() {
    let name = "no-such-host.invalid";
    assert_eq!(probe(name, 80, 20_000, &[name]).await, "unresolved");
}

#[tokio::test]
async fn no_answer_in_time_is_a_time_out() {
    // A listener whose queue is full answers nothing.
    let socket =
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
    rustix::net::listen(&socket, 0).unwrap();
    let address: std::net::SocketAddr = rustix::net::getsockname(&socket).unwrap().try_into().unwrap();
    let _first = std::net::TcpStream::connect(address).unwrap();
    assert_eq!(probe("127.0.0.1", address.port(), 300, &["127.0.0.1"]).await, "timed out");
}

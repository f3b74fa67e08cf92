//! `secret`: values that go where the policy lets them, and nowhere else.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use autoexec_e2e::build::with_option;
use serde_json::Value;

use super::{answer, assert_denied, everything, log, uses};

/// Takes one line of one connection and answers whether it is the password.
fn listener() -> (u16, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut line = String::new();
        BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
        stream.write_all(b"thanks\n").unwrap();
        line
    });
    (port, served)
}

fn talk(port: u16) -> Value {
    let step = uses(
        1,
        &[("what", "talk"), ("subject", "127.0.0.1"), ("text", "password"), ("port", &port.to_string())],
    );
    with_option(step, "password", "password", "hunter2-of-an-option\n")
}

#[test]
fn an_option_reaches_the_service_that_the_policy_names() {
    let (port, served) = listener();
    let grant = format!(
        "sockets = {{ hosts = [\"127.0.0.1:{port}\"] }}\nsecret = {{ \"option:password\" = {{ connections = [\"127.0.0.1:{port}\"] }} }}\n"
    );
    let job = everything(vec![talk(port)], &grant);
    job.expect(0, &["--firstfire"]).unwrap();
    assert_eq!(served.join().unwrap().trim(), "hunter2-of-an-option");
    assert_eq!(answer(&job, 1), "thanks");
    assert!(!log(&job).contains("hunter2"), "{}", log(&job));
}

#[test]
fn a_secret_does_not_go_where_only_a_connection_is_granted() {
    let (port, served) = listener();
    let job = everything(vec![talk(port)], &format!("sockets = {{ hosts = [\"127.0.0.1:{port}\"] }}\n"));
    job.expect(1, &["--firstfire"]).unwrap();
    assert_eq!(served.join().unwrap(), "", "connected to, and nothing sent");
    assert_denied(&job, "secret", "option:password");
}

#[test]
fn what_the_tool_itself_holds_is_a_reference() {
    let step = with_option(uses(1, &[("what", "password")]), "password", "password", "hunter2-of-an-option");
    let job = everything(vec![step], "step-outputs = true\n");
    job.expect(0, &["--firstfire"]).unwrap();
    let answer = answer(&job, 1);
    let text = answer.as_str().unwrap();
    assert!(!text.is_empty() && !text.contains("hunter2"), "{text}");
}

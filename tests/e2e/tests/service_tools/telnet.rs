//! `netdev/netdevexec` on the same device as over SSH, behind a real telnetd (busybox, started for each connection).

use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::devices::{DEVICE, scripts};
use crate::{Bench, operation};

const BUSYBOX: &str = "/bin/busybox";
const PASSWORD: &str = "s3cret pass";

/// Asks who is there before the device's own command line.
const LOGIN: &str = r#"#!/bin/sh
dir=$(dirname "$0")
printf '\r\nUser Access Verification\r\n\r\nUsername: '
IFS= read -r user
printf 'Password: '
stty -echo
IFS= read -r password
stty echo
printf '\r\n'
[ "$user:$password" = "$(cat "$dir/account")" ] && exec "$dir/switch"
printf '%% Login invalid\r\n'
"#;

/// The device; it ends with this value.
struct Device {
    dir: TempDir,
    port: u16,
    is_over: Arc<AtomicBool>,
    sessions: Arc<Mutex<Vec<Child>>>,
    thread: Option<JoinHandle<()>>,
}

impl Device {
    fn start() -> Self {
        assert!(Path::new(BUSYBOX).exists(), "{BUSYBOX} is missing: run `cargo xtask prepare`");
        let dir = scripts(&[("login", LOGIN), ("switch", DEVICE)]);
        fs::write(dir.path().join("account"), format!("admin:{PASSWORD}")).unwrap();
        fs::write(dir.path().join("config"), "hostname sw1\nend\n").unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_over, sessions) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let login = dir.path().join("login");
        let thread = {
            let (is_over, sessions) = (Arc::clone(&is_over), Arc::clone(&sessions));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    if is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    let socket = OwnedFd::from(stream.unwrap());
                    let mut telnetd = Command::new(BUSYBOX);
                    telnetd.args(["telnetd", "-i", "-l"]).arg(&login).stdout(socket.try_clone().unwrap());
                    let session = telnetd.stdin(socket).stderr(Stdio::null()).spawn().unwrap();
                    sessions.lock().unwrap().push(session);
                }
            })
        };
        Self { dir, port, is_over, sessions, thread: Some(thread) }
    }

    fn bench(&self, password: &str, commands: &str) -> Bench {
        let node = json!({"protocol": "telnet", "protocolPort": self.port, "username": "admin", "password": password});
        let place = format!("127.0.0.1:{}", self.port);
        let policy = format!(
            "target = {{ session = true }}\nsockets = {{ hosts = [\"{place}\"] }}\n\
             secret = {{ node = {{ connections = [\"{place}\"] }} }}\n"
        );
        let options = [("protocol", "telnet"), ("cmd", commands), ("timeout", "10"), ("verbose", "1")];
        Bench::new(&node, vec![operation("netdev/netdevexec", 1, &options)], &policy)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        // Wakes the thread.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for session in self.sessions.lock().unwrap().iter_mut() {
            let _ = session.kill();
            let _ = session.wait();
        }
    }
}

#[test]
fn a_device_is_logged_in_to_and_typed_into() {
    let device = Device::start();
    let bench = device.bench(PASSWORD, "show run\\nconfigure terminal\\nhostname core\\nexit");
    let log = bench.run(0);
    let commands: &Value = &bench.outputs()["netdev/netdevexec_1"]["commands"];
    assert_eq!(commands[0]["output"], "hostname sw1\nend\n", "{log}");
    assert_eq!(fs::read_to_string(device.dir.path().join("hostname")).unwrap(), "core\n");
    assert!(log.contains(&format!("INFO: Login admin@127.0.0.1:{} success.", device.port)), "{log}");
    assert!(!log.contains(PASSWORD), "{log}");
}

#[test]
fn a_refused_login_types_nothing() {
    let device = Device::start();
    let log = device.bench("wrong", "hostname core").run(1);
    assert!(log.contains("the device refuses the login; check the account of the node"), "{log}");
    assert!(!device.dir.path().join("typed").exists(), "{log}");
}

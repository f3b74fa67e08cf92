//! Dropbear, the server of small devices, instead of OpenSSH's.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use autoexec_test_support::skip::skipped;
use autoexec_transport::ssh::{JumpHost, SshTarget};
use autoexec_transport::{Exit, StopHandle, StopLevel, StopOutcome, StopToken};
use nix::unistd::User;

use crate::files::uploads_a_tree;
use crate::harness::{Bed, Collected, numbers, root_or_skip, shell, until};
use crate::jumping::through;
use crate::running::run;
use crate::staying::shell_of;
use crate::stopping::start;

const PROGRAM: &str = "/usr/sbin/dropbear";

/// A server for the account of another one; it ends with its value.
struct Dropbear {
    server: Child,
    port: u16,
}

impl Drop for Dropbear {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Dropbear {
    async fn start(bed: &Bed) -> Option<Self> {
        if !Path::new(PROGRAM).exists() {
            skipped("dropbear (apt-get install dropbear-bin)");
            return None;
        }
        if !root_or_skip("a server with another account") {
            return None;
        }
        let account = User::from_name(bed.server.user()).unwrap().unwrap();
        let keys = account.dir.join(".ssh");
        fs::create_dir_all(&keys).unwrap();
        fs::copy(bed.server.key_path().with_extension("pub"), keys.join("authorized_keys")).unwrap();
        for path in [keys.join("authorized_keys"), keys] {
            chown(&path, Some(account.uid.as_raw()), Some(account.gid.as_raw())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
        }
        let host_key = bed.path("dropbear_key");
        let made = Command::new("dropbearkey").args(["-t", "ed25519", "-f"]).arg(&host_key).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        Some(Self::listen(&host_key, &bed.path("dropbear_log")).await)
    }

    async fn listen(host_key: &Path, log: &Path) -> Self {
        // Another process may take the port before the server does.
        for _ in 0..5 {
            let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
            let server = Command::new(PROGRAM)
                .args(["-F", "-E", "-p", &format!("127.0.0.1:{port}"), "-r"])
                .arg(host_key)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(fs::File::create(log).unwrap())
                .spawn()
                .unwrap();
            let mut dropbear = Self { server, port };
            let mut has_ended = false;
            until("dropbear listens, or has ended", || {
                has_ended = dropbear.server.try_wait().unwrap().is_some();
                has_ended || TcpStream::connect(("127.0.0.1", port)).is_ok()
            })
            .await;
            if !has_ended {
                return dropbear;
            }
        }
        panic!("{}", fs::read_to_string(log).unwrap());
    }
}

#[tokio::test]
async fn a_target_with_dropbear_gets_everything_done() {
    let bed = Bed::new();
    let Some(dropbear) = Dropbear::start(&bed).await else { return };
    let mut connection = bed.connect_through(dropbear.port).await;
    for (script, exit, text) in [
        ("echo out; echo err >&2; exit 7", Exit::Code(7), "out\nerr\n".to_owned()),
        ("kill -TERM $$", Exit::Signal(15), String::new()),
        ("exit 143", Exit::Code(143), String::new()),
        ("seq 1 300000", Exit::Code(0), numbers(300_000)),
    ] {
        assert!(run(&mut connection, shell(script)).await == (Some(exit), text), "{script}");
    }
    let same = shell_of(&mut connection).await;
    assert_eq!(shell_of(&mut connection).await, same, "operations share a shell");
    uploads_a_tree(&bed, &mut connection).await;

    let never = StopToken::never();
    let content: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    let remote = bed.server.dir().join("remote");
    fs::write(&remote, &content).unwrap();
    let (remote, local, length) = (remote.to_str().unwrap(), bed.path("local"), content.len() as u64);
    assert_eq!(connection.download(remote, &local, length, &never).await.unwrap(), Some(length));
    assert!(fs::read(&local).unwrap() == content);

    let (sink, stop) = (Collected::new(), StopHandle::new());
    let stubborn = shell("trap '' TERM; sleep 600 & echo ready; while :; do sleep 1; done");
    let running = start(connection, stubborn, &sink, &stop);
    sink.line("ready").await;
    stop.raise(StopLevel::Terminate);
    let (end, mut connection) = running.await.unwrap();
    assert_eq!(end.unwrap().stopped, Some(StopOutcome { proved_dead: true }));
    assert_eq!(run(&mut connection, shell("echo on")).await, (Some(Exit::Code(0)), "on\n".to_owned()));
}

#[tokio::test]
async fn dropbear_is_a_jump_host_like_any_other() {
    let mut bed = Bed::new();
    let Some(dropbear) = Dropbear::start(&bed).await else { return };
    let target = bed.target(vec![bed.key()]);
    let jump = JumpHost {
        target: SshTarget { port: dropbear.port, ..bed.target(vec![bed.key()]) },
        logins_per_second: None,
    };
    let connector = through(&mut bed, vec![Arc::new(jump)]);
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut connection = connector.connect(&target, &StopToken::never()).await.unwrap();
        let (exit, text) = run(&mut connection, shell("seq 1 100000")).await;
        assert_eq!(exit, Some(Exit::Code(0)));
        assert!(text == numbers(100_000));
        held.push(connection);
    }
}

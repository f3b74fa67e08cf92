//! A scratch machine for what changes a system: namespaces of its own over a copy-on-write view of this machine's root,
//! with a real sshd where root logs in.
//!
//! Processes in it see the programs that are installed here, write to memory, and have an own host name, process table,
//! network and mounts. Nothing they do reaches this machine: the root file system is the lower layer of an overlay, `/sys`
//! and `/proc/sys` are read-only, and `/dev` has no disks. A login comes in by a socket on 127.0.0.1 of this machine that
//! is handed to `sshd -i` inside, so the scratch machine needs no route to the outside.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// Makes the root file system, says `ready`, and stays as process 1: it ignores SIGCHLD, so that orphans leave no
/// zombies.
const SETUP: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 scratch "$BASE"
mkdir "$BASE/upper" "$BASE/work" "$BASE/root"
mount -t overlay -o "lowerdir=/,upperdir=$BASE/upper,workdir=$BASE/work" scratch "$BASE/root"
cd "$BASE/root"
mount -t proc -o nosuid,nodev,noexec proc proc
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys
mount -t sysfs -o ro,nosuid,nodev,noexec sys sys
mount -t tmpfs -o mode=755,nosuid dev dev
for node in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
    set -- $node
    mknod -m 666 "dev/$1" c "$2" "$3"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 pts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 shm dev/shm
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mkdir -p run/sshd run/lock run/scratch
# Addresses without a network behind them.
ip link set lo up
{ ip link add eth0 type dummy || ip link add eth0 type bridge; } 2>/dev/null && ip addr add 192.0.2.10/24 dev eth0 && ip link set eth0 up
hostname scratch
mkdir -p .host
pivot_root . .host
umount -l .host
echo ready
trap '' CHLD
exec /usr/bin/sleep infinity </dev/null >/dev/null 2>&1
"#;

/// A scratch machine; dropping it ends everything in it.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
    init: Child,
    /// Process 1 of the machine, by its number here.
    pid: u32,
    port: u16,
    stop: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

impl Scratch {
    /// Starts a machine. Only root can.
    pub fn start() -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "a scratch machine needs root");
        let dir = tempfile::Builder::new().prefix("scratch").tempdir()?;
        let mut init = Command::new("unshare")
            .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child"])
            .args(["/bin/sh", "-c", SETUP])
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("BASE", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(dir.path().with_extension("log"))?)
            .spawn()
            .context("start unshare")?;
        let stdout = init.stdout.take().context("the output of unshare")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        let log = fs::read_to_string(dir.path().with_extension("log")).unwrap_or_default();
        fs::remove_file(dir.path().with_extension("log"))?;
        if line.trim() != "ready" {
            let _ = init.kill();
            let _ = init.wait();
            bail!("the scratch machine did not start: {log}");
        }
        let pid = only_child(init.id()).context("process 1 of the scratch machine")?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let mut scratch =
            Self { dir, init, pid, port, stop: Arc::new(AtomicBool::new(false)), listener: None };
        scratch.set_up_sshd()?;
        scratch.listener = Some(serve(listener, pid, Arc::clone(&scratch.stop), scratch.log_path())?);
        Ok(scratch)
    }

    /// Port on 127.0.0.1 of this machine where root of the scratch machine can log in with [`Self::key_path`].
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Process 1 of it, by its number here.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Private key of root.
    pub fn key_path(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    /// A path of the scratch machine as it can be reached from here. It leads through the machine's root: a symbolic link
    /// with an absolute target would lead to this machine's file.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.pid)).join(path.trim_start_matches('/'))
    }

    /// The text of a file of the scratch machine.
    pub fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(self.path(path)).with_context(|| format!("read {path} of the scratch machine"))
    }

    /// Writes a file of the scratch machine, its directories included.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let place = self.path(path);
        let directory = place.parent().context("a file has a directory")?;
        fs::create_dir_all(directory)?;
        fs::write(&place, content).with_context(|| format!("write {path} of the scratch machine"))
    }

    /// A command of the scratch machine, run as its root without a login.
    pub fn command(&self, program: &str) -> Command {
        let mut command = enter(self.pid);
        command.arg(program).stdin(Stdio::null());
        command
    }

    /// Runs a shell command that has to succeed; its standard output.
    pub fn sh(&self, text: &str) -> Result<String> {
        let output = self.try_sh(text)?;
        ensure!(
            output.status.success(),
            "{text}: {}\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a shell command and waits for the shell alone: services that it starts may keep its output open.
    pub fn try_sh(&self, text: &str) -> Result<Output> {
        let (mut stdout, mut stderr) = (tempfile::tempfile()?, tempfile::tempfile()?);
        let status = self
            .command("/bin/sh")
            .args(["-c", text])
            .stdout(stdout.try_clone()?)
            .stderr(stderr.try_clone()?)
            .status()
            .context("enter the scratch machine")?;
        let read = |file: &mut File| -> Result<Vec<u8>> {
            let mut bytes = Vec::new();
            file.rewind()?;
            file.read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        Ok(Output { status, stdout: read(&mut stdout)?, stderr: read(&mut stderr)? })
    }

    /// What its sshd has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("sshd.log")
    }

    fn set_up_sshd(&self) -> Result<()> {
        for name in ["key", "host_key"] {
            let path = self.dir.path().join(name);
            let done = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "scratch", "-f"])
                .arg(&path)
                .status()
                .context("start ssh-keygen")?;
            ensure!(done.success(), "ssh-keygen failed: {done}");
        }
        let inside = "/run/scratch";
        self.write(&format!("{inside}/authorized_keys"), fs::read(self.dir.path().join("key.pub"))?)?;
        self.write(&format!("{inside}/host_key"), fs::read(self.dir.path().join("host_key"))?)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(self.path(&format!("{inside}/host_key")), mode)?;
        let config = format!(
            "HostKey {inside}/host_key\nAuthorizedKeysFile {inside}/authorized_keys\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUseDNS no\nPrintMotd no\n\
             LogLevel VERBOSE\nSubsystem sftp internal-sftp\n"
        );
        self.write(&format!("{inside}/sshd_config"), config)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener, which then sees that it is to stop.
        let _ = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
        // With its parent process 1 gets SIGKILL, and with process 1 all others.
        let _ = self.init.kill();
        let _ = self.init.wait();
    }
}

/// Enters all namespaces and the root of a process.
fn enter(pid: u32) -> Command {
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--target={pid}"))
        .args(["--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd", "--"])
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("LANG", "C.UTF-8");
    command
}

/// Starts `sshd -i` inside for each connection.
fn serve(listener: TcpListener, pid: u32, stop: Arc<AtomicBool>, log: PathBuf) -> Result<JoinHandle<()>> {
    let thread = std::thread::Builder::new().name("scratch-sshd".to_owned()).spawn(move || {
        let mut sessions = Vec::new();
        for stream in listener.incoming() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let started = stream.map_err(anyhow::Error::from).and_then(|stream| login(pid, stream, &log));
            match started {
                Ok(session) => sessions.push(session),
                Err(error) => {
                    let _ = writeln!(std::io::stderr(), "scratch machine: a login failed: {error:#}");
                }
            }
        }
        for mut session in sessions {
            let _ = session.kill();
            let _ = session.wait();
        }
    })?;
    Ok(thread)
}

fn login(pid: u32, stream: TcpStream, log: &Path) -> Result<Child> {
    let output = stream.try_clone()?;
    let log = File::options().append(true).create(true).open(log)?;
    enter(pid)
        .args(["/usr/sbin/sshd", "-i", "-e", "-f", "/run/scratch/sshd_config"])
        .stdin(Stdio::from(OwnedFd::from(stream)))
        .stdout(Stdio::from(OwnedFd::from(output)))
        .stderr(log)
        .spawn()
        .context("start sshd -i")
}

fn only_child(parent: u32) -> Result<u32> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = fs::read_to_string(&path).with_context(|| format!("read {path}"))?;
    text.split_ascii_whitespace().next().context("it has no child")?.parse().context("a process number")
}

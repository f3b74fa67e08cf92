//! Debian's real OpenSSH server on a free loopback port, with a configuration, host key and account of its own.
//!
//! As root the account is a throw-away one with a random password, so that password login really goes through PAM and
//! the shadow file; it is removed when the last server that uses it is dropped, and leftovers of dead processes are
//! removed by the next start. Without root the account is the caller's own and only the key can log in.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use tempfile::TempDir;

use crate::process::{self, children_of};

const PROGRAM: &str = "/usr/sbin/sshd";
/// Marks our accounts in the password file: none without it is ever removed.
const MARK: &str = "autoexec throw-away test account";
const START_LIMIT: Duration = Duration::from_secs(20);
const TOOL_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);

/// How a server is to be.
#[derive(Debug, Clone)]
pub struct SshdOptions {
    /// Accept the password (only possible as root).
    pub password_login: bool,
    /// Login shell of the account; `/bin/sh` by default. Only honoured as root.
    pub shell: PathBuf,
    /// Type of the host key, as `ssh-keygen -t` takes it.
    pub host_key_type: String,
    /// Further lines of `sshd_config`. They come first, and sshd takes the first value of an option.
    pub config: Vec<String>,
}

impl Default for SshdOptions {
    fn default() -> Self {
        Self {
            password_login: true,
            shell: PathBuf::from("/bin/sh"),
            host_key_type: "ed25519".to_owned(),
            config: Vec::new(),
        }
    }
}

/// A running server. Dropping it ends the server and, with the last user of it, the account.
#[derive(Debug)]
pub struct Sshd {
    dir: TempDir,
    port: u16,
    server: Option<Child>,
    account: Arc<Account>,
    options: SshdOptions,
}

impl Sshd {
    /// Starts a server and waits until it accepts connections.
    pub fn start(options: SshdOptions) -> Result<Self> {
        ensure!(Path::new(PROGRAM).exists(), "{PROGRAM} is not installed (apt-get install openssh-server)");
        if nix::unistd::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").context("make /run/sshd, where sshd confines itself")?;
        }
        let account = Account::shared(&options.shell)?;
        let dir = tempfile::Builder::new().prefix("sshd").tempdir().context("make a directory for sshd")?;
        // The account's sessions have to pass through it to SetEnv programs that tests put here.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        let mut sshd = Self { dir, port: 0, server: None, account, options };
        sshd.install_user_key()?;
        sshd.make_host_key()?;
        sshd.start_on_free_port()?;
        Ok(sshd)
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Name of the account.
    pub fn user(&self) -> &str {
        &self.account.name
    }

    /// Numeric id of the account.
    pub fn uid(&self) -> u32 {
        self.account.uid
    }

    /// The account's password; empty when only the key can log in.
    pub fn password(&self) -> &str {
        if self.options.password_login { &self.account.password } else { "" }
    }

    /// Private key that may log in.
    pub fn key_path(&self) -> PathBuf {
        self.dir.path().join("user_key")
    }

    /// Public part of the current host key.
    pub fn host_public_key(&self) -> Result<String> {
        let path = self.dir.path().join("host_key.pub");
        fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
    }

    /// The server's own directory, passable for the account.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Process id of the listening server, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.server.as_ref().map(Child::id)
    }

    /// Gives the server a new host key and starts it again on the same port.
    pub fn rotate_host_key(&mut self) -> Result<()> {
        self.stop();
        self.make_host_key()?;
        self.start_here()
    }

    /// Ends the server and the sessions it has. A stopped server can be started again by [`Self::rotate_host_key`].
    pub fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let sessions = children_of(pid_of(server.id()));
            let _ = server.kill();
            let _ = server.wait();
            for session in sessions {
                let _ = kill(session, Signal::SIGKILL);
            }
        }
    }

    /// Kills the server's side of all live connections, as a crash of the target would look to a client.
    pub fn kill_sessions(&self) {
        for session in self.sessions() {
            for child in children_of(session) {
                if is_sshd(child) {
                    let _ = kill(child, Signal::SIGKILL);
                }
            }
            let _ = kill(session, Signal::SIGKILL);
        }
    }

    /// [Kills the sessions](Self::kill_sessions) and returns when there are none any more.
    pub fn end_sessions(&self, within: Duration) -> Result<()> {
        let end = Instant::now() + within;
        loop {
            self.kill_sessions();
            let left = self.sessions().len();
            if left == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{left} sessions of sshd are still there after {within:?}");
            std::thread::sleep(POLL);
        }
    }

    /// The process of each connection.
    fn sessions(&self) -> Vec<Pid> {
        self.pid().map(pid_of).map(children_of).unwrap_or_default()
    }

    /// What the server has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    fn install_user_key(&self) -> Result<()> {
        keygen(&self.key_path(), "ed25519")?;
        let authorized = self.dir.path().join("authorized_keys");
        fs::copy(self.key_path().with_extension("pub"), &authorized)?;
        fs::set_permissions(&authorized, fs::Permissions::from_mode(0o644))?;
        Ok(())
    }

    fn make_host_key(&self) -> Result<()> {
        let key = self.dir.path().join("host_key");
        for old in [key.clone(), key.with_extension("pub")] {
            if old.exists() {
                fs::remove_file(&old)?;
            }
        }
        keygen(&key, &self.options.host_key_type)
    }

    fn start_on_free_port(&mut self) -> Result<()> {
        let mut last = None;
        // Another process may take a port between our look and sshd's bind.
        for _ in 0..5 {
            self.port = free_port()?;
            match self.start_here() {
                Ok(()) => return Ok(()),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no port for sshd")))
    }

    fn start_here(&mut self) -> Result<()> {
        let config = self.dir.path().join("sshd_config");
        fs::write(&config, self.config())?;
        let log = File::options().append(true).create(true).open(self.log_path())?;
        let mut server = Command::new(PROGRAM)
            .args(["-D", "-e", "-f"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("start {PROGRAM}"))?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Some(status) = server.try_wait()? {
                bail!("sshd ended with {status}: {}", self.log());
            }
            if TcpStream::connect(address).is_ok() {
                self.server = Some(server);
                return Ok(());
            }
            if Instant::now() > deadline {
                let _ = server.kill();
                let _ = server.wait();
                bail!("sshd does not listen on {address}: {}", self.log());
            }
            std::thread::sleep(POLL);
        }
    }

    fn config(&self) -> String {
        let dir = self.dir.path().display();
        let root = nix::unistd::geteuid().is_root();
        let yes_no = |yes: bool| if yes { "yes" } else { "no" };
        let mut lines = self.options.config.clone();
        lines.extend([
            format!("Port {}", self.port),
            "ListenAddress 127.0.0.1".to_owned(),
            format!("HostKey {dir}/host_key"),
            format!("PidFile {dir}/pid"),
            format!("AuthorizedKeysFile {dir}/authorized_keys"),
            "StrictModes no".to_owned(),
            format!("UsePAM {}", yes_no(root)),
            format!("PasswordAuthentication {}", yes_no(root && self.options.password_login)),
            "KbdInteractiveAuthentication no".to_owned(),
            "PubkeyAuthentication yes".to_owned(),
            "UseDNS no".to_owned(),
            "PrintMotd no".to_owned(),
            "MaxStartups 500".to_owned(),
            "LogLevel VERBOSE".to_owned(),
        ]);
        // Unlike other options a second line of this one is an error.
        if !lines.iter().any(|line| line.starts_with("Subsystem sftp")) {
            lines.push("Subsystem sftp internal-sftp".to_owned());
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("look for a free port")?;
    Ok(listener.local_addr()?.port())
}

fn keygen(path: &Path, kind: &str) -> Result<()> {
    tool("ssh-keygen", &["-q", "-t", kind, "-N", "", "-C", "test", "-f", &path.display().to_string()], "")
}

/// Runs a system tool to its end, and again while another process holds the password file's lock.
fn tool(program: &str, args: &[&str], input: &str) -> Result<()> {
    let deadline = Instant::now() + TOOL_LIMIT;
    loop {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {program}"))?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes())?;
        }
        let output = child.wait_with_output()?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let busy = message.contains("lock");
        if !busy || Instant::now() > deadline {
            bail!("{program} failed ({}): {message}", output.status);
        }
        std::thread::sleep(POLL);
    }
}

fn pid_of(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed())
}

fn is_sshd(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim().starts_with("sshd"))
}

/// The account that logs in.
#[derive(Debug)]
struct Account {
    name: String,
    password: String,
    uid: u32,
    temporary: bool,
}

/// Accounts of this process by login shell: making one takes a tenth of a second and a system-wide lock.
static ACCOUNTS: Mutex<Option<HashMap<PathBuf, Weak<Account>>>> = Mutex::new(None);
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Account {
    fn shared(shell: &Path) -> Result<Arc<Self>> {
        let mut accounts = ACCOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        let accounts = accounts.get_or_insert_default();
        if let Some(account) = accounts.get(shell).and_then(Weak::upgrade) {
            return Ok(account);
        }
        let account =
            Arc::new(if nix::unistd::geteuid().is_root() { Self::create(shell)? } else { Self::own()? });
        accounts.insert(shell.to_owned(), Arc::downgrade(&account));
        Ok(account)
    }

    fn own() -> Result<Self> {
        let uid = nix::unistd::geteuid();
        let user = User::from_uid(uid)?.with_context(|| format!("no account for uid {uid}"))?;
        Ok(Self { name: user.name, password: String::new(), uid: uid.as_raw(), temporary: false })
    }

    fn create(shell: &Path) -> Result<Self> {
        remove_leftovers()?;
        let name = format!("ae{}x{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let shell = shell.display().to_string();
        tool(
            "useradd",
            &["--create-home", "--no-log-init", "--comment", MARK, "--shell", &shell, &name],
            "",
        )?;
        let user = User::from_name(&name)?.with_context(|| format!("{name} is not there after useradd"))?;
        let account = Self { uid: user.uid.as_raw(), password: random_password()?, name, temporary: true };
        tool("chpasswd", &[], &format!("{}:{}\n", account.name, account.password))?;
        Ok(account)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = remove_account(&self.name, self.uid)
        {
            // The next start tries again; a test must not fail for it.
            let _ = writeln!(io::stderr(), "test account {}: {error:#}", self.name);
        }
    }
}

/// Ends the account's processes first: userdel refuses while there are any.
fn remove_account(name: &str, uid: u32) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    for pid in process::all() {
        if fs::metadata(format!("/proc/{pid}")).is_ok_and(|process| process.uid() == uid) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    }
    tool("userdel", &["--remove", "--force", name], "")
}

/// Removes accounts of test processes that ended without dropping theirs.
fn remove_leftovers() -> Result<()> {
    let text = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
    for line in text.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, _, comment, ..] = fields.as_slice() else { continue };
        let maker = name
            .strip_prefix("ae")
            .and_then(|rest| rest.split_once('x'))
            .and_then(|(pid, _)| pid.parse().ok());
        let (Some(maker), Ok(uid)) = (maker, uid.parse::<u32>()) else { continue };
        if *comment == MARK && kill(Pid::from_raw(maker), None).is_err() {
            // Two processes may clean up at once: only one of them finds the account.
            let _ = remove_account(name, uid);
        }
    }
    Ok(())
}

fn random_password() -> Result<String> {
    let mut bytes = [0; 12];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(hex::encode(bytes))
}

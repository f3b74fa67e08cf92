//! What the tests share: a sink that can be waited on, a server with a connector, looks at processes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(crate) use autoexec_test_support::process::lives;
use autoexec_test_support::scratch::Scratch;
use autoexec_test_support::skip::skipped;
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use autoexec_transport::ssh::{
    RemoteCommand, SshAuth, SshConnection, SshConnector, SshError, SshSettings, SshTarget, UploadEntry,
    UploadSource, WorkerProgram,
};
use autoexec_transport::{OutputSink, Secret, StopToken};
use tokio::sync::watch;

/// Nothing here takes this long unless it is broken, on a machine that is busy with other builds as well.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Collects output.
pub(crate) struct Collected(watch::Sender<Vec<u8>>);

impl Collected {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(Vec::new())))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.0.borrow().clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// Waits until a whole line starts with `word` and returns what follows it.
    pub(crate) async fn line(&self, word: &str) -> String {
        let mut seen = self.0.subscribe();
        let find = |bytes: &Vec<u8>| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let end = text.rfind('\n')?;
            text[..end].lines().find_map(|line| line.strip_prefix(word).map(|rest| rest.trim().to_owned()))
        };
        let waited = tokio::time::timeout(DEADLINE, seen.wait_for(|bytes| find(bytes).is_some())).await;
        let bytes = waited.unwrap_or_else(|_| panic!("no line {word:?} in {:?}", self.text())).unwrap();
        find(&bytes).unwrap()
    }

    pub(crate) async fn pid(&self, word: &str) -> i32 {
        self.line(word).await.parse().unwrap()
    }
}

impl OutputSink for Collected {
    fn output(&self, bytes: &[u8]) {
        assert!(!bytes.is_empty() && bytes.len() <= 64 * 1024);
        self.0.send_modify(|all| all.extend_from_slice(bytes));
    }
}

/// What `seq 1 n` prints.
pub(crate) fn numbers(n: u32) -> String {
    (1..=n).flat_map(|number| [number.to_string(), "\n".to_owned()]).collect()
}

/// A server and what a client needs for it.
pub(crate) struct Bed {
    pub(crate) server: Sshd,
    pub(crate) settings: SshSettings,
    dir: tempfile::TempDir,
}

impl Bed {
    pub(crate) fn new() -> Self {
        Self::with(SshdOptions::default())
    }

    pub(crate) fn with(options: SshdOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings =
            SshSettings { keepalive: Some(Duration::from_secs(2)), max_connections: 100, ..settings(&dir) };
        Self { server: Sshd::start(options).unwrap(), settings, dir }
    }

    pub(crate) fn config(lines: &[&str]) -> Self {
        let config = lines.iter().map(|line| (*line).to_owned()).collect();
        Self::with(SshdOptions { config, ..SshdOptions::default() })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn target(&self, auth: Vec<SshAuth>) -> SshTarget {
        SshTarget {
            host: "127.0.0.1".to_owned(),
            port: self.server.port(),
            user: self.server.user().to_owned(),
            auth,
            jumps: None,
        }
    }

    pub(crate) fn key(&self) -> SshAuth {
        SshAuth::KeyFile { path: self.server.key_path(), passphrase: None }
    }

    pub(crate) fn password(&self) -> SshAuth {
        SshAuth::Password(Secret::new(self.server.password().to_owned()))
    }

    /// A connection by the key through whatever listens on a port in front of the server.
    pub(crate) async fn connect_through(&self, port: u16) -> SshConnection {
        let target = SshTarget { port, ..self.target(vec![self.key()]) };
        SshConnector::new(self.settings.clone()).connect(&target, &StopToken::never()).await.unwrap()
    }

    /// A file here, to be sent.
    pub(crate) fn file(&self, name: &str, content: &[u8], mode: u32) -> UploadEntry {
        let path = self.path(&name.replace('/', "_"));
        std::fs::write(&path, content).unwrap();
        UploadEntry { source: UploadSource::File(path), dest: name.to_owned(), mode }
    }

    pub(crate) async fn try_connect(&self, auth: SshAuth) -> Result<SshConnection, SshError> {
        SshConnector::new(self.settings.clone()).connect(&self.target(vec![auth]), &StopToken::never()).await
    }

    pub(crate) async fn connect(&self) -> SshConnection {
        match self.try_connect(self.key()).await {
            Ok(connection) => connection,
            Err(error) => panic!("{error}\n{}", self.server.log()),
        }
    }
}

/// Settings that no busy machine exceeds.
fn settings(dir: &tempfile::TempDir) -> SshSettings {
    SshSettings {
        connect_timeout: DEADLINE,
        write_timeout: DEADLINE,
        worker: worker(&[]),
        ..SshSettings::new(dir.path().join("ssh/known_hosts"))
    }
}

const SCRATCH_CONFIG: &str = "/run/scratch/sshd_config";

/// A machine of its own, and what a client needs for it.
pub(crate) struct Apart {
    pub(crate) machine: Scratch,
    pub(crate) dir: tempfile::TempDir,
    connector: SshConnector,
    config: String,
}

impl Apart {
    /// None without root; `what` is then left out.
    pub(crate) fn start(what: &str) -> Option<Self> {
        Self::with(what, |settings| settings)
    }

    pub(crate) fn with(what: &str, change: impl FnOnce(SshSettings) -> SshSettings) -> Option<Self> {
        if !root_or_skip(what) {
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let connector = SshConnector::new(change(settings(&dir)));
        let machine = Scratch::start().unwrap();
        let config = machine.read(SCRATCH_CONFIG).unwrap();
        Some(Self { machine, dir, connector, config })
    }

    /// The server's further options, in front of its own: it takes the first one that says something.
    pub(crate) fn configure(&self, lines: &str) {
        self.machine.write(SCRATCH_CONFIG, format!("{lines}\n{}", self.config)).unwrap();
    }

    pub(crate) fn key(&self) -> SshAuth {
        SshAuth::KeyFile { path: self.machine.key_path(), passphrase: None }
    }

    /// A connection to where its server listens.
    pub(crate) async fn connect(
        &self,
        address: SocketAddr,
        user: &str,
        auth: SshAuth,
    ) -> Result<SshConnection, SshError> {
        self.connect_with(address, user, vec![auth]).await
    }

    /// The same with several ways to log in.
    pub(crate) async fn connect_with(
        &self,
        address: SocketAddr,
        user: &str,
        auth: Vec<SshAuth>,
    ) -> Result<SshConnection, SshError> {
        let (host, port) = (address.ip().to_string(), address.port());
        let target = SshTarget { host, port, user: user.to_owned(), auth, jumps: None };
        self.connector.connect(&target, &StopToken::never()).await
    }

    /// Where its server listens on this machine.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.machine.port()))
    }
}

/// What holds the connections of a test.
pub(crate) fn worker(arguments: &[&str]) -> WorkerProgram {
    WorkerProgram {
        path: env!("CARGO_BIN_EXE_autoexec-ssh-worker").into(),
        arguments: arguments.iter().map(Into::into).collect(),
    }
}

/// A shell command run in `/tmp`.
pub(crate) fn shell(script: &str) -> RemoteCommand {
    RemoteCommand {
        dir: "/tmp".to_owned(),
        env: Vec::new(),
        program_line: format!("/bin/sh -c {}", autoexec_transport::ssh::quote(script)),
        account: None,
    }
}

/// True as root; says on the terminal what is left out otherwise.
pub(crate) fn root_or_skip(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skipped(format_args!("root for a throw-away account: {what}"));
    }
    root
}

/// Waits for what has to come about.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

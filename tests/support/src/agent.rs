//! A target agent, written from the specification of its protocol alone (tagent-protocol.md): it shares no code with the
//! client it tests. It really runs commands and keeps files, as the account of the test; and it can misbehave.
//!
//! As a Windows agent it takes the command lines of the contract apart by the rules of that system and runs the scripts
//! by `sh`, in a folder that stands for the drive.

mod conversation;
mod files;
mod session;
mod windows;
mod wire;

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// How an agent is to be.
#[derive(Debug, Clone)]
pub struct AgentOptions {
    /// The shared credential.
    pub credential: String,
    /// `data.encrypt`: all after the greeting is encrypted.
    pub encrypted: bool,
    /// `Linux`, or `windows`.
    pub os: String,
    /// The charset it announces.
    pub charset: String,
    /// What the name of its `$TMPDIR` starts with.
    pub tmp: String,
    /// What it does wrong.
    pub fault: Fault,
}

impl Default for AgentOptions {
    fn default() -> Self {
        Self {
            credential: "demo-Secret-01".to_owned(),
            encrypted: false,
            os: "Linux".to_owned(),
            charset: "UTF-8".to_owned(),
            tmp: "tagent.".to_owned(),
            fault: Fault::None,
        }
    }
}

/// A point of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Before the greeting.
    Greeting,
    /// After the client's answer, before the verdict.
    Verdict,
    /// After the request, before anything is said to it.
    Answer,
    /// In the middle of the data of either direction.
    Data,
    /// Before the final chunk.
    End,
}

/// What an agent does wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Closes the connection at that moment of a request with that verb (all verbs for `""`).
    Close(Moment, &'static str),
    /// Says nothing any more from that moment on, and keeps the connection.
    Silence(Moment, &'static str),
    /// Sends one byte at a time with this pause.
    Trickle(Duration),
    /// Announces more bytes in the first chunk of data than it sends, and closes.
    ShortChunk,
    /// Sends a text after the final chunk that does not end.
    EndlessText,
    /// Sends chunks of a download for ever.
    EndlessData,
    /// The same with one byte in each chunk, and this pause.
    EndlessBytes(Duration),
    /// The same as fast as it can, for commands too.
    Flood,
    /// Sends a directory, then far more filling than an archiver needs in small chunks, and this text at the end.
    LateFailure(&'static str),
    /// Knows no account.
    NoSuchUser,
    /// Sends this instead of a greeting, as it is, and keeps the connection.
    Greets(Vec<u8>),
    /// Accepts nobody.
    RefusesAll,
    /// Fails an upload with this text after its first chunk.
    DiskFull(&'static str),
}

/// A request that arrived, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentRequest {
    /// Account.
    pub user: String,
    /// Verb.
    pub verb: String,
    /// Fields from the fourth on, as bytes.
    pub fields: Vec<Vec<u8>>,
}

impl AgentRequest {
    /// A field as a text.
    pub fn text(&self, number: usize) -> String {
        self.fields.get(number).map(|field| String::from_utf8_lossy(field).into_owned()).unwrap_or_default()
    }
}

/// A running agent. Dropping it ends it and the sessions of its commands.
#[derive(Debug)]
pub struct AgentDouble {
    shared: Arc<Shared>,
    port: u16,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    options: Mutex<AgentOptions>,
    /// The agent's `$TMPDIR`; in a Windows agent it stands for `C:\tagent\tmp`.
    tmp: TempDir,
    requests: Mutex<Vec<AgentRequest>>,
    /// Argument vectors of scripts that a Windows agent started.
    started: Mutex<Vec<Vec<String>>>,
    sessions: session::Sessions,
    sockets: Mutex<Vec<TcpStream>>,
    ended: AtomicBool,
}

impl Shared {
    fn options(&self) -> AgentOptions {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl AgentDouble {
    /// Starts an agent on a free port of 127.0.0.1.
    pub fn start(options: AgentOptions) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind the agent")?;
        let port = listener.local_addr()?.port();
        let tmp = tempfile::Builder::new().prefix(&options.tmp).tempdir()?;
        let shared = Arc::new(Shared {
            options: Mutex::new(options),
            tmp,
            requests: Mutex::new(Vec::new()),
            started: Mutex::new(Vec::new()),
            sessions: session::Sessions::default(),
            sockets: Mutex::new(Vec::new()),
            ended: AtomicBool::new(false),
        });
        let for_thread = Arc::clone(&shared);
        let accepting = std::thread::spawn(move || accept(&listener, &for_thread));
        Ok(Self { shared, port, accepting: Some(accepting) })
    }

    /// TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its `$TMPDIR`.
    pub fn tmp(&self) -> &Path {
        self.shared.tmp.path()
    }

    /// What is in its `$TMPDIR`.
    pub fn left(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.tmp()).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect()
    }

    /// Lets it behave differently from the next connection on.
    pub fn set_fault(&self, fault: Fault) {
        self.shared.options.lock().unwrap_or_else(PoisonError::into_inner).fault = fault;
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<AgentRequest> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The verbs of all requests so far.
    pub fn verbs(&self) -> Vec<String> {
        self.requests().into_iter().map(|request| request.verb).collect()
    }

    /// Argument vectors of the scripts that a Windows agent started, interpreter first.
    pub fn started(&self) -> Vec<Vec<String>> {
        self.shared.started.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Number of commands whose session still has a live process.
    pub fn live_sessions(&self) -> usize {
        self.shared.sessions.live()
    }

    /// Cuts all connections; the agent kills their commands, as it does when clients go away.
    pub fn cut_connections(&self) {
        for socket in self.shared.sockets.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for AgentDouble {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.cut_connections();
        self.shared.sessions.kill_all();
        // Wakes the listener.
        let _ = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        let Ok(socket) = socket else { continue };
        if let Ok(copy) = socket.try_clone() {
            shared.sockets.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
        }
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            // A client that goes away is nothing to report.
            let _ = conversation::serve(&socket, &shared);
            let _ = socket.shutdown(Shutdown::Both);
        });
    }
}

//! A stand-in for MongoDB's server: its wire protocol on a loopback port, documents in memory, failures on demand.
//!
//! The server itself is in none of the registries that tests may use. This one speaks `OP_MSG` with the commands that
//! the executor and the driver behind it send, SCRAM-SHA-256 logins included, and answers `CommandNotFound` to the
//! rest, so that a new kind of request is noticed here. It was written from the protocol's public description and
//! tried with another driver (`pymongo`); against a real server it says nothing about performance or replication.

mod commands;
mod matching;
mod scram;
mod wire;

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bson::{Document, oid::ObjectId};
use serde_json::{Value, json};

use self::commands::Connection;

/// The running server; it ends when dropped.
#[derive(Debug)]
pub struct MongoDouble {
    shared: Arc<Shared>,
    address: SocketAddr,
}

/// A user who may log in; the user is kept in the database `admin`.
#[derive(Debug, Clone)]
pub struct MongoUser {
    /// Name.
    pub name: String,
    /// Password.
    pub password: String,
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct MongoCommand {
    /// First key of the command, such as `update`.
    pub name: String,
    /// The collection, where the command names one.
    pub collection: String,
    /// The whole command.
    pub body: Document,
}

/// What a write is answered with.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// Error code.
    pub code: i32,
    /// Its text.
    pub message: String,
}

#[derive(Debug)]
pub(crate) struct Shared {
    user: Option<MongoUser>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    collections: HashMap<String, Vec<Document>>,
    cursors: HashMap<i64, Vec<Document>>,
    commands: Vec<MongoCommand>,
    refuse_writes: Option<Refusal>,
    is_silent: bool,
    /// Updates wait for their answer.
    holds_updates: bool,
    /// Counts up with every opening and closing, so that an acceptor knows that it is not the present one.
    generation: u64,
    is_open: bool,
    streams: Vec<TcpStream>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MongoDouble {
    /// Starts it on a free loopback port. With a user, only that user gets in.
    pub fn start(user: Option<MongoUser>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("bind the MongoDB double")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { user, state: Mutex::default(), changed: Condvar::new() });
        let double = Self { shared, address };
        double.accept(listener);
        Ok(double)
    }

    /// `db.url`, without user.
    pub fn url(&self) -> String {
        format!("mongodb://{}/", self.address)
    }

    /// How a console announces it (`spec/server-api.md` §4.5), with the user in plain.
    pub fn announcement(&self) -> Value {
        let user =
            self.shared.user.clone().unwrap_or(MongoUser { name: String::new(), password: String::new() });
        json!({"host": self.address.to_string(), "database": "autoexec", "username": user.name,
            "passwordPlain": user.password, "option": "authSource=admin&serverSelectionTimeoutMS=3000"})
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All documents of a collection, as stored.
    pub fn documents(&self, collection: &str) -> Vec<Document> {
        self.shared.state().collections.get(collection).cloned().unwrap_or_default()
    }

    /// Stores a document as some other program would.
    pub fn insert(&self, collection: &str, mut document: Document) {
        document.entry("_id".to_owned()).or_insert_with(|| ObjectId::new().into());
        self.shared.state().collections.entry(collection.to_owned()).or_default().push(document);
    }

    /// Deletes the documents for which `is_it` holds, as some other program would.
    pub fn remove(&self, collection: &str, mut is_it: impl FnMut(&Document) -> bool) {
        if let Some(documents) = self.shared.state().collections.get_mut(collection) {
            documents.retain(|document| !is_it(document));
        }
    }

    /// All requests but handshakes, in the order in which they arrived.
    pub fn commands(&self) -> Vec<MongoCommand> {
        self.shared.state().commands.clone()
    }

    /// Those of one name.
    pub fn commands_of(&self, name: &str) -> Vec<MongoCommand> {
        self.shared.state().commands.iter().filter(|command| command.name == name).cloned().collect()
    }

    /// Answers all further updates with an error; none ends it.
    pub fn refuse_writes(&self, refusal: Option<Refusal>) {
        self.shared.state().refuse_writes = refusal;
    }

    /// Makes updates wait, or lets them go on: what comes meanwhile piles up behind them.
    pub fn hold_updates(&self, hold: bool) {
        self.shared.state().holds_updates = hold;
        self.shared.changed.notify_all();
    }

    /// Takes further requests and answers none of them.
    pub fn fall_silent(&self) {
        self.shared.state().is_silent = true;
    }

    /// Closes the port and cuts all connections.
    pub fn go_away(&self) {
        let mut state = self.shared.state();
        state.is_open = false;
        state.generation += 1;
        for stream in state.streams.drain(..) {
            // One that is gone already cannot be cut.
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        self.shared.changed.notify_all();
        // Wakes the acceptor, which closes the port.
        let _ = TcpStream::connect(self.address);
    }

    /// Listens again on the same port.
    pub fn come_back(&self) -> Result<()> {
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        let listener = loop {
            match TcpListener::bind(self.address) {
                Ok(listener) => break listener,
                // The acceptor has not let go of the port yet.
                Err(error)
                    if error.kind() == io::ErrorKind::AddrInUse && std::time::Instant::now() < deadline =>
                {
                    thread::yield_now();
                }
                Err(error) => return Err(error).context("open the port of the MongoDB double again"),
            }
        };
        self.accept(listener);
        Ok(())
    }

    /// Waits until `is_reached` is true of what is stored in a collection, and gives it.
    pub fn wait_for(
        &self,
        collection: &str,
        is_reached: impl Fn(&[Document]) -> bool,
        within: Duration,
    ) -> Result<Vec<Document>> {
        let documents = |state: &State| state.collections.get(collection).cloned().unwrap_or_default();
        let (state, timeout) = self
            .shared
            .changed
            .wait_timeout_while(self.shared.state(), within, |state| !is_reached(&documents(state)))
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            bail!("not reached within {within:?}; {collection} holds {:?}", documents(&state));
        }
        Ok(documents(&state))
    }

    fn accept(&self, listener: TcpListener) {
        let mut state = self.shared.state();
        state.is_open = true;
        state.generation += 1;
        let generation = state.generation;
        drop(state);
        let shared = Arc::clone(&self.shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { break };
                let mut state = shared.state();
                if !state.is_open || state.generation != generation {
                    break;
                }
                let Ok(copy) = stream.try_clone() else { continue };
                state.streams.push(copy);
                drop(state);
                let shared = Arc::clone(&shared);
                thread::spawn(move || serve(&shared, &stream));
            }
        });
    }
}

impl Drop for MongoDouble {
    fn drop(&mut self) {
        self.go_away();
    }
}

/// Answers the requests of one connection until it is cut.
fn serve(shared: &Shared, mut stream: &TcpStream) {
    let mut connection = Connection::default();
    while let Ok(Some(request)) = wire::read(&mut stream) {
        if shared.state().is_silent {
            continue;
        }
        if request.body.contains_key("update") {
            let held = |state: &mut State| state.holds_updates && state.is_open;
            drop(shared.changed.wait_while(shared.state(), held));
        }
        let reply = connection.answer(shared, &request.body);
        shared.changed.notify_all();
        if !request.wants_no_reply && wire::write(&mut stream, request.id, &reply).is_err() {
            break;
        }
    }
}

//! The server's side of global locks.

use std::sync::Arc;

use autoexec_console::{ConsoleClient, ConsoleError};
use serde_json::{Map, Value};

use super::LockId;

/// Who grants locks.
#[derive(Debug, Clone)]
pub enum LockServer {
    /// The console server.
    Console(Arc<ConsoleClient>),
    /// Nobody: everything is granted, with the id 0.
    DevMode,
}

/// A lock that was granted or queued.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) lock: LockId,
    pub(super) waits: bool,
    /// The server's lock object.
    pub(super) reply: Map<String, Value>,
}

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error(transparent)]
    Server(#[from] ConsoleError),
    #[error("{0}")]
    NoLock(String),
}

impl Refusal {
    /// Whether asking again may help.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Server(error) if error.is_transient())
    }
}

impl LockServer {
    /// `lock`, or `retry` of a queued lock.
    pub(super) async fn ask(
        &self,
        action: &str,
        params: &Map<String, Value>,
        queued: Option<&LockId>,
    ) -> Result<Grant, Refusal> {
        let Self::Console(client) = self else {
            return Err(Refusal::NoLock("there is no server in devmode".to_owned()));
        };
        let reply = client.global_lock(body(action, params.clone(), queued)).await?;
        let Some(lock) = LockId::from_member(reply.get("lockId")) else {
            let why = reply.get("message").and_then(Value::as_str).unwrap_or("the server gave no lock");
            return Err(Refusal::NoLock(why.to_owned()));
        };
        let waits = match reply.get("wait") {
            Some(Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(Value::String(text)) => !matches!(text.as_str(), "" | "0"),
            Some(Value::Bool(waits)) => *waits,
            _ => false,
        };
        Ok(Grant { lock, waits, reply })
    }

    /// `unlock` or `cancel`. The reply names the lock, as plugins take one without an id for a failure.
    pub(super) async fn give_back(
        &self,
        action: &str,
        params: Map<String, Value>,
        lock: &LockId,
    ) -> Result<Map<String, Value>, ConsoleError> {
        let Self::Console(client) = self else { return Ok(Map::new()) };
        let mut reply = client.global_lock(body(action, params, Some(lock))).await?;
        let named = reply.entry("lockId").or_insert(Value::Null);
        if named.is_null() {
            *named = lock.to_value();
        }
        Ok(reply)
    }
}

fn body(action: &str, mut params: Map<String, Value>, lock: Option<&LockId>) -> Map<String, Value> {
    params.insert("action".to_owned(), action.into());
    if let Some(lock) = lock {
        params.insert("lockId".to_owned(), lock.to_value());
    }
    params
}

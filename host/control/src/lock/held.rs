//! Locks of tools that run inside this process: held by a value instead of by the id of a plugin's process.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::request::{Holder, LockAction};
use super::{GlobalLocks, LockId, LockServer, NoLock};

/// The owner of locks whose name has no owner in it.
const NO_OWNER: &str = "autoexec";

/// What the server calls locks of this kind; it knows no other.
const OPERATION: &str = "deploy";

/// Shared or exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// Others may read.
    Read,
    /// Nobody else.
    Write,
}

impl LockMode {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// Takes locks for tools of this process.
#[derive(Debug, Clone)]
pub struct ToolLocks {
    locks: Arc<GlobalLocks>,
    /// What was begun here is brought to its end here, whichever thread asked.
    runtime: Handle,
    asked: Arc<AtomicU32>,
}

impl ToolLocks {
    pub(crate) fn new(locks: Arc<GlobalLocks>) -> Self {
        Self { locks, runtime: Handle::current(), asked: Arc::default() }
    }

    /// Waits for a lock, at most this long. `name` is `OWNER/TARGET`, the same two that plugins send, or a target alone.
    /// A future that is dropped takes the request back.
    ///
    /// # Errors
    /// Why there is no lock.
    pub async fn acquire(&self, name: &str, mode: LockMode, wait: Duration) -> Result<ToolLock, NoLock> {
        let params = self.params(name, mode);
        let given_up = CancellationToken::new();
        let _guard = given_up.clone().drop_guard();
        let (locks, runtime) = (Arc::clone(&self.locks), self.runtime.clone());
        let asking = self.runtime.spawn(async move {
            let lock = locks.obtain_for_tool(params, wait, &given_up).await?;
            // Nobody may be left to take it: then it is dropped, and given back by that.
            Ok(ToolLock { locks, lock, runtime })
        });
        asking.await.unwrap_or_else(|error| Err(NoLock::Refused(format!("the request was lost: {error}"))))
    }

    fn params(&self, name: &str, mode: LockMode) -> Map<String, Value> {
        let (owner, target) = name.rsplit_once('/').unwrap_or((NO_OWNER, name));
        let params = json!({"action": "lock", "pid": self.holder(), "operType": OPERATION, "lockOwner": owner,
            "lockOwnerName": owner, "lockTarget": target, "lockMode": mode.as_str(), "wait": 1});
        match params {
            Value::Object(params) => params,
            _ => Map::new(),
        }
    }

    /// A number that no process and no other request of this one has: the server and [`GlobalLocks`] give the same lock
    /// again to who has it already, and two calls of one process exclude each other like two processes.
    fn holder(&self) -> String {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) % 1_000_000;
        format!("{}{asked:06}", std::process::id())
    }
}

impl GlobalLocks {
    /// A lock's id; none in devmode, where everything is granted.
    async fn obtain_for_tool(
        &self,
        params: Map<String, Value>,
        wait: Duration,
        given_up: &CancellationToken,
    ) -> Result<Option<LockId>, NoLock> {
        if matches!(self.server, LockServer::DevMode) {
            return Ok(None);
        }
        let _underway = self.underway.token();
        if self.closing.is_cancelled() {
            return Err(NoLock::Ending);
        }
        let grant = self.obtain(Holder::of(&params), params, wait, given_up).await?;
        Ok(Some(grant.lock))
    }
}

/// A lock that is held. Dropping it gives it back; what the server does not take then is given back at the end of the run.
#[must_use = "the lock is given back when this is dropped"]
pub struct ToolLock {
    locks: Arc<GlobalLocks>,
    lock: Option<LockId>,
    runtime: Handle,
}

impl fmt::Debug for ToolLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ToolLock").field(&self.lock).finish()
    }
}

impl Drop for ToolLock {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        let locks = Arc::clone(&self.locks);
        // Begun here, so that the end of the run waits for it.
        let underway = locks.underway.token();
        self.runtime.spawn(async move {
            let _underway = underway;
            // The end of the run may have been faster.
            if locks.table.is_held(&lock)
                && let Err(error) = locks.give_back(LockAction::Unlock, Map::new(), &lock).await
            {
                tracing::warn!("global lock {lock}: {error}");
            }
        });
    }
}

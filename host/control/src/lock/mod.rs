//! Global locks (`spec/job-socket.md` §9.2): asked for by plugins, granted by the server, held by this process.
//!
//! A lock belongs to the process until the plugin gives it back; what is left at the end of the run is given back
//! then ([`GlobalLocks::release_all`]).

mod held;
mod request;
mod server;
mod table;

use std::time::Duration;

use autoexec_console::ConsoleError;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::held::{LockMode, ToolLock, ToolLocks};
use self::request::{Holder, LockAction};
pub use self::request::{LockId, LockIdentity, LockRequest};
use self::server::Grant;
pub use self::server::LockServer;
use self::table::Table;

/// Perl plugins read a reply of at most 1024 bytes; a longer one would not be JSON any more.
const LONGEST_MESSAGE: usize = 300;

/// Times of the lock protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockSettings {
    /// A waiter that was not notified asks again after this time,
    pub first_wait: Duration,
    /// then each time after this one,
    pub next_wait: Duration,
    /// and gives up after this one.
    pub longest_wait: Duration,
    /// Pause between attempts to give a lock back to a server that is away.
    pub unlock_pause: Duration,
    /// How often a plugin's unlock is tried.
    pub unlock_attempts: u32,
    /// How long giving everything back may take at the end of the run; as long again for what is still waited for.
    pub release_limit: Duration,
}

impl Default for LockSettings {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_mins(1),
            next_wait: Duration::from_secs(15),
            longest_wait: Duration::from_hours(1),
            unlock_pause: Duration::from_secs(5),
            unlock_attempts: 720,
            release_limit: Duration::from_secs(15),
        }
    }
}

/// What a plugin gets, and which lock it newly holds by it.
#[derive(Debug, Clone, PartialEq)]
pub struct LockAnswer {
    /// The reply.
    pub reply: Map<String, Value>,
    /// The lock that was granted just now: to be given back when the plugin cannot be told of it.
    pub granted: Option<LockId>,
}

impl LockAnswer {
    fn told(reply: Map<String, Value>) -> Self {
        Self { reply, granted: None }
    }

    fn held(lock: &LockId) -> Self {
        Self::told(Map::from_iter([("lockId".to_owned(), lock.to_value()), ("wait".to_owned(), json!(0))]))
    }

    fn failed(why: &str) -> Self {
        let message: String = why.chars().take(LONGEST_MESSAGE).collect();
        Self::told(Map::from_iter([
            ("lockId".to_owned(), Value::Null),
            ("message".to_owned(), message.into()),
        ]))
    }
}

/// Why there is no lock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoLock {
    /// Somebody else had it all the time.
    #[error("the lock did not become free within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// From here on no lock is given.
    #[error("the job is ending")]
    Ending,
    /// Whoever asked is gone.
    #[error("nobody waits for it any more")]
    GivenUp,
    /// The server did not give it.
    #[error("{0}")]
    Refused(String),
}

/// The locks of one process of a job.
#[derive(Debug)]
pub struct GlobalLocks {
    server: LockServer,
    identity: LockIdentity,
    settings: LockSettings,
    table: Table,
    closing: CancellationToken,
    underway: TaskTracker,
}

impl GlobalLocks {
    /// No lock is held and none is waited for.
    pub fn new(server: LockServer, identity: LockIdentity, settings: LockSettings) -> Self {
        let (closing, underway) = (CancellationToken::new(), TaskTracker::new());
        Self { server, identity, settings, table: Table::default(), closing, underway }
    }

    /// Does what a plugin asks. May take as long as [`LockSettings::longest_wait`].
    pub async fn handle(&self, request: LockRequest) -> LockAnswer {
        if matches!(self.server, LockServer::DevMode) {
            return LockAnswer::told(Map::from_iter([("lockId".to_owned(), json!(0))]));
        }
        let _underway = self.underway.token();
        if self.closing.is_cancelled() {
            return LockAnswer::failed("the job is ending");
        }
        match request.action {
            LockAction::Lock => self.lock(request.params).await,
            LockAction::Unlock | LockAction::Cancel => self.give_back_for(request).await,
        }
    }

    /// The server says that a lock may be free now. It hands the lock over only when it is asked again (defect 95).
    pub fn notify(&self, lock: &LockId) {
        self.table.notify(lock);
    }

    async fn lock(&self, params: Map<String, Value>) -> LockAnswer {
        let holder = Holder::of(&params);
        if let Some(lock) = self.table.held_by(&holder) {
            return LockAnswer::held(&lock);
        }
        match self.obtain(holder, params, self.settings.longest_wait, &CancellationToken::new()).await {
            Ok(grant) => LockAnswer { reply: grant.reply, granted: Some(grant.lock) },
            Err(why) => LockAnswer::failed(&why.to_string()),
        }
    }

    /// Asks for a lock and waits for it, at most for `patience` and until `given_up`.
    async fn obtain(
        &self,
        holder: Holder,
        params: Map<String, Value>,
        patience: Duration,
        given_up: &CancellationToken,
    ) -> Result<Grant, NoLock> {
        let params = self.identity.complete(params);
        match self.server.ask("lock", &params, None).await {
            Ok(grant) if grant.waits => self.wait(&params, holder, grant.lock, patience, given_up).await,
            Ok(grant) => self.take(holder, grant).await,
            Err(why) => Err(NoLock::Refused(why.to_string())),
        }
    }

    /// A lock that comes when the run is over goes straight back.
    async fn take(&self, holder: Holder, grant: Grant) -> Result<Grant, NoLock> {
        if self.closing.is_cancelled() {
            self.give_back_once("unlock", &grant.lock).await;
            return Err(NoLock::Ending);
        }
        self.table.take(holder, grant.lock.clone());
        Ok(grant)
    }

    async fn wait(
        &self,
        params: &Map<String, Value>,
        holder: Holder,
        lock: LockId,
        patience: Duration,
        given_up: &CancellationToken,
    ) -> Result<Grant, NoLock> {
        let waiter = self.table.wait_for(&lock);
        let deadline = Instant::now() + patience;
        let mut pause = self.settings.first_wait;
        let why = loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => break NoLock::Ending,
                () = given_up.cancelled() => break NoLock::GivenUp,
                () = waiter.notified() => {}
                () = sleep_until(deadline.min(Instant::now() + pause)) => {}
            }
            if Instant::now() >= deadline {
                break NoLock::TimedOut(patience);
            }
            pause = self.settings.next_wait;
            match self.server.ask("retry", params, Some(&lock)).await {
                Ok(grant) if grant.waits => {}
                Ok(grant) => return self.take(holder, grant).await,
                Err(why) if why.is_passing() => {}
                Err(why) => break NoLock::Refused(why.to_string()),
            }
        };
        drop(waiter);
        self.give_back_once("cancel", &lock).await;
        Err(why)
    }

    async fn give_back_for(&self, request: LockRequest) -> LockAnswer {
        let LockRequest { action, params } = request;
        let named = LockId::from_member(params.get("lockId"));
        let Some(lock) = named.or_else(|| self.table.held_by(&Holder::of(&params))) else {
            return LockAnswer::failed(
                "`lockParams.lockId` is missing, and no lock is held for these lockParams",
            );
        };
        match self.give_back(action, params, &lock).await {
            Ok(reply) => LockAnswer::told(reply),
            Err(why) => LockAnswer::failed(&why),
        }
    }

    /// Gives a lock back, and tries again while the server is away.
    async fn give_back(
        &self,
        action: LockAction,
        params: Map<String, Value>,
        lock: &LockId,
    ) -> Result<Map<String, Value>, String> {
        let params = self.identity.complete(params);
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.server.give_back(action.as_str(), params.clone(), lock).await {
                Ok(reply) => {
                    self.table.forget(lock);
                    return Ok(reply);
                }
                Err(why) if !passes(&why) || attempt >= self.settings.unlock_attempts => {
                    return Err(why.to_string());
                }
                Err(_) => {}
            }
            tokio::select! {
                // It is still in the table: the release at the end takes it over.
                () = self.closing.cancelled() => return Err("the job is ending".to_owned()),
                () = sleep(self.settings.unlock_pause) => {}
            }
        }
    }

    /// Gives back a lock that its plugin could not be told of.
    pub async fn forsake(&self, lock: &LockId) {
        let _underway = self.underway.token();
        if self.give_back_once("unlock", lock).await {
            self.table.forget(lock);
        }
    }

    /// One attempt within the limit of the end; a lock that stays is the server's to clean up.
    async fn give_back_once(&self, action: &str, lock: &LockId) -> bool {
        let deadline = Instant::now() + self.settings.release_limit;
        let params = self.identity.complete(Map::new());
        matches!(timeout_at(deadline, self.server.give_back(action, params, lock)).await, Ok(Ok(_)))
    }

    /// Cancels what is waited for, then gives back what is held, each within [`LockSettings::release_limit`]. From
    /// here on no lock is given. Returns a text for each lock that could not be given back.
    pub async fn release_all(&self) -> Vec<String> {
        self.closing.cancel();
        self.underway.close();
        // Who is late finds `closing` set and gives back what it gets.
        let _ = timeout_at(Instant::now() + self.settings.release_limit, self.underway.wait()).await;
        let deadline = Instant::now() + self.settings.release_limit;
        let releases = self.table.drain().into_iter().map(|lock| self.release(lock, deadline));
        futures_util::future::join_all(releases).await.into_iter().flatten().collect()
    }

    async fn release(&self, lock: LockId, deadline: Instant) -> Option<String> {
        let mut problem = "no answer in time".to_owned();
        let releasing = async {
            loop {
                let params = self.identity.complete(Map::new());
                match self.server.give_back("unlock", params, &lock).await {
                    Ok(_) => return true,
                    Err(why) => {
                        problem = why.to_string();
                        if !passes(&why) {
                            return false;
                        }
                    }
                }
                sleep(self.settings.unlock_pause.min(Duration::from_secs(1))).await;
            }
        };
        let released = timeout_at(deadline, releasing).await.unwrap_or(false);
        (!released).then(|| {
            format!("The global lock {lock} could not be given back, the server has to release it: {problem}")
        })
    }
}

/// Whether the same request may succeed later.
fn passes(why: &ConsoleError) -> bool {
    why.is_transient()
}

#[cfg(test)]
mod tests;

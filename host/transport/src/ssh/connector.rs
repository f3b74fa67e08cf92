//! Making connections, a bounded number at a time.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Semaphore;

use super::client::SshConnection;
use super::error::{SshError, SshErrorKind};
use super::isolation::Pool;
use super::rules;
use super::settings::{SshSettings, SshTarget};
use super::shaping::Shaper;
use crate::stop::{StopLevel, StopToken};

/// Makes connections with common settings.
#[derive(Debug, Clone)]
pub struct SshConnector {
    settings: Arc<SshSettings>,
    slots: Arc<Semaphore>,
    shaper: Arc<Shaper>,
    pool: Arc<Pool>,
}

impl SshConnector {
    /// A connector with these settings; clones share its connection limit, its processes with their jump hosts, and its
    /// login limits.
    pub fn new(settings: SshSettings) -> Self {
        let slots = Semaphore::new(settings.max_connections.clamp(1, Semaphore::MAX_PERMITS));
        let settings = Arc::new(settings);
        Self {
            slots: Arc::new(slots),
            shaper: Arc::default(),
            pool: Arc::new(Pool::new(Arc::clone(&settings))),
            settings,
        }
    }

    /// Connects, through jump hosts where the target or a rule says so, checks the host key and logs in. Waiting for a free slot
    /// or for the turn to log in does not count as connect time.
    pub async fn connect(&self, target: &SshTarget, stop: &StopToken) -> Result<SshConnection, SshError> {
        let connected = tokio::select! {
            biased;
            () = stop.reached(StopLevel::Terminate) => Err(SshErrorKind::Stopped),
            connected = self.try_connect(target) => connected,
        };
        connected.map_err(|kind| SshError::new(target, kind))
    }

    /// Ends the processes that held its connections, and waits for them. Connections that are still held go on, and keep theirs.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn try_connect(&self, target: &SshTarget) -> Result<SshConnection, SshErrorKind> {
        // A host whose old algorithms are not allowed any more is not even called.
        rules::legacy_of(&self.settings.rules, &target.host, SystemTime::now())?;
        // The semaphore is never closed; without a slot there would be no bound.
        let slot = Arc::clone(&self.slots).acquire_owned().await.map_err(|error| SshErrorKind::Local {
            what: "a connection slot".into(),
            detail: error.to_string(),
        })?;
        let jumps = rules::jumps_to(&self.settings.rules, target);
        self.shaper.login_turn(&self.settings.rules, target, jumps).await;
        let line = self.pool.connect(target, jumps, &self.shaper, slot).await?;
        Ok(SshConnection::new(target, line))
    }
}

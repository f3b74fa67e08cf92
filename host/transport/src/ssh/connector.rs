//! Making connections, a bounded number at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::SshConnection;
use super::error::{SshError, SshErrorKind, Step};
use super::settings::{SshSettings, SshTarget};
use crate::stop::{StopLevel, StopToken};

/// The thread gives up at the limit by itself; this is for one that is stuck, such as in a hung SSH agent.
const THREAD_GRACE: Duration = Duration::from_secs(2);

/// Makes connections with common settings.
#[derive(Debug, Clone)]
pub struct SshConnector {
    settings: Arc<SshSettings>,
    slots: Arc<Semaphore>,
}

impl SshConnector {
    /// A connector with these settings; clones share its connection limit.
    pub fn new(settings: SshSettings) -> Self {
        let slots = Semaphore::new(settings.max_connections.clamp(1, Semaphore::MAX_PERMITS));
        Self { settings: Arc::new(settings), slots: Arc::new(slots) }
    }

    /// Connects, checks the host key and logs in. Waiting for a free slot does not count as connect time.
    pub async fn connect(&self, target: &SshTarget, stop: &StopToken) -> Result<SshConnection, SshError> {
        let connected = tokio::select! {
            biased;
            () = stop.reached(StopLevel::Terminate) => Err(SshErrorKind::Stopped),
            connected = self.try_connect(target, stop) => connected,
        };
        connected.map_err(|kind| SshError::new(target, kind))
    }

    async fn try_connect(&self, target: &SshTarget, stop: &StopToken) -> Result<SshConnection, SshErrorKind> {
        // The semaphore is never closed; without a slot there would be no bound.
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|error| SshErrorKind::Local { what: "a connection slot", detail: error.to_string() })?;
        let limit = self.settings.connect_timeout;
        let deadline = Instant::now() + limit;
        let socket = timeout_at(deadline, reach(target, deadline))
            .await
            .unwrap_or(Err(SshErrorKind::Timeout { step: Step::Connect, limit }))?;
        let socket = socket.into_std().map_err(|error| SshErrorKind::Connect { tried: error.to_string() })?;
        let start = SshConnection::start(socket, target, Arc::clone(&self.settings), slot, stop);
        timeout_at(deadline + THREAD_GRACE, start)
            .await
            .unwrap_or(Err(SshErrorKind::Timeout { step: Step::Auth, limit }))
    }
}

async fn reach(target: &SshTarget, deadline: Instant) -> Result<TcpStream, SshErrorKind> {
    let found = tokio::net::lookup_host((target.host.as_str(), target.port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(|source| SshErrorKind::Resolve { source })?.collect();
    let mut tried = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        // An address that swallows packets must not use up the time of those after it.
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX).max(1);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => tried.push(format!("{address}: {error}")),
            Err(_) => tried.push(format!("{address}: no answer in {share:.1?}")),
        }
    }
    if tried.is_empty() {
        tried.push("the name has no address".to_owned());
    }
    Err(SshErrorKind::Connect { tried: tried.join("; ") })
}

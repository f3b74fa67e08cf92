//! Making connections, a bounded number at a time.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::connection::{SshConnection, start_gate};
use super::error::{SshError, SshErrorKind, Step};
use super::jump::{Gate, Gates};
use super::link::Socket;
use super::rules::{self, JumpHost};
use super::settings::{SshSettings, SshTarget};
use super::shaping::{Group, Shaper};
use crate::reach::{Unreached, reach};
use crate::stop::{StopLevel, StopToken};

/// The thread gives up at the limit by itself; this is for one that is stuck, such as in a hung SSH agent.
const THREAD_GRACE: Duration = Duration::from_secs(2);
/// Tries of a connection that is turned away, and the time after each.
const RETRIES: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(800), Duration::ZERO];

/// Makes connections with common settings.
#[derive(Debug, Clone)]
pub struct SshConnector {
    settings: Arc<SshSettings>,
    slots: Arc<Semaphore>,
    gates: Arc<Gates>,
    shaper: Arc<Shaper>,
}

impl SshConnector {
    /// A connector with these settings; clones share its connection limit, its jump hosts and its login limits.
    pub fn new(settings: SshSettings) -> Self {
        let slots = Semaphore::new(settings.max_connections.clamp(1, Semaphore::MAX_PERMITS));
        Self {
            settings: Arc::new(settings),
            slots: Arc::new(slots),
            gates: Arc::default(),
            shaper: Arc::default(),
        }
    }

    /// Connects, through jump hosts where a rule says so, checks the host key and logs in. Waiting for a free slot or for
    /// the turn to log in does not count as connect time.
    pub async fn connect(&self, target: &SshTarget, stop: &StopToken) -> Result<SshConnection, SshError> {
        let connected = tokio::select! {
            biased;
            () = stop.reached(StopLevel::Terminate) => Err(SshErrorKind::Stopped),
            connected = self.try_connect(target, stop) => connected,
        };
        connected.map_err(|kind| SshError::new(target, kind))
    }

    pub(super) fn settings(&self) -> Arc<SshSettings> {
        Arc::clone(&self.settings)
    }

    async fn try_connect(&self, target: &SshTarget, stop: &StopToken) -> Result<SshConnection, SshErrorKind> {
        // A host whose old algorithms are not allowed any more is not even called.
        rules::legacy_of(&self.settings.rules, &target.host, SystemTime::now())?;
        // The semaphore is never closed; without a slot there would be no bound.
        let slot = Arc::clone(&self.slots)
            .acquire_owned()
            .await
            .map_err(|error| SshErrorKind::Local { what: "a connection slot", detail: error.to_string() })?;
        self.login_turn(target, rules::jumps_to(&self.settings.rules, &target.host)).await;
        let limit = self.settings.connect_timeout;
        let deadline = Instant::now() + limit;
        let slot = Arc::new(slot);
        let mut first = None;
        for pause in RETRIES {
            let error = match self.attempt(target, &slot, deadline, stop).await {
                Ok(connection) => return Ok(connection),
                Err(error) => error,
            };
            // A busy server turns some away before it knows who they are (MaxStartups). Nothing else is tried again.
            let turned_away = matches!(error, SshErrorKind::Handshake { .. });
            let first = &*first.get_or_insert(error);
            if !turned_away || !matches!(first, SshErrorKind::Handshake { .. }) {
                break;
            }
            tracing::debug!(%target, error = %first, "trying to connect again");
            tokio::time::sleep(pause).await;
        }
        Err(first.unwrap_or(SshErrorKind::Timeout { step: Step::Connect, limit }))
    }

    async fn attempt(
        &self,
        target: &SshTarget,
        slot: &Arc<OwnedSemaphorePermit>,
        deadline: Instant,
        stop: &StopToken,
    ) -> Result<SshConnection, SshErrorKind> {
        let limit = self.settings.connect_timeout;
        let socket = self.reach(target, deadline.into_std()).await?;
        let start = SshConnection::start(socket, target, self.clone(), Arc::clone(slot), stop);
        timeout_at(deadline + THREAD_GRACE, start)
            .await
            .unwrap_or(Err(SshErrorKind::Timeout { step: Step::Auth, limit }))
    }

    /// Waits until the limits of the host's group and of its last jump host allow one more login.
    async fn login_turn(&self, target: &SshTarget, jumps: &[Arc<JumpHost>]) {
        if let Some((rule, limit)) = rules::login_limit(&self.settings.rules, &target.host) {
            self.shaper.turn(Group::Rule(rule), limit).await;
        }
        if let Some(jump) = jumps.last()
            && let Some(limit) = jump.logins_per_second
        {
            self.shaper.turn(Group::Jump(jump.target.to_string()), limit).await;
        }
    }

    /// A way to the target's SSH server.
    pub(super) async fn reach(
        &self,
        target: &SshTarget,
        deadline: std::time::Instant,
    ) -> Result<Socket, SshErrorKind> {
        let own = self.settings.steps.reach.map(|limit| Instant::now() + limit);
        let deadline = Instant::from_std(deadline);
        let until = own.map_or(deadline, |own| own.min(deadline));
        let limit = until.saturating_duration_since(Instant::now());
        let jumps = rules::jumps_to(&self.settings.rules, &target.host);
        timeout_at(until, self.through(jumps, target, until))
            .await
            .unwrap_or(Err(SshErrorKind::Timeout { step: Step::Connect, limit }))
    }

    /// Through the jump hosts, the first one first.
    fn through<'a>(
        &'a self,
        jumps: &'a [Arc<JumpHost>],
        target: &'a SshTarget,
        until: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Socket, SshErrorKind>> + Send + 'a>> {
        Box::pin(async move {
            let Some((last, before)) = jumps.split_last() else {
                let socket = tcp(target, until).await?.into_std();
                return socket
                    .map(Socket::Tcp)
                    .map_err(|error| SshErrorKind::Connect { tried: error.to_string() });
            };
            let gate = self.gate(last, before, until).await.map_err(|kind| match kind {
                nested @ SshErrorKind::Jump { .. } => nested,
                kind => SshErrorKind::Jump { jump: last.target.to_string(), problem: Box::new(kind) },
            })?;
            gate.way(&target.host, target.port, until.into_std()).await.map(Socket::Jump)
        })
    }

    /// A connection to a jump host with room for one more target.
    async fn gate(
        &self,
        jump: &JumpHost,
        before: &[Arc<JumpHost>],
        until: Instant,
    ) -> Result<Gate, SshErrorKind> {
        let way = before.iter().map(|jump| &**jump).chain([jump]);
        let name = way.map(|jump| jump.target.to_string()).collect::<Vec<_>>().join(" ");
        if let Some(gate) = self.gates.entered(&name) {
            return Ok(gate);
        }
        let _turn = self.gates.turn(&name).await;
        if let Some(gate) = self.gates.entered(&name) {
            return Ok(gate);
        }
        self.login_turn(&jump.target, before).await;
        let socket = self.through(before, &jump.target, until).await?;
        let gate = start_gate(socket, &jump.target, self.settings()).await?;
        self.gates.add(&name, &gate);
        Ok(gate)
    }
}

async fn tcp(target: &SshTarget, deadline: Instant) -> Result<TcpStream, SshErrorKind> {
    reach(&target.host, target.port, deadline).await.map_err(|unreached| match unreached {
        Unreached::Name(source) => SshErrorKind::Resolve { source },
        Unreached::Addresses(tried) => SshErrorKind::Connect { tried },
    })
}

//! Reaching a target and logging in, in the process that holds the connection.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::connection::{Thread, start_gate};
use super::error::{SshErrorKind, Step};
use super::hop::Hop;
use super::isolation::{Alive, Asking};
use super::jump::{Gate, Gates};
use super::link::Socket;
use super::rules::{self, JumpHost};
use super::settings::{SshSettings, SshTarget};
use super::shaping::Shaper;
use crate::reach::connect;

/// The thread gives up at the limit by itself; this is for one that is stuck, such as in a hung SSH agent.
pub(super) const THREAD_GRACE: Duration = Duration::from_secs(2);
/// Tries of a connection that is turned away, and the time after each.
const RETRIES: [Duration; 3] = [Duration::from_millis(200), Duration::from_millis(800), Duration::ZERO];

/// Makes the connections of one process, which share its jump hosts.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    settings: Arc<SshSettings>,
    gates: Arc<Gates>,
    /// For logins to jump hosts; those to targets have had their turn before.
    shaper: Arc<Shaper>,
}

impl Dialer {
    pub(super) fn new(settings: SshSettings) -> Self {
        Self { settings: Arc::new(settings), gates: Arc::default(), shaper: Arc::default() }
    }

    pub(super) fn settings(&self) -> Arc<SshSettings> {
        Arc::clone(&self.settings)
    }

    /// A target, as it is asked for.
    pub(super) fn hop(&self, target: SshTarget, asking: Arc<Asking>) -> Hop {
        let before = rules::jumps_to(&self.settings.rules, &target).len();
        Hop::new(target, before, asking)
    }

    /// Connects, through jump hosts where the target or a rule says so, checks the host key and logs in.
    pub(super) async fn connect(&self, target: &Hop, alive: &Alive) -> Result<Thread, SshErrorKind> {
        let limit = self.settings.connect_timeout;
        let deadline = Instant::now() + limit;
        let mut first = None;
        for pause in RETRIES {
            let error = match self.attempt(target, deadline, alive).await {
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

    async fn attempt(&self, target: &Hop, deadline: Instant, alive: &Alive) -> Result<Thread, SshErrorKind> {
        let limit = self.settings.connect_timeout;
        let socket = self.reach(target, deadline.into_std()).await?;
        let start = Thread::start(socket, target, self.clone(), alive.clone());
        timeout_at(deadline + THREAD_GRACE, start)
            .await
            .unwrap_or(Err(SshErrorKind::Timeout { step: Step::Auth, limit }))
    }

    /// A way to the target's SSH server.
    pub(super) async fn reach(
        &self,
        target: &Hop,
        deadline: std::time::Instant,
    ) -> Result<Socket, SshErrorKind> {
        let own = self.settings.steps.reach.map(|limit| Instant::now() + limit);
        let deadline = Instant::from_std(deadline);
        let until = own.map_or(deadline, |own| own.min(deadline));
        let limit = until.saturating_duration_since(Instant::now());
        let jumps = rules::jumps_to(&self.settings.rules, target.target());
        timeout_at(until, self.through(jumps, target, until))
            .await
            .unwrap_or(Err(SshErrorKind::Timeout { step: Step::Connect, limit }))
    }

    /// Through the jump hosts, the first one first.
    fn through<'a>(
        &'a self,
        jumps: &'a [Arc<JumpHost>],
        target: &'a Hop,
        until: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Socket, SshErrorKind>> + Send + 'a>> {
        Box::pin(async move {
            let Some((last, before)) = jumps.split_last() else {
                let socket = tcp(target, until).await?.into_std();
                return socket
                    .map(Socket::Tcp)
                    .map_err(|error| SshErrorKind::Connect { tried: error.to_string() });
            };
            let gate = self.gate(last, before, target, until).await.map_err(|kind| match kind {
                nested @ SshErrorKind::Jump { .. } => nested,
                kind => SshErrorKind::Jump { jump: last.target.to_string(), problem: Box::new(kind) },
            })?;
            let SshTarget { host, port, .. } = target.target();
            gate.way(host, *port, until.into_std()).await.map(Socket::Jump)
        })
    }

    /// A connection to a jump host with room for one more target.
    async fn gate(
        &self,
        jump: &JumpHost,
        before: &[Arc<JumpHost>],
        target: &Hop,
        until: Instant,
    ) -> Result<Gate, SshErrorKind> {
        let name = rules::way(before.iter().map(|jump| &**jump).chain([jump]));
        if let Some(gate) = self.gates.entered(&name) {
            return Ok(gate);
        }
        let _turn = self.gates.turn(&name).await;
        if let Some(gate) = self.gates.entered(&name) {
            return Ok(gate);
        }
        self.shaper.login_turn(&self.settings.rules, &jump.target, before).await;
        let hop = target.other(&jump.target, before.len());
        let socket = self.through(before, &hop, until).await?;
        let gate = start_gate(socket, &hop, self.settings()).await?;
        self.gates.add(&name, &gate);
        Ok(gate)
    }
}

async fn tcp(first: &Hop, deadline: Instant) -> Result<TcpStream, SshErrorKind> {
    let addresses = first.addresses().await?;
    connect(&addresses, deadline).await.map_err(|tried| SshErrorKind::Connect { tried })
}

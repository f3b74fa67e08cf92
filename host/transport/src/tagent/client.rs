//! Agents as their users see them: each request is a connection of its own (spec §1).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answer::{CommandEnd, failure};
use super::cipher::Cipher;
use super::error::{Step, TagentError, TagentErrorKind};
use super::frame::Frame;
use super::handshake::AgentInfo;
use super::request::Request;
use super::settings::{TagentSettings, TagentTarget};
use super::wire::Wire;
use crate::stop::{StopLevel, StopToken};

/// An agent loads the account's login environment before a verb, for at most this long (spec §4).
const LOGIN_ENVIRONMENT: Duration = Duration::from_secs(30);

/// Works with agents under common settings; clones share the limit on connections.
#[derive(Debug, Clone)]
pub struct TagentConnector {
    settings: Arc<TagentSettings>,
    slots: Arc<Semaphore>,
}

impl TagentConnector {
    /// A connector with these settings.
    pub fn new(settings: TagentSettings) -> Self {
        let slots = Semaphore::new(settings.max_connections.clamp(1, Semaphore::MAX_PERMITS));
        Self { settings: Arc::new(settings), slots: Arc::new(slots) }
    }

    /// The agent of a node. Nothing is sent yet.
    pub fn agent(&self, target: TagentTarget) -> Result<Agent, TagentError> {
        match Cipher::new(&target.credential) {
            Some(cipher) => Ok(Agent { connector: self.clone(), target, cipher: Arc::new(cipher) }),
            None => Err(TagentError::new(&target, TagentErrorKind::NoCredential)),
        }
    }
}

/// One account on one agent. It holds no socket: the protocol has one connection for each request.
#[derive(Clone)]
pub struct Agent {
    connector: TagentConnector,
    target: TagentTarget,
    cipher: Arc<Cipher>,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Whether a request may wait for its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Like everybody.
    Wait,
    /// What stops a command must not wait for those who run one.
    AtOnce,
}

impl Agent {
    /// Asks the agent to say a text, which shows that login and answers work. What it says of itself.
    pub async fn echo(&self, text: &str, stop: &StopToken) -> Result<AgentInfo, TagentError> {
        let request = Request::Echo { text };
        let work = async {
            let (mut wire, info) = self.open(Turn::Wait).await?;
            self.ask(&mut wire, &info, &request).await?;
            match wire.receive(Step::Answer, Some(self.answer_limit())).await? {
                Frame::Data(said) if said == info.charset.encode(text).0 => Ok(info),
                Frame::Data(said) => {
                    let said = failure(&said, info.charset);
                    Err(TagentErrorKind::Unexpected { wanted: "the text sent", said })
                }
                Frame::Final(said) => Err(refused("an echo".to_owned(), &said, &info)),
            }
        };
        self.guarded(stop, work).await
    }

    pub(super) fn settings(&self) -> &TagentSettings {
        &self.connector.settings
    }

    /// How long the answer to a request may take.
    pub(super) fn answer_limit(&self) -> Duration {
        self.settings().write_timeout + LOGIN_ENVIRONMENT
    }

    pub(super) fn error(&self, kind: TagentErrorKind) -> TagentError {
        TagentError::new(&self.target, kind)
    }

    /// Runs `work` until it ends or is told to stop. Dropping it closes its connection.
    pub(super) async fn guarded<T>(
        &self,
        stop: &StopToken,
        work: impl Future<Output = Result<T, TagentErrorKind>>,
    ) -> Result<T, TagentError> {
        let done = tokio::select! {
            biased;
            () = stop.reached(StopLevel::Terminate) => Err(TagentErrorKind::Stopped),
            done = work => done,
        };
        done.map_err(|kind| self.error(kind))
    }

    /// A new connection, logged in. Waiting for a turn does not count as connect time.
    pub(super) async fn open(&self, turn: Turn) -> Result<(Wire, AgentInfo), TagentErrorKind> {
        let slot = match turn {
            Turn::AtOnce => None,
            Turn::Wait => {
                let slot = Arc::clone(&self.connector.slots).acquire_owned().await;
                Some(slot.map_err(|error| TagentErrorKind::Local {
                    what: "a connection slot",
                    detail: error.to_string(),
                })?)
            }
        };
        Wire::open(&self.target, &self.cipher, self.settings().connect_timeout, slot).await
    }

    /// Sends a request. The connection stays open in both directions: an agent takes an end of our side for the end of
    /// the client (spec §1).
    pub(super) async fn ask(
        &self,
        wire: &mut Wire,
        info: &AgentInfo,
        request: &Request<'_>,
    ) -> Result<(), TagentErrorKind> {
        let payload = request.encode(&self.target.user, info.charset)?;
        wire.send(&payload, Step::Request, self.settings().write_timeout).await
    }

    /// Runs a short command of ours: its status and output.
    pub(super) async fn quick(
        &self,
        command: &str,
        limit: Duration,
        turn: Turn,
    ) -> Result<(i32, Vec<u8>), TagentErrorKind> {
        let (_, status, output) = self.quick_with(|_| command.to_owned(), limit, turn).await?;
        Ok((status, output))
    }

    /// The same for a command that depends on what the agent is.
    pub(super) async fn quick_with(
        &self,
        command: impl FnOnce(&AgentInfo) -> String,
        limit: Duration,
        turn: Turn,
    ) -> Result<(AgentInfo, i32, Vec<u8>), TagentErrorKind> {
        const MOST: usize = 256 * 1024;
        let (mut wire, info) = self.open(turn).await?;
        let limit_secs = limit.as_secs().max(1);
        let command = &command(&info);
        self.ask(&mut wire, &info, &Request::Run { command, env: &[], limit_secs }).await?;
        let mut output = Vec::new();
        // For all of it: what comes meanwhile does not make the time longer.
        let limit = limit.max(self.answer_limit());
        let until = Instant::now() + limit;
        loop {
            match wire.receive_before(Step::Answer, Some((until, limit))).await? {
                Frame::Data(bytes) if output.len() + bytes.len() <= MOST => output.extend_from_slice(&bytes),
                Frame::Data(_) => {
                    let detail = format!("more than {MOST} bytes of answer");
                    return Err(TagentErrorKind::Protocol { step: Step::Answer, detail });
                }
                Frame::Final(text) => {
                    return match CommandEnd::parse(&text, info.charset) {
                        CommandEnd::Status(status) => Ok((info, status, output)),
                        CommandEnd::Refused(said) => {
                            Err(TagentErrorKind::Failed { action: "running a command".to_owned(), said })
                        }
                    };
                }
            }
        }
    }
}

/// The error of a request that the agent answered with a failure.
pub(super) fn refused(action: String, text: &[u8], info: &AgentInfo) -> TagentErrorKind {
    let said = failure(text, info.charset);
    TagentErrorKind::Failed { action, said: if said.is_empty() { "nothing".to_owned() } else { said } }
}

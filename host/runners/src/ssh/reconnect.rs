//! Making a broken connection anew, for what can go on over another one.

use std::time::{Duration, Instant};

use autoexec_engine::ports::OperationSink;
use autoexec_events::Level;
use autoexec_transport::ssh::{SshError, SshErrorKind};
use autoexec_transport::{StopLevel, StopToken};

use super::{Session, SshSessions};

/// Pauses between tries to connect: the first one, and the longest.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// A connection that held this long was one; the time for a new one begins anew.
const HELD: Duration = Duration::from_secs(10);

/// Tries within the time that the site allows.
pub(super) struct Reconnect<'a> {
    sessions: &'a SshSessions,
    sink: &'a dyn OperationSink,
    stop: &'a StopToken,
    pause: Duration,
    until: Option<Instant>,
    connected: Instant,
}

/// Why there is no new connection.
pub(super) enum NoConnection {
    /// We are told to stop.
    Stopped,
    /// The time is over, or nothing will help.
    Failed(String),
}

impl<'a> Reconnect<'a> {
    pub(super) fn new(sessions: &'a SshSessions, sink: &'a dyn OperationSink, stop: &'a StopToken) -> Self {
        Self { sessions, sink, stop, pause: FIRST_PAUSE, until: None, connected: Instant::now() }
    }

    /// Gives the session a new connection in place of one that broke by `error`.
    pub(super) async fn connect(
        &mut self,
        session: &mut Session,
        error: &SshError,
    ) -> Result<(), NoConnection> {
        if self.connected.elapsed() >= HELD {
            (self.pause, self.until) = (FIRST_PAUSE, None);
        }
        let limit = self.sessions.shared.settings.conduct.reconnect;
        let until = *self.until.get_or_insert_with(|| Instant::now() + limit);
        let mut last = error.to_string();
        let mut refused = false;
        while Instant::now() < until {
            let pause = self.pause.min(until.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = self.stop.reached(StopLevel::Terminate) => return Err(NoConnection::Stopped),
                () = tokio::time::sleep(pause) => {}
            }
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            match self.sessions.log_in(self.stop).await {
                Ok(connection) => {
                    session.connection = connection;
                    self.connected = Instant::now();
                    self.sink.info(Level::Info, "Connected again.");
                    return Ok(());
                }
                Err(_) if self.stop.level() >= StopLevel::Terminate => return Err(NoConnection::Stopped),
                Err(LoginError::Final(problem)) => return Err(NoConnection::Failed(problem)),
                Err(LoginError::Refused(problem)) if refused => {
                    let problem = format!("{problem}. It is not tried again: accounts are locked for that");
                    return Err(NoConnection::Failed(problem));
                }
                Err(LoginError::Refused(problem)) => {
                    self.sink.info(Level::Warn, &format!("{problem}. Trying once more."));
                    refused = true;
                    last = problem;
                }
                Err(LoginError::Passing(problem)) => {
                    self.sink.info(Level::Warn, &format!("{problem}. Trying again."));
                    last = problem;
                }
            }
        }
        Err(NoConnection::Failed(last))
    }
}

/// Why a login failed.
pub(super) enum LoginError {
    /// Trying again may help.
    Passing(String),
    /// The login was refused. A host that has just started may do so until its directory service is there.
    Refused(String),
    /// Nothing will help: the host is not the one it was, or the node's login cannot be read.
    Final(String),
}

impl LoginError {
    pub(super) fn into_text(self) -> String {
        match self {
            Self::Passing(text) | Self::Refused(text) | Self::Final(text) => text,
        }
    }
}

impl From<SshError> for LoginError {
    fn from(error: SshError) -> Self {
        let text = error.to_string();
        match error.kind() {
            SshErrorKind::HostKeyChanged(_)
            | SshErrorKind::HostKeyUnknown { .. }
            | SshErrorKind::HostKeyRevoked { .. }
            | SshErrorKind::HostCertificate { .. }
            | SshErrorKind::LegacyExpired { .. } => Self::Final(text),
            SshErrorKind::Auth { .. } => Self::Refused(text),
            _ => Self::Passing(text),
        }
    }
}

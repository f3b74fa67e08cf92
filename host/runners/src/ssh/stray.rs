//! A command on a target whose connection is gone: ending it over another one, and what is said where that does not work.

use std::time::Duration;

use autoexec_engine::ports::OperationSink;
use autoexec_events::Level;
use autoexec_transport::ssh::{Account, RemoteEnd, RemotePid, SshError, TaskEnd};
use autoexec_transport::{StopLevel, StopOutcome, StopToken};
use tokio::time::Instant;

use super::reconnect::{FIRST_PAUSE, LoginError};
use super::{Session, SshSessions};

/// How long a host that is away is tried for a stop, if it is not told a second time.
const STOP_TRIES: Duration = Duration::from_secs(30);

/// Such a command.
pub(super) struct Stray<'a> {
    pub(super) sessions: &'a SshSessions,
    pub(super) account: Option<Account>,
    /// Its process group; none as long as that was not told.
    pub(super) group: Option<i32>,
    pub(super) sink: &'a dyn OperationSink,
    pub(super) stop: &'a StopToken,
}

impl Stray<'_> {
    /// What becomes of a command that depended on its connection, which ended in `error`.
    pub(super) async fn lost(&self, session: &mut Session, error: &SshError) -> Result<TaskEnd, String> {
        session.occupied = true;
        if self.stop.level() >= StopLevel::Terminate {
            self.sink.info(Level::Warn, &format!("{error}. Connecting again to stop the operation."));
            return Ok(self.end(session).await);
        }
        Err(self.left_behind(session, &error.to_string()))
    }

    /// Ends the command over a connection made for that.
    pub(super) async fn end(&self, session: &mut Session) -> TaskEnd {
        let dead = match self.group {
            Some(group) => self.end_group(session, RemotePid { group }).await,
            None => Err("its process group was not told".to_owned()),
        };
        let proved_dead = dead.unwrap_or_else(|problem| {
            let problem = format!("The operation could not be stopped: {problem}");
            self.sink.info(Level::Warn, &self.left_behind(session, &problem));
            false
        });
        session.occupied = !proved_dead;
        let end = RemoteEnd { exit: None, stopped: Some(StopOutcome { proved_dead }) };
        TaskEnd { end, file: None, removed: false, remark: None }
    }

    async fn end_group(&self, session: &mut Session, group: RemotePid) -> Result<bool, String> {
        // The signal to stop must not stop the login as well.
        let never = StopToken::never();
        let until = Instant::now() + STOP_TRIES;
        let mut pause = FIRST_PAUSE;
        loop {
            let problem = match self.sessions.log_in(&never).await {
                Ok(connection) => {
                    session.connection = connection;
                    break;
                }
                Err(LoginError::Passing(problem)) => problem,
                Err(other) => return Err(other.into_text()),
            };
            if Instant::now() + pause >= until || self.stop.level() >= StopLevel::Kill {
                return Err(problem);
            }
            tokio::select! {
                () = self.stop.reached(StopLevel::Kill) => {}
                () = tokio::time::sleep(pause) => {}
            }
            pause *= 2;
        }
        let outcome = session.connection.stop_group(group, self.account.clone(), &never).await;
        outcome.map(|outcome| outcome.proved_dead).map_err(|error| error.to_string())
    }

    /// What whoever looks for it has to know.
    pub(super) fn left_behind(&self, session: &Session, problem: &str) -> String {
        let group = self.group.map(|group| format!(" as process group {group}")).unwrap_or_default();
        format!(
            "{problem}. The operation may still be running on the target{group}; its directory {} was left there.",
            session.root
        )
    }
}

//! Operations that go on without their connection: it is made anew, and they are taken up where it broke.

use std::sync::Arc;

use autoexec_engine::ports::OperationSink;
use autoexec_events::Level;
use autoexec_transport::ssh::{
    DetachedRun, RemoteEnd, RemotePid, RemoteTask, SshError, SshErrorKind, TaskEnd,
};
use autoexec_transport::{OutputSink, StopLevel, StopOutcome, StopToken};

use super::reconnect::{LoginError, NoConnection, Reconnect};
use super::{Session, SshSessions};

/// What a detached operation is followed with.
pub(super) struct Follower<'a> {
    pub(super) sessions: &'a SshSessions,
    pub(super) task: RemoteTask,
    pub(super) run: DetachedRun,
    pub(super) output: Arc<dyn OutputSink>,
    pub(super) sink: &'a dyn OperationSink,
    pub(super) stop: &'a StopToken,
}

impl Follower<'_> {
    /// Follows the operation after its first connection ended in `error`.
    pub(super) async fn follow(&self, session: &mut Session, error: SshError) -> Result<TaskEnd, String> {
        let mut error = error;
        let mut reconnect = Reconnect::new(self.sessions, self.sink, self.stop);
        session.occupied = true;
        loop {
            if !is_lost(&error) {
                return Err(self.last_word(session, &error));
            }
            let text = format!("{error}. The operation goes on on the target; connecting again.");
            self.sink.info(Level::Warn, &text);
            match reconnect.connect(session, &error).await {
                Ok(()) => {}
                Err(NoConnection::Stopped) => return Ok(self.end(session).await),
                Err(NoConnection::Failed(problem)) => return Err(self.left_behind(session, &problem)),
            }
            let taken_up = session.connection.attach(self.task.clone(), Arc::clone(&self.output), self.stop);
            match taken_up.await {
                Ok(end) => {
                    session.occupied = end.end.stopped.is_some_and(|stopped| !stopped.proved_dead);
                    return Ok(end);
                }
                Err(_) if self.stop.level() >= StopLevel::Terminate => return Ok(self.end(session).await),
                Err(again) => error = again,
            }
        }
    }

    /// Ends the operation over a connection made for that.
    async fn end(&self, session: &mut Session) -> TaskEnd {
        let dead = match self.run.group() {
            Some(group) => self.end_group(session, RemotePid { group }).await,
            None => Err("its process group was not told".to_owned()),
        };
        let proved_dead = dead.unwrap_or_else(|problem| {
            self.sink.info(Level::Warn, &format!("The operation could not be stopped: {problem}."));
            false
        });
        session.occupied = !proved_dead;
        let end = RemoteEnd { exit: None, stopped: Some(StopOutcome { proved_dead }) };
        TaskEnd { end, file: None, removed: false, remark: None }
    }

    async fn end_group(&self, session: &mut Session, group: RemotePid) -> Result<bool, String> {
        // The signal to stop must not stop the login as well.
        let never = StopToken::never();
        let connection = self.sessions.log_in(&never).await.map_err(LoginError::into_text)?;
        session.connection = connection;
        let account = self.task.command.account.clone();
        let outcome = session.connection.stop_group(group, account, &never).await;
        outcome.map(|outcome| outcome.proved_dead).map_err(|error| error.to_string())
    }

    fn last_word(&self, session: &mut Session, error: &SshError) -> String {
        if matches!(
            error.kind(),
            SshErrorKind::CommandGone
                | SshErrorKind::OutputCut { .. }
                | SshErrorKind::Silent { proved_dead: true, .. }
        ) {
            session.occupied = false;
            return error.to_string();
        }
        self.left_behind(session, &error.to_string())
    }

    fn left_behind(&self, session: &Session, problem: &str) -> String {
        let group = self.run.group().map(|group| format!(" as process group {group}")).unwrap_or_default();
        format!(
            "{problem}. The operation may still be running on the target{group}; its directory {} was left there.",
            session.root
        )
    }
}

/// Whether an error says nothing about the command itself.
pub(super) fn is_lost(error: &SshError) -> bool {
    matches!(
        error.kind(),
        SshErrorKind::ConnectionLost { .. }
            | SshErrorKind::WorkerEnded { .. }
            | SshErrorKind::Timeout { .. }
            | SshErrorKind::NoExit
            | SshErrorKind::Channel { .. }
            | SshErrorKind::SessionRefused { .. }
            | SshErrorKind::NotStarted { .. }
    )
}

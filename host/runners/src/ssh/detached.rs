//! Operations that go on without their connection: it is made anew, and they are taken up where it broke.

use std::sync::Arc;

use autoexec_engine::ports::OperationSink;
use autoexec_events::Level;
use autoexec_transport::ssh::{DetachedRun, RemoteTask, SshError, SshErrorKind, TaskEnd};
use autoexec_transport::{OutputSink, StopLevel, StopToken};

use super::reconnect::{NoConnection, Reconnect};
use super::stray::Stray;
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
                Err(NoConnection::Stopped) => return Ok(self.stray().end(session).await),
                Err(NoConnection::Failed(problem)) => {
                    return Err(self.stray().left_behind(session, &problem));
                }
            }
            let taken_up = session.connection.attach(self.task.clone(), Arc::clone(&self.output), self.stop);
            match taken_up.await {
                Ok(end) => {
                    session.occupied = end.end.stopped.is_some_and(|stopped| !stopped.proved_dead);
                    return Ok(end);
                }
                Err(_) if self.stop.level() >= StopLevel::Terminate => {
                    return Ok(self.stray().end(session).await);
                }
                Err(again) => error = again,
            }
        }
    }

    fn stray(&self) -> Stray<'_> {
        let account = self.task.command.account.clone();
        Stray { sessions: self.sessions, account, group: self.run.group(), sink: self.sink, stop: self.stop }
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
        self.stray().left_behind(session, &error.to_string())
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

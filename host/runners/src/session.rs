//! The session of a unit on its target, whatever carries it: made by the first operation, kept by those after it, let
//! go when one could not be carried through.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autoexec_engine::ports::{OperationCall, OperationEnd, OperationExit, OperationSink, StopSignal};
use autoexec_events::Level;
use autoexec_transport::StopToken;

use crate::bridge::StopBridge;

/// How long the removal of a directory is waited for when its session has just failed.
const DISCARD_LIMIT: Duration = Duration::from_secs(10);

/// What a protocol has to offer. An error is one of the session: the next operation gets a new one.
#[async_trait]
pub(crate) trait Sessions: Send + Sync {
    /// A login and a directory.
    type Session: Send + Sync;

    /// Logs in.
    async fn open(&self, stop: &StopToken) -> Result<Self::Session, String>;

    /// Runs one operation.
    async fn run(
        &self,
        session: &mut Self::Session,
        call: &OperationCall<'_>,
        sink: &Arc<dyn OperationSink>,
        stop: &StopToken,
    ) -> Result<OperationEnd, String>;

    /// The directory that is to be removed in the end; none while there is none.
    fn directory<'a>(&self, session: &'a Self::Session) -> Option<&'a str>;

    /// Removes it.
    async fn remove(&self, session: &mut Self::Session) -> Result<(), String>;

    /// The same at the end of a unit in which nothing failed: what a later phase needs again may stay.
    async fn release(&self, session: &mut Self::Session) -> Result<(), String> {
        self.remove(session).await
    }
}

/// The session of a unit.
pub(crate) struct UnitSession<P: Sessions> {
    protocol: P,
    /// Directories stay after a failure.
    keeps_failed: bool,
    session: Option<P::Session>,
    failed: bool,
}

impl<P: Sessions> UnitSession<P> {
    pub(crate) fn new(protocol: P, keeps_failed: bool) -> Self {
        Self { protocol, keeps_failed, session: None, failed: false }
    }

    pub(crate) async fn run(
        &mut self,
        call: &OperationCall<'_>,
        sink: Arc<dyn OperationSink>,
        stop: StopSignal,
    ) -> Result<OperationEnd, String> {
        let bridge = StopBridge::new(stop);
        let stop = bridge.token();
        let mut session = match self.session.take() {
            Some(session) => session,
            None => self.protocol.open(&stop).await?,
        };
        let end = self.protocol.run(&mut session, call, &sink, &stop).await;
        self.failed |= !matches!(&end, Ok(OperationEnd { exit: OperationExit::Code(0), .. }));
        match &end {
            Ok(_) => self.session = Some(session),
            Err(_) => self.discard(session, &*sink).await,
        }
        end
    }

    /// Lets go of a session that may be in any state. The directory is removed where that still works at once.
    async fn discard(&self, mut session: P::Session, sink: &dyn OperationSink) {
        let Some(directory) = self.protocol.directory(&session).map(str::to_owned) else { return };
        if self.keeps_failed {
            return;
        }
        let removal = self.protocol.remove(&mut session);
        if !matches!(tokio::time::timeout(DISCARD_LIMIT, removal).await, Ok(Ok(()))) {
            let text = format!("The directory {directory} may be left behind on the target.");
            sink.info(Level::Warn, &text);
        }
    }

    /// Removes the directory, unless a failure is to be looked at, and ends the session.
    pub(crate) async fn close(mut self) -> Result<(), String> {
        let Some(mut session) = self.session.take() else { return Ok(()) };
        if self.protocol.directory(&session).is_none() || (self.failed && self.keeps_failed) {
            return Ok(());
        }
        if self.failed {
            self.protocol.remove(&mut session).await
        } else {
            self.protocol.release(&mut session).await
        }
    }
}

//! From the engine's words to the transport's: stop signals and output.

use std::sync::Arc;

use autoexec_engine::ports::{OperationSink, StopSignal};
use autoexec_events::StopReason;
use autoexec_transport::{OutputSink, StopHandle, StopLevel, StopToken};
use tokio_util::task::AbortOnDropHandle;

/// A stop token that follows the engine's stop signal for as long as this value lives.
pub(crate) struct StopBridge {
    token: StopToken,
    _follower: AbortOnDropHandle<()>,
}

impl StopBridge {
    pub(crate) fn new(mut signal: StopSignal) -> Self {
        let handle = StopHandle::new();
        let token = handle.token();
        let follower = tokio::spawn(async move {
            signal.reached(StopReason::Abort).await;
            handle.raise(StopLevel::Terminate);
            signal.reached(StopReason::Kill).await;
            handle.raise(StopLevel::Kill);
            // The handle stays until the operation ends: without it the token would never rise again.
            std::future::pending::<()>().await;
        });
        Self { token, _follower: AbortOnDropHandle::new(follower) }
    }

    pub(crate) fn token(&self) -> StopToken {
        self.token.clone()
    }
}

/// Output of a process goes to the node log.
pub(crate) struct ProcessOutput(pub(crate) Arc<dyn OperationSink>);

impl OutputSink for ProcessOutput {
    fn output(&self, bytes: &[u8]) {
        self.0.output(bytes);
    }
}

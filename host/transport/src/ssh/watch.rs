//! What ends a call into libssh2 that does not come back.
//!
//! While it waits for one SFTP answer, libssh2 reads and keeps all others, without a look at the time, for as long as the server
//! sends them. The thread of the connection is in that call; only the end of the socket brings it back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::link::Socket;

/// How much later than the limit of a step its connection is ended: where the call comes back the step ends by itself.
const GRACE: Duration = Duration::from_secs(2);

/// Ends the connection after a moment, unless it is dropped before.
pub(super) struct Watch(AbortHandle);

impl Watch {
    pub(super) fn new(runtime: &Handle, socket: Arc<Socket>, until: Instant) -> Self {
        let task = runtime.spawn(async move {
            tokio::time::sleep_until((until + GRACE).into()).await;
            socket.shutdown();
        });
        Self(task.abort_handle())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

//! Threads of their own for guests, so that a guest that spins never holds up the engine of the jobs.
//!
//! A busy guest gives its thread back at every tick, but on the shared runtime a few of them would still delay timers
//! and sockets by whole scheduler rounds. Here they only delay each other.

use std::future::Future;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use crate::engine::SandboxError;

pub(crate) struct GuestThreads(Option<Runtime>);

impl GuestThreads {
    pub(crate) fn start(threads: usize) -> Result<Self, SandboxError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("wasm-guest")
            // A guest's turn lasts up to a tick; timers and sockets must be looked at after each.
            .event_interval(1)
            .enable_all()
            .build()
            .map_err(SandboxError::Thread)?;
        Ok(Self(Some(runtime)))
    }

    /// Starts a guest; none when the threads are being shut down.
    pub(crate) fn spawn<F>(&self, guest: F) -> Option<JoinHandle<F::Output>>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.0.as_ref().map(|runtime| runtime.spawn(guest))
    }
}

impl Drop for GuestThreads {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waiting for the threads is not allowed inside another runtime, and not needed: every guest has ended or
            // ends at its next tick.
            runtime.shutdown_background();
        }
    }
}

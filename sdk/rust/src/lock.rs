//! Global locks of the server, shared by all jobs. Needs the capability `lock` in `tool.toml`.

use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::lock as host;
pub use crate::bindings::autoexec::tool::lock::{LockError, Mode};
use crate::clock::millis;
use crate::failure::{HostError, reasons};
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::lock as host;

/// What the host could not do, and why.
pub type Error = HostError<LockError>;

reasons!(LockError {
    LockError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    LockError::TimedOut => crate::FailureKind::TimedOut, "somebody else has it, and the time to wait is over";
    LockError::Unavailable(why) => crate::FailureKind::Unreachable, said("can not be asked for now", why);
});

/// A lock that is held. Dropping it gives it back; at the latest the end of the call does.
#[derive(Debug)]
#[must_use = "the lock is given back when this is dropped"]
pub struct Held(host::Held);

impl Held {
    /// Name of the lock.
    pub fn name(&self) -> String {
        self.0.name()
    }
}

/// Waits for the right to read, which others may have at the same time.
pub fn shared(name: &str, wait: Duration) -> Result<Held, Error> {
    acquire(name, Mode::Read, wait)
}

/// Waits for the right to write, which nobody else has at the same time.
pub fn exclusive(name: &str, wait: Duration) -> Result<Held, Error> {
    acquire(name, Mode::Write, wait)
}

fn acquire(name: &str, mode: Mode, wait: Duration) -> Result<Held, Error> {
    host::acquire(name, mode, millis(wait))
        .map(Held)
        .map_err(|reason| HostError::new(reason, format_args!("waiting for the lock {name}")))
}

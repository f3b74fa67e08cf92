//! Waiting for a thing to happen, with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Long enough for a loaded machine; a test that needs it has failed.
pub const LONG: Duration = Duration::from_mins(1);

/// How often the thing is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Looks until `probe` finds something. `what` names the thing in the error.
pub fn until<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = probe() {
            return Ok(found);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {within:?}");
        }
        std::thread::sleep(LOOK);
    }
}

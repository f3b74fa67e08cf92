//! Whether the node takes a login and a command: what `inspect/sshcheck`, `inspect/tagentcheck` and `deploy/inscheck` look at.

use std::time::Duration;

use autoexec_sdk::Reason;
use autoexec_sdk::target::Command;

/// What a healthy account says.
const HEALTHY: &str = "HEALTH_OK";

/// Lets the node run an echo, over the executor's own connection.
///
/// # Errors
/// Why it did not, for people.
pub fn echo(timeout: Duration) -> Result<(), String> {
    let echo = Command::of(["echo", HEALTHY]).timeout(timeout);
    let captured = echo.capture().map_err(|error| error.reason.explain().into_owned())?;
    let said = captured.stdout_text();
    // Shells may greet first.
    if captured.ending.is_success() && said.lines().any(|line| line.trim() == HEALTHY) {
        return Ok(());
    }
    Err(format!("the echo {} and said `{}`", captured.ending.explain(), said.trim()))
}

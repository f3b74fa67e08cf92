//! `net-probe`: a TCP connection that is opened and closed, under the host's rules.

use std::time::{Duration, Instant};

use super::{NetError, Purpose, deadline};
use crate::border::Border;

/// Connects to the first address that answers; the result is the time it took in milliseconds.
pub(crate) async fn tcp_connect(
    border: &Border,
    host: &str,
    port: u16,
    timeout_ms: u32,
) -> Result<u32, NetError> {
    let begin = Instant::now();
    let deadline = deadline(Duration::from_millis(timeout_ms.into()));
    let _socket = border.socket().map_err(|reached| NetError::Other(reached.to_string()))?;
    border.connect(Purpose::Probe, host, port, deadline).await?;
    Ok(u32::try_from(begin.elapsed().as_millis()).unwrap_or(u32::MAX))
}

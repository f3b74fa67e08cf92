//! Asks whether a port accepts connections. Needs the capability `net-probe` in `tool.toml`.

use std::time::Duration;

use crate::bindings::autoexec::tool::net_probe as host;
pub use host::ProbeError;

/// Opens a TCP connection and closes it at once; returns how long it took to come up.
pub fn tcp_connect(address: &str, port: u16, timeout: Duration) -> Result<Duration, ProbeError> {
    let timeout = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    host::tcp_connect(address, port, timeout).map(|taken| Duration::from_millis(taken.into()))
}

//! Asks whether a host is there. Needs the capability `net-probe` in `tool.toml`.

use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::net_probe as host;
pub use crate::bindings::autoexec::tool::net_probe::ProbeError;
use crate::clock::millis;
use crate::failure::{HostError, reasons};
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::net_probe as host;

/// What the host could not do, and why.
pub type Error = HostError<ProbeError>;

reasons!(ProbeError {
    ProbeError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    ProbeError::Unresolved(why) => crate::FailureKind::Unreachable, said("the name has no address", why);
    ProbeError::Refused => crate::FailureKind::Unreachable, "refused, nobody listens there";
    ProbeError::Unreachable(why) => crate::FailureKind::Unreachable, said("unreachable", why);
    ProbeError::TimedOut => crate::FailureKind::TimedOut, "no answer in time";
    ProbeError::Other(why) => crate::FailureKind::Other("network".into()), why;
});

/// Opens a TCP connection and closes it at once; returns how long it took to come up. Tries the addresses of a name in
/// turn.
pub fn tcp_connect(address: &str, port: u16, timeout: Duration) -> Result<Duration, Error> {
    host::tcp_connect(address, port, millis(timeout))
        .map(|taken| Duration::from_millis(taken.into()))
        .map_err(|reason| HostError::new(reason, format_args!("connecting to {}", peer(address, port))))
}

/// Sends one ICMP echo request; returns the time until its reply. Tries the addresses of a name in turn.
pub fn icmp_echo(address: &str, timeout: Duration) -> Result<Duration, Error> {
    host::icmp_echo(address, millis(timeout))
        .map(|taken| Duration::from_micros(taken.into()))
        .map_err(|reason| HostError::new(reason, format_args!("pinging {address}")))
}

/// `host:port`, with brackets around an IPv6 address.
pub(crate) fn peer(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

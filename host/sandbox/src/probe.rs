//! `net-probe`: a TCP connection that is opened and closed, under the host's rules.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use autoexec_grants::Access;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{timeout, timeout_at};

use crate::host::ToolHost;

/// The longest a single probe may wait, whatever the tool asks for.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

/// Why there is no connection (`probe-error` in the WIT).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProbeError {
    Denied(String),
    Unresolved(String),
    Refused,
    Unreachable(String),
    TimedOut,
    Other(String),
}

/// Connects to the first address that answers; the result is the time it took in milliseconds.
///
/// The name is resolved once and only checked addresses are connected to, so that a name that resolves differently the
/// second time gains nothing.
pub(crate) async fn tcp_connect(
    host: &dyn ToolHost,
    name: &str,
    port: u16,
    timeout_ms: u32,
) -> Result<u32, ProbeError> {
    let begin = Instant::now();
    let deadline = begin + Duration::from_millis(timeout_ms.into()).min(LONGEST_WAIT);
    permit(host, name, None, port)?;
    let addresses =
        timeout(deadline - begin, resolve(name, port)).await.map_err(|_| ProbeError::TimedOut)??;
    for address in &addresses {
        permit(host, name, Some(address.ip()), port)?;
    }
    let mut last = ProbeError::Unresolved(format!("`{name}` has no address"));
    for address in addresses {
        match timeout_at(deadline.into(), TcpStream::connect(address)).await {
            Ok(Ok(_connection)) => return Ok(u32::try_from(begin.elapsed().as_millis()).unwrap_or(u32::MAX)),
            Ok(Err(error)) => last = connect_error(&error),
            Err(_) => return Err(ProbeError::TimedOut),
        }
    }
    Err(last)
}

fn permit(host: &dyn ToolHost, name: &str, address: Option<IpAddr>, port: u16) -> Result<(), ProbeError> {
    let access = Access::NetProbe { host: name, port, address };
    host.permit(&access).map_err(|denied| ProbeError::Denied(denied.0))
}

async fn resolve(name: &str, port: u16) -> Result<Vec<SocketAddr>, ProbeError> {
    let unresolved = |error: io::Error| ProbeError::Unresolved(format!("`{name}`: {error}"));
    Ok(lookup_host((name, port)).await.map_err(unresolved)?.collect())
}

fn connect_error(error: &io::Error) -> ProbeError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => ProbeError::Refused,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            ProbeError::Unreachable(error.to_string())
        }
        io::ErrorKind::TimedOut => ProbeError::TimedOut,
        _ => ProbeError::Other(error.to_string()),
    }
}

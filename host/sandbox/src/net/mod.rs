//! The network as guests reach it: names resolved once, every address put to the policy, and connections only to
//! addresses that were checked.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use autoexec_grants::Access;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

use crate::border::Border;

mod icmp;
pub(crate) mod probe;
mod tls;

pub(crate) use icmp::echo;
pub(crate) use tls::Network;

/// The longest a single operation may wait, whatever the tool asks for.
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// What a host is to be reached for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// To see whether a port accepts connections.
    Probe,
    /// To see whether it answers an echo request.
    Echo,
    /// A connection or datagrams.
    Socket,
    /// Questions to an SNMP agent.
    Snmp,
    /// A request.
    Http { method: &'a str, scheme: &'a str },
}

impl<'a> Purpose<'a> {
    fn access(self, host: &'a str, port: u16, address: Option<IpAddr>) -> Access<'a> {
        match self {
            Self::Probe => Access::NetProbe { host, port, address },
            Self::Echo => Access::IcmpEcho { host, address },
            Self::Socket => Access::Socket { host, port, address },
            Self::Snmp => Access::Snmp { host, port, address },
            Self::Http { method, scheme } => Access::Http { method, scheme, host, port, address },
        }
    }
}

/// Why a peer was not reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NetError {
    #[error("{0}")]
    Denied(String),
    #[error("the name can not be resolved: {0}")]
    Unresolved(String),
    #[error("connection refused")]
    Refused,
    #[error("unreachable: {0}")]
    Unreachable(String),
    #[error("timed out")]
    TimedOut,
    #[error("{0}")]
    Other(String),
}

impl From<io::Error> for NetError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Self::Unreachable(error.to_string())
            }
            io::ErrorKind::TimedOut => Self::TimedOut,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// When an operation that may take this long has to be over.
pub(crate) fn deadline(wait: Duration) -> Instant {
    Instant::now() + wait.min(LONGEST_WAIT)
}

impl Border {
    /// The addresses of a host, all of them permitted.
    ///
    /// The name is permitted before it is looked up, and looked up once: whoever connects to one of the addresses gains nothing
    /// from a name that resolves differently the second time.
    pub(crate) async fn resolve(
        &self,
        purpose: Purpose<'_>,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, NetError> {
        self.permit_host(purpose, host, port, None)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let found = timeout_at(deadline, lookup_host((bare, port))).await.map_err(|_| NetError::TimedOut)?;
        let addresses: Vec<SocketAddr> =
            found.map_err(|error| NetError::Unresolved(format!("`{bare}`: {error}")))?.collect();
        for address in &addresses {
            self.permit_host(purpose, host, port, Some(address.ip()))?;
        }
        if addresses.is_empty() {
            return Err(NetError::Unresolved(format!("`{bare}` has no address")));
        }
        Ok(addresses)
    }

    /// Connects to the first address that answers.
    pub(crate) async fn connect(
        &self,
        purpose: Purpose<'_>,
        host: &str,
        port: u16,
        deadline: Instant,
    ) -> Result<TcpStream, NetError> {
        connect_to(&self.resolve(purpose, host, port, deadline).await?, deadline).await
    }

    fn permit_host(
        &self,
        purpose: Purpose<'_>,
        host: &str,
        port: u16,
        address: Option<IpAddr>,
    ) -> Result<(), NetError> {
        self.permit(&purpose.access(host, port, address)).map_err(|denied| NetError::Denied(denied.0))
    }
}

/// Connects to the first of these addresses that answers.
pub(crate) async fn connect_to(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, NetError> {
    let mut last = NetError::TimedOut;
    for address in addresses {
        match timeout_at(deadline, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error.into(),
            Err(_) => return Err(NetError::TimedOut),
        }
    }
    Err(last)
}

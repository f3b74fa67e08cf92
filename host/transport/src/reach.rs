//! TCP to a name: its addresses one after the other.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Why there is no connection.
pub(crate) enum Unreached {
    /// The name has no address.
    Name(io::Error),
    /// Each address with its error.
    Addresses(String),
}

/// Looks a name up.
pub(crate) async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    tokio::net::lookup_host((host, port)).await.map(Iterator::collect)
}

/// Looks a name up and connects before `deadline`.
pub(crate) async fn reach(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, Unreached> {
    let addresses = resolve(host, port).await.map_err(Unreached::Name)?;
    connect(&addresses, deadline).await.map_err(Unreached::Addresses)
}

/// Connects to the first of these that answers before `deadline`.
///
/// # Errors
/// Each address with its error.
pub(crate) async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Result<TcpStream, String> {
    let mut tried = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        // An address that swallows packets must not use up the time of those after it.
        let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX).max(1);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => tried.push(format!("{address}: {error}")),
            Err(_) => tried.push(format!("{address}: no answer in {share:.1?}")),
        }
    }
    if tried.is_empty() {
        tried.push("the name has no address".to_owned());
    }
    Err(tried.join("; "))
}

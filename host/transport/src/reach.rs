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

/// Connects before `deadline`.
pub(crate) async fn reach(host: &str, port: u16, deadline: Instant) -> Result<TcpStream, Unreached> {
    let found = tokio::net::lookup_host((host, port)).await;
    let addresses: Vec<SocketAddr> = found.map_err(Unreached::Name)?.collect();
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
    Err(Unreached::Addresses(tried.join("; ")))
}

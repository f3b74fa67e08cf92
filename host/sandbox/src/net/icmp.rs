//! `net-probe`: one ICMP echo request. Without privileges where the system allows that (`net.ipv4.ping_group_range`), else over a
//! raw socket (root or `CAP_NET_RAW`).

use std::net::IpAddr;
use std::time::{Duration, Instant};

use surge_ping::{Client, Config, ICMP, PingIdentifier, PingSequence, SurgeError};

use super::{NetError, Purpose, deadline};
use crate::border::Border;

/// Bytes behind the header of the request, as `ping` sends.
const PAYLOAD: [u8; 56] = [0; 56];

/// Sends one request to each address in turn until one answers; the result is the round trip in microseconds.
pub(crate) async fn echo(border: &Border, host: &str, timeout_ms: u32) -> Result<u32, NetError> {
    let end = deadline(Duration::from_millis(timeout_ms.into()));
    let addresses = border.resolve(Purpose::Echo, host, 0, end).await?;
    let _socket = border.socket().map_err(|reached| NetError::Other(reached.to_string()))?;
    let mut last = NetError::TimedOut;
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        // What is left is shared out, or a first address that is silent would take it all.
        let wait = end.saturating_duration_since(tokio::time::Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        match echo_once(address.ip(), wait).await {
            Ok(taken) => return Ok(u32::try_from(taken.as_micros()).unwrap_or(u32::MAX)),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn echo_once(address: IpAddr, wait: Duration) -> Result<Duration, NetError> {
    let kind = if address.is_ipv4() { ICMP::V4 } else { ICMP::V6 };
    let client = Client::new(&Config::builder().kind(kind).build()).map_err(|error| {
        NetError::Other(format!(
            "no ICMP socket: {error}; allow it with `sysctl net.ipv4.ping_group_range` or CAP_NET_RAW"
        ))
    })?;
    let mut random = [0; 2];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| NetError::Other(error.to_string()))?;
    let mut pinger = client.pinger(address, PingIdentifier(u16::from_ne_bytes(random))).await;
    pinger.timeout(wait);
    let begin = Instant::now();
    match pinger.ping(PingSequence(1), &PAYLOAD).await {
        Ok((_, taken)) => Ok(taken.min(begin.elapsed())),
        Err(SurgeError::Timeout { .. }) => Err(NetError::TimedOut),
        Err(SurgeError::IOError(error)) => Err(error.into()),
        Err(error) => Err(NetError::Other(error.to_string())),
    }
}

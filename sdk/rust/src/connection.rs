//! TCP, TLS and UDP connections to services. Needs the capability `sockets` in `tool.toml`.

use std::time::Duration;

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::connection as host;
pub use crate::bindings::autoexec::tool::connection::{ConnectionError, Received};
use crate::clock::millis;
use crate::dialogue::{Arrived, Talk};
use crate::failure::{Failure, HostError, reasons};
use crate::net_probe::peer;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::connection as host;

/// What the host could not do, and why.
pub type Error = HostError<ConnectionError>;

reasons!(ConnectionError {
    ConnectionError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    ConnectionError::Unresolved(why) => crate::FailureKind::Unreachable, said("the name has no address", why);
    ConnectionError::Refused => crate::FailureKind::Unreachable, "refused, nobody listens there";
    ConnectionError::Unreachable(why) => crate::FailureKind::Unreachable, said("unreachable", why);
    ConnectionError::TimedOut => crate::FailureKind::TimedOut, "took longer than it may";
    ConnectionError::Closed(why) => crate::FailureKind::Unreachable, said("the connection has ended", why);
    ConnectionError::Tls(why) => crate::FailureKind::Denied, said("no trusted TLS connection", why);
    ConnectionError::Other(why) => crate::FailureKind::Other("network".into()), why;
});

/// Bytes asked for at once.
const CHUNK: u32 = 64 << 10;

/// A TCP connection, closed when it is dropped.
#[derive(Debug)]
pub struct Stream {
    bytes: host::ByteStream,
    peer: String,
    timeout: Duration,
    ahead: Vec<u8>,
}

impl Stream {
    /// Opens a connection. Tries the addresses of a name in turn. `timeout` holds for this and for every later step.
    pub fn connect(host: &str, port: u16, timeout: Duration) -> Result<Self, Error> {
        let peer = peer(host, port);
        let bytes = host::connect(host, port, millis(timeout))
            .map_err(|reason| HostError::new(reason, format_args!("connecting to {peer}")))?;
        Ok(Self { bytes, peer, timeout, ahead: Vec::new() })
    }

    /// The time limit of each step from now on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Address of the peer, as far as the host tells it.
    pub fn peer_address(&self) -> String {
        self.bytes.peer_address()
    }

    /// Goes on in TLS, as a client. The certificate must be for this name.
    pub fn start_tls(&mut self, server_name: &str) -> Result<(), Error> {
        self.bytes
            .start_tls(server_name, millis(self.timeout))
            .map_err(|reason| self.error(reason, "starting TLS with"))
    }

    /// Sends all of the bytes. May hold references to secrets, each whole in one call.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes.send(bytes, millis(self.timeout)).map_err(|reason| self.error(reason, "sending to"))
    }

    /// Waits for bytes and returns what is there; nothing when the peer sends no more. An error when nothing comes in time.
    pub fn receive(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if !self.ahead.is_empty() {
            return Ok(Some(std::mem::take(&mut self.ahead)));
        }
        match self.receive_within(self.timeout)? {
            Received::Data(bytes) => Ok(Some(bytes)),
            Received::Nothing => Err(self.error(ConnectionError::TimedOut, "waiting for")),
            Received::End => Ok(None),
        }
    }

    /// Bytes up to and with the line feed, without it and a carriage return in front of it. A line of more than `limit`
    /// bytes and a connection that ends within a line are errors; nothing when it ends before one.
    pub fn receive_line(&mut self, limit: usize) -> Result<Option<String>, Error> {
        let mut line = Vec::new();
        loop {
            let Some(bytes) = self.receive()? else {
                let is_whole = line.is_empty();
                let within = || self.error(ConnectionError::Closed("within a line".into()), "reading from");
                return if is_whole { Ok(None) } else { Err(within()) };
            };
            if let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
                line.extend_from_slice(&bytes[..end]);
                self.ahead = bytes[end + 1..].to_vec();
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
            }
            line.extend_from_slice(&bytes);
            if line.len() > limit {
                let reason = ConnectionError::Other(format!("a line of more than {limit} bytes"));
                return Err(self.error(reason, "reading from"));
            }
        }
    }

    /// All bytes until the peer sends no more, which must not be more than `limit`.
    pub fn receive_all(&mut self, limit: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(mut bytes) = self.receive()? {
            all.append(&mut bytes);
            if all.len() > limit {
                let reason = ConnectionError::Other(format!("more than {limit} bytes"));
                return Err(self.error(reason, "reading from"));
            }
        }
        Ok(all)
    }

    fn receive_within(&self, timeout: Duration) -> Result<Received, Error> {
        self.bytes.receive(CHUNK, millis(timeout)).map_err(|reason| self.error(reason, "reading from"))
    }

    fn error(&self, reason: ConnectionError, doing: &str) -> Error {
        HostError::new(reason, format_args!("{doing} {}", self.peer))
    }
}

/// So that prompts can be answered over a plain connection (telnet-like services).
impl Talk for Stream {
    fn say(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(self.send(bytes)?)
    }

    fn hear(&mut self, timeout: Duration) -> Result<Arrived, Failure> {
        if !self.ahead.is_empty() {
            return Ok(Arrived::Bytes(std::mem::take(&mut self.ahead)));
        }
        Ok(match self.receive_within(timeout)? {
            Received::Data(bytes) => Arrived::Bytes(bytes),
            Received::Nothing => Arrived::Nothing,
            Received::End => Arrived::End,
        })
    }
}

/// Datagrams (UDP) to and from one peer.
#[derive(Debug)]
pub struct Datagrams {
    datagrams: host::Datagrams,
    peer: String,
}

impl Datagrams {
    /// Prepares for datagrams to the first usable address of a name.
    pub fn open(host: &str, port: u16) -> Result<Self, Error> {
        let peer = peer(host, port);
        let datagrams = host::open_datagrams(host, port)
            .map_err(|reason| HostError::new(reason, format_args!("preparing datagrams to {peer}")))?;
        Ok(Self { datagrams, peer })
    }

    /// Address of the peer, as far as the host tells it.
    pub fn peer_address(&self) -> String {
        self.datagrams.peer_address()
    }

    /// Sends one datagram. Not for secrets: they would go in the clear.
    pub fn send(&self, bytes: &[u8]) -> Result<(), Error> {
        self.datagrams
            .send(bytes)
            .map_err(|reason| HostError::new(reason, format_args!("sending a datagram to {}", self.peer)))
    }

    /// Waits for one datagram of the peer; nothing when none came in time.
    pub fn receive(&self, timeout: Duration) -> Result<Option<Vec<u8>>, Error> {
        let received = self.datagrams.receive(millis(timeout)).map_err(|reason| {
            HostError::new(reason, format_args!("waiting for a datagram of {}", self.peer))
        })?;
        Ok(match received {
            Received::Data(bytes) => Some(bytes),
            Received::Nothing | Received::End => None,
        })
    }
}

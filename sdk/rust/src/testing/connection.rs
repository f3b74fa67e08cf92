//! The capability `sockets`: connections whose other side is a script.

use std::cell::RefCell;
use std::time::Duration;

use super::script::{Heard, Running};
use super::{Expected, Host, Script, invoke};
use crate::connection::{ConnectionError, Received};
use crate::net_probe::peer;

type Peer = (String, u16);
type Opened = Result<Script, ConnectionError>;

/// Expectations of the capability `sockets`.
#[derive(Debug)]
pub struct Connections<'h>(&'h Host);

impl Host {
    /// Expects connections.
    pub fn connections(&self) -> Connections<'_> {
        Connections(self)
    }
}

impl<'h> Connections<'h> {
    /// Expects a TCP connection; the answer is the script of its other side.
    pub fn connect(&self, host: &str, port: u16) -> Expected<'h, Peer, Opened> {
        self.0.expect_exactly("connection.connect", (host.to_owned(), port))
    }

    /// Expects that a TCP connection goes on in TLS with a certificate for that name.
    pub fn start_tls(&self, server_name: &str) -> Expected<'h, String, Result<(), ConnectionError>> {
        self.0.expect_exactly("connection.start-tls", server_name.to_owned())
    }

    /// Expects datagrams; the answer is the script of the other side, whose every step is one of them.
    pub fn open_datagrams(&self, host: &str, port: u16) -> Expected<'h, Peer, Opened> {
        self.0.expect_exactly("connection.open-datagrams", (host.to_owned(), port))
    }
}

#[derive(Debug)]
pub(crate) struct ByteStream {
    script: RefCell<Running>,
    peer: String,
}

impl ByteStream {
    pub(crate) fn peer_address(&self) -> String {
        self.peer.clone()
    }

    #[expect(clippy::unused_self, reason = "the signature of the import")]
    pub(crate) fn start_tls(&self, server_name: &str, _timeout_ms: u32) -> Result<(), ConnectionError> {
        invoke("connection.start-tls", server_name.to_owned())
    }

    #[expect(clippy::unnecessary_wraps, reason = "the signature of the import")]
    pub(crate) fn send(&self, bytes: &[u8], _timeout_ms: u32) -> Result<(), ConnectionError> {
        self.script.borrow_mut().0.say(bytes);
        Ok(())
    }

    pub(crate) fn receive(&self, limit: u32, timeout_ms: u32) -> Result<Received, ConnectionError> {
        received(&self.script, limit, timeout_ms)
    }
}

#[derive(Debug)]
pub(crate) struct Datagrams(ByteStream);

impl Datagrams {
    pub(crate) fn peer_address(&self) -> String {
        self.0.peer_address()
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.0.send(bytes, 0)
    }

    pub(crate) fn receive(&self, timeout_ms: u32) -> Result<Received, ConnectionError> {
        self.0.receive(u32::MAX, timeout_ms)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the signature of the import")]
fn received(script: &RefCell<Running>, limit: u32, timeout_ms: u32) -> Result<Received, ConnectionError> {
    let timeout = Duration::from_millis(timeout_ms.into());
    Ok(match script.borrow_mut().0.hear(limit as usize, timeout) {
        Heard::Bytes(bytes) => Received::Data(bytes),
        Heard::Nothing => Received::Nothing,
        Heard::End => Received::End,
    })
}

fn open(function: &'static str, host: &str, port: u16) -> Result<ByteStream, ConnectionError> {
    let script: Opened = invoke(function, (host.to_owned(), port));
    Ok(ByteStream { script: RefCell::new(Running(script?)), peer: peer(host, port) })
}

pub(crate) fn connect(host: &str, port: u16, _timeout_ms: u32) -> Result<ByteStream, ConnectionError> {
    open("connection.connect", host, port)
}

pub(crate) fn open_datagrams(host: &str, port: u16) -> Result<Datagrams, ConnectionError> {
    open("connection.open-datagrams", host, port).map(Datagrams)
}

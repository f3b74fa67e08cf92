//! `connection`: TCP with TLS, and datagrams.

use std::net::SocketAddr;
use std::time::Duration;

use autoexec_grants::SecretDestination;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout_at;
use tokio_rustls::client::TlsStream;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::autoexec::tool::connection::{self as wit, ConnectionError};
use crate::border::{Border, Counted};
use crate::net::{NetError, Purpose, deadline};
use crate::state::CallState;

/// The most bytes of one `receive`.
const PIECE: usize = 1 << 20;

/// The largest datagram.
const DATAGRAM: usize = 64 << 10;

/// A TCP connection that a guest holds.
#[expect(unreachable_pub, reason = "the generated bindings name it in public")]
pub struct ByteStream {
    host: String,
    port: u16,
    peer: SocketAddr,
    stream: Stream,
    _socket: Counted,
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    /// TLS was begun and did not come about.
    Broken,
}

/// A UDP socket that a guest holds, connected to one peer.
#[expect(unreachable_pub, reason = "the generated bindings name it in public")]
pub struct Datagrams {
    peer: SocketAddr,
    socket: UdpSocket,
    _socket: Counted,
}

impl wit::Host for CallState {
    async fn connect(
        &mut self,
        host: String,
        port: u16,
        timeout_ms: u32,
    ) -> Result<Result<Resource<ByteStream>, ConnectionError>> {
        let border = self.enter()?;
        let connected = connect(&border, host, port, milliseconds(timeout_ms)).await;
        border.check_alive()?;
        Ok(match connected {
            Ok(stream) => Ok(self.table.push(stream)?),
            Err(error) => Err(error),
        })
    }

    async fn open_datagrams(
        &mut self,
        host: String,
        port: u16,
    ) -> Result<Result<Resource<Datagrams>, ConnectionError>> {
        let border = self.enter()?;
        let opened = open_datagrams(&border, &host, port).await;
        border.check_alive()?;
        Ok(match opened {
            Ok(datagrams) => Ok(self.table.push(datagrams)?),
            Err(error) => Err(error),
        })
    }
}

impl wit::HostByteStream for CallState {
    fn peer_address(&mut self, stream: Resource<ByteStream>) -> Result<String> {
        Ok(self.table.get(&stream)?.peer.to_string())
    }

    async fn start_tls(
        &mut self,
        stream: Resource<ByteStream>,
        server_name: String,
        timeout_ms: u32,
    ) -> Result<Result<(), ConnectionError>> {
        let border = self.enter()?;
        let stream = self.table.get_mut(&stream)?;
        let begun = stream.start_tls(&border, &server_name, milliseconds(timeout_ms)).await;
        border.check_alive()?;
        Ok(begun)
    }

    async fn send(
        &mut self,
        stream: Resource<ByteStream>,
        bytes: Vec<u8>,
        timeout_ms: u32,
    ) -> Result<Result<(), ConnectionError>> {
        let border = self.enter()?;
        let stream = self.table.get_mut(&stream)?;
        let sent = stream.send(&border, &bytes, milliseconds(timeout_ms)).await;
        border.check_alive()?;
        Ok(sent)
    }

    async fn receive(
        &mut self,
        stream: Resource<ByteStream>,
        limit: u32,
        timeout_ms: u32,
    ) -> Result<Result<wit::Received, ConnectionError>> {
        let border = self.enter()?;
        let stream = self.table.get_mut(&stream)?;
        let received = stream.receive(limit, milliseconds(timeout_ms)).await;
        border.check_alive()?;
        Ok(received)
    }

    fn drop(&mut self, stream: Resource<ByteStream>) -> Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

impl wit::HostDatagrams for CallState {
    fn peer_address(&mut self, datagrams: Resource<Datagrams>) -> Result<String> {
        Ok(self.table.get(&datagrams)?.peer.to_string())
    }

    async fn send(
        &mut self,
        datagrams: Resource<Datagrams>,
        bytes: Vec<u8>,
    ) -> Result<Result<(), ConnectionError>> {
        let border = self.enter()?;
        let sent = self.table.get(&datagrams)?.socket.send(&bytes).await;
        border.check_alive()?;
        Ok(sent.map(|_| ()).map_err(|error| NetError::from(error).into()))
    }

    async fn receive(
        &mut self,
        datagrams: Resource<Datagrams>,
        timeout_ms: u32,
    ) -> Result<Result<wit::Received, ConnectionError>> {
        let border = self.enter()?;
        let mut buffer = vec![0; DATAGRAM];
        let socket = &self.table.get(&datagrams)?.socket;
        let received = timeout_at(deadline(milliseconds(timeout_ms)), socket.recv(&mut buffer)).await;
        border.check_alive()?;
        Ok(match received {
            Err(_) => Ok(wit::Received::Nothing),
            Ok(Err(error)) => Err(NetError::from(error).into()),
            Ok(Ok(length)) => {
                buffer.truncate(length);
                Ok(wit::Received::Data(buffer))
            }
        })
    }

    fn drop(&mut self, datagrams: Resource<Datagrams>) -> Result<()> {
        self.table.delete(datagrams)?;
        Ok(())
    }
}

async fn connect(
    border: &Border,
    host: String,
    port: u16,
    wait: Duration,
) -> Result<ByteStream, ConnectionError> {
    let socket = border.socket().map_err(|reached| ConnectionError::Other(reached.to_string()))?;
    let stream = border.connect(Purpose::Socket, &host, port, deadline(wait)).await?;
    let peer = stream.peer_addr().map_err(NetError::from)?;
    Ok(ByteStream { host, port, peer, stream: Stream::Plain(stream), _socket: socket })
}

async fn open_datagrams(border: &Border, host: &str, port: u16) -> Result<Datagrams, ConnectionError> {
    let counted = border.socket().map_err(|reached| ConnectionError::Other(reached.to_string()))?;
    let addresses = border.resolve(Purpose::Socket, host, port, deadline(border.clock.left())).await?;
    let mut last = NetError::Unresolved(host.to_owned());
    for peer in addresses {
        let any = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let opened = async {
            let socket = UdpSocket::bind(any).await?;
            socket.connect(peer).await?;
            Ok::<_, std::io::Error>(socket)
        };
        match opened.await {
            Ok(socket) => return Ok(Datagrams { peer, socket, _socket: counted }),
            Err(error) => last = NetError::from(error),
        }
    }
    Err(last.into())
}

impl ByteStream {
    async fn start_tls(
        &mut self,
        border: &Border,
        server_name: &str,
        wait: Duration,
    ) -> Result<(), ConnectionError> {
        let Stream::Plain(plain) = std::mem::replace(&mut self.stream, Stream::Broken) else {
            return Err(ConnectionError::Tls("TLS was begun on this connection before".into()));
        };
        let host = border.host().map_err(|over| ConnectionError::Other(over.to_string()))?;
        let verify = host.verifies_certificate(&self.host, self.port);
        let begun = timeout_at(deadline(wait), border.network.start_tls(plain, server_name, verify)).await;
        let stream = begun
            .map_err(|_| ConnectionError::TimedOut)?
            .map_err(|error| ConnectionError::Tls(error.to_string()))?;
        self.stream = Stream::Tls(Box::new(stream));
        Ok(())
    }

    async fn send(&mut self, border: &Border, bytes: &[u8], wait: Duration) -> Result<(), ConnectionError> {
        let destination = SecretDestination::Connection { host: &self.host, port: self.port };
        let bytes = border
            .reveal(bytes, destination)
            .await
            .map_err(|error| ConnectionError::Denied(error.to_string()))?;
        let bytes = bytes.expose();
        let sending = async {
            match &mut self.stream {
                Stream::Plain(stream) => stream.write_all(bytes).await,
                Stream::Tls(stream) => {
                    stream.write_all(bytes).await?;
                    stream.flush().await
                }
                Stream::Broken => Err(std::io::ErrorKind::NotConnected.into()),
            }
        };
        let sent = timeout_at(deadline(wait), sending).await.map_err(|_| ConnectionError::TimedOut)?;
        sent.map_err(|error| ConnectionError::Closed(error.to_string()))
    }

    async fn receive(&mut self, limit: u32, wait: Duration) -> Result<wit::Received, ConnectionError> {
        let limit = usize::try_from(limit).unwrap_or(PIECE).clamp(1, PIECE);
        let mut buffer = vec![0; limit];
        let receiving = async {
            match &mut self.stream {
                Stream::Plain(stream) => stream.read(&mut buffer).await,
                Stream::Tls(stream) => stream.read(&mut buffer).await,
                Stream::Broken => Err(std::io::ErrorKind::NotConnected.into()),
            }
        };
        match timeout_at(deadline(wait), receiving).await {
            Err(_) => Ok(wit::Received::Nothing),
            Ok(Err(error)) => Err(ConnectionError::Closed(error.to_string())),
            Ok(Ok(0)) => Ok(wit::Received::End),
            Ok(Ok(length)) => {
                buffer.truncate(length);
                Ok(wit::Received::Data(buffer))
            }
        }
    }
}

fn milliseconds(timeout_ms: u32) -> Duration {
    Duration::from_millis(timeout_ms.into())
}

impl From<NetError> for ConnectionError {
    fn from(error: NetError) -> Self {
        match error {
            NetError::Denied(why) => Self::Denied(why),
            NetError::Unresolved(why) => Self::Unresolved(why),
            NetError::Refused => Self::Refused,
            NetError::Unreachable(why) => Self::Unreachable(why),
            NetError::TimedOut => Self::TimedOut,
            NetError::Other(why) => Self::Other(why),
        }
    }
}

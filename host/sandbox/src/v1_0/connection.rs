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
use crate::border::{Border, Counted, HostTrap};
use crate::net::{NetError, Purpose, deadline};
use crate::state::CallState;

/// The most bytes of one `receive`.
const PIECE: usize = 1 << 20;

/// The largest datagram.
const DATAGRAM: usize = 64 << 10;

/// The address of a peer whose answers come from a recording.
const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

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
    /// TLS was begun and did not come about, or a recording answers.
    Broken,
}

/// A UDP socket that a guest holds, connected to one peer.
#[expect(unreachable_pub, reason = "the generated bindings name it in public")]
pub struct Datagrams {
    host: String,
    port: u16,
    peer: SocketAddr,
    /// None in a replay.
    socket: Option<UdpSocket>,
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
        let asked = border.asked("connection.connect", &(&host, port, timeout_ms))?;
        let mut stream = None;
        let act = async {
            stream = Some(connect(&border, host.clone(), port, milliseconds(timeout_ms)).await?);
            Ok(())
        };
        let connected: Result<(), ConnectionError> = asked.answers(act).await?;
        if let Err(error) = connected {
            return Ok(Err(error));
        }
        let stream = match stream {
            Some(stream) => stream,
            None => ByteStream {
                host,
                port,
                peer: NOBODY,
                stream: Stream::Broken,
                _socket: border.socket().map_err(HostTrap::Limit)?,
            },
        };
        Ok(Ok(self.table.push(stream)?))
    }

    async fn open_datagrams(
        &mut self,
        host: String,
        port: u16,
    ) -> Result<Result<Resource<Datagrams>, ConnectionError>> {
        let border = self.enter()?;
        let asked = border.asked("connection.open-datagrams", &(&host, port))?;
        let mut datagrams = None;
        let act = async {
            datagrams = Some(open_datagrams(&border, &host, port).await?);
            Ok(())
        };
        let opened: Result<(), ConnectionError> = asked.answers(act).await?;
        if let Err(error) = opened {
            return Ok(Err(error));
        }
        let datagrams = match datagrams {
            Some(datagrams) => datagrams,
            None => Datagrams {
                host,
                port,
                peer: NOBODY,
                socket: None,
                _socket: border.socket().map_err(HostTrap::Limit)?,
            },
        };
        Ok(Ok(self.table.push(datagrams)?))
    }
}

impl wit::HostByteStream for CallState {
    fn peer_address(&mut self, stream: Resource<ByteStream>) -> Result<String> {
        let stream = self.table.get(&stream)?;
        let asked = self.border.asked("connection.byte-stream.peer-address", &(&stream.host, stream.port))?;
        asked.answers_now(|| Ok(stream.peer.to_string()))
    }

    async fn start_tls(
        &mut self,
        stream: Resource<ByteStream>,
        server_name: String,
        timeout_ms: u32,
    ) -> Result<Result<(), ConnectionError>> {
        let border = self.enter()?;
        let stream = self.table.get_mut(&stream)?;
        let arguments = (&stream.host, stream.port, &server_name, timeout_ms);
        let asked = border.asked("connection.byte-stream.start-tls", &arguments)?;
        Ok(asked.answers(stream.start_tls(&border, &server_name, milliseconds(timeout_ms))).await?)
    }

    async fn send(
        &mut self,
        stream: Resource<ByteStream>,
        bytes: Vec<u8>,
        timeout_ms: u32,
    ) -> Result<Result<(), ConnectionError>> {
        let border = self.enter()?;
        let stream = self.table.get_mut(&stream)?;
        let arguments = (&stream.host, stream.port, &bytes, timeout_ms);
        let asked = border.asked("connection.byte-stream.send", &arguments)?;
        Ok(asked.answers(stream.send(&border, &bytes, milliseconds(timeout_ms))).await?)
    }

    async fn receive(
        &mut self,
        stream: Resource<ByteStream>,
        limit: u32,
        timeout_ms: u32,
    ) -> Result<Result<wit::Received, ConnectionError>> {
        let border = self.enter()?;
        let stream = self.table.get_mut(&stream)?;
        let arguments = (&stream.host, stream.port, limit, timeout_ms);
        let asked = border.asked("connection.byte-stream.receive", &arguments)?;
        Ok(asked.answers(stream.receive(limit, milliseconds(timeout_ms))).await?)
    }

    fn drop(&mut self, stream: Resource<ByteStream>) -> Result<()> {
        self.table.delete(stream)?;
        Ok(())
    }
}

impl wit::HostDatagrams for CallState {
    fn peer_address(&mut self, datagrams: Resource<Datagrams>) -> Result<String> {
        let datagrams = self.table.get(&datagrams)?;
        let arguments = (&datagrams.host, datagrams.port);
        let asked = self.border.asked("connection.datagrams.peer-address", &arguments)?;
        asked.answers_now(|| Ok(datagrams.peer.to_string()))
    }

    async fn send(
        &mut self,
        datagrams: Resource<Datagrams>,
        bytes: Vec<u8>,
    ) -> Result<Result<(), ConnectionError>> {
        let border = self.enter()?;
        let datagrams = self.table.get(&datagrams)?;
        let arguments = (&datagrams.host, datagrams.port, &bytes);
        let asked = border.asked("connection.datagrams.send", &arguments)?;
        Ok(asked.answers(datagrams.send(&bytes)).await?)
    }

    async fn receive(
        &mut self,
        datagrams: Resource<Datagrams>,
        timeout_ms: u32,
    ) -> Result<Result<wit::Received, ConnectionError>> {
        let border = self.enter()?;
        let datagrams = self.table.get(&datagrams)?;
        let arguments = (&datagrams.host, datagrams.port, timeout_ms);
        let asked = border.asked("connection.datagrams.receive", &arguments)?;
        Ok(asked.answers(datagrams.receive(milliseconds(timeout_ms))).await?)
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
            Ok(socket) => {
                return Ok(Datagrams {
                    host: host.to_owned(),
                    port,
                    peer,
                    socket: Some(socket),
                    _socket: counted,
                });
            }
            Err(error) => last = NetError::from(error),
        }
    }
    Err(last.into())
}

impl Datagrams {
    async fn send(&self, bytes: &[u8]) -> Result<(), ConnectionError> {
        self.socket()?.send(bytes).await.map(drop).map_err(|error| NetError::from(error).into())
    }

    async fn receive(&self, wait: Duration) -> Result<wit::Received, ConnectionError> {
        let mut buffer = vec![0; DATAGRAM];
        match timeout_at(deadline(wait), self.socket()?.recv(&mut buffer)).await {
            Err(_) => Ok(wit::Received::Nothing),
            Ok(Err(error)) => Err(NetError::from(error).into()),
            Ok(Ok(length)) => {
                buffer.truncate(length);
                Ok(wit::Received::Data(buffer))
            }
        }
    }

    fn socket(&self) -> Result<&UdpSocket, ConnectionError> {
        self.socket.as_ref().ok_or_else(|| ConnectionError::Other("there is no socket in a replay".into()))
    }
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

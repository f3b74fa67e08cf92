//! The thread that listens: accepts connections, and closes and opens the port on request.

use std::net::SocketAddr;
use std::sync::{Arc, mpsc as blocking};
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Shared;
use super::answer::respond;

/// The listening thread; it ends when dropped.
#[derive(Debug)]
pub(super) struct Listener {
    address: SocketAddr,
    orders: Option<mpsc::UnboundedSender<(Order, blocking::Sender<Result<()>>)>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Close,
    Open,
}

impl Listener {
    pub(super) fn start(shared: Arc<Shared>, tls: Option<TlsAcceptor>) -> Result<Self> {
        let (orders, received) = mpsc::unbounded_channel();
        let (started, start) = blocking::channel();
        let thread = std::thread::Builder::new().name("console-double".to_owned()).spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(started.send(Err(error.into()))),
            };
            runtime.block_on(async move {
                match Port::reserve() {
                    Ok(port) => {
                        // A test that is gone already needs no server.
                        let _ = started.send(Ok(port.address));
                        Accepting { shared, tls, port, connections: JoinSet::new() }.run(received).await;
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            });
        })?;
        let address = start.recv().context("the console double did not start")??;
        Ok(Self { address, orders: Some(orders), thread: Some(thread) })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn close(&self) -> Result<()> {
        self.order(Order::Close)
    }

    pub(super) fn open(&self) -> Result<()> {
        self.order(Order::Open)
    }

    fn order(&self, order: Order) -> Result<()> {
        let (done, is_done) = blocking::channel();
        let orders = self.orders.as_ref().context("the console double has ended")?;
        orders.send((order, done)).ok().context("the console double has ended")?;
        is_done.recv().context("the console double has ended")?
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A panic in there has been printed; the test fails by what it misses.
            let _ = thread.join();
        }
    }
}

/// A port that stays ours while nothing listens on it.
struct Port {
    address: SocketAddr,
    listener: Option<TcpListener>,
    /// Bound and never listening: keeps other programs from getting the port in the meantime.
    _reserved: TcpSocket,
}

impl Port {
    fn reserve() -> Result<Self> {
        let reserved = bound(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let mut port = Self { address: reserved.local_addr()?, listener: None, _reserved: reserved };
        port.open()?;
        Ok(port)
    }

    fn open(&mut self) -> Result<()> {
        if self.listener.is_none() {
            self.listener = Some(bound(self.address)?.listen(1024).context("cannot listen")?);
        }
        Ok(())
    }

    async fn accept(&self) -> std::io::Result<TcpStream> {
        match &self.listener {
            Some(listener) => listener.accept().await.map(|(stream, _)| stream),
            None => std::future::pending().await,
        }
    }
}

/// Linux lets sockets share an address when all of them say so and none is listening yet.
fn bound(address: SocketAddr) -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address).with_context(|| format!("cannot bind {address}"))?;
    Ok(socket)
}

struct Accepting {
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    port: Port,
    connections: JoinSet<()>,
}

impl Accepting {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<(Order, blocking::Sender<Result<()>>)>) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some((order, done)) = order else { return };
                    let result = self.obey(order).await;
                    // The test may have given up.
                    let _ = done.send(result);
                }
                Ok(stream) = self.port.accept() => self.serve(stream),
                Some(_) = self.connections.join_next(), if !self.connections.is_empty() => {}
            }
        }
    }

    async fn obey(&mut self, order: Order) -> Result<()> {
        match order {
            Order::Open => self.port.open(),
            Order::Close => {
                self.port.listener = None;
                self.connections.shutdown().await;
                Ok(())
            }
        }
    }

    fn serve(&mut self, stream: TcpStream) {
        let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
        self.connections.spawn(async move {
            match tls {
                // A client that does not trust the certificate ends the handshake: nothing to serve.
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        talk(shared, stream).await;
                    }
                }
                None => talk(shared, stream).await,
            }
        });
    }
}

async fn talk(shared: Arc<Shared>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(|request| respond(&shared, request));
    // Ends with an error when it is closed on purpose or the client is gone; the test sees either by itself.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

//! A way to the server that counts what goes through it and breaks where it is told to.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;

/// Counters of one direction.
#[derive(Debug, Default)]
struct Way {
    bytes: AtomicU64,
    /// Bytes after which the connection breaks; 0 means never.
    cut: AtomicU64,
    /// It breaks one time only.
    once: AtomicBool,
    /// The most bytes of a second; 0 means all that come.
    rate: AtomicU64,
}

/// A proxy on a free loopback port; it serves as long as the test process lives.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    up: Arc<Way>,
    down: Arc<Way>,
}

impl Proxy {
    /// A way to this port of 127.0.0.1.
    pub fn to(server: u16) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        let (up, down) = (Arc::<Way>::default(), Arc::<Way>::default());
        let (sending, receiving) = (Arc::clone(&up), Arc::clone(&down));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is gone closes the client's connection, as it would without us.
                let _ = join(client, server, &sending, &receiving);
            }
        });
        Ok(Self { port, up, down })
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Bytes to the server since the last call.
    pub fn sent(&self) -> u64 {
        self.up.bytes.swap(0, Ordering::SeqCst)
    }

    /// Bytes from the server since the last call.
    pub fn received(&self) -> u64 {
        self.down.bytes.swap(0, Ordering::SeqCst)
    }

    /// Breaks connections once so many bytes have gone to the server; 0 ends that.
    pub fn cut_sending(&self, after: u64) {
        self.up.cut(after, false);
    }

    /// The same for bytes from the server.
    pub fn cut_receiving(&self, after: u64) {
        self.down.cut(after, false);
    }

    /// Lets so many bytes of a second go to the server; 0 ends that.
    pub fn slow_sending(&self, bytes_a_second: u64) {
        self.up.rate.store(bytes_a_second, Ordering::SeqCst);
    }

    /// Breaks one connection when so many bytes have gone to the server.
    pub fn cut_sending_once(&self, after: u64) {
        self.up.cut(after, true);
    }

    /// The same for bytes from the server.
    pub fn cut_receiving_once(&self, after: u64) {
        self.down.cut(after, true);
    }
}

impl Way {
    fn cut(&self, after: u64, once: bool) {
        self.once.store(once, Ordering::SeqCst);
        self.cut.store(after, Ordering::SeqCst);
    }

    /// Takes the time that bytes take on a slow way.
    fn hold_up(&self, bytes: usize) {
        let rate = self.rate.load(Ordering::SeqCst);
        if rate > 0 {
            std::thread::sleep(Duration::from_secs(bytes as u64) / u32::try_from(rate).unwrap_or(u32::MAX));
        }
    }

    /// Whether the connection breaks when the count has come to `total`.
    fn breaks(&self, total: u64) -> bool {
        let cut = self.cut.load(Ordering::SeqCst);
        if cut == 0 || total < cut {
            return false;
        }
        if self.once.load(Ordering::SeqCst) {
            self.cut.store(0, Ordering::SeqCst);
        }
        true
    }
}

fn join(client: TcpStream, server: u16, up: &Arc<Way>, down: &Arc<Way>) -> Result<()> {
    let server = TcpStream::connect(("127.0.0.1", server))?;
    let (to, from) = (server.try_clone()?, client.try_clone()?);
    let (up, down) = (Arc::clone(up), Arc::clone(down));
    std::thread::spawn(move || carry(from, to, &up));
    std::thread::spawn(move || carry(server, client, &down));
    Ok(())
}

fn carry(mut from: TcpStream, mut to: TcpStream, way: &Way) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let total = way.bytes.fetch_add(length as u64, Ordering::SeqCst) + length as u64;
        if way.breaks(total) || to.write_all(buffer.get(..length).unwrap_or_default()).is_err() {
            break;
        }
        way.hold_up(length);
    }
    for socket in [from, to] {
        let _ = socket.shutdown(Shutdown::Both);
    }
}

//! Servers of this process, and what they saw.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A server on an address of the loopback network. It ends with the process.
pub(crate) struct Peer {
    pub(crate) port: u16,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    /// Answers each connection, once a request's head came, with what `answer` writes.
    pub(crate) fn start(
        address: IpAddr,
        port: u16,
        answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(SocketAddr::new(address, port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&heads), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let index = {
                        let mut seen = seen.lock().unwrap();
                        seen.push(String::new());
                        seen.len() - 1
                    };
                    let head = read_head(&mut stream);
                    seen.lock().unwrap()[index].clone_from(&head);
                    answer(&head, &mut stream);
                });
            }
        });
        Self { port, heads }
    }

    /// One that says `fine`.
    pub(crate) fn fine(address: IpAddr, port: u16) -> Self {
        Self::start(address, port, |_, stream| say(stream, &ok("fine")))
    }

    /// What came on each connection so far: the head of a request and what of its body came with it.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// A guest may be gone before it has read everything.
pub(crate) fn say(stream: &mut TcpStream, text: &str) {
    let _written = stream.write_all(text.as_bytes());
}

/// An HTTP answer with a body.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

fn read_head(stream: &mut TcpStream) -> String {
    let (mut head, mut piece) = (Vec::new(), [0; 4096]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < 1 << 20 {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(length) => head.extend_from_slice(&piece[..length]),
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

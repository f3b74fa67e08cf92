//! Programs that serve while a test runs.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use autoexec_e2e::wait::LONG;

/// A server; killed at the end.
pub(crate) struct Service(Child);

impl Service {
    /// Starts it and waits until it accepts connections.
    pub(crate) fn start(program: &str, arguments: &[&str], port: u16) -> Self {
        assert!(Path::new(program).exists(), "{program} is missing: run `cargo xtask prepare`");
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut service = Self(command.spawn().unwrap());
        let begin = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = service.0.try_wait().unwrap() {
                let errors = std::io::read_to_string(service.0.stderr.take().unwrap()).unwrap();
                panic!("{program} ended with {status}: {errors}");
            }
            assert!(begin.elapsed() < LONG, "{program} does not listen on {port}");
            std::thread::yield_now();
        }
        service
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port on which nobody listens.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

//! The worker's writing end of a connection. It belongs to the connection's thread, which may be made to wait by a run that
//! reads slowly, and nobody else with it.

use std::io::{self, IoSlice};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use rustix::io::writev;
use rustix::net::{Shutdown, shutdown};
use tokio::net::UnixStream;

use super::protocol::{Event, LONGEST_ERROR, OUTPUT, frame, header};
use crate::output::OutputSink;
use crate::ssh::connection::ring;
use crate::ssh::error::{SshErrorKind, Step};
use crate::ssh::patience::Cancel;

/// Writes whole frames, one after the other.
#[derive(Debug)]
pub(super) struct Outlet {
    socket: Arc<UnixStream>,
    /// What is left of a frame that was given up in its middle; it goes before the next one.
    rest: Mutex<Vec<u8>>,
}

/// What makes it worthless to go on writing.
#[derive(Clone, Copy)]
struct GivenUp<'a> {
    cancel: &'a Cancel,
    wake: &'a EventFd,
}

impl GivenUp<'_> {
    fn is_so(self) -> bool {
        self.cancel.is_abandoned()
    }
}

impl Outlet {
    /// The socket is read elsewhere.
    pub(super) fn new(socket: Arc<UnixStream>) -> Self {
        Self { socket, rest: Mutex::default() }
    }

    /// Sends an event. `longest` bounds it; an answer that is longer becomes an error.
    pub(super) fn event(&self, event: &Event, longest: usize) {
        let sent = frame(event, longest).or_else(|problem| {
            let detail = format!("its answer can not be passed on: {problem}");
            let result = Err(SshErrorKind::Channel { step: Step::Output, detail });
            frame(&Event::Answer { result, inventory: None }, LONGEST_ERROR)
        });
        match sent {
            Ok(frame) => self.write(&[], &frame, None),
            // Without an answer the run would wait for ever.
            Err(_) => self.shut(),
        }
    }

    /// Nothing more will come.
    pub(super) fn shut(&self) {
        let _ = shutdown(&*self.socket, Shutdown::Both);
    }

    fn write(&self, header: &[u8], body: &[u8], given_up: Option<GivenUp<'_>>) {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        if given_up.is_some_and(GivenUp::is_so) {
            return;
        }
        let mut woken = None;
        let written = self.write_all([&rest, header, body], given_up, &mut woken);
        // Where nobody reads any more, the end of the stream is seen by who reads here.
        *rest = written.unwrap_or_default();
        if let Some(wake) = woken {
            ring(wake);
        }
    }

    /// Writes these one after the other; returns what was not written because it was given up.
    fn write_all<'a>(
        &self,
        mut parts: [&[u8]; 3],
        given_up: Option<GivenUp<'a>>,
        woken: &mut Option<&'a EventFd>,
    ) -> io::Result<Vec<u8>> {
        while parts.iter().any(|part| !part.is_empty()) {
            let slices = parts.map(IoSlice::new);
            match writev(&*self.socket, &slices).map_err(io::Error::from) {
                Ok(mut written) => {
                    for part in &mut parts {
                        let taken = written.min(part.len());
                        *part = part.get(taken..).unwrap_or_default();
                        written -= taken;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(given_up, woken)?;
                    if given_up.is_some_and(GivenUp::is_so) {
                        return Ok(parts.concat());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Vec::new())
    }

    /// Sleeps until there is room, or somebody has something to say.
    fn wait<'a>(&self, given_up: Option<GivenUp<'a>>, woken: &mut Option<&'a EventFd>) -> io::Result<()> {
        let room = PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT);
        let polled = match given_up {
            Some(GivenUp { wake, .. }) => {
                let mut fds = [room, PollFd::new(wake.as_fd(), PollFlags::POLLIN)];
                let polled = poll(&mut fds, PollTimeout::NONE);
                // It stays for whoever looks at what it stands for, after this.
                if wake.read().is_ok() {
                    *woken = Some(wake);
                }
                polled
            }
            None => poll(&mut [room], PollTimeout::NONE),
        };
        match polled {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Sends a command's output as it is.
pub(super) struct Chunks<'a> {
    outlet: &'a Outlet,
    given_up: GivenUp<'a>,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(outlet: &'a Outlet, cancel: &'a Cancel, wake: &'a EventFd) -> Self {
        Self { outlet, given_up: GivenUp { cancel, wake } }
    }
}

impl OutputSink for Chunks<'_> {
    fn output(&self, bytes: &[u8]) {
        // Pieces come out of one buffer: they are far shorter than a frame may be.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.outlet.write(&header(length, OUTPUT), bytes, Some(self.given_up));
    }
}

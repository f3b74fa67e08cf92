//! The socket between the run and a worker: the settings, then one descriptor for each connection.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use rustix::net::SendFlags;
use zeroize::Zeroizing;

use super::passing;
use super::protocol::{HEADER, LONGEST_MESSAGE, RECORD, frame, parse_header, record};
use crate::ssh::settings::SshSettings;

/// Comes with a descriptor.
const HERE: u8 = b'c';
/// No more descriptors come: the worker ends with its last connection.
const FINISH: u8 = b'f';

/// What arrives after the settings.
pub(super) enum Handed {
    Connection(UnixStream),
    Finish,
    /// The run's process has ended.
    Gone,
}

/// Sends the settings.
pub(super) fn send_settings(mut control: &UnixStream, settings: &SshSettings) -> io::Result<()> {
    let frame = frame(settings, LONGEST_MESSAGE).map_err(io::Error::other)?;
    control.write_all(&frame)
}

/// Receives the settings.
pub(super) fn receive_settings(mut control: &UnixStream) -> io::Result<SshSettings> {
    let mut header = [0; HEADER];
    control.read_exact(&mut header)?;
    let (length, kind) = parse_header(header);
    if kind != RECORD || length > LONGEST_MESSAGE {
        return Err(io::Error::other("what came first are no settings"));
    }
    let mut bytes = Zeroizing::new(vec![0; length]);
    control.read_exact(&mut bytes)?;
    record(&bytes).map_err(io::Error::other)
}

/// Sends one end of a connection's pair. A worker that takes none is an error rather than a wait.
pub(super) fn hand(control: &UnixStream, end: &UnixStream) -> io::Result<()> {
    passing::send(control, &[HERE], Some(end.as_fd())).map(drop)
}

/// Says that no more will come.
pub(super) fn finish(control: &UnixStream) {
    // A worker that is gone already has finished.
    let _ = rustix::net::send(control, &[FINISH], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
}

/// Takes the next thing, without blocking where the socket does not.
pub(super) fn take(control: impl AsFd) -> io::Result<Handed> {
    let mut byte = [0];
    match (passing::receive(control, &mut byte)?, byte) {
        ((0, _), _) => Ok(Handed::Gone),
        ((_, Some(end)), [HERE]) => Ok(Handed::Connection(end.into())),
        (_, [FINISH]) => Ok(Handed::Finish),
        _ => Err(io::Error::other("something else than a connection came")),
    }
}

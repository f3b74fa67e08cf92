//! The socket between the run and a worker: the settings, then one descriptor for each connection.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use zeroize::Zeroizing;

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
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let ends = [end.as_fd()];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&ends)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    sendmsg(control, &[IoSlice::new(&[HERE])], &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?;
    Ok(())
}

/// Says that no more will come.
pub(super) fn finish(control: &UnixStream) {
    // A worker that is gone already has finished.
    let _ = rustix::net::send(control, &[FINISH], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
}

/// Takes the next thing, without blocking where the socket does not.
pub(super) fn take(control: impl AsFd) -> io::Result<Handed> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let received =
        recvmsg(control, &mut [IoSliceMut::new(&mut byte)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut ends = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let end: Option<OwnedFd> = ends.next().and_then(|mut fds| fds.next());
    match (received.bytes, byte, end) {
        (0, ..) => Ok(Handed::Gone),
        (_, [HERE], Some(end)) => Ok(Handed::Connection(end.into())),
        (_, [FINISH], _) => Ok(Handed::Finish),
        _ => Err(io::Error::other("something else than a connection came")),
    }
}

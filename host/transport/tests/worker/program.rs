//! Holds SSH connections for the tests of this package; or does not, as a worker that an attacker has taken over.

use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

fn main() -> ExitCode {
    let mode = std::env::args().nth(1);
    let done = match mode.as_deref() {
        None => autoexec_transport::ssh::serve().map_err(|error| error.to_string()),
        Some(mode) => hostile(mode).map_err(|error| error.to_string()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "ERROR {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers the first connection with something that is no answer, and waits for the end of the run.
fn hostile(mode: &str) -> io::Result<()> {
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut connection = UnixStream::from(first_descriptor(&control)?);
    match mode {
        "huge" => connection.write_all(&[255, 255, 255, 255, 1])?,
        "kind" => connection.write_all(&[1, 0, 0, 0, 9, 0])?,
        "garbage" => connection.write_all(&[4, 0, 0, 0, 1, 1, 255, 255, 255])?,
        "half" => {
            connection.write_all(&[100, 0, 0, 0, 1, 1])?;
            return Ok(());
        }
        other => return Err(io::Error::other(format!("no way to be hostile: {other}"))),
    }
    while recv(&control)?.0 > 0 {}
    Ok(())
}

fn first_descriptor(control: &UnixStream) -> io::Result<OwnedFd> {
    loop {
        match recv(control)? {
            (_, Some(descriptor)) => return Ok(descriptor),
            (0, _) => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
    }
}

fn recv(control: &UnixStream) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 1024];
    let received =
        recvmsg(control, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let descriptor = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((received.bytes, descriptor))
}

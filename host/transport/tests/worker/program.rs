//! Holds SSH connections for the tests of this package; or does not, as a worker that an attacker has taken over.

use std::fs::{self, OpenOptions};
use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};

use autoexec_transport::ssh::{ConnectionWorker, WorkerError};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [] => serve().map_err(|error| error.to_string()),
        ["taken-over", file, port] => taken_over(file, port).map_err(|error| error.to_string()),
        [mode] => hostile(mode).map_err(|error| error.to_string()),
        _ => Err("other arguments".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "ERROR {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), WorkerError> {
    ConnectionWorker::confined()?.serve()
}

/// What somebody tries whose code runs in a worker; says how each went.
fn taken_over(file: &str, port: &str) -> Result<(), Box<dyn std::error::Error>> {
    let port: u16 = port.parse()?;
    let executor = nix::unistd::getppid();
    let _worker = ConnectionWorker::confined()?;
    let beside = format!("{file}.new");
    let attempts: [(&str, io::Result<()>); 13] = [
        ("read a file", fs::read(file).map(drop)),
        ("read /etc/passwd", fs::read("/etc/passwd").map(drop)),
        ("list a directory", fs::read_dir("/").map(drop)),
        ("change a file", OpenOptions::new().append(true).open(file).map(drop)),
        ("make a file", fs::write(&beside, "x")),
        ("make a directory", fs::create_dir(&beside)),
        ("remove a file", fs::remove_file(file)),
        ("start a program", Command::new("/bin/true").status().map(drop)),
        ("start itself", Command::new("/proc/self/exe").status().map(drop)),
        ("read memory", fs::read(format!("/proc/{executor}/mem")).map(drop)),
        ("trace", trace(executor)),
        ("signal", kill(executor, None).map_err(io::Error::from)),
        ("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
    ];
    let mut out = io::stdout();
    for (what, result) in attempts {
        let how = result.map_or_else(|error| format!("{:?}", error.kind()), |()| "done".to_owned());
        writeln!(out, "{what}: {how}")?;
    }
    TcpStream::connect(("127.0.0.1", port))?;
    writeln!(out, "connect: done")?;
    Ok(())
}

/// As a debugger does.
#[expect(unsafe_code, reason = "a safe form of this call does not exist")]
fn trace(process: Pid) -> io::Result<()> {
    // SAFETY: with this request neither pointer is looked at.
    let traced = unsafe {
        libc::ptrace(
            libc::PTRACE_SEIZE,
            process.as_raw(),
            std::ptr::null_mut::<libc::c_void>(),
            std::ptr::null_mut::<libc::c_void>(),
        )
    };
    if traced == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Answers a connection with something that is no answer, and waits for the end of the run.
fn hostile(mode: &str) -> io::Result<()> {
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut connection = UnixStream::from(first_descriptor(&control)?);
    let mut first = None;
    match mode {
        "huge" => connection.write_all(&[255, 255, 255, 255, 1])?,
        "kind" => connection.write_all(&[1, 0, 0, 0, 9, 0])?,
        "garbage" => connection.write_all(&[4, 0, 0, 0, 1, 1, 255, 255, 255])?,
        // A file while no operation is under way, and a host that is not on the way.
        "file" => connection.write_all(&[4, 0, 0, 0, 1, 2, 1, 3, 0])?,
        "host" => connection.write_all(&[4, 0, 0, 0, 1, 2, 1, 1, 7])?,
        "half" => {
            connection.write_all(&[100, 0, 0, 0, 1, 1])?;
            return Ok(());
        }
        "second" => {
            first = Some(std::mem::replace(&mut connection, first_descriptor(&control)?.into()));
            connection.write_all(&[255, 255, 255, 255, 1])?;
        }
        other => return Err(io::Error::other(format!("no way to be hostile: {other}"))),
    }
    while recv(&control)?.0 > 0 {}
    drop(first);
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

//! The worker's side: a process that holds connections for a run.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use tokio::io::Interest;
use tokio::sync::mpsc;

use super::handing::{Handed, receive_settings, take};
use super::serving::Serving;
use crate::ssh::dialer::Dialer;

/// Memory of a worker. libssh2 keeps each packet that it does not know for as long as the session lives, so that a hostile host
/// would take all that there is. What 64 connections need while they work is a small part of this.
const MEMORY: rlim_t = 1024 * 1024 * 1024;

/// Why a worker does not work.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// It was started by something else.
    #[error("this start is internal to autoexec: {0}")]
    NotStartedByUs(io::Error),
    /// The system refuses what it needs.
    #[error("an SSH process can not work: {0}")]
    System(#[from] io::Error),
    /// The system can confine it, and refuses.
    #[error("an SSH process can not be confined: {0}")]
    Confinement(#[from] autoexec_confine::ConfineError),
}

/// Held by whatever keeps a worker that was told to finish from ending.
#[derive(Debug, Clone)]
pub(in crate::ssh) struct Alive {
    _held: mpsc::Sender<()>,
}

/// A process that can hold connections for the run that has started it, and can do little else.
#[derive(Debug)]
pub struct ConnectionWorker {
    control: UnixStream,
}

impl ConnectionWorker {
    /// Turns this process into one, before it has heard anything of the run. To be called before anything is opened and any
    /// thread is started: descriptors that came along are closed. Afterwards it has one socket, no files and no privileges, as
    /// far as the kernel can see to that (`docs/ssh.md`).
    ///
    /// # Errors
    /// Why it can not work.
    pub fn confined() -> Result<Self, WorkerError> {
        let control = io::stdin().as_fd().try_clone_to_owned()?;
        let control = UnixStream::from(control);
        control.peer_addr().map_err(WorkerError::NotStartedByUs)?;
        restrict(&control)?;
        // The libraries read their configuration now, or never.
        drop(ssh2::Session::new().map_err(|error| WorkerError::System(io::Error::other(error.to_string())))?);
        autoexec_confine::confine_to_open_files()?;
        Ok(Self { control })
    }

    /// Holds the run's connections, until it has no use for this process any more or is gone.
    ///
    /// A run that says that it has finished is served to the end of its last connection. When it ends without a word,
    /// this returns at once, and the process has to end: as with the run itself, its connections break.
    ///
    /// # Errors
    /// Why it can not work.
    pub fn serve(self) -> Result<(), WorkerError> {
        let Self { control } = self;
        let settings = receive_settings(&control).map_err(WorkerError::NotStartedByUs)?;
        control.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let served = runtime.block_on(work(control, Dialer::new(settings)));
        // Nothing that is still under way must keep it.
        runtime.shutdown_background();
        Ok(served?)
    }
}

/// Nothing but the socket, no more privileges, no memory on the disk.
fn restrict(control: &UnixStream) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    // Not the name of a run, by which those are found.
    nix::sys::prctl::set_name(c"autoexec-ssh")?;
    nix::sys::prctl::set_no_new_privs()?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    // Of data, not of addresses: what the allocator only reserves costs nothing.
    let (_, allowed) = getrlimit(Resource::RLIMIT_DATA)?;
    let memory = MEMORY.min(allowed);
    setrlimit(Resource::RLIMIT_DATA, memory, memory)?;
    let own = u32::try_from(control.as_raw_fd()).unwrap_or(u32::MAX);
    for (first, last) in [(3, own.saturating_sub(1)), (own.saturating_add(1), u32::MAX)] {
        if first > last {
            continue;
        }
        #[expect(unsafe_code, reason = "a safe form of this call does not exist")]
        // SAFETY: the program has just begun: nothing of it owns one of these, except `control`, which is left out.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0_u32) };
        if closed != 0 {
            // A kernel before 5.9. Ours are all closed by `exec`.
            tracing::debug!(error = %io::Error::last_os_error(), "inherited files stay open");
        }
    }
    Ok(())
}

async fn work(control: UnixStream, dialer: Dialer) -> io::Result<()> {
    let control = tokio::net::UnixStream::from_std(control)?;
    let (held, mut last) = mpsc::channel(1);
    let mut alive = Some(Alive { _held: held });
    loop {
        let handed = tokio::select! {
            handed = next(&control) => handed?,
            // Only when it was told to finish.
            _ = last.recv(), if alive.is_none() => return Ok(()),
        };
        match (handed, &alive) {
            (Handed::Connection(socket), Some(alive)) => {
                let serving = Serving::new(socket, dialer.clone(), alive.clone());
                tokio::spawn(serving.run());
            }
            (Handed::Connection(_), None) => {}
            (Handed::Finish, _) => alive = None,
            // After a farewell the end of the socket is no news.
            (Handed::Gone, None) => {
                last.recv().await;
                return Ok(());
            }
            (Handed::Gone, Some(_)) => return Ok(()),
        }
    }
}

async fn next(control: &tokio::net::UnixStream) -> io::Result<Handed> {
    control.async_io(Interest::READABLE, || take(control)).await
}

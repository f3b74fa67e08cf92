//! One libssh2 session on one socket, driven without blocking from the thread that owns it.

use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use libssh2_sys as raw;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use ssh2::{BlockDirections, Channel, ErrorCode, Session};

use super::algorithms;
use super::auth;
use super::error::{SshErrorKind, Step};
use super::fault::{Failure, Fault};
use super::hop::Hop;
use super::host_key;
use super::isolation::protocol::HostInfo;
use super::patience::{Cancel, Patience};
use super::rules;
use super::settings::SshSettings;
use crate::output::with_buffer;
use crate::stop::StopToken;

/// How long a blocked step sleeps at most while another channel of the session has to be served as well: the blocked
/// step may have taken that channel's packets off the socket, so that the socket would not wake us for them.
pub(super) const SHARED_NAP: Duration = Duration::from_millis(20);
/// The most that the end of a channel is waited for.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// One piece of reading from a channel.
pub(super) enum Piece {
    /// Bytes were handed over.
    Data,
    /// Nothing there now.
    Blocked,
    /// The peer has sent all.
    End,
}

/// Something to do while a step is blocked: serving the session's other channel.
pub(super) type Meanwhile<'a> = Option<&'a mut dyn FnMut()>;

/// The same for one step of several.
pub(super) fn lent<'a>(meanwhile: &'a mut Meanwhile<'_>) -> Meanwhile<'a> {
    meanwhile.as_mut().map(|serve| &mut **serve as &mut dyn FnMut())
}

/// What a session speaks over.
pub(super) enum Socket {
    /// A connection of this machine.
    Tcp(TcpStream),
    /// One end of a pair whose other end a jump host's thread serves.
    Jump(UnixStream),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Jump(socket) => socket.as_fd(),
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Socket {
    fn tune(&self, settings: &SshSettings) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => tune(socket, settings),
            Self::Jump(socket) => socket.set_nonblocking(true),
        }
    }

    pub(super) fn shutdown(&self) {
        let both = std::net::Shutdown::Both;
        let _ = match self {
            Self::Tcp(socket) => socket.shutdown(both),
            Self::Jump(socket) => socket.shutdown(both),
        };
    }

    /// The peer's address, where we have one.
    pub(super) fn peer(&self) -> Option<std::net::SocketAddr> {
        match self {
            Self::Tcp(socket) => socket.peer_addr().ok(),
            Self::Jump(_) => None,
        }
    }
}

/// An authenticated session, or one on its way there.
pub(super) struct Link {
    session: Session,
    socket: Arc<Socket>,
    wake: Arc<EventFd>,
    keepalive: Option<Duration>,
    keepalive_due: Cell<Instant>,
    broken: Cell<bool>,
    /// A shell that waits for a line.
    standby: RefCell<Option<Shell>>,
}

/// A shell on the target that waits for a line.
pub(super) struct Shell {
    pub(super) channel: Channel,
    /// Definitions that it has, see [`super::resident::Line::sharing`].
    pub(super) known: String,
}

impl Link {
    /// Key exchange, host key check and login on a connected socket, in this order.
    pub(super) fn establish(
        socket: Socket,
        hop: &Hop,
        settings: &SshSettings,
        wake: Arc<EventFd>,
        patience: &Patience<'_>,
    ) -> Result<Self, SshErrorKind> {
        let mut link = Self::on(socket, settings, wake)?;
        let (target, HostInfo { known, credentials }) = (hop.target(), hop.info()?);
        let legacy = rules::legacy_of(&settings.rules, &target.host, SystemTime::now())?;
        let host_keys = algorithms::offer(&link.session, legacy)?;
        host_key::prefer_known_types(&link.session, known, &host_keys)?;
        link.handshake(&patience.within(Step::Handshake, settings.steps.handshake))?;
        host_key::check(&link.session, known, settings, hop)?;
        auth::log_in(&link, &target.user, credentials, &patience.within(Step::Auth, settings.steps.auth))?;
        Ok(link)
    }

    fn on(socket: Socket, settings: &SshSettings, wake: Arc<EventFd>) -> Result<Self, SshErrorKind> {
        socket.tune(settings).map_err(|error| local("the socket", &error))?;
        let socket = Arc::new(socket);
        let mut session = Session::new().map_err(|error| local("an SSH session", &error))?;
        session.set_tcp_stream(Arc::clone(&socket));
        session.set_blocking(false);
        // Only for the few places where the binding switches to blocking by itself (dropping an open SFTP file).
        session.set_timeout(u32::try_from(CLOSE_LIMIT.as_millis()).unwrap_or(2000));
        let keepalive = settings.keepalive.map(|interval| interval.max(Duration::from_secs(2)));
        if let Some(interval) = keepalive {
            // No reply is asked for: libssh2 keeps unasked replies for ever. TCP says whether the peer is there.
            session.set_keepalive(false, u32::try_from(interval.as_secs()).unwrap_or(u32::MAX));
        }
        let keepalive_due = Cell::new(Instant::now() + keepalive.unwrap_or_default());
        Ok(Self {
            session,
            socket,
            wake,
            keepalive,
            keepalive_due,
            broken: Cell::new(false),
            standby: RefCell::default(),
        })
    }

    fn handshake(&mut self, patience: &Patience<'_>) -> Result<(), SshErrorKind> {
        loop {
            let fault = match self.session.handshake().map_err(Fault::from) {
                Ok(()) => return Ok(()),
                Err(fault) => fault,
            };
            if !fault.would_block {
                return Err(SshErrorKind::Handshake { detail: fault.detail });
            }
            patience.check()?;
            self.wait(patience.until())?;
        }
    }

    /// The session, for the modules that speak to libssh2.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }

    /// The peer's address, where the connection is a direct one.
    pub(super) fn peer(&self) -> Option<std::net::SocketAddr> {
        self.socket.peer()
    }

    /// What the session speaks over.
    pub(super) fn socket(&self) -> Arc<Socket> {
        Arc::clone(&self.socket)
    }

    /// True when nothing more can be done over this connection.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.get()
    }

    /// The authentication methods the server offers, comma separated; empty when none is needed any more.
    pub(super) fn auth_methods(&self, user: &str) -> Result<String, Fault> {
        let name = CString::new(user).map_err(|_| Fault::of_ours("the user name holds a NUL byte"))?;
        let length = u32::try_from(user.len()).unwrap_or(u32::MAX);
        // The binding's own function panics when the server's list is not UTF-8, which a hostile server decides.
        #[expect(unsafe_code, reason = "a safe form of this call does not exist")]
        let methods = {
            let mut session = self.session.raw();
            // SAFETY: the guard holds the session's lock; the name outlives the call; the result, if not null, is a
            // NUL-terminated text owned by the session and is copied before the lock is released.
            unsafe {
                let list = raw::libssh2_userauth_list(&raw mut *session, name.as_ptr(), length);
                (!list.is_null()).then(|| std::ffi::CStr::from_ptr(list).to_string_lossy().into_owned())
            }
        };
        match (methods, ssh2::Error::last_session_error(&self.session)) {
            (Some(methods), _) => Ok(methods),
            (None, _) if self.session.authenticated() => Ok(String::new()),
            (None, Some(error)) => Err(error.into()),
            (None, None) => Ok(String::new()),
        }
    }

    /// Repeats a non-blocking step until it is done, fails, takes too long or is told to stop.
    pub(super) fn drive<T, E: Into<Fault>>(
        &self,
        patience: &Patience<'_>,
        mut meanwhile: Meanwhile<'_>,
        mut step: impl FnMut() -> Result<T, E>,
    ) -> Result<T, Failure> {
        loop {
            let fault = match step().map_err(Into::into) {
                Ok(done) => return Ok(done),
                Err(fault) => fault,
            };
            if !fault.would_block {
                return Err(Failure::Fault(self.noted(fault)));
            }
            patience.check().map_err(Failure::Kind)?;
            let until = serve(&mut meanwhile, patience.until());
            self.wait(until).map_err(Failure::Kind)?;
        }
    }

    /// Remembers when a fault means the end of the connection. Faults of reads and writes carry no code; the session
    /// has it.
    pub(super) fn noted(&self, mut fault: Fault) -> Fault {
        if fault.code.is_none()
            && let Some(error) = ssh2::Error::last_session_error(&self.session)
            && let ErrorCode::Session(code) = error.code()
        {
            fault.code = Some(code);
        }
        if fault.ends_connection() {
            self.broken.set(true);
        }
        fault
    }

    /// Keeps a shell that waits for another line.
    pub(super) fn stand_by(&self, shell: Shell) {
        self.standby.replace(Some(shell));
    }

    /// The shell that was kept, unless it has ended since.
    pub(super) fn standby(&self) -> Option<Shell> {
        let mut shell = self.standby.take()?;
        if matches!(self.read(&shell.channel, 0, &mut |_| {}), Ok(Piece::Blocked)) {
            return Some(shell);
        }
        self.close(&mut shell.channel, true);
        None
    }

    /// Opens a session channel. A shell that stands by is given up first: some servers allow one channel only.
    pub(super) fn session_channel(
        &self,
        patience: &Patience<'_>,
        meanwhile: Meanwhile<'_>,
    ) -> Result<Channel, SshErrorKind> {
        self.dismiss();
        self.drive(patience, meanwhile, || self.session.channel_session())
            .map_err(|failure| failure.during(patience.step))
    }

    /// Gives up the shell that stands by.
    pub(super) fn dismiss(&self) {
        if let Some(mut shell) = self.standby.take() {
            self.close(&mut shell.channel, true);
        }
    }

    /// Opens a channel and starts `command` in it.
    pub(super) fn start(
        &self,
        command: &str,
        merge_stderr: bool,
        patience: &Patience<'_>,
        mut meanwhile: Meanwhile<'_>,
    ) -> Result<Channel, SshErrorKind> {
        let step = patience.step;
        if self.is_broken() {
            return Err(SshErrorKind::ConnectionLost {
                step,
                detail: "an earlier operation lost it".to_owned(),
            });
        }
        let mut channel = self.session_channel(patience, lent(&mut meanwhile))?;
        let mode = if merge_stderr { ssh2::ExtendedData::Merge } else { ssh2::ExtendedData::Normal };
        let started = self
            .drive(patience, None, || channel.handle_extended_data(mode))
            .and_then(|()| self.drive(patience, meanwhile, || channel.exec(command)));
        if let Err(failure) = started {
            self.close(&mut channel, false);
            return Err(failure.during(step));
        }
        Ok(channel)
    }

    /// Takes what is there from one stream of a channel (0 stdout, 1 stderr).
    pub(super) fn read(
        &self,
        channel: &Channel,
        stream: i32,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<Piece, SshErrorKind> {
        with_buffer(|buffer| match channel.stream(stream).read(buffer) {
            Ok(0) => Ok(Piece::End),
            Ok(length) => {
                take(buffer.get(..length).unwrap_or_default());
                Ok(Piece::Data)
            }
            Err(error) => {
                let fault = Fault::from(error);
                if fault.would_block {
                    return Ok(Piece::Blocked);
                }
                Err(Failure::Fault(self.noted(fault)).during(Step::Output))
            }
        })
    }

    /// Writes what the channel takes now; how many bytes that were, none when it takes nothing.
    pub(super) fn write(&self, channel: &Channel, bytes: &[u8]) -> Result<Option<usize>, SshErrorKind> {
        match channel.stream(0).write(bytes) {
            Ok(sent) => Ok(Some(sent)),
            Err(error) => {
                let fault = self.noted(error.into());
                if fault.would_block {
                    return Ok(None);
                }
                Err(Failure::Fault(fault).during(Step::Send))
            }
        }
    }

    /// Gives a channel back. Where the command has ended the peer's own close is waited for; sshd sends none while the
    /// command runs on, and then libssh2 keeps what is left of the channel until the connection ends.
    pub(super) fn close(&self, channel: &mut Channel, command_ended: bool) {
        if self.is_broken() {
            return;
        }
        let until = Instant::now() + CLOSE_LIMIT;
        while let Err(fault) = channel.close().map_err(|error| self.noted(error.into())) {
            let sending =
                matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both);
            if !fault.would_block || !(sending || command_ended) {
                return;
            }
            if Instant::now() >= until || self.wait(until).is_err() {
                // A packet that stays half sent would block all later ones.
                self.broken.set(self.broken.get() || sending);
                return;
            }
        }
    }

    /// True while a packet is half sent, after which nothing but the rest of it may be sent.
    pub(super) fn is_sending(&self) -> bool {
        matches!(self.session.block_directions(), BlockDirections::Outbound | BlockDirections::Both)
    }

    /// Sleeps until the socket or the event descriptor has something, a keep-alive is due, or `until`.
    pub(super) fn wait(&self, until: Instant) -> Result<(), SshErrorKind> {
        self.wait_with(Vec::new(), until)
    }

    /// The same, and wakes for further descriptors.
    pub(super) fn wait_with<'a>(
        &'a self,
        mut fds: Vec<PollFd<'a>>,
        until: Instant,
    ) -> Result<(), SshErrorKind> {
        let interest = match self.session.block_directions() {
            BlockDirections::Outbound => PollFlags::POLLOUT,
            BlockDirections::Both => PollFlags::POLLIN | PollFlags::POLLOUT,
            BlockDirections::Inbound | BlockDirections::None => PollFlags::POLLIN,
        };
        fds.push(PollFd::new(self.socket.as_fd(), interest));
        fds.push(PollFd::new(self.wake.as_fd(), PollFlags::POLLIN));
        self.sleep(&mut fds, until)?;
        if !interest.contains(PollFlags::POLLOUT) {
            self.keep_alive();
        }
        Ok(())
    }

    /// Sleeps between operations, at most until then. The socket is not looked at: what a peer says meanwhile is read by the next
    /// operation.
    pub(super) fn rest(&self, until: Instant) -> Result<(), SshErrorKind> {
        let mut fds = [PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        self.sleep(&mut fds, until)?;
        self.keep_alive();
        Ok(())
    }

    fn sleep(&self, fds: &mut [PollFd<'_>], until: Instant) -> Result<(), SshErrorKind> {
        let until = if self.keepalive.is_some() { until.min(self.keepalive_due.get()) } else { until };
        // Rounded up: a sleep of less than a millisecond must not become a busy loop.
        let millis = until.saturating_duration_since(Instant::now()).as_millis().saturating_add(1);
        let timeout = PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX);
        match poll(fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(local("waiting", &error)),
        }
        // The event only wakes; what it stands for is looked at by the caller. Empty is fine.
        let _ = self.wake.read();
        Ok(())
    }

    /// Called only while no packet is half sent: libssh2 would otherwise leave a second one half sent and get stuck.
    fn keep_alive(&self) {
        let Some(interval) = self.keepalive else { return };
        if Instant::now() < self.keepalive_due.get() || self.is_broken() {
            return;
        }
        self.keepalive_due.set(Instant::now() + interval);
        if let Err(error) = self.session.keepalive_send() {
            tracing::debug!(%error, "the keep-alive message cannot be sent");
            self.broken.set(true);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if !self.is_broken() {
            let calm = Cancel::new(StopToken::never(), Arc::default());
            let patience = Patience::new(Step::Close, CLOSE_LIMIT, &calm, None);
            let _ = self.drive(&patience, None, || self.session.disconnect(None, "done", None));
        }
        // libssh2 frees open channels only when it can tell the peer, or when the socket fails at once.
        self.socket.shutdown();
    }
}

fn tune(socket: &TcpStream, settings: &SshSettings) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(socket, true)?;
    if let Some(interval) = settings.keepalive {
        let patience = interval.saturating_mul(3).max(Duration::from_secs(10));
        let millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
        rustix::net::sockopt::set_tcp_user_timeout(socket, millis)?;
    }
    Ok(())
}

/// Serves the other channel, and says how long a sleep may be then.
pub(super) fn serve(meanwhile: &mut Meanwhile<'_>, until: Instant) -> Instant {
    match meanwhile {
        Some(serve) => {
            serve();
            until.min(Instant::now() + SHARED_NAP)
        }
        None => until,
    }
}

/// An error of this machine.
pub(super) fn local(what: &'static str, error: &dyn std::fmt::Display) -> SshErrorKind {
    SshErrorKind::Local { what: what.into(), detail: error.to_string() }
}

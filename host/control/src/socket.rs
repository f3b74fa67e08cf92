//! The socket file: bound at a path of any length, readable by nobody else, gone at the end.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixDatagram as StdDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use autoexec_store::JobDir;
use rustix::fs::{CWD, Mode, OFlags};
use serde_json::Value;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::message::MessageError;

/// Longest path of a Unix address on Linux, in bytes.
const LONGEST_ADDRESS: usize = 107;

/// Room for one datagram. The kernel's default limit for a sender is a fifth of it.
const BUFFER: usize = 1024 * 1024;

/// How long a reply waits for a sender that does not read.
const REPLY_LIMIT: Duration = Duration::from_secs(5);

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// The system refused.
    #[error("job socket `{path}`: cannot {action}: {cause}")]
    Io {
        /// The socket file or its directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The answer of the system.
        cause: io::Error,
    },
    /// Another process listens there.
    #[error(
        "job socket `{path}`: another process of this job listens there; two processes must not have the same exec id: \
         wait for the other one to end, or abort it first"
    )]
    InUse {
        /// The socket file.
        path: PathBuf,
    },
}

/// The socket of a job, bound. The file goes when this is dropped.
#[derive(Debug)]
pub struct JobSocket {
    socket: UnixDatagram,
    directory: Directory,
    file: SocketFile,
}

/// Where a reply goes; a sender that is not bound to a name has no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sender(Option<PathBuf>);

/// What is known of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// The sender has it.
    Delivered,
    /// Nobody waits for it.
    NoAddress,
    /// The sender is gone.
    SenderGone,
    /// It does not read.
    NotTaken,
}

/// How plugins are told of the socket (`AUTOEXEC_JOB_SOCK`): its path or, where that is longer than an address can
/// be, its name, as plugins start in the job directory.
pub fn plugin_address(path: &Path) -> &Path {
    match path.file_name() {
        Some(name) if path.as_os_str().len() > LONGEST_ADDRESS => Path::new(name),
        _ => path,
    }
}

/// Removes the sockets that dead processes left in a job directory: the runner takes one for a running job.
pub fn remove_dead_sockets(job_dir: &JobDir) -> Result<(), SocketError> {
    let path = job_dir.root().to_owned();
    let removed = Directory::open(&path).and_then(|directory| directory.remove_stale());
    match removed {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
            Err(SocketError::Io { path, action: "remove the sockets of dead processes in it", cause })
        }
        _ => Ok(()),
    }
}

impl JobSocket {
    /// Binds `job<instance>.sock`, mode 0600. Sockets that dead processes left in the job directory are removed
    /// (`spec/job-socket.md` §9.1).
    ///
    /// Needs a tokio runtime.
    pub fn bind(job_dir: &JobDir, instance: &str) -> Result<Self, SocketError> {
        let path = job_dir.socket(instance);
        let error = |action| {
            let path = path.clone();
            move |cause: io::Error| SocketError::Io { path, action, cause }
        };
        let directory = Directory::open(job_dir.root()).map_err(error("open its directory"))?;
        directory.remove_stale().map_err(error("remove the socket of a dead process"))?;
        if fs::symlink_metadata(&path).is_ok() {
            return Err(SocketError::InUse { path });
        }
        let socket = bind_closed(&directory.address_of(&path)).map_err(error("bind"))?;
        let file = SocketFile::of(path.clone()).map_err(error("look at it"))?;
        socket.set_nonblocking(true).map_err(error("use"))?;
        let socket = UnixDatagram::from_std(socket).map_err(error("use"))?;
        Ok(Self { socket, directory, file })
    }

    /// The socket file.
    pub fn path(&self) -> &Path {
        &self.file.path
    }

    /// Removes the file; the socket stays open for replies.
    pub(crate) fn remove_file(&self) {
        self.file.remove();
    }

    /// A buffer for [`receive`](Self::receive).
    pub(crate) fn buffer() -> Vec<u8> {
        vec![0; BUFFER]
    }

    /// Waits for a datagram. Cancel safe.
    pub(crate) async fn receive<'a>(
        &self,
        buffer: &'a mut [u8],
    ) -> io::Result<(Result<&'a [u8], MessageError>, Sender)> {
        let (length, from) = self.socket.recv_from(buffer).await?;
        let room = buffer.len();
        // What filled the buffer may have been cut.
        let bytes = buffer.get(..length).filter(|_| length < room).ok_or(MessageError::TooLong(room));
        Ok((bytes, Sender(from.as_pathname().map(Path::to_owned))))
    }

    /// Sends a reply.
    pub(crate) async fn reply(&self, to: &Sender, reply: &Value) -> Delivery {
        let Some(address) = &to.0 else { return Delivery::NoAddress };
        let bytes = reply.to_string();
        let sending = self.socket.send_to(bytes.as_bytes(), self.directory.resolve(address));
        match timeout(REPLY_LIMIT, sending).await {
            Ok(Ok(_)) => Delivery::Delivered,
            Ok(Err(error)) if is_gone(&error) => Delivery::SenderGone,
            Ok(Err(_)) | Err(_) => Delivery::NotTaken,
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

/// Binds with mode 0600 from the first moment: Linux takes the mode of the socket for the file.
fn bind_closed(address: &Path) -> io::Result<StdDatagram> {
    let socket = StdDatagram::unbound()?;
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    let address = rustix::net::SocketAddrUnix::new(address)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

/// The job directory, held open: its sockets can be addressed through it however long its path is.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    fd: OwnedFd,
}

impl Directory {
    fn open(path: &Path) -> io::Result<Self> {
        let fd =
            rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { path: path.to_owned(), fd })
    }

    fn through_fd(&self, name: &OsStr) -> PathBuf {
        Path::new("/proc/self/fd").join(self.fd.as_raw_fd().to_string()).join(name)
    }

    /// The address of a socket in the directory.
    fn address_of(&self, path: &Path) -> PathBuf {
        match path.file_name() {
            Some(name) if path.as_os_str().len() > LONGEST_ADDRESS => self.through_fd(name),
            _ => path.to_owned(),
        }
    }

    /// Plugins run in the job directory, so a relative address is relative to it.
    fn resolve(&self, address: &Path) -> PathBuf {
        if address.is_absolute() { address.to_owned() } else { self.through_fd(address.as_os_str()) }
    }

    fn remove_stale(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let is_socket = entry.file_type().is_ok_and(|kind| kind.is_socket());
            if is_socket && is_job_socket(&entry.file_name()) && !self.is_listened_to(&entry.path())? {
                match fs::remove_file(entry.path()) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn is_listened_to(&self, path: &Path) -> io::Result<bool> {
        match StdDatagram::unbound()?.connect(self.address_of(path)) {
            Err(error) if is_gone(&error) => Ok(false),
            // Whatever else is wrong with it, it is not ours to remove.
            _ => Ok(true),
        }
    }
}

fn is_job_socket(name: &OsStr) -> bool {
    name.as_bytes().starts_with(b"job") && name.as_bytes().ends_with(b".sock")
}

/// The file we made. A later process may have replaced it; that one is not removed.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    fn of(path: PathBuf) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(&path)?;
        Ok(Self { path, identity: (metadata.dev(), metadata.ino()) })
    }

    fn remove(&self) {
        let found = fs::symlink_metadata(&self.path).map(|metadata| (metadata.dev(), metadata.ino()));
        if found.is_ok_and(|identity| identity == self.identity) {
            // What stays is removed by the next process of the job.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::os::unix::fs::PermissionsExt;

    const SOON: Duration = Duration::from_secs(20);

    fn job() -> (tempfile::TempDir, JobDir) {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir::at(dir.path());
        (dir, job)
    }

    fn deep_job() -> (tempfile::TempDir, JobDir) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("d".repeat(100)).join("e".repeat(100));
        fs::create_dir_all(&root).unwrap();
        (dir, JobDir::at(root))
    }

    async fn received(socket: &JobSocket) -> (Result<Vec<u8>, MessageError>, Sender) {
        let mut buffer = JobSocket::buffer();
        let (bytes, sender) = timeout(SOON, socket.receive(&mut buffer)).await.unwrap().unwrap();
        (bytes.map(<[u8]>::to_vec), sender)
    }

    #[tokio::test]
    async fn it_is_the_owners_alone_and_gone_at_the_end() {
        let (_dir, job) = job();
        let socket = JobSocket::bind(&job, "900").unwrap();
        let path = job.socket("900");
        let metadata = fs::symlink_metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn sockets_of_dead_processes_are_removed_and_those_of_living_ones_stay() {
        let (_dir, job) = job();
        for name in ["job900.sock", "job1.sock"] {
            drop(StdDatagram::bind(job.root().join(name)).unwrap());
        }
        fs::write(job.root().join("jobnotes.sock"), "a file").unwrap();
        let plugin = StdDatagram::bind(job.root().join("client5.sock")).unwrap();
        let living = StdDatagram::bind(job.root().join("job2.sock")).unwrap();
        let _socket = JobSocket::bind(&job, "900").unwrap();
        assert!(!job.socket("1").exists());
        for kept in ["job900.sock", "job2.sock", "jobnotes.sock", "client5.sock"] {
            assert!(job.root().join(kept).exists(), "{kept}");
        }
        let error = JobSocket::bind(&job, "2").unwrap_err();
        assert!(matches!(&error, SocketError::InUse { path } if path.ends_with("job2.sock")), "{error}");
        drop((plugin, living));
    }

    #[tokio::test]
    async fn a_path_longer_than_an_address_works_for_requests_and_replies() {
        let (_dir, job) = deep_job();
        let path = job.socket("900");
        assert!(path.as_os_str().len() > 200);
        assert_eq!(plugin_address(&path), Path::new("job900.sock"));
        drop(JobSocket::bind(&job, "900").unwrap());
        let socket = JobSocket::bind(&job, "900").unwrap();
        assert!(path.exists());
        // As a plugin does that runs in the job directory, without changing the directory of this test.
        let script = "use Socket; socket(S, AF_UNIX, SOCK_DGRAM, 0) or die; bind(S, pack_sockaddr_un('client7.sock')) or die; \
                      send(S, '{}', 0, pack_sockaddr_un($ARGV[0])) or die; recv(S, my $got, 1024, 0); print $got;";
        let child = std::process::Command::new("perl")
            .args(["-e", script])
            .arg(plugin_address(&path))
            .current_dir(job.root())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let (bytes, sender) = received(&socket).await;
        assert_eq!((bytes, &sender), (Ok(b"{}".to_vec()), &Sender(Some("client7.sock".into()))));
        assert_eq!(socket.reply(&sender, &json!({"lockId": 5})).await, Delivery::Delivered);
        assert_eq!(child.wait_with_output().unwrap().stdout, b"{\"lockId\":5}");
    }

    #[tokio::test]
    async fn datagrams_well_over_64_kib_arrive_whole() {
        let (_dir, job) = job();
        let socket = JobSocket::bind(&job, "900").unwrap();
        let sender = StdDatagram::unbound().unwrap();
        let sent = vec![b'x'; 150 * 1024];
        assert_eq!(sender.send_to(&sent, socket.path()).unwrap(), sent.len());
        let (bytes, from) = received(&socket).await;
        assert!(bytes.unwrap() == sent);
        assert_eq!(socket.reply(&from, &json!({})).await, Delivery::NoAddress);
    }

    #[tokio::test]
    async fn a_sender_that_is_gone_is_noticed() {
        let (_dir, job) = job();
        let socket = JobSocket::bind(&job, "900").unwrap();
        let path = job.root().join("client1.sock");
        let sender = StdDatagram::bind(&path).unwrap();
        sender.send_to(b"{}", socket.path()).unwrap();
        let (_, from) = received(&socket).await;
        drop(sender);
        assert_eq!(socket.reply(&from, &json!({})).await, Delivery::SenderGone);
        fs::remove_file(path).unwrap();
        assert_eq!(socket.reply(&from, &json!({})).await, Delivery::SenderGone);
    }

    #[tokio::test]
    async fn the_file_of_a_successor_is_not_removed() {
        let (_dir, job) = job();
        let socket = JobSocket::bind(&job, "900").unwrap();
        fs::remove_file(socket.path()).unwrap();
        let successor = StdDatagram::bind(socket.path()).unwrap();
        drop(socket);
        assert!(job.socket("900").exists());
        drop(successor);
    }
}

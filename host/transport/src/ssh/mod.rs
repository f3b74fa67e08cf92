//! SSH: one connection per node, kept across operations, with checked host keys (architecture §8, defects 42–54).
//!
//! Each live connection has one thread with a small stack that owns the libssh2 session, which is non-blocking; the
//! thread sleeps in `poll` on the socket and on an event descriptor, so that a stop or a new operation wakes it at
//! once. Async callers hand it closures and await the reply.

mod algorithms;
mod auth;
mod become_user;
mod certificate;
mod connection;
mod connector;
mod error;
mod exec;
mod fault;
mod feed;
mod files;
mod host_key;
mod inventory;
mod jump;
mod known_hosts;
mod large;
mod link;
mod marker;
mod patience;
mod remote;
mod rules;
mod script;
mod settings;
mod sftp;
mod shaping;
mod stopping;
mod task;
mod terminal;
mod unpacking;
mod upload;
mod wrapper;

pub use crate::entry::{UploadEntry, UploadSource};
pub use crate::shell::quote;
pub use become_user::{Account, Method};
pub use connection::SshConnection;
pub use connector::SshConnector;
pub use error::{HostKeyChange, SshError, SshErrorKind, Step};
pub use exec::{ExecRequest, RemoteEnd};
pub use files::{Arriving, RemoteDir};
pub use inventory::{Digests, Inventory};
pub use remote::{REMOTE_LINGER, RemotePid};
pub use rules::{HostPatterns, HostRule, JumpHost, Legacy};
pub use settings::{HostKeyPolicy, SshAuth, SshSettings, SshTarget, StepLimits};
pub use stopping::REMOTE_GRACE;
pub use task::{DetachedRun, RemoteCommand, RemoteTask, Setup, TaskEnd, Wanted};
pub use terminal::SshTerminal;

//! SSH: one connection per node, kept across operations, with checked host keys (architecture §8, defects 42–54).
//!
//! libssh2 reads what hosts send, and it is C: its sessions live in processes of their own (module `isolation`), a few connections
//! in each. Here are the [`SshConnector`] and the [`SshConnection`]s that speak to them; everything below `dialer` and
//! `connection` runs there.
//!
//! Each live connection has one thread there, with a small stack, that owns the libssh2 session, which is non-blocking; the
//! thread sleeps in `poll` on the socket and on an event descriptor, so that a stop or a new operation wakes it at
//! once.

mod algorithms;
mod answers;
mod arriving;
mod auth;
mod become_user;
mod certificate;
mod client;
mod connection;
mod connector;
mod credential;
mod dialer;
mod digests;
mod echo;
mod error;
mod exec;
mod fault;
mod feed;
mod fields;
mod files;
mod filesystem;
mod hearing;
mod hop;
mod host_key;
mod inventory;
pub(crate) mod isolation;
mod jump;
mod kept;
mod known_hosts;
mod large;
mod link;
mod marker;
mod patience;
mod private_key;
mod remote;
mod resident;
mod rules;
mod running;
mod script;
mod settings;
mod sftp;
mod shaping;
mod signing;
mod stopping;
mod task;
mod terminal;
mod unpacking;
mod upload;
mod watch;
mod wrapper;

pub use crate::entry::{UploadEntry, UploadSource};
pub use crate::shell::{is_variable_name, quote};
pub use arriving::Arriving;
pub use become_user::{Account, Method};
pub use client::{SshConnection, SshTerminal};
pub use connector::SshConnector;
pub use digests::Digests;
pub use error::{HostKeyChange, SshError, SshErrorKind, Step};
pub use exec::{ExecRequest, RemoteEnd};
pub use files::RemoteDir;
pub use inventory::Inventory;
pub use isolation::{ConnectionWorker, WORKER_ARGUMENT, WorkerError, WorkerProgram};
pub use kept::{Stock, Stocks};
pub use remote::{REMOTE_LINGER, RemotePid};
pub use rules::{HostPatterns, HostRule, JumpHost, Legacy};
pub use settings::{HostKeyPolicy, SshAuth, SshSettings, SshTarget, StepLimits};
pub use stopping::REMOTE_GRACE;
pub use task::{DetachedRun, RemoteCommand, RemoteTask, Setup, TaskEnd, Wanted};

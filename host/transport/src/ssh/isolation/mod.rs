//! SSH connections in processes of their own, so that a crash of libssh2 costs a few connections and not the run.
//!
//! A worker is this program, started anew with [`WORKER_ARGUMENT`]. It has one end of a socket pair as its standard input,
//! over which it first gets the settings and then one end of a further pair for each connection it is to hold ([`process`],
//! [`serve`]). So connections share no stream: one that is read slowly holds nobody up. What goes over such a pair is in
//! [`protocol`]; the run's end of it is a [`Line`]. Which worker a connection comes to is decided by the [`Pool`].
//!
//! The run trusts a worker with the connections in it and with nothing else: whatever arrives is checked, bounded, and at
//! worst an error of that one connection.

mod answering;
mod asking;
mod handing;
mod inbox;
mod line;
mod outlet;
mod passing;
pub(crate) mod plain;
mod pool;
mod process;
pub(in crate::ssh) mod protocol;
mod serve;
mod serving;

pub(in crate::ssh) use answering::Lending;
pub(in crate::ssh) use asking::Asking;
pub(in crate::ssh) use line::{Line, Listener};
pub(in crate::ssh) use pool::Pool;
pub use process::WorkerProgram;
pub(in crate::ssh) use serve::Alive;
pub use serve::{ConnectionWorker, WorkerError};

/// First argument of the program when it is to hold SSH connections.
pub const WORKER_ARGUMENT: &str = "ssh-worker";

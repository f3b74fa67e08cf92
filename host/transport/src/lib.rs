//! Hosts, bytes and processes: SSH connections and target agents with file transfer, and local process trees with a
//! proved stop.
//!
//! The crate knows nothing of jobs. It is the only one that names libssh2, and no libssh2 type is in its API
//! (architecture §8). Work is stopped by a [`StopToken`] whose level only rises; output goes to an [`OutputSink`]
//! as it arrives.

mod entry;
mod exit;
mod login_scope;
mod output;
pub mod process;
mod reach;
mod secret;
mod shell;
pub mod ssh;
mod stop;
mod stop_script;
pub mod tagent;
mod tar_stream;

pub use entry::{UploadEntry, UploadSource};
pub use exit::{Exit, StopOutcome};
pub use output::OutputSink;
pub use secret::Secret;
pub use stop::{StopHandle, StopLevel, StopToken};
pub use tar_stream::{TarBounds, TarError, TarMember, tar_members};

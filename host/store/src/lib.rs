//! The job directory: status, inputs, outputs and environment on disk, written atomically.
//!
//! Other programs read these files while we write them: the runner (Java, takes no lock, may rewrite a status
//! or delete it), the plugins, and further `autoexec` processes of the same job. So every file is written
//! under a temporary name and renamed, and what has to be read, changed and written back is done under a
//! [`JobLock`]. Paths and formats follow `spec/workdir.md`.
//!
//! This crate blocks; it knows no HTTP and no async runtime. Where files are not the store, something else
//! implements [`NodeRecords`].

pub mod atomic;
mod cache;
mod error;
mod job_env;
mod journal;
pub mod json;
mod kept;
mod layout;
mod lock;
mod names;
mod node_input;
mod node_output;
mod node_state;
mod op_output;
mod process;
mod purge;
mod read;
mod records;
mod rotated_log;
mod stamp;

pub use cache::{Cache, FileId};
pub use error::StoreError;
pub use job_env::{EnvValue, JobEnv};
pub use journal::{JOURNAL_VERSION, Journal, JournalContent, journals, read_journal};
pub use kept::{KeptDirectory, KeptNotes, LeftDirectories};
pub use layout::{Home, JobDir};
pub use lock::{JobLock, LockScope};
pub use names::{MAX_FILE_NAME, base_name, safe_component};
pub use node_input::NodeInput;
pub use node_output::NodeOutput;
pub use node_state::NodeState;
pub use op_output::{MAX_OP_OUTPUT, fill_defaults, read_op_output};
pub use process::ProcessIdentity;
pub use purge::{PurgeReport, clean_status, purge_jobs};
pub use read::Loaded;
pub use records::{FileRecords, NodeIdentity, NodeRecords};
pub use rotated_log::RotatedLog;
pub use stamp::history_stamp;

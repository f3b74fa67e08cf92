//! What the end-to-end tests share: a job with its home and server, the calls that arrived as comparable lines,
//! masked files, and scenario folders.
//!
//! The tests drive a built program: `target/<profile>/autoexec` beside the tests themselves, or the one that
//! `AUTOEXEC_BIN` names. Build it first:
//!
//! ```text
//! cargo build -p autoexec-cli && cargo xtask guests && cargo test -p autoexec-e2e
//! ```

pub mod build;
pub mod calls;
pub mod guests;
mod job;
mod mask;
pub mod scenario;
pub mod wait;

pub use job::{Finished, Running, TestJob, files_below};
pub use mask::Mask;

//! The transport against real processes and Debian's real sshd.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers included")]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

mod becoming;
mod connecting;
mod detached;
mod dropbear;
mod expired;
mod files;
mod harness;
mod hostile;
mod isolation;
mod jumping;
mod keeping;
mod local;
mod removing;
mod running;
mod sftp;
mod shells;
mod staying;
mod stopping;
mod syncing;
mod tagent;
mod tight;
mod vanishing;

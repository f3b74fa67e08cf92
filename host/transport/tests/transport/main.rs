//! The transport against real processes and Debian's real sshd.

mod connecting;
mod files;
mod harness;
mod local;
mod running;
mod stopping;

//! The escape suite: hostile guests and requests, one trick each, against the built program.
//!
//! A row is a trick, what has to become of it, and words that the run must say. All rows are one table in `docs/security.md`
//! ([`table`]): a test fails when it is stale, and `UPDATE_ESCAPE_SUITE=1` writes it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

mod components;
mod documents;
mod files;
mod limits;
mod loading;
mod locks;
mod logs;
mod name_server;
mod network;
mod origin;
mod peers;
mod programs;
mod questions;
mod secrets;
mod server_calls;
mod suite;
mod table;

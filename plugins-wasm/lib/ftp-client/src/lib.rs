//! An FTP client (RFC 959, RFC 2428) for the tools `fileops/ftp*` (spec/tools-behaviour/04-file-transfer.md): login,
//! passive connections, binary files, whole directory trees. Every failure of a single file fails the whole.

mod address;
mod client;
mod listing;
mod tree;

pub use address::Address;
pub use client::{Account, AccountOptions, Client};
pub use listing::{Item, Listing};
pub use tree::{Transfer, download, fetched_name, upload};

//! What the tools of `fileops` share (spec/tools-behaviour/04-file-transfer.md): which paths are refused, wildcards,
//! where a copy ends up, progress, who asks a server of files.

mod basic;
mod node;
mod paths;
mod progress;

pub use basic::BasicAccount;
pub use node::{Copy, Direction, Ends};
pub use paths::{base_name, checked, existing_directory, join};
pub use progress::Progress;

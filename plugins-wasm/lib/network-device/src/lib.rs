//! Sessions with the command line of network devices, over SSH and telnet (spec/tools-behaviour/11-network-device-cli.md):
//! login, the device's own prompt, paging, and what a device says when it refuses a command.

mod device;
mod refusals;
mod telnet;

pub use device::{Device, ExitCommand, Login, Protocol};
pub use refusals::{USUAL_REFUSALS, refusal};

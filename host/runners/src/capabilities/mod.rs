//! What components in the sandbox may reach besides the network and files: the job's side of every capability.
//!
//! The sandbox asks the policy first and then one [`Host`] per call. What the process has once (the server's client, the
//! database, the locks) is lent to it as [`Surroundings`]; what belongs to the call (its node's password, its question, its
//! programs) is made here.

mod host;
mod nodes;
mod person;
mod programs;
mod step_outputs;
mod surroundings;

pub(crate) use host::Host;
pub use surroundings::{Lent, PhaseNodes, Questions, Surroundings};

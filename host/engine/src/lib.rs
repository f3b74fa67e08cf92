//! The engine: runs a plan over nodes and tells what happens.
//!
//! Three parts, three vocabularies. The **dispatcher** owns all run state and turns whatever happened into a
//! state change and public events. **Units**, one per node and phase, run as tasks and are the truth about
//! themselves. The **scheduler** feeds nodes to units: phases side by side in a one-shot group, round by
//! round in a gray-scale group. Everything outside is behind the traits in [`ports`].

mod dispatcher;
mod environment;
pub mod ports;
mod scheduler;
mod unit;

pub use dispatcher::Request;
pub use environment::JobEnvironment;
pub use scheduler::{Engine, RunSettings};

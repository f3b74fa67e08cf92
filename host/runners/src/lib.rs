//! Where operations run: in the sandbox, as a native program, or on a target over SSH or its agent.
//!
//! [`ToolRunners`] implements the engine's [`Runners`](autoexec_engine::ports::Runners): it finds the tool of an
//! operation and makes a runner for each unit. A unit's runner keeps its SSH connection and the directory on the
//! target over all operations of the unit.

mod bridge;
mod capabilities;
mod catalog;
mod conduct;
mod delivery;
mod environment;
mod local;
mod native;
mod node_shell;
mod outputs;
mod permits;
#[cfg(test)]
mod samples;
mod scripts;
mod secret_files;
mod session;
mod settings;
mod ssh;
mod supply;
mod tagent;
mod target_capability;
mod unit;
mod wasm;

pub use autoexec_sandbox::Tape;
pub use capabilities::{Lent, PhaseNodes, Questions, Surroundings};
pub use catalog::{Catalog, Found, Promises};
pub use conduct::{BecomePassword, ConductRule, RunAs, SshConduct};
pub use permits::SitePolicy;
pub use scripts::{
    FetchedScript, InlineScripts, LibraryFile, PackageProblem, ScriptAbout, ScriptError, ScriptFetcher,
    ScriptFile, ScriptRequest, Scripts, ServerScripts,
};
pub use settings::{RunnerSettings, ToolRunners};
pub use supply::SiteSupply;

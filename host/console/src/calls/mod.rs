//! The calls of `spec/server-api.md` §4.3: what each one asks and what it gives back.
//!
//! Members of a request struct stand in the order of the table's row; that is the order on the wire.

mod account;
mod deploy;
mod file;
mod job;
mod lock;
mod nodes;
mod of_tool;
mod script;
mod status;
mod tool;

pub use account::{Account, AccountQuery};
pub use deploy::{DeployIds, DeployNames};
pub use file::FileReply;
pub use job::{GlobalParameter, MongoSource, RoundEnded};
pub use nodes::{Nodes, NodesQuery, NodesScope};
pub use of_tool::{ApiPath, NoApiPath};
pub use script::{Script, ScriptHeaders, ScriptQuery};
pub use status::{
    ExportedVariable, JobStatusUpdate, NextGroup, NodeStatusUpdate, PeerState, PhaseStatusUpdate,
};
pub use tool::Registration;

/// Whether a download replaced the local copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The local copy was replaced.
    New,
    /// The local copy is good.
    NotModified,
}

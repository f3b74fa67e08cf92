//! What a run is asked to do, by flags or by `autoexec run`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use autoexec_model::{JobId, ResourceId, SecretKey};
use autoexec_plan::Filter;
use autoexec_runners::Tape;
use autoexec_transport::ssh::{JumpHost, SshAuth};
use serde_json::{Map, Value};

/// Where job parameters come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ParamsSource {
    /// The server, or the stored copy of what it sent at the first fire.
    Server,
    /// A file; relative to the job directory.
    File(PathBuf),
}

/// Where nodes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NodesSource {
    /// The server.
    Server,
    /// A file; relative to the job directory.
    File(PathBuf),
}

/// What whoever started the process gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Face {
    /// Nothing: the logs are looked at.
    None,
    /// Progress and a table.
    Human,
    /// One JSON event per line.
    Json,
}

/// A run.
pub(crate) struct RunRequest {
    pub(crate) job: JobId,
    pub(crate) exec_user: Option<String>,
    pub(crate) exec_id: Option<String>,
    pub(crate) first_fire: bool,
    pub(crate) reuse_console_log: bool,
    pub(crate) force: bool,
    /// A dry run.
    pub(crate) check: bool,
    pub(crate) fire_next: bool,
    pub(crate) dev_mode: bool,
    pub(crate) filter: Filter,
    pub(crate) params: ParamsSource,
    pub(crate) nodes: NodesSource,
    pub(crate) pass_through: Map<String, Value>,
    /// The object came by flag and is handed on to plugins.
    pub(crate) has_pass_through_flag: bool,
    pub(crate) sql_files: Option<String>,
    /// Keys for nodes without a password, besides those of the configuration.
    pub(crate) ssh_keys: Vec<SshAuth>,
    /// The jump hosts on the way to nodes that have one of their own, before the rules of the home.
    pub(crate) ssh_ways: HashMap<ResourceId, Vec<Arc<JumpHost>>>,
    /// Key of the job's secrets where the configuration has none.
    pub(crate) key: Option<SecretKey>,
    pub(crate) face: Face,
    /// What becomes of the host calls of the one tool that is called, where its author wants to know.
    pub(crate) tape: Option<Tape>,
    pub(crate) unknown_flags: Vec<String>,
}

impl RunRequest {
    /// Whether the run cannot do without a server: callbacks, parameters or nodes.
    pub(crate) fn needs_server(&self) -> bool {
        !self.dev_mode || self.params == ParamsSource::Server || self.nodes == NodesSource::Server
    }
}

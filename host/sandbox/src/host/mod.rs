//! The border to the rest of the executor: facts a call may learn, where its results go, and what it may reach.
//!
//! Capabilities that need nothing but the network or files of the runner are implemented in this crate, on top of
//! [`ToolHost::permit`]; those that need the job are traits of their own that a [`ToolHost`] hands out where it has them.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use autoexec_grants::{Access, DataDirection};
use serde_json::Value;

mod documents;
mod files;
mod interact;
mod nodes;
mod program;
mod secret;
mod server;
mod target;

pub use documents::{DocumentError, DocumentsHost};
pub use files::{FetchedFiles, FileError, GrantedDirectory};
pub use interact::{Answer, InteractError, InteractHost, Question, QuestionKind};
pub use nodes::{JobNodesError, NodeFacts, NodeValue, OutputName, OutputQueryError};
pub use program::{Completed, ProgramCall, ProgramError, ProgramHost};
pub use secret::{SecretUnavailable, SecretValue};
pub use server::{HeldLock, LockError, LockHost, LockMode, ServerError, ServerHost};
pub use target::{
    Captured, DownloadSink, Ending, SourceEntry, SourceFacts, SourceFile, SourceKind, TargetCommand,
    TargetEntry, TargetError, TargetHost, TargetSession, UploadSource,
};

/// One call's view of its job. Implemented by the runner, one value per call.
///
/// The methods run on the sandbox's guest threads while the guest waits: they must not block for long. After a call
/// was stopped, dropped or has timed out, none of them is called any more, and the futures of those that run at that moment
/// are dropped; a method without a future still ends.
#[async_trait]
pub trait ToolHost: Send + Sync + 'static {
    /// Where in the job the call stands.
    fn context(&self) -> JobContext;

    /// The node the call is for.
    fn node(&self) -> NodeFacts;

    /// Variables of that node. No secrets.
    fn variables(&self) -> Vec<(String, String)>;

    /// Log text. May hold line breaks, and control characters of the guest's choice.
    fn log(&self, level: LogLevel, text: &str);

    /// Raw output to be logged as it comes.
    fn write(&self, bytes: &[u8]);

    /// One output. The same name again replaces the value.
    fn output(&self, name: &str, value: Value);

    /// The tool's live data, replaced as a whole.
    fn live_data(&self, data: Value);

    /// Asked before each use of a capability, with its real argument; for hosts once with the name as given, then with each
    /// address it resolved to. Denies by default. The sandbox asks for every capability, so what the methods and traits below do
    /// was permitted before they are called.
    fn permit(&self, access: &Access<'_>) -> Result<(), Denied> {
        Err(Denied(format!("no rule allows `{}`", access.capability())))
    }

    /// The granted directory that holds this absolute, normalised path, for reading or writing. Everything below it is
    /// reached without leaving it, so it must be a directory that nobody but the site can replace.
    fn granted_directory(&self, path: &Path, direction: DataDirection) -> Result<PathBuf, Denied> {
        Err(Denied(format!("no rule allows to {direction} {}", path.display())))
    }

    /// All granted directories, for components that know them as preopened ones (WASI).
    fn granted_directories(&self) -> Vec<GrantedDirectory> {
        Vec::new()
    }

    /// Where links of the executor to files that it has fetched are. What may read such a link below a granted directory may
    /// read the file, although it lies elsewhere; all other links that lead out are refused.
    fn fetched_files(&self) -> Option<FetchedFiles> {
        None
    }

    /// Whether the certificate of this host is checked. Only the policy may say no.
    fn verifies_certificate(&self, _host: &str, _port: u16) -> bool {
        true
    }

    /// The value of a secret, `option:NAME` or `node`; none when there is none of that name. Options of this call are known to
    /// the sandbox already ([`crate::ToolCall::options`]) and not asked for here.
    async fn secret(&self, _name: &str) -> Result<Option<SecretValue>, SecretUnavailable> {
        Ok(None)
    }

    /// Values of a step's output over all nodes, in node order (`step-outputs`).
    async fn step_outputs(&self, _output: &OutputName) -> Result<Vec<NodeValue>, OutputQueryError> {
        Err(OutputQueryError("outputs of other nodes are not available here".into()))
    }

    /// At most `limit` nodes of a phase from number `offset` on, in the order of the job (`job-nodes`).
    async fn job_nodes(
        &self,
        _phase: &str,
        _offset: u32,
        _limit: u32,
    ) -> Result<Vec<NodeFacts>, JobNodesError> {
        Err(JobNodesError::Unavailable("the nodes of the job are not available here".into()))
    }

    /// The connection to the step's node, where there is one (`target`).
    fn target(&self) -> Option<&dyn TargetHost> {
        None
    }

    /// The console server, where there is one (`server`).
    fn server(&self) -> Option<&dyn ServerHost> {
        None
    }

    /// The document store, where there is one (`documents`).
    fn documents(&self) -> Option<&dyn DocumentsHost> {
        None
    }

    /// Global locks, where there are any (`lock`).
    fn locks(&self) -> Option<&dyn LockHost> {
        None
    }

    /// A person, where one can be asked (`interact`).
    fn person(&self) -> Option<&dyn InteractHost> {
        None
    }

    /// Programs of the runner, where they may be run (`program`).
    fn programs(&self) -> Option<&dyn ProgramHost> {
        None
    }
}

/// Where in the job a call stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobContext {
    /// Id of the job.
    pub job_id: String,
    /// Name of the phase.
    pub phase: String,
    /// Number of the phase's group.
    pub group: Option<u32>,
    /// Id of the step.
    pub operation_id: String,
    /// Who started the job.
    pub exec_user: String,
    /// Tenant; empty when stand-alone.
    pub tenant: String,
}

/// How the console shows a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// As it is.
    Plain,
    /// Progress.
    Info,
    /// A step that went well.
    Fine,
    /// Something to look at.
    Warn,
    /// Why the step fails.
    Error,
}

/// Why a use is not allowed: the rule, for the tool and the audit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(pub String);

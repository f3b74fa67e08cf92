//! Runs tool components in a deny-by-default WebAssembly sandbox.
//!
//! The only crate that names wasmtime. It loads a component, checks what it imports against what was granted,
//! compiles it once (with a cache on disk), and runs each call in a fresh instance under limits for memory, time,
//! log and output. What a call may learn and where its results go is the [`ToolHost`]'s business: this crate knows
//! nothing of jobs. Figures and decisions behind it are in `design/wasm-facts.md`.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use autoexec_sandbox::{Grants, InvokeError, Limits, Sandbox, SandboxSettings, ToolCall, ToolHost, ToolOutcome};
//! # async fn call(host: Arc<dyn ToolHost>) -> Result<ToolOutcome, Box<dyn std::error::Error>> {
//! let sandbox = Sandbox::new(SandboxSettings::default())?;
//! let tool = sandbox.load("plugins/wasm/demo/hello.wasm".as_ref(), &Grants::none())?;
//! let limits = Limits::for_tool(tool.manifest(), &Limits::default());
//! let call = ToolCall::default();
//! Ok(sandbox.invoke(&tool, call, host, limits, std::future::pending()).await?)
//! # }
//! ```

mod border;
mod cache;
mod call;
mod clock;
mod engine;
mod files;
mod grants;
mod guest_threads;
mod host;
mod imports;
mod invoke;
mod limits;
mod net;
mod sandbox;
mod secrets;
mod snmp;
mod state;
mod tape;
mod tool;
mod trial;
mod v1_0;
mod wasi;

pub use autoexec_grants::{Access, Capability, DataDirection, SecretDestination, TargetUse};
pub use call::{Change, Effect, FailureKind, ToolCall, ToolFailure, ToolOutcome};
pub use engine::{Allocation, SandboxError, SandboxSettings};
pub use grants::Grants;
pub use host::{
    Answer, Captured, Completed, Denied, DocumentError, DocumentsHost, DownloadSink, Ending, FetchedFiles,
    FileError, GrantedDirectory, HeldLock, InteractError, InteractHost, JobContext, JobNodesError, LockError,
    LockHost, LockMode, LogLevel, NodeFacts, NodeValue, OutputName, OutputQueryError, ProgramCall,
    ProgramError, ProgramHost, Question, QuestionKind, SecretUnavailable, SecretValue, ServerError,
    ServerHost, SourceEntry, SourceFacts, SourceFile, SourceKind, TargetCommand, TargetEntry, TargetError,
    TargetHost, TargetSession, ToolHost, UploadSource,
};
pub use imports::{MissingImport, MissingReason};
pub use invoke::InvokeError;
pub use limits::{LimitName, LimitReached, Limits};
pub use sandbox::{Candidate, Sandbox};
pub use tape::Tape;
pub use tool::{LoadError, Tool};

//! What a job lends to its tools in the sandbox.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use autoexec_engine::Request;
use autoexec_engine::ports::NodeList;
use autoexec_sandbox::{DocumentsHost, JobNodesError, LockHost, ServerHost};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// A part of the surroundings; else why this run has none and what to do about it, which the node's log says when a tool asks.
pub type Lent<T> = Result<Arc<T>, String>;

/// What is around the tools of a job and needs more than its directory and the network. The policy stands before all of it.
#[derive(Clone)]
pub struct Surroundings {
    /// Calls of the console server.
    pub server: Lent<dyn ServerHost>,
    /// Documents that jobs share.
    pub documents: Lent<dyn DocumentsHost>,
    /// Global locks.
    pub locks: Lent<dyn LockHost>,
    /// The nodes of the job's phases.
    pub nodes: Lent<dyn PhaseNodes>,
    /// Where questions to a person are announced.
    pub questions: Lent<Questions>,
    /// Runs what has to outlive a guest's call, such as the end of a program.
    pub runtime: Handle,
}

impl fmt::Debug for Surroundings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Surroundings")
            .field("server", &self.server.is_ok())
            .field("documents", &self.documents.is_ok())
            .field("locks", &self.locks.is_ok())
            .field("nodes", &self.nodes.is_ok())
            .field("questions", &self.questions.is_ok())
            .finish_non_exhaustive()
    }
}

/// How a person learns of a question.
#[derive(Debug)]
pub struct Questions {
    /// The engine, which puts the node into `waitInput` and tells everybody.
    pub requests: mpsc::Sender<Request>,
    /// Nobody shows a form for it: the question and how to answer it are told as a message.
    pub by_message: bool,
}

/// The lists of nodes of a job.
#[async_trait]
pub trait PhaseNodes: Send + Sync {
    /// Opens the list that is valid for a phase.
    async fn open(&self, phase: &str) -> Result<NodeList, JobNodesError>;
}

//! Control of a running job from outside (`spec/job-socket.md`, `spec/cli.md` §1.6).
//!
//! Two directions. *Into* a run: plugins, and through the runner the server, send datagrams to the job's socket;
//! [`JobControl`] turns each into a [`Message`] and that into a request to the engine, a global lock or a query.
//! *At* a run: pause and abort find the processes of a job ([`processes`]) and end them ([`stop`]).
//!
//! What arrives on the socket is not trusted: whatever it holds, the worst outcome is a line on the console.

mod control;
mod documents;
mod lock;
mod message;
pub mod processes;
mod socket;
pub mod stop;

pub use control::{ControlSettings, JobControl, Notice};
pub use documents::{DocumentQuery, Documents, MAX_DOCUMENTS, NoDocuments};
pub use lock::{
    GlobalLocks, LockAnswer, LockId, LockIdentity, LockMode, LockRequest, LockServer, LockSettings, NoLock,
    ToolLock, ToolLocks,
};
pub use message::{Message, MessageError};
pub use socket::{JobSocket, Sender, SocketError, plugin_address, remove_dead_sockets};

//! Typed client of the console server: HMAC, retries and the durable outbox.
//!
//! [`ConsoleClient`] has one method per call of `spec/server-api.md` §4.3. Every request is signed (§4.1), TLS is
//! always verified, no proxy is used and no redirect is followed. Calls that may be repeated are repeated with
//! back-off ([`RetryPolicy`]); what the caller sees is one of the few cases of [`ConsoleError`], whose text names
//! server and path and never a query, a key or the pass-through environment.
//!
//! Status callbacks must outlive a server that is away and a process that is killed. They go through the
//! [`Outbox`]: written to a file first, delivered in order by a task of its own, re-sent by the next process.

mod call;
mod calls;
mod client;
mod disposition;
mod download;
mod error;
mod http;
mod outbox;
mod pass_through;
mod redact;
mod reply;
mod retry;
mod settings;
mod sign;
mod unix_time;
mod wire;

pub use call::Call;
pub use calls::{
    Account, AccountQuery, ApiPath, DeployIds, DeployNames, ExportedVariable, FileReply, Freshness,
    GlobalParameter, JobStatusUpdate, MongoSource, NextGroup, NoApiPath, NodeStatusUpdate, Nodes, NodesQuery,
    NodesScope, PeerState, PhaseStatusUpdate, Registration, RoundEnded, Script, ScriptHeaders, ScriptQuery,
};
pub use client::ConsoleClient;
pub use error::{ConsoleError, Endpoint};
pub use outbox::{
    Callback, DrainReport, Outbox, OutboxError, OutboxEvent, OutboxHandle, OutboxReport, OutboxSettings, Seq,
};
pub use pass_through::PassThrough;
pub use retry::RetryPolicy;
pub use settings::ConsoleSettings;
pub use unix_time::UnixTime;

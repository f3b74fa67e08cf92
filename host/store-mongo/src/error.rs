//! What can go wrong with MongoDB.

use std::time::Duration;

use mongodb::error::{Error, ErrorKind};

/// An error of the shared store. Passwords never stand in one.
#[derive(Debug, thiserror::Error)]
pub enum MongoError {
    /// The connection string or another setting cannot be used.
    #[error("the MongoDB setting {setting} cannot be used: {reason}")]
    Setting {
        /// Which one, as the configuration calls it.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No server answers.
    #[error("MongoDB at {hosts} cannot be reached: {reason}")]
    Unreachable {
        /// Host and port of all servers.
        hosts: String,
        /// What the driver said.
        reason: String,
    },
    /// A server answers and does not let us do it.
    #[error("MongoDB at {hosts} refuses user or access: {reason}")]
    Denied {
        /// Host and port of all servers.
        hosts: String,
        /// What the server said.
        reason: String,
    },
    /// A request that got no answer in time.
    #[error("MongoDB at {hosts} did not answer within {} s", limit.as_secs())]
    Timeout {
        /// Host and port of all servers.
        hosts: String,
        /// The limit.
        limit: Duration,
    },
    /// Documents that are longer, together, than was asked for.
    #[error("the documents found are longer than {limit} bytes")]
    TooLong {
        /// The limit, of their binary form.
        limit: u64,
    },
    /// What was to be sent is no document: it was not sent.
    #[error("the {what} is no document that MongoDB can hold: {reason}")]
    NoDocument {
        /// The filter or the document.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A request that failed.
    #[error("MongoDB at {hosts}: {reason}")]
    Failed {
        /// Host and port of all servers.
        hosts: String,
        /// What the server or the driver said.
        reason: String,
    },
}

/// Codes of commands that were not allowed: `Unauthorized`, `AuthenticationFailed`.
const DENIED: [i32; 2] = [13, 18];

/// Codes of commands that may work later or elsewhere: a server that goes down, a replica set without a primary, a
/// request that ran out of time.
const PASSING: [i32; 16] =
    [6, 7, 50, 64, 89, 91, 100, 112, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436];

impl MongoError {
    pub(crate) fn setting(setting: &'static str, reason: impl Into<String>) -> Self {
        Self::Setting { setting, reason: reason.into() }
    }

    pub(crate) fn failed(hosts: &str, reason: impl ToString) -> Self {
        Self::Failed { hosts: hosts.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn of(hosts: &str, error: &Error) -> Self {
        let (hosts, reason) = (hosts.to_owned(), error.kind.to_string());
        match &*error.kind {
            ErrorKind::Authentication { .. } => Self::Denied { hosts, reason },
            ErrorKind::Command(command) if DENIED.contains(&command.code) => Self::Denied { hosts, reason },
            ErrorKind::Command(command) if PASSING.contains(&command.code) => {
                Self::Unreachable { hosts, reason }
            }
            // Where every server refuses the login, the driver only says that it has no server.
            ErrorKind::ServerSelection { .. } if reason.contains("SCRAM failure") => {
                Self::Denied { hosts, reason }
            }
            ErrorKind::ServerSelection { .. }
            | ErrorKind::Io(_)
            | ErrorKind::ConnectionPoolCleared { .. }
            | ErrorKind::DnsResolve { .. }
            | ErrorKind::InvalidTlsConfig { .. } => Self::Unreachable { hosts, reason },
            _ => Self::Failed { hosts, reason },
        }
    }
}

//! What a caller decides about connections to agents, and whom it wants to reach.

use std::fmt;
use std::time::Duration;

use crate::secret::Secret;

/// Settings shared by all connections of a client.
#[derive(Debug, Clone)]
pub struct TagentSettings {
    /// Limit for name resolution, TCP and handshake together.
    pub connect_timeout: Duration,
    /// A command that writes nothing for this long is stopped and fails; none waits for ever.
    pub read_timeout: Option<Duration>,
    /// Limit for the peer to take the next chunk of a file, or to send the next 4 KiB of one. Answers to requests may take 30 s more: an agent
    /// loads the account's login environment first.
    pub write_timeout: Duration,
    /// The agent ends a command after this time.
    pub command_limit: Duration,
    /// Most connections at a time; further ones wait for their turn. Those that stop a command never wait.
    pub max_connections: usize,
}

/// The account to work as.
#[derive(Debug, Clone)]
pub struct TagentTarget {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Account on the target; `none` for the agent's own.
    pub user: String,
    /// The agent's credential.
    pub credential: Secret,
}

impl fmt::Display for TagentTarget {
    /// `user@host:port`, IPv6 addresses in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}@[{}]:{}", self.user, self.host, self.port)
        } else {
            write!(f, "{}@{}:{}", self.user, self.host, self.port)
        }
    }
}

//! What a caller decides about connections, and whom it wants to reach.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::isolation::{WorkerProgram, plain};
use super::rules::{HostRule, JumpHost};
use crate::secret::Secret;

/// What to do about a server's host key. A changed or revoked key is refused by the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostKeyPolicy {
    /// Only hosts that are in the known-hosts file.
    Strict,
    /// A host without any recorded key is recorded on first contact.
    TrustOnFirstUse,
    /// Every key is accepted unseen, as the replaced system did (defect 42).
    AcceptAll,
}

/// Settings shared by all connections of a connector.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SshSettings {
    /// Limit for name resolution, TCP, key exchange, host key check and authentication together.
    pub connect_timeout: Duration,
    /// A command that writes nothing for this long is stopped and fails; none waits for ever.
    pub read_timeout: Option<Duration>,
    /// Limit for the peer to take the next piece of data, and for short requests to be answered.
    pub write_timeout: Duration,
    /// Interval of keep-alive messages, in whole seconds and at least 2; none sends none. A peer that acknowledges
    /// nothing for three intervals is taken for gone.
    pub keepalive: Option<Duration>,
    /// Known-hosts file in OpenSSH's format. It need not exist.
    #[serde(with = "plain::path")]
    pub known_hosts: PathBuf,
    /// Host key policy.
    pub host_keys: HostKeyPolicy,
    /// Most live connections to targets at a time; further ones wait for their turn. Those to jump hosts come on top.
    pub max_connections: usize,
    /// Limits of single steps of connecting.
    pub steps: StepLimits,
    /// What holds for some hosts only.
    pub rules: Vec<HostRule>,
    /// What is started to hold the connections.
    #[serde(skip)]
    pub worker: WorkerProgram,
}

/// Limits of the steps of connecting, each within [`SshSettings::connect_timeout`]; none means only that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepLimits {
    /// Name resolution and TCP, or the way through the jump hosts.
    pub reach: Option<Duration>,
    /// Key exchange and host key check.
    pub handshake: Option<Duration>,
    /// Authentication.
    pub auth: Option<Duration>,
}

impl SshSettings {
    /// The usual limits with this known-hosts file: a minute to connect, 15 s between keep-alives, 256 connections, host
    /// keys recorded on first use.
    pub fn new(known_hosts: PathBuf) -> Self {
        Self {
            connect_timeout: Duration::from_mins(1),
            read_timeout: None,
            write_timeout: Duration::from_mins(1),
            keepalive: Some(Duration::from_secs(15)),
            known_hosts,
            host_keys: HostKeyPolicy::TrustOnFirstUse,
            max_connections: 256,
            steps: StepLimits::default(),
            rules: Vec::new(),
            worker: WorkerProgram::default(),
        }
    }
}

/// One way to prove who we are.
#[derive(Debug, Clone)]
pub enum SshAuth {
    /// Password login; also answers the hidden prompts of keyboard-interactive where a server offers only that.
    Password(Secret),
    /// A private key file.
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Passphrase of an encrypted key.
        passphrase: Option<Secret>,
    },
    /// The keys of the agent that `SSH_AUTH_SOCK` names.
    Agent,
}

/// The account to log in to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SshTarget {
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Ways to log in, tried in this order. They are not part of its written form.
    #[serde(skip)]
    pub auth: Vec<SshAuth>,
    /// Its own way, as in [`HostRule::jumps`]; none leaves that to the rules. Two machines may have the same address behind
    /// different jump hosts, and rules by host cannot tell them apart.
    #[serde(with = "plain::jumps")]
    pub jumps: Option<Vec<Arc<JumpHost>>>,
}

impl fmt::Display for SshTarget {
    /// `user@host:port`, IPv6 addresses in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "{}@[{}]:{}", self.user, self.host, self.port)
        } else {
            write!(f, "{}@{}:{}", self.user, self.host, self.port)
        }
    }
}

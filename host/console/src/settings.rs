//! What a client is made from (`spec/cli.md` §1.8).

use std::path::PathBuf;
use std::time::Duration;

use autoexec_model::Secret;

use crate::{PassThrough, RetryPolicy};

/// Settings of a [`ConsoleClient`](crate::ConsoleClient).
#[derive(Debug, Clone)]
pub struct ConsoleSettings {
    /// `server.baseurl`: scheme, host and port, `http` or `https`, without user name, query or fragment.
    pub base_url: String,
    /// `server.username`: the HMAC user.
    pub user: String,
    /// `server.password`, decrypted: the HMAC key.
    pub key: Secret,
    /// Tenant until [`set_tenant`](crate::ConsoleClient::set_tenant) is called.
    pub tenant: String,
    /// `passThroughEnv` until [`set_pass_through`](crate::ConsoleClient::set_pass_through) is called.
    pub pass_through: PassThrough,
    /// PEM bundle of certificate authorities trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// Limit for a connection to stand, TLS included.
    pub connect_timeout: Duration,
    /// Limit for one attempt of a call, reply body included. Does not bind downloads.
    pub total_timeout: Duration,
    /// Limit for the server to say nothing, the only one that binds the body of a download.
    pub idle_timeout: Duration,
    /// `--devmode`: the calls of column D return at once and touch no network.
    pub dev_mode: bool,
    /// How often and how fast a call is repeated.
    pub retry: RetryPolicy,
}

impl ConsoleSettings {
    /// Settings with the limits of `spec/server-api.md` §4.2: connect 10 s, total 60 s, idle 60 s.
    pub fn new(base_url: impl Into<String>, user: impl Into<String>, key: Secret) -> Self {
        Self {
            base_url: base_url.into(),
            user: user.into(),
            key,
            tenant: String::new(),
            pass_through: PassThrough::default(),
            ca_file: None,
            connect_timeout: Duration::from_secs(10),
            total_timeout: Duration::from_mins(1),
            idle_timeout: Duration::from_mins(1),
            dev_mode: false,
            retry: RetryPolicy::default(),
        }
    }
}

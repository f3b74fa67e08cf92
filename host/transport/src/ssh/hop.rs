//! A host on the way, in the process that connects to it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::error::SshErrorKind;
use super::isolation::Asking;
use super::isolation::protocol::HostInfo;
use super::known_hosts::{HostKey, Verdict};
use super::settings::SshTarget;

/// A host on the way to a target, or the target itself, and what the run knows of it. Clones share that.
#[derive(Clone)]
pub(super) struct Hop {
    target: SshTarget,
    /// Its place on the way, from 0.
    number: u32,
    asking: Arc<Asking>,
    info: Arc<OnceLock<HostInfo>>,
}

impl Hop {
    /// A host, by how many others the way leads through before it.
    pub(super) fn new(target: SshTarget, before: usize, asking: Arc<Asking>) -> Self {
        let number = u32::try_from(before).unwrap_or(u32::MAX);
        Self { target, number, asking, info: Arc::default() }
    }

    /// Another one on the same way.
    pub(super) fn other(&self, target: &SshTarget, before: usize) -> Self {
        Self::new(target.clone(), before, Arc::clone(&self.asking))
    }

    /// Who it is.
    pub(super) fn target(&self) -> &SshTarget {
        &self.target
    }

    /// How to know it and how to log in to it, which is asked once. Not to be called on a runtime.
    pub(super) fn info(&self) -> Result<&HostInfo, SshErrorKind> {
        if let Some(info) = self.info.get() {
            return Ok(info);
        }
        let info = self.asking.host(self.number)?;
        Ok(self.info.get_or_init(|| info))
    }

    /// Has its key recorded. Not to be called on a runtime.
    pub(super) fn record(&self, key: &HostKey) -> Result<Verdict, SshErrorKind> {
        self.asking.record(self.number, key)
    }

    /// The addresses of the first host on the way.
    pub(super) async fn addresses(&self) -> Result<Vec<SocketAddr>, SshErrorKind> {
        self.asking.addresses().await
    }
}

impl fmt::Display for Hop {
    /// As the target's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

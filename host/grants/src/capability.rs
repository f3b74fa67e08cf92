//! The capabilities that a policy can speak about.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An interface that a tool gets only when its manifest asks for it and the policy grants it. Each has its own kind of
/// scope: hosts, or nothing but yes and no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// `http`: outgoing requests (`wasi:http`). Scope: hosts, ports and methods.
    Http,
    /// `sockets`: TCP and UDP connections (`wasi:sockets`, and the interface `connection`). Scope: hosts and ports.
    Sockets,
    /// `snmp`: questions to SNMP agents. Scope: hosts and ports.
    Snmp,
    /// `net-probe`: ask whether a host or TCP port answers. Scope: hosts and ports.
    NetProbe,
    /// `step-outputs`: read outputs of other nodes of the tool's own job. No scope.
    StepOutputs,
    /// `job-nodes`: list the nodes of the tool's own job. No scope.
    JobNodes,
    /// `secret`: use values without seeing them. Scope: names and where they may go.
    Secret,
    /// `target`: commands and files on the step's own node. Scope: kinds of use, and paths there.
    Target,
    /// `filesystem`: files of the runner. Scope: directories, for reading or for writing.
    Filesystem,
    /// `server`: calls of the console server. Scope: names of calls.
    Server,
    /// `documents`: collected data. Scope: collections, for reading or for writing.
    Documents,
    /// `lock`: global locks. Scope: names.
    Lock,
    /// `interact`: ask the person who watches the job. No scope.
    Interact,
    /// `program`: run programs of the runner. Scope: names that the policy gives to programs.
    Program,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Http,
        Self::Sockets,
        Self::Snmp,
        Self::NetProbe,
        Self::StepOutputs,
        Self::JobNodes,
        Self::Secret,
        Self::Target,
        Self::Filesystem,
        Self::Server,
        Self::Documents,
        Self::Lock,
        Self::Interact,
        Self::Program,
    ];

    /// The short name, as in manifests, policies and (but for the first two) the WIT package.
    pub fn interface(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Sockets => "sockets",
            Self::Snmp => "snmp",
            Self::NetProbe => "net-probe",
            Self::StepOutputs => "step-outputs",
            Self::JobNodes => "job-nodes",
            Self::Secret => "secret",
            Self::Target => "target",
            Self::Filesystem => "filesystem",
            Self::Server => "server",
            Self::Documents => "documents",
            Self::Lock => "lock",
            Self::Interact => "interact",
            Self::Program => "program",
        }
    }

    /// The capability of that short name.
    pub fn from_interface(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.interface() == name)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.interface())
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.interface())
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let unknown = || serde::de::Error::custom(format!("`{name}` is no capability"));
        Self::from_interface(&name).ok_or_else(unknown)
    }
}

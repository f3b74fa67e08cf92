//! The capabilities that a policy can speak about.

use std::fmt;

use serde::{Serialize, Serializer};

/// An interface that a tool gets only when its manifest asks for it and the policy grants it. Each has its own kind of
/// scope: hosts, or nothing but yes and no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// `net-probe`: ask whether a TCP port accepts connections. Scope: hosts and ports.
    NetProbe,
    /// `step-outputs`: read outputs of other nodes of the tool's own job. No scope.
    StepOutputs,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::NetProbe, Self::StepOutputs];

    /// The short name of the interface, as in manifests, policies and the WIT package.
    pub fn interface(self) -> &'static str {
        match self {
            Self::NetProbe => "net-probe",
            Self::StepOutputs => "step-outputs",
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

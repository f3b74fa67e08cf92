//! Capabilities this host can link, and the set granted to a tool.

use std::collections::BTreeSet;
use std::fmt;

/// An interface that is linked only when granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Capability {
    /// `net-probe`: ask whether a TCP port accepts connections.
    NetProbe,
    /// `step-outputs`: read outputs of other nodes of the job.
    StepOutputs,
}

impl Capability {
    /// All capabilities this host can link.
    pub const ALL: [Self; 2] = [Self::NetProbe, Self::StepOutputs];

    /// The interface's short name, as manifests and policies spell it.
    pub fn interface(self) -> &'static str {
        match self {
            Self::NetProbe => "net-probe",
            Self::StepOutputs => "step-outputs",
        }
    }

    /// The capability of that short name, if this host has it.
    pub fn from_interface(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.interface() == name)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.interface())
    }
}

/// The capabilities that policy and manifest together give a tool. The scope of each (hosts, directories) is decided
/// call by call through [`crate::ToolHost`].
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Grants(BTreeSet<Capability>);

impl Grants {
    /// Nothing beyond what every tool gets.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether the capability is granted.
    pub fn has(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }

    /// The granted capabilities.
    pub fn iter(&self) -> impl Iterator<Item = Capability> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Capability> for Grants {
    fn from_iter<I: IntoIterator<Item = Capability>>(capabilities: I) -> Self {
        Self(capabilities.into_iter().collect())
    }
}

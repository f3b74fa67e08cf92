//! The set of capabilities granted to a tool.

use std::collections::BTreeSet;

use autoexec_grants::Capability;

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

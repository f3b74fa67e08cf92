//! What a tool gets in the end: requested ∩ granted ∩ ceiling.

use serde::Serialize;

use crate::access::{Access, Request};
use crate::capability::Capability;
use crate::decide::Facts;
use crate::decision::Decision;
use crate::policy::Policy;

/// What a tool is linked with, and why it is not with the rest of what it asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EffectiveGrant {
    /// One entry for each request of the manifest, in its order.
    pub capabilities: Vec<CapabilityGrant>,
}

/// The answer to one request of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum CapabilityGrant {
    /// A capability of this autoexec.
    Known(Box<Decision>),
    /// This autoexec has no such interface; the tool can not be linked.
    Unknown {
        /// As the manifest spells it.
        interface: String,
    },
}

impl EffectiveGrant {
    /// The capabilities to be linked.
    pub fn linked(&self) -> impl Iterator<Item = Capability> + '_ {
        self.capabilities.iter().filter_map(|grant| match grant {
            CapabilityGrant::Known(decision) if decision.allowed() => Some(decision.capability),
            CapabilityGrant::Known(_) | CapabilityGrant::Unknown { .. } => None,
        })
    }
}

impl Policy {
    /// The grant for a tool whose manifest asks for these interfaces.
    pub fn effective<'a>(
        &self,
        tool: &str,
        digest: Option<&str>,
        requested: impl IntoIterator<Item = &'a str>,
    ) -> EffectiveGrant {
        let decide = |interface: &str| match Capability::from_interface(interface) {
            Some(capability) => {
                let request = Request { tool, digest, access: Access::Interface(capability) };
                CapabilityGrant::Known(Box::new(self.decide(&request, &Facts::default())))
            }
            None => CapabilityGrant::Unknown { interface: interface.to_owned() },
        };
        EffectiveGrant { capabilities: requested.into_iter().map(decide).collect() }
    }
}

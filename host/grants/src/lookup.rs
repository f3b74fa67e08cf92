//! Questions that are about a tool and not about one use: asked before there is one.

use crate::access::{Access, Direction, Request};
use crate::capability::Capability;
use crate::decide::{Bearing, Facts};
use crate::decision::{DecisionOutcome, Terms};
use crate::path::AbsolutePath;
use crate::policy::Policy;
use crate::rule::{Matcher, Rule};
use crate::subject::target;

use crate::pattern::Port;

impl Policy {
    /// The directories that a tool gets for reading or for writing, absolute and with the variables filled in. What is denied
    /// below one of them is denied use by use.
    pub fn directories(&self, tool: &str, facts: &Facts<'_>, direction: Direction) -> Vec<String> {
        let job = facts.job_dir.and_then(|job| AbsolutePath::parse(job).ok());
        let Bearing { granted, ceiling } = self.bearing(tool, Capability::Filesystem);
        let rules = granted.into_iter().chain(ceiling.into_iter().flatten());
        let named = rules.filter_map(|rule| match &rule.matcher {
            Matcher::File { path, .. } => path.resolve(job.as_ref()).map(|path| path.to_string()),
            _ => None,
        });
        let mut roots: Vec<String> = named
            .filter_map(|path| {
                let access = Access::Filesystem { path: &path, direction };
                let decision = self.decide(&Request { tool, digest: None, access }, facts);
                match decision.terms {
                    Terms::Directory { root } if decision.outcome == DecisionOutcome::Allowed => Some(root),
                    _ => None,
                }
            })
            .collect();
        roots.sort();
        roots.dedup();
        roots
    }

    /// Whether the certificate of a TLS peer is checked, when it is not known which capability asks: it is, unless every one
    /// that gives the host says no.
    pub fn verifies_certificate(&self, tool: &str, facts: &Facts<'_>, host: &str, port: u16) -> bool {
        let Ok(target) = target(host, Port::Number(port), None, facts) else { return true };
        let mut lifted = false;
        for capability in [Capability::Http, Capability::Sockets] {
            let bearing = self.bearing(tool, capability);
            let gives = |rule: &&Rule| match &rule.matcher {
                Matcher::Host(host) | Matcher::Http { host, .. } => host.matches_host(&target),
                _ => false,
            };
            if bearing.lifts_verification(&target) {
                lifted = true;
            } else if bearing.granted.iter().any(gives) {
                return true;
            }
        }
        !lifted
    }
}

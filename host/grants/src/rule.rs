//! One rule of a policy: a capability, yes or no, and for what.

use std::fmt;

use serde::Serialize;

use crate::capability::Capability;
use crate::decide::Subject;
use crate::pattern::HostPattern;

/// Where a rule stands, and what it says there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleRef {
    /// The file, as its reader named it.
    pub file: String,
    /// Line from 1.
    pub line: usize,
    /// The rule in short: `net-probe hosts "10.0.0.0/8:22"`.
    pub text: String,
}

impl fmt::Display for RuleRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} line {})", self.text, self.file, self.line)
    }
}

/// Whether a rule gives or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
}

/// What of a capability a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Matcher {
    /// All of it.
    Whole,
    /// Some hosts.
    Host(HostPattern),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) capability: Capability,
    pub(crate) effect: Effect,
    pub(crate) matcher: Matcher,
    pub(crate) at: RuleRef,
}

impl Rule {
    /// Whether it forbids the subject. That some host is forbidden does not forbid the interface.
    pub(crate) fn forbids(&self, subject: &Subject) -> bool {
        self.effect == Effect::Deny
            && match (&self.matcher, subject) {
                (Matcher::Whole, _) => true,
                (Matcher::Host(pattern), Subject::Connection(target)) => pattern.forbids(target),
                (Matcher::Host(_), Subject::Interface | Subject::Use) => false,
            }
    }

    /// Whether it allows the subject, addresses behind a name left aside. That some host is allowed allows the
    /// interface.
    pub(crate) fn allows(&self, subject: &Subject) -> bool {
        self.effect == Effect::Allow
            && match (&self.matcher, subject) {
                (Matcher::Whole, _) | (Matcher::Host(_), Subject::Interface) => true,
                (Matcher::Host(pattern), Subject::Connection(target)) => pattern.matches_host(target),
                (Matcher::Host(_), Subject::Use) => false,
            }
    }

    /// The host pattern of an allow rule.
    pub(crate) fn allowed_hosts(&self) -> Option<&HostPattern> {
        match (&self.matcher, self.effect) {
            (Matcher::Host(pattern), Effect::Allow) => Some(pattern),
            _ => None,
        }
    }

    /// Whether this rule does everything that `other` does.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.capability == other.capability
            && self.effect == other.effect
            && match (&self.matcher, &other.matcher) {
                (Matcher::Whole, _) => true,
                (Matcher::Host(own), Matcher::Host(other)) => own.covers(other, self.effect),
                (Matcher::Host(_), Matcher::Whole) => false,
            }
    }
}

//! Answers of a policy: for the caller, for the audit log, and for people.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::address::AddressClass;
use crate::capability::Capability;
use crate::decide::{Access, Request, Verdict};
use crate::host::{Host, HostError};
use crate::policy::{Mode, Policy};
use crate::rule::RuleRef;

/// The most of an argument that is shown or recorded, in characters.
const LONGEST_ARGUMENT: usize = 256;

/// A decision. Serialised, it is the part of an audit line that the policy knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The tool as it is installed.
    pub tool: String,
    /// SHA-256 of the component in hexadecimal, where it is known.
    pub digest: Option<String>,
    /// The capability.
    pub capability: Capability,
    /// What it was to be used on; none when the question is whether the interface is linked.
    pub argument: Option<String>,
    /// What became of it.
    #[serde(rename = "decision")]
    pub outcome: DecisionOutcome,
    /// The rule that decided; none when no rule fits.
    pub rule: Option<RuleRef>,
    /// Why.
    pub reason: Reason,
    /// How to allow what was refused.
    #[serde(skip)]
    pub advice: Option<Advice>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionOutcome {
    /// The rules allow it.
    Allowed,
    /// The rules do not allow it, and it is refused.
    Denied,
    /// It would be denied, but the policy only monitors.
    WouldDeny,
    /// It would be denied, but the policy only learns.
    Learned,
}

/// Why the rules say what they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A rule allows it, and the ceiling too.
    Granted,
    /// A deny rule fits.
    Forbidden,
    /// No rule fits.
    NoRule,
    /// A grant allows it, but the ceiling does not.
    Ceiling,
    /// The name is allowed, but it leads to an address that a name pattern does not give out.
    SpecialAddress {
        /// The address.
        address: IpAddr,
        /// Its kind.
        class: AddressClass,
    },
    /// The host can not be compared with rules.
    Host(HostError),
}

impl Reason {
    pub(crate) fn outcome(self, mode: Mode) -> DecisionOutcome {
        match (self, mode) {
            (Self::Granted, _) => DecisionOutcome::Allowed,
            (_, Mode::Enforce) => DecisionOutcome::Denied,
            (_, Mode::Monitor) => DecisionOutcome::WouldDeny,
            (_, Mode::Learn) => DecisionOutcome::Learned,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted => f.write_str("a rule allows it"),
            Self::Forbidden => f.write_str("a rule denies it"),
            Self::NoRule => f.write_str("no rule allows it"),
            Self::Ceiling => f.write_str("a grant allows it, but the ceiling does not"),
            Self::SpecialAddress { address, class } => {
                write!(
                    f,
                    "{address} is a {class} address, which only a rule for that address, its network or the exact name allows"
                )
            }
            Self::Host(error) => error.fmt(f),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What to write where, so that a refused request is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advice {
    /// Add a grant to the end of a file.
    AddGrant {
        /// The file.
        file: String,
        /// TOML text.
        text: String,
        /// The built-in policy holds: it has to be copied first, because the file replaces it.
        replaces_built_in: bool,
    },
    /// Add a pattern or a switch to the ceiling, beside the grant that is there.
    AddToCeiling {
        /// Where the ceiling stands.
        at: RuleRef,
        /// The key and value to add.
        text: String,
    },
    /// Remove or narrow the deny rule.
    RemoveDeny {
        /// Where it stands.
        at: RuleRef,
    },
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddGrant { file, text, replaces_built_in } => {
                write!(f, "To allow it, add to {file}")?;
                if *replaces_built_in {
                    f.write_str(" (it replaces the built-in policy, so begin it with the output of `autoexec policy default`)")?;
                }
                write!(f, ":\n{text}")
            }
            Self::AddToCeiling { at, text } => {
                write!(f, "To allow it, add to the ceiling in {} line {}: {text}", at.file, at.line)
            }
            Self::RemoveDeny { at } => {
                write!(f, "To allow it, remove or narrow the rule in {} line {}", at.file, at.line)
            }
        }
    }
}

impl Decision {
    /// Whether the tool may do it, the mode considered.
    pub fn allowed(&self) -> bool {
        self.outcome != DecisionOutcome::Denied
    }
}

/// The decision in a sentence, without the advice.
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.outcome {
            DecisionOutcome::Allowed => "allows",
            DecisionOutcome::Denied => "denies",
            DecisionOutcome::WouldDeny => "(mode monitor) would deny",
            DecisionOutcome::Learned => "(mode learn) notes for",
        };
        write!(f, "Policy {verb} {} `{}`", self.tool, self.capability)?;
        if let Some(argument) = &self.argument {
            write!(f, " on {argument}")?;
        }
        match &self.rule {
            Some(rule) => write!(f, ": {}: {rule}.", self.reason),
            None => write!(f, ": {}.", self.reason),
        }
    }
}

impl Policy {
    pub(crate) fn advice(&self, request: &Request<'_>, verdict: &Verdict) -> Option<Advice> {
        match (verdict.reason, &verdict.rule) {
            (Reason::Granted | Reason::Host(_), _) => None,
            (Reason::Forbidden, at) => at.clone().map(|at| Advice::RemoveDeny { at }),
            (Reason::Ceiling, Some(at)) => {
                Some(Advice::AddToCeiling { at: at.clone(), text: grant_line(&request.access) })
            }
            _ => Some(Advice::AddGrant {
                file: self.site_file.clone().or_else(|| self.files.last().cloned())?,
                text: format!("[[grant]]\ntools = [{:?}]\n{}", request.tool, grant_line(&request.access)),
                replaces_built_in: self.is_built_in(),
            }),
        }
    }
}

/// The narrowest line that allows the request.
fn grant_line(access: &Access<'_>) -> String {
    let Access::NetProbe { host, port, address } = access else {
        return match access.capability() {
            Capability::NetProbe => "net-probe = { hosts = [\"${node.host}\"] }".to_owned(),
            capability => format!("{capability} = true"),
        };
    };
    let host = match (Host::parse(host), address) {
        // A name keeps its own rule; what is missing then is the address it leads to.
        (Ok(Host::Name(_)), Some(address)) => Host::Address(address.to_canonical()),
        (Ok(host), _) => host,
        (Err(_), _) => Host::Name(shown(host)),
    };
    match host {
        Host::Address(IpAddr::V6(address)) => format!("net-probe = {{ hosts = [\"[{address}]:{port}\"] }}"),
        host => format!("net-probe = {{ hosts = [\"{host}:{port}\"] }}"),
    }
}

/// Text of a guest's choice, made harmless for a log: bounded, and without control characters.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST_ARGUMENT).map(harmless).collect();
    if text.chars().nth(LONGEST_ARGUMENT).is_some() {
        shown.push('…');
    }
    shown
}

/// Invisible characters and those that turn the direction of text could make a log line say something else.
fn harmless(c: char) -> char {
    let turns =
        matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    if c.is_control() || turns { '\u{fffd}' } else { c }
}

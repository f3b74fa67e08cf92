//! Answers of a policy: for the caller, for the audit log, and for people.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize, Serializer};

use crate::address::AddressClass;
use crate::advice::Advice;
use crate::capability::Capability;
use crate::host::HostError;
use crate::path::PathError;
use crate::policy::Mode;
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
    /// What the executor needs beyond a yes.
    #[serde(skip)]
    pub terms: Terms,
    /// How to allow what was refused.
    #[serde(skip)]
    pub advice: Option<Advice>,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// What the executor needs, beyond a yes, to carry out what was allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind", rename_all_fields = "kebab-case")]
pub enum Terms {
    /// Nothing.
    #[default]
    Plain,
    /// A connection, for `http` and `sockets`.
    Connection {
        /// Whether the certificate of a TLS peer is checked. Only a rule `unverified-tls` says no.
        verify_certificate: bool,
    },
    /// A file of the runner.
    Directory {
        /// What the policy names, absolute: a directory that holds the file, or the path that was asked for itself. No link may lead
        /// out of it.
        root: String,
    },
    /// A program.
    Program {
        /// Where it lies, absolute.
        path: String,
    },
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
    /// The path can not be compared with rules.
    Path(PathError),
    /// Neither `http` nor `https`.
    Scheme,
    /// A name or the path of a call that can not be compared with rules.
    Name,
    /// A file of the executor itself: no rule gives it out.
    OwnFile,
    /// No rule for the tool says where the program is.
    NoProgram,
    /// A variable with which any program can be made to run other code: no rule gives it out.
    Variable,
}

impl Reason {
    /// Whether the mode makes no difference: what is missing is not a permission, or is nobody's to give.
    fn is_final(self) -> bool {
        matches!(self, Self::Path(_) | Self::OwnFile | Self::NoProgram | Self::Variable)
    }

    pub(crate) fn outcome(self, mode: Mode) -> DecisionOutcome {
        match (self, mode) {
            (Self::Granted, _) => DecisionOutcome::Allowed,
            (_, Mode::Enforce) => DecisionOutcome::Denied,
            (reason, _) if reason.is_final() => DecisionOutcome::Denied,
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
            Self::Path(error) => error.fmt(f),
            Self::Scheme => f.write_str("the scheme is neither `http` nor `https`"),
            Self::Name => f.write_str("the name is empty, too long, or has parts that can be read in two ways"),
            Self::OwnFile => f.write_str(
                "it is the executor's own; of its directories, policies give out only those that docs/policy.md names",
            ),
            Self::NoProgram => f.write_str("no rule for the tool says where this program is"),
            Self::Variable => {
                f.write_str("it sets a variable that no rule gives out, because it decides which code programs run")
            }
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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

//! One rule of a policy: a capability, yes or no, and for what.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::access::Direction;
use crate::capability::Capability;
use crate::path::PathPattern;
use crate::pattern::{HostPattern, Target};
use crate::subject::{Place, Subject};
use crate::text::NamePattern;
use crate::words::{Reader, WordsPattern};

/// Where a rule stands, and what it says there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// Which way data goes under a rule; a deny rule may be about both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    One(Direction),
    Both,
}

impl Way {
    fn includes(self, direction: Direction) -> bool {
        self == Self::Both || self == Self::One(direction)
    }

    fn covers(self, other: Self) -> bool {
        self == Self::Both || self == other
    }
}

/// What of a capability a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Matcher {
    /// All of it.
    Whole,
    /// Some hosts.
    Host(HostPattern),
    /// Some hosts (`http`), asked in some ways.
    Http { host: HostPattern, methods: Option<BTreeSet<String>>, schemes: BTreeSet<Scheme> },
    /// Some hosts whose certificate is not looked at. Allows nothing by itself.
    UnverifiedTls(HostPattern),
    /// A secret, and one kind of place where it may go; in a deny rule, the secret as such.
    Secret { name: NamePattern, place: SecretPlace },
    /// Commands on the node.
    Command(CommandMatcher),
    /// Sessions on the node.
    Session,
    /// Files of the node; none for all of them, even those whose path is not absolute.
    NodeFile { path: Option<PathPattern>, way: Way },
    /// Files of this machine.
    File { path: PathPattern, way: Way },
    /// Things with a name: server calls and locks.
    Name(NamePattern),
    /// Collections of documents.
    Collection { name: NamePattern, way: Way },
    /// A program; in a deny rule without a path. None for the others stands for any: all arguments, all variables.
    Program {
        name: String,
        path: Option<String>,
        arguments: Option<WordsPattern>,
        environment: Option<Vec<NamePattern>>,
    },
}

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// Where a secret may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SecretPlace {
    /// Anywhere: in deny rules.
    Anywhere,
    Http(Scheme, HostPattern),
    Connection(HostPattern),
    Snmp(HostPattern),
    Target,
    Program(NamePattern),
}

/// Which commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CommandMatcher {
    Any,
    Line(WordsPattern),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) capability: Capability,
    pub(crate) effect: Effect,
    pub(crate) matcher: Matcher,
    pub(crate) at: RuleRef,
}

impl Rule {
    /// Whether it forbids the subject. That some of it is forbidden does not forbid the interface.
    pub(crate) fn forbids(&self, subject: &Subject<'_>) -> bool {
        self.effect == Effect::Deny
            && match (&self.matcher, subject) {
                (Matcher::Whole, _) => true,
                (_, Subject::Interface) => false,
                (Matcher::Host(pattern), Subject::Connection(target) | Subject::Http { target, .. }) => {
                    pattern.forbids(target)
                }
                // What can not be compared with a directory could lie in it.
                (Matcher::NodeFile { path: Some(_), way }, Subject::NodeFile { path: None, direction }) => {
                    way.includes(*direction)
                }
                _ => self.fits(subject),
            }
    }

    /// Whether it allows the subject, addresses behind a name left aside. That some of it is allowed allows the
    /// interface.
    pub(crate) fn allows(&self, subject: &Subject<'_>) -> bool {
        self.effect == Effect::Allow
            && match (&self.matcher, subject) {
                (Matcher::UnverifiedTls(_), _) => false,
                (Matcher::Whole, _) | (_, Subject::Interface) => true,
                // The executor keeps collections of its own, with a `_` first: a star does not give them.
                (Matcher::Collection { name: pattern, .. }, Subject::Collection { name, .. })
                    if pattern.begins_open() && name.starts_with('_') =>
                {
                    false
                }
                _ => match (self.host_for(subject), subject.target()) {
                    (Some(pattern), Some(target)) => pattern.matches_host(target),
                    _ => self.fits(subject),
                },
            }
    }

    /// Whether it gives the whole capability.
    pub(crate) fn allows_all(&self) -> bool {
        self.effect == Effect::Allow && self.matcher == Matcher::Whole
    }

    /// The hosts that it is about.
    pub(crate) fn hosts(&self) -> Option<&HostPattern> {
        match &self.matcher {
            Matcher::Host(host) | Matcher::Http { host, .. } | Matcher::UnverifiedTls(host) => Some(host),
            Matcher::Secret { place, .. } => place.hosts(),
            _ => None,
        }
    }

    /// The host pattern of an allow rule that is about the subject in everything but the host.
    pub(crate) fn host_for(&self, subject: &Subject<'_>) -> Option<&HostPattern> {
        if self.effect != Effect::Allow {
            return None;
        }
        match (&self.matcher, subject) {
            (Matcher::Host(pattern), Subject::Connection(_)) => Some(pattern),
            (Matcher::Http { host, methods, schemes }, Subject::Http { method, scheme, .. }) => {
                let method_fits = methods.as_ref().is_none_or(|methods| methods.contains(*method));
                (method_fits && schemes.contains(scheme)).then_some(host)
            }
            (Matcher::Secret { name: pattern, place }, Subject::Secret { name, place: Some(asked) }) => {
                if !pattern.matches(name) {
                    return None;
                }
                match (place, asked) {
                    (SecretPlace::Http(own, host), Place::Http(scheme, _)) => (own == scheme).then_some(host),
                    (SecretPlace::Connection(host), Place::Connection(_))
                    | (SecretPlace::Snmp(host), Place::Snmp(_)) => Some(host),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether the subject is what a matcher without hosts names.
    fn fits(&self, subject: &Subject<'_>) -> bool {
        match (&self.matcher, subject) {
            (Matcher::Secret { name: pattern, place }, Subject::Secret { name, place: asked }) => {
                pattern.matches(name)
                    && match (place, asked) {
                        (SecretPlace::Anywhere, _) | (SecretPlace::Target, Some(Place::Target)) => true,
                        // A reference goes nowhere yet: a place that is allowed is enough, one that is denied is not.
                        (_, None) => self.effect == Effect::Allow,
                        (SecretPlace::Program(pattern), Some(Place::Program(name))) => pattern.matches(name),
                        _ => false,
                    }
            }
            (Matcher::Command(CommandMatcher::Any), Subject::Command(_))
            | (Matcher::Session, Subject::Session) => true,
            (Matcher::Command(CommandMatcher::Line(pattern)), Subject::Command(line)) => {
                pattern.matches_line(line)
            }
            (Matcher::NodeFile { path: pattern, way }, Subject::NodeFile { path, direction }) => {
                way.includes(*direction)
                    && match (pattern, path) {
                        (None, _) => true,
                        (Some(pattern), Some(path)) => pattern.holds(path, None),
                        (Some(_), None) => false,
                    }
            }
            (Matcher::File { path: pattern, way }, Subject::File { path, direction, job }) => {
                way.includes(*direction) && pattern.holds(path, job.as_ref())
            }
            (Matcher::Name(pattern), Subject::Name(name)) => pattern.matches(name),
            (Matcher::Collection { name: pattern, way }, Subject::Collection { name, direction }) => {
                way.includes(*direction) && pattern.matches(name)
            }
            (
                Matcher::Program { name: own, arguments: pattern, environment: named, .. },
                Subject::Program { name, arguments, environment },
            ) => {
                let is_named = |named: &Vec<NamePattern>| {
                    environment.iter().all(|variable| named.iter().any(|pattern| pattern.matches(variable)))
                };
                own == name
                    && pattern.as_ref().is_none_or(|pattern| pattern.matches_arguments(arguments))
                    && named.as_ref().is_none_or(is_named)
            }
            _ => false,
        }
    }

    /// Whether it says that the certificate of a peer is not looked at.
    pub(crate) fn lifts_verification(&self, target: &Target) -> bool {
        matches!(&self.matcher, Matcher::UnverifiedTls(pattern) if pattern.matches_host(target))
    }

    /// Whether this rule does everything that `other` does.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let deny = self.effect == Effect::Deny;
        self.capability == other.capability
            && self.effect == other.effect
            && match (&self.matcher, &other.matcher) {
                (Matcher::Whole, _) | (Matcher::Session, Matcher::Session) => true,
                (Matcher::Host(own), Matcher::Host(other)) => own.covers(other, self.effect),
                (
                    Matcher::Http { host: own, methods, schemes },
                    Matcher::Http { host: other, methods: other_methods, schemes: other_schemes },
                ) => {
                    let methods = match (methods, other_methods) {
                        (None, _) => true,
                        (Some(own), Some(other)) => own.is_superset(other),
                        (Some(_), None) => false,
                    };
                    methods && schemes.is_superset(other_schemes) && own.covers(other, self.effect)
                }
                (Matcher::UnverifiedTls(own), Matcher::UnverifiedTls(other)) => {
                    own.covers(other, self.effect)
                }
                (
                    Matcher::Secret { name: own, place },
                    Matcher::Secret { name: other, place: other_place },
                ) => own.covers(other) && place.covers(other_place, self.effect),
                (Matcher::Command(own), Matcher::Command(other)) => own.covers(other),
                (Matcher::NodeFile { path: own, way }, Matcher::NodeFile { path: other, way: other_way }) => {
                    way.covers(*other_way)
                        && match (own, other) {
                            (None, _) => true,
                            (Some(own), Some(other)) => own.covers(other),
                            (Some(_), None) => false,
                        }
                }
                (Matcher::File { path: own, way }, Matcher::File { path: other, way: other_way }) => {
                    way.covers(*other_way) && own.covers(other)
                }
                (Matcher::Name(own), Matcher::Name(other)) => own.covers(other),
                (
                    Matcher::Collection { name: own, way },
                    Matcher::Collection { name: other, way: other_way },
                ) => {
                    let stars = deny || !own.begins_open() || !other.as_str().starts_with('_');
                    way.covers(*other_way) && stars && own.covers(other)
                }
                (
                    Matcher::Program { name, path, arguments, environment },
                    Matcher::Program {
                        name: other_name,
                        path: other_path,
                        arguments: other_arguments,
                        environment: other_environment,
                    },
                ) => {
                    name == other_name
                        && path == other_path
                        && match (arguments, other_arguments) {
                            (None, _) => true,
                            (Some(own), Some(other)) => own.covers(other, Reader::Program),
                            (Some(_), None) => false,
                        }
                        && match (environment, other_environment) {
                            (None, _) => true,
                            (Some(own), Some(other)) => {
                                other.iter().all(|other| own.iter().any(|own| own.covers(other)))
                            }
                            (Some(_), None) => false,
                        }
                }
                _ => false,
            }
    }
}

impl SecretPlace {
    /// The hosts that it is about.
    pub(crate) fn hosts(&self) -> Option<&HostPattern> {
        match self {
            Self::Http(_, host) | Self::Connection(host) | Self::Snmp(host) => Some(host),
            Self::Anywhere | Self::Target | Self::Program(_) => None,
        }
    }

    fn covers(&self, other: &Self, effect: Effect) -> bool {
        match (self, other) {
            (Self::Anywhere, _) | (Self::Target, Self::Target) => true,
            (Self::Http(scheme, own), Self::Http(other_scheme, other)) => {
                scheme == other_scheme && own.covers(other, effect)
            }
            (Self::Connection(own), Self::Connection(other)) | (Self::Snmp(own), Self::Snmp(other)) => {
                own.covers(other, effect)
            }
            (Self::Program(own), Self::Program(other)) => own.covers(other),
            _ => false,
        }
    }
}

impl CommandMatcher {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Line(own), Self::Line(other)) => own.covers(other, Reader::Shell),
            (Self::Line(_), Self::Any) => false,
        }
    }
}

impl Scheme {
    /// As in URLs.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        match text {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            _ => None,
        }
    }
}

//! What a tool was seen to do, as values of the keys of a policy.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::Seen;
use crate::access::{Access, SecretDestination, TargetUse};
use crate::advice::{exact_words, grantable_path, program_words};
use crate::capability::Capability;
use crate::decide::Facts;
use crate::host::Host;
use crate::path::PathPattern;
use crate::policy::Policy;

/// How often something was seen, and where.
#[derive(Debug, Clone, Default)]
pub(super) struct Evidence {
    pub(super) times: usize,
    pub(super) nodes: BTreeSet<String>,
    pub(super) example: String,
    /// What the value allows beyond what was seen.
    pub(super) wider: Option<String>,
}

impl Evidence {
    pub(super) fn of(seen: &Seen) -> Self {
        Self {
            times: 1,
            nodes: seen.node.iter().cloned().collect(),
            example: seen.place.clone(),
            wider: None,
        }
    }

    /// A star in what was seen is one of the pattern's.
    fn note_star(&mut self, value: &str) {
        if value.contains('*') && self.wider.is_none() {
            self.wider = Some("the star in it stands for any characters".to_owned());
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.times += other.times;
        self.nodes.extend(other.nodes);
        if self.example.is_empty() {
            self.example = other.example;
        }
        self.wider = self.wider.take().or(other.wider);
    }
}

/// A list of the policy: the tables above it, and its key.
pub(super) type ListKey = (Capability, Option<String>, &'static str);

/// Methods and schemes of `http`, which stand once in a table for all its hosts.
pub(super) type HttpWays = (BTreeSet<String>, BTreeSet<String>);

/// What one tool was seen to do.
#[derive(Debug, Default)]
pub(super) struct ToolUses {
    /// Capabilities that were linked.
    pub(super) linked: BTreeMap<Capability, Evidence>,
    /// Capabilities and keys that are `true`.
    pub(super) switches: BTreeMap<(Capability, Option<String>, &'static str), Evidence>,
    /// Values of lists.
    pub(super) lists: BTreeMap<ListKey, BTreeMap<String, Evidence>>,
    /// Methods and schemes by host pattern.
    pub(super) http: BTreeMap<String, (HttpWays, Evidence)>,
    /// Programs by name.
    pub(super) programs: BTreeMap<String, ProgramUses>,
}

/// How a program was seen to be run.
#[derive(Debug, Default)]
pub(super) struct ProgramUses {
    /// Where it lies.
    pub(super) path: String,
    /// Patterns for its arguments; an empty one for none.
    pub(super) arguments: BTreeMap<String, Evidence>,
    /// Variables that were set for it.
    pub(super) environment: BTreeMap<String, Evidence>,
    /// Which of the variables were set together.
    settings: BTreeSet<BTreeSet<String>>,
}

impl ProgramUses {
    /// Whether one rule for all of it allows what was not seen together.
    pub(super) fn is_mixed(&self) -> bool {
        self.settings.len() > 1 && self.arguments.len() + self.environment.len() > 2
    }
}

impl ToolUses {
    /// Adds a use, or says why no rule can be written for it.
    pub(super) fn add(
        &mut self,
        access: &Access<'_>,
        facts: &Facts<'_>,
        current: &Policy,
        mut evidence: Evidence,
    ) -> Result<(), String> {
        let capability = access.capability();
        let host = |host: &str, port: Option<u16>| host_pattern(host, port, facts);
        match *access {
            Access::Interface(capability) => {
                self.linked.entry(capability).or_default().merge(evidence);
            }
            Access::StepOutputs { .. } | Access::JobNodes { .. } | Access::Interact { .. } => {
                self.switch((capability, None, ""), evidence);
            }
            // An address is what a name led to; the rule for the name is what allows it.
            Access::NetProbe { host: name, port, .. } | Access::Snmp { host: name, port, .. } => {
                self.list((capability, None, "hosts"), host(name, Some(port))?, evidence);
            }
            Access::Socket { host: name, port, .. } => {
                if port == 0 {
                    evidence.wider = Some("the name was looked up: all ports".to_owned());
                }
                self.list((capability, None, "hosts"), host(name, (port > 0).then_some(port))?, evidence);
            }
            Access::IcmpEcho { host: name, .. } => {
                evidence.wider = Some("an echo has no port: all ports".to_owned());
                self.list((capability, None, "hosts"), host(name, None)?, evidence);
            }
            Access::Http { method, scheme, host: name, port, .. } => {
                let (ways, seen) = self.http.entry(host(name, Some(port))?).or_default();
                ways.0.insert(method.to_owned());
                ways.1.insert(scheme.to_owned());
                seen.merge(evidence);
            }
            Access::Secret { name, destination } => self.secret(name, destination, facts, evidence)?,
            Access::Target(TargetUse::Command { line }) => {
                let pattern = exact_words(line).ok_or("no pattern is exactly this command")?;
                self.list((capability, None, "commands"), pattern, evidence);
            }
            Access::Target(TargetUse::Session) => self.switch((capability, None, "session"), evidence),
            Access::Target(TargetUse::File { path, direction }) => {
                let pattern = PathPattern::parse_on_node(path).map_err(|problem| problem.to_string())?;
                self.list((capability, None, direction.key()), pattern.to_string(), evidence);
            }
            Access::Filesystem { path, direction } => {
                let path = grantable_path(path, facts);
                let pattern = PathPattern::parse(&path).map_err(|problem| problem.to_string())?;
                self.list((capability, None, direction.key()), pattern.to_string(), evidence);
            }
            Access::Server { call } => self.list((capability, None, "calls"), call.to_owned(), evidence),
            Access::Documents { collection, direction } => {
                self.list((capability, None, direction.key()), collection.to_owned(), evidence);
            }
            Access::Lock { name } => self.list((capability, None, "names"), name.to_owned(), evidence),
            Access::Program { name, arguments, environment } => {
                let path = current.program_path(name).ok_or("nobody knows the path of this program")?;
                let words = program_words(arguments).ok_or("no pattern is exactly these arguments")?;
                let uses = self.programs.entry(name.to_owned()).or_default();
                path.clone_into(&mut uses.path);
                uses.settings.insert(environment.iter().cloned().collect());
                for variable in environment {
                    let mut evidence = evidence.clone();
                    evidence.note_star(variable);
                    uses.environment.entry(variable.clone()).or_default().merge(evidence);
                }
                evidence.note_star(&words);
                uses.arguments.entry(words).or_default().merge(evidence);
            }
        }
        Ok(())
    }

    fn secret(
        &mut self,
        name: &str,
        destination: Option<SecretDestination<'_>>,
        facts: &Facts<'_>,
        evidence: Evidence,
    ) -> Result<(), String> {
        let (key, value) = match destination {
            // What a reference is for is seen when it goes somewhere.
            None => return Ok(()),
            Some(SecretDestination::Http { scheme, host, port }) => {
                let key = if scheme == "https" { "https" } else { "http" };
                (key, host_pattern(host, Some(port), facts)?)
            }
            Some(SecretDestination::Connection { host, port }) => {
                ("connections", host_pattern(host, Some(port), facts)?)
            }
            Some(SecretDestination::Snmp { host, port }) => ("snmp", host_pattern(host, Some(port), facts)?),
            Some(SecretDestination::Program(program)) => ("programs", program.to_owned()),
            Some(SecretDestination::Target) => {
                self.switch((Capability::Secret, Some(name.to_owned()), "target"), evidence);
                return Ok(());
            }
        };
        self.list((Capability::Secret, Some(name.to_owned()), key), value, evidence);
        Ok(())
    }

    fn list(&mut self, key: ListKey, value: String, mut evidence: Evidence) {
        evidence.note_star(&value);
        self.lists.entry(key).or_default().entry(value).or_default().merge(evidence);
    }

    fn switch(&mut self, key: ListKey, evidence: Evidence) {
        self.switches.entry(key).or_default().merge(evidence);
    }

    /// Whether there is nothing to write.
    pub(super) fn is_empty(&self) -> bool {
        self.linked.is_empty() && Capability::ALL.iter().all(|capability| !self.is_used(*capability))
    }

    /// Whether a rule for the capability comes out of what was seen.
    pub(super) fn is_used(&self, capability: Capability) -> bool {
        self.lists.keys().chain(self.switches.keys()).any(|(used, ..)| *used == capability)
            || (capability == Capability::Http && !self.http.is_empty())
            || (capability == Capability::Program && !self.programs.is_empty())
    }
}

/// The pattern for a host: the variable where it is the node.
fn host_pattern(host: &str, port: Option<u16>, facts: &Facts<'_>) -> Result<String, String> {
    let host = Host::parse(host).map_err(|problem| problem.to_string())?;
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    if facts.node_host.is_some_and(|node| Host::parse(node).as_ref() == Ok(&host)) {
        return Ok(format!("${{node.host}}{port}"));
    }
    Ok(match host {
        Host::Address(IpAddr::V6(address)) if !port.is_empty() => format!("[{address}]{port}"),
        host => format!("{host}{port}"),
    })
}

//! How to allow what was refused: the narrowest lines, ready to be put into a policy.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::access::{Access, Request, SecretDestination, TargetUse};
use crate::capability::Capability;
use crate::decide::{Facts, Verdict};
use crate::decision::{Reason, shown};
use crate::host::Host;
use crate::path::{AbsolutePath, PathPattern};
use crate::policy::Policy;
use crate::rule::RuleRef;
use crate::words::WordsPattern;

/// What to write where, so that a refused request is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", rename_all_fields = "kebab-case")]
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

impl Policy {
    pub(crate) fn advice(
        &self,
        request: &Request<'_>,
        facts: &Facts<'_>,
        verdict: &Verdict,
    ) -> Option<Advice> {
        let line = || self.grant_line(&request.access, facts, verdict.reason);
        match (verdict.reason, &verdict.rule) {
            (
                Reason::Granted
                | Reason::Host(_)
                | Reason::Path(_)
                | Reason::Scheme
                | Reason::Name
                | Reason::OwnFile
                | Reason::Variable,
                _,
            ) => None,
            (Reason::Forbidden, at) => at.clone().map(|at| Advice::RemoveDeny { at }),
            (Reason::Ceiling, Some(at)) => Some(Advice::AddToCeiling { at: at.clone(), text: line()? }),
            _ => Some(Advice::AddGrant {
                file: self.site_file.clone().or_else(|| self.files.last().cloned())?,
                text: format!("[[grant]]\ntools = [{}]\n{}", quoted(request.tool), line()?),
                replaces_built_in: self.is_built_in(),
            }),
        }
    }

    /// The narrowest line that allows the request.
    fn grant_line(&self, access: &Access<'_>, facts: &Facts<'_>, reason: Reason) -> Option<String> {
        let capability = access.capability();
        let hosts = |host: &str, port: Option<u16>| hosts_list(host, port, reason);
        let value = match *access {
            Access::Interface(capability) => interface_value(capability).to_owned(),
            Access::StepOutputs { .. } | Access::JobNodes { .. } | Access::Interact { .. } => {
                "true".to_owned()
            }
            Access::NetProbe { host, port, .. } | Access::Snmp { host, port, .. } => {
                format!("{{ hosts = {} }}", hosts(host, Some(port)))
            }
            Access::Socket { host, port, .. } => {
                format!("{{ hosts = {} }}", hosts(host, (port > 0).then_some(port)))
            }
            Access::IcmpEcho { host, .. } => format!("{{ hosts = {} }}", hosts(host, None)),
            Access::Http { method, scheme, host, port, .. } => {
                let schemes = if scheme == "https" { "" } else { ", schemes = [\"http\"]" };
                let method = quoted(&shown(method));
                format!("{{ hosts = {}, methods = [{method}]{schemes} }}", hosts(host, Some(port)))
            }
            Access::Secret { name, destination } => {
                format!("{{ {} = {{ {} }} }}", quoted(name), secret_place(destination, reason))
            }
            Access::Target(TargetUse::Command { line }) => match exact_words(line) {
                Some(pattern) => format!("{{ commands = [{}] }}", quoted(&pattern)),
                None => "{ commands = true }".to_owned(),
            },
            Access::Target(TargetUse::Session) => "{ session = true }".to_owned(),
            Access::Target(TargetUse::File { path, direction }) => match PathPattern::parse_on_node(path) {
                Ok(_) => format!("{{ {direction} = [{}] }}", quoted(path)),
                Err(_) => format!("{{ {direction} = true }}"),
            },
            Access::Filesystem { path, direction } => {
                format!("{{ {direction} = [{}] }}", quoted(&grantable_path(path, facts)))
            }
            Access::Server { call } => format!("{{ calls = [{}] }}", quoted(call)),
            Access::Documents { collection, direction } => {
                format!("{{ {direction} = [{}] }}", quoted(collection))
            }
            Access::Lock { name } => format!("{{ names = [{}] }}", quoted(name)),
            Access::Program { name, arguments, environment } => {
                self.program_value(name, arguments, environment)?
            }
        };
        Some(format!("{capability} = {value}"))
    }

    fn program_value(&self, name: &str, arguments: &[String], environment: &[String]) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !name.chars().all(plain) || name.starts_with('.') {
            return None;
        }
        // A name has one path in a policy; without one, where such programs are as a rule.
        let path = self.program_path(name).map_or_else(|| format!("/usr/bin/{name}"), str::to_owned);
        let arguments = program_words(arguments).filter(|words| !words.is_empty());
        let arguments = arguments.map(|pattern| format!(", arguments = [{}]", quoted(&pattern)));
        let variables: Vec<String> = environment.iter().map(|variable| quoted(variable)).collect();
        let variables =
            (!variables.is_empty()).then(|| format!(", environment = [{}]", variables.join(", ")));
        Some(format!(
            "{{ {} = {{ path = {}{}{} }} }}",
            quoted(name),
            quoted(&path),
            arguments.unwrap_or_default(),
            variables.unwrap_or_default()
        ))
    }
}

/// What to begin with for an interface.
fn interface_value(capability: Capability) -> &'static str {
    match capability {
        Capability::StepOutputs | Capability::JobNodes | Capability::Interact => "true",
        Capability::Http | Capability::Sockets | Capability::Snmp | Capability::NetProbe => {
            "{ hosts = [\"${node.host}\"] }"
        }
        Capability::Secret => "{ \"option:password\" = { https = [\"${node.host}\"] } }",
        Capability::Target => "{ commands = [\"uptime\"] }",
        Capability::Filesystem => "{ read = [\"${job.dir}/file\"] }",
        Capability::Server => "{ calls = [\"name/of/the/call\"] }",
        Capability::Documents => "{ read = [\"name-of-the-collection\"] }",
        Capability::Lock => "{ names = [\"name-of-the-lock\"] }",
        Capability::Program => "{ \"name\" = { path = \"/usr/bin/name\" } }",
    }
}

/// The list with the one host. A name that leads to a special address keeps its own rule; what is missing then is the address.
fn hosts_list(host: &str, port: Option<u16>, reason: Reason) -> String {
    let host = match (Host::parse(host), reason) {
        (Ok(Host::Name(_)), Reason::SpecialAddress { address, .. }) => Host::Address(address),
        (Ok(host), _) => host,
        (Err(_), _) => Host::Name(shown(host)),
    };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let pattern = match host {
        Host::Address(IpAddr::V6(address)) if !port.is_empty() => format!("[{address}]{port}"),
        host => format!("{host}{port}"),
    };
    format!("[{}]", quoted(&pattern))
}

fn secret_place(destination: Option<SecretDestination<'_>>, reason: Reason) -> String {
    let hosts =
        |key: &str, host: &str, port: u16| format!("{key} = {}", hosts_list(host, Some(port), reason));
    match destination {
        // A rule says where to; nobody knows it yet.
        None => "https = [\"name-of-the-service.example:443\"]".to_owned(),
        Some(SecretDestination::Http { scheme, host, port }) => hosts(scheme, host, port),
        Some(SecretDestination::Connection { host, port }) => hosts("connections", host, port),
        Some(SecretDestination::Snmp { host, port }) => hosts("snmp", host, port),
        Some(SecretDestination::Target) => "target = true".to_owned(),
        Some(SecretDestination::Program(name)) => format!("programs = [{}]", quoted(name)),
    }
}

/// The text as a pattern that fits it, where there is one.
pub(crate) fn exact_words(text: &str) -> Option<String> {
    WordsPattern::parse(text)
        .ok()
        .filter(|pattern| pattern.matches_line(text))
        .map(|pattern| pattern.to_string())
}

/// The arguments as a pattern that fits them, where there is one; empty without arguments.
pub(crate) fn program_words(arguments: &[String]) -> Option<String> {
    if arguments.is_empty() {
        return Some(String::new());
    }
    let pattern = WordsPattern::parse(&arguments.join(" ")).ok()?;
    pattern.matches_arguments(arguments).then(|| pattern.to_string())
}

/// A path with `${job.dir}` where it fits.
pub(crate) fn grantable_path(path: &str, facts: &Facts<'_>) -> String {
    let job = facts.job_dir.and_then(|job| AbsolutePath::parse(job).ok());
    let path = AbsolutePath::parse(path);
    match (&path, &job) {
        (Ok(path), Some(job)) => match path.below(job) {
            Some(below) => format!("${{job.dir}}/{below}"),
            None => path.to_string(),
        },
        (Ok(path), None) => path.to_string(),
        (Err(_), _) => String::new(),
    }
}

/// As a TOML string.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

//! A request in the form that rules are held against.

use std::net::IpAddr;

use autoexec_model::value::is_refused_environment_name;

use crate::access::{Access, Direction, SecretDestination, TargetUse};
use crate::decide::Facts;
use crate::decision::Reason;
use crate::host::Host;
use crate::path::{AbsolutePath, OwnDirectories, PathError};
use crate::pattern::{Port, Target};
use crate::rule::Scheme;

/// The longest name of a call, collection, lock or program, in bytes.
const LONGEST_NAME: usize = 256;

/// A request in the form that rules are held against.
#[derive(Debug)]
pub(crate) enum Subject<'a> {
    /// The interface as such.
    Interface,
    /// A use without a scope of its own.
    Use,
    /// A connection.
    Connection(Target),
    /// A request over HTTP.
    Http { method: &'a str, scheme: Scheme, target: Target },
    /// A secret, and where it is to go.
    Secret { name: &'a str, place: Option<Place<'a>> },
    /// A command line on the node.
    Command(&'a str),
    /// A session on the node.
    Session,
    /// A file of the node; none when its path is not absolute.
    NodeFile { path: Option<AbsolutePath>, direction: Direction },
    /// A file of this machine.
    File { path: AbsolutePath, direction: Direction, job: Option<AbsolutePath> },
    /// A server call or a lock.
    Name(&'a str),
    /// A collection.
    Collection { name: &'a str, direction: Direction },
    /// A program with its arguments and the names of its variables.
    Program { name: &'a str, arguments: &'a [String], environment: &'a [String] },
}

/// Where a secret is to go.
#[derive(Debug)]
pub(crate) enum Place<'a> {
    Http(Scheme, Target),
    Connection(Target),
    Snmp(Target),
    Target,
    Program(&'a str),
}

impl<'a> Subject<'a> {
    /// Brings a request into its one form, or says why there is none.
    pub(crate) fn new(access: &Access<'a>, facts: &Facts<'_>) -> Result<Self, Reason> {
        let number = |port: u16| Port::Number(port);
        Ok(match *access {
            Access::Interface(_) => Self::Interface,
            Access::StepOutputs { .. } | Access::JobNodes { .. } | Access::Interact { .. } => Self::Use,
            Access::Socket { host, port: 0, address: None } => {
                Self::Connection(target(host, Port::Lookup, None, facts)?)
            }
            Access::NetProbe { host, port, address }
            | Access::Snmp { host, port, address }
            | Access::Socket { host, port, address } => {
                Self::Connection(target(host, number(port), address, facts)?)
            }
            Access::IcmpEcho { host, address } => {
                Self::Connection(target(host, Port::Without, address, facts)?)
            }
            Access::Http { method, scheme, host, port, address } => Self::Http {
                method,
                scheme: Scheme::from_text(scheme).ok_or(Reason::Scheme)?,
                target: target(host, number(port), address, facts)?,
            },
            Access::Secret { name, destination } => {
                let place = destination.map(|destination| place(destination, facts)).transpose()?;
                Self::Secret { name: plain_name(name)?, place }
            }
            Access::Target(TargetUse::Command { line }) => Self::Command(line),
            Access::Target(TargetUse::Session) => Self::Session,
            Access::Target(TargetUse::File { path, direction }) => {
                let path = match AbsolutePath::parse_on_node(path) {
                    Err(PathError::Relative) => None,
                    other => Some(other.map_err(Reason::Path)?),
                };
                Self::NodeFile { path, direction }
            }
            Access::Filesystem { path, direction } => file(path, direction, facts)?,
            Access::Server { call } => Self::Name(plain_call(call)?),
            Access::Lock { name } => Self::Name(plain_name(name)?),
            Access::Documents { collection, direction } => {
                let name = plain_name(collection)?;
                // Names that the database keeps for itself.
                if name.starts_with("system.") || name.contains('$') {
                    return Err(Reason::Name);
                }
                Self::Collection { name, direction }
            }
            Access::Program { name, arguments, environment } => {
                environment.iter().try_for_each(|variable| plain_variable(variable))?;
                Self::Program { name: plain_name(name)?, arguments, environment }
            }
        })
    }

    /// The host, where there is one.
    pub(crate) fn target(&self) -> Option<&Target> {
        match self {
            Self::Connection(target) | Self::Http { target, .. } => Some(target),
            Self::Secret { place: Some(place), .. } => match place {
                Place::Http(_, target) | Place::Connection(target) | Place::Snmp(target) => Some(target),
                Place::Target | Place::Program(_) => None,
            },
            _ => None,
        }
    }
}

pub(crate) fn target(
    host: &str,
    port: Port,
    address: Option<IpAddr>,
    facts: &Facts<'_>,
) -> Result<Target, Reason> {
    let host = Host::parse(host).map_err(Reason::Host)?;
    // A name that leads to the address and an address that is asked for are both looked at.
    let resolved = address.map(|address| address.to_canonical());
    let addresses = host.address().into_iter().chain(resolved).collect();
    let node = facts.node_host.and_then(|node| Host::parse(node).ok());
    Ok(Target { host, addresses, port, node })
}

fn place<'a>(destination: SecretDestination<'a>, facts: &Facts<'_>) -> Result<Place<'a>, Reason> {
    let target = |host: &str, port: u16| target(host, Port::Number(port), None, facts);
    Ok(match destination {
        SecretDestination::Http { scheme, host, port } => {
            Place::Http(Scheme::from_text(scheme).ok_or(Reason::Scheme)?, target(host, port)?)
        }
        SecretDestination::Connection { host, port } => Place::Connection(target(host, port)?),
        SecretDestination::Snmp { host, port } => Place::Snmp(target(host, port)?),
        SecretDestination::Target => Place::Target,
        SecretDestination::Program(name) => Place::Program(plain_name(name)?),
    })
}

fn file<'a>(path: &str, direction: Direction, facts: &Facts<'_>) -> Result<Subject<'a>, Reason> {
    let path = AbsolutePath::parse(path).map_err(Reason::Path)?;
    let directory = |text: Option<&str>| text.and_then(|text| AbsolutePath::parse(text).ok());
    let own = OwnDirectories { home: directory(facts.home), job: directory(facts.job_dir) };
    if own.keeps(&path, direction == Direction::Write) {
        return Err(Reason::OwnFile);
    }
    Ok(Subject::File { path, direction, job: own.job })
}

fn plain_name(name: &str) -> Result<&str, Reason> {
    let plain = !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(char::is_control);
    if plain { Ok(name) } else { Err(Reason::Name) }
}

/// A variable with which a tool could make any program run other code is nobody's to give.
fn plain_variable(name: &str) -> Result<(), Reason> {
    if is_refused_environment_name(name) { Err(Reason::Variable) } else { plain_name(name).map(drop) }
}

/// A call whose path says one thing to the policy and another to the server's web server is refused.
fn plain_call(call: &str) -> Result<&str, Reason> {
    let part = |part: &str| {
        !matches!(part, "" | "." | "..")
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte))
    };
    if plain_name(call)?.split('/').all(part) { Ok(call) } else { Err(Reason::Name) }
}

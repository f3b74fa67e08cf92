//! The question a policy is asked, and its answer (architecture §7).
//!
//! Effective grant = requested ∩ granted ∩ ceiling; deny beats allow; no match is deny. A connection is decided by
//! name first, and again with each address the name resolved to, before anything is sent there.

use std::fmt;
use std::net::IpAddr;

use crate::address::block_of;
use crate::capability::Capability;
use crate::decision::{Decision, Reason, shown};
use crate::host::{Host, HostError};
use crate::pattern::Target;
use crate::policy::Policy;
use crate::rule::{Rule, RuleRef};

/// What a tool wants to do.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The tool as it is installed, `bundle/name`.
    pub tool: &'a str,
    /// SHA-256 of the component in hexadecimal, where it is known.
    pub digest: Option<&'a str>,
    /// The capability and what it is to be used on.
    pub access: Access<'a>,
}

/// A capability with the argument of its use.
#[derive(Debug, Clone, Copy)]
pub enum Access<'a> {
    /// To be linked with the interface at all; each use is a request of its own.
    Interface(Capability),
    /// `net-probe` of a port.
    NetProbe {
        /// The host as the tool wrote it.
        host: &'a str,
        /// The TCP port.
        port: u16,
        /// One address the host resolved to; none in the check by name.
        address: Option<IpAddr>,
    },
    /// `step-outputs`: one output of a step.
    StepOutputs {
        /// Phase of the step.
        phase: &'a str,
        /// Id of the step.
        operation: &'a str,
        /// Name of the output.
        output: &'a str,
    },
    /// `http`: one request. Asked again for each redirect that the guest follows.
    Http {
        /// The method in upper case.
        method: &'a str,
        /// `http` or `https`.
        scheme: &'a str,
        /// The host as the tool wrote it.
        host: &'a str,
        /// The TCP port.
        port: u16,
        /// One address the host resolved to; none in the check by name.
        address: Option<IpAddr>,
    },
    /// `sockets`: looking up a name (port 0), or a connection.
    Socket {
        /// The name as the tool wrote it, or the address as text.
        host: &'a str,
        /// The port; 0 while a name is looked up.
        port: u16,
        /// The address to be connected to; none while a name is looked up.
        address: Option<IpAddr>,
    },
    /// `net-probe` of a host by ICMP echo.
    IcmpEcho {
        /// The host as the tool wrote it.
        host: &'a str,
        /// One address the host resolved to; none in the check by name.
        address: Option<IpAddr>,
    },
    /// `snmp`: questions to an agent.
    Snmp {
        /// The host as the tool wrote it.
        host: &'a str,
        /// The UDP port.
        port: u16,
        /// One address the host resolved to; none in the check by name.
        address: Option<IpAddr>,
    },
    /// `job-nodes`: the nodes of a phase.
    JobNodes {
        /// Name of the phase.
        phase: &'a str,
    },
    /// `secret`: a value is about to go somewhere, or a reference to it is asked for (no destination yet).
    Secret {
        /// Name of the secret, such as `option:password` or `node`.
        name: &'a str,
        /// Where it is to go.
        destination: Option<SecretDestination<'a>>,
    },
    /// `target`: something on the step's own node.
    Target(TargetUse<'a>),
    /// `filesystem`: a file of the runner, by its absolute, normalised path.
    Filesystem {
        /// The path.
        path: &'a str,
        /// Read or written.
        direction: Direction,
    },
    /// `server`: one call of the console's API.
    Server {
        /// Path of the call below the API.
        call: &'a str,
    },
    /// `documents`: a collection.
    Documents {
        /// Name of the collection.
        collection: &'a str,
        /// Read or written.
        direction: Direction,
    },
    /// `lock`: a global lock.
    Lock {
        /// Name of the lock.
        name: &'a str,
    },
    /// `interact`: a question to a person.
    Interact {
        /// Its heading.
        title: &'a str,
    },
    /// `program`: running a named program.
    Program {
        /// Its name in the policy.
        name: &'a str,
    },
}

/// Which way data goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// To the tool.
    Read,
    /// From the tool.
    Write,
}

/// Where the value of a secret is to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretDestination<'a> {
    /// A header of a request to this host and port, over `https` or `http`.
    Http {
        /// `http` or `https`.
        scheme: &'a str,
        /// The host as the tool wrote it.
        host: &'a str,
        /// The TCP port.
        port: u16,
    },
    /// Bytes sent over a connection of the capability `sockets`.
    Connection {
        /// The host as the tool wrote it.
        host: &'a str,
        /// The TCP port.
        port: u16,
    },
    /// A community or passphrase of the capability `snmp`.
    Snmp {
        /// The host as the tool wrote it.
        host: &'a str,
        /// The UDP port.
        port: u16,
    },
    /// The standard input of a command, or a session, on the step's node.
    Target,
    /// The standard input of a named program.
    Program(&'a str),
}

/// What is to be done on the step's node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetUse<'a> {
    /// A command.
    Command {
        /// The command line.
        line: &'a str,
    },
    /// An interactive session.
    Session,
    /// A file, by its path on the node.
    File {
        /// The path.
        path: &'a str,
        /// Read or written.
        direction: Direction,
    },
}

impl Access<'_> {
    /// The capability.
    pub fn capability(&self) -> Capability {
        match self {
            Self::Interface(capability) => *capability,
            Self::NetProbe { .. } | Self::IcmpEcho { .. } => Capability::NetProbe,
            Self::StepOutputs { .. } => Capability::StepOutputs,
            Self::Http { .. } => Capability::Http,
            Self::Socket { .. } => Capability::Sockets,
            Self::Snmp { .. } => Capability::Snmp,
            Self::JobNodes { .. } => Capability::JobNodes,
            Self::Secret { .. } => Capability::Secret,
            Self::Target(_) => Capability::Target,
            Self::Filesystem { .. } => Capability::Filesystem,
            Self::Server { .. } => Capability::Server,
            Self::Documents { .. } => Capability::Documents,
            Self::Lock { .. } => Capability::Lock,
            Self::Interact { .. } => Capability::Interact,
            Self::Program { .. } => Capability::Program,
        }
    }

    /// The argument for people and for the audit; bounded, because a guest chose it.
    fn argument(&self) -> Option<String> {
        match self {
            Self::Interface(_) => None,
            Self::NetProbe { host, port, address } => Some(endpoint(host, *port, *address)),
            Self::Http { method, scheme, host, port, address } => {
                Some(format!("{} {}://{}", shown(method), shown(scheme), endpoint(host, *port, *address)))
            }
            Self::Socket { host, port, address } | Self::Snmp { host, port, address } => {
                Some(endpoint(host, *port, *address))
            }
            Self::JobNodes { phase } => Some(shown(phase)),
            Self::IcmpEcho { host, address } => {
                Some(format!("icmp:{}{}", shown(host), resolved_to(*address)))
            }
            Self::Secret { name, destination } => Some(match destination {
                None => shown(name),
                Some(SecretDestination::Http { scheme, host, port }) => {
                    format!("{} to {}://{}", shown(name), shown(scheme), endpoint(host, *port, None))
                }
                Some(
                    SecretDestination::Connection { host, port } | SecretDestination::Snmp { host, port },
                ) => {
                    format!("{} to {}", shown(name), endpoint(host, *port, None))
                }
                Some(SecretDestination::Target) => format!("{} to the node", shown(name)),
                Some(SecretDestination::Program(program)) => {
                    format!("{} to the program {}", shown(name), shown(program))
                }
            }),
            Self::Target(TargetUse::Command { line }) => Some(format!("run {}", shown(line))),
            Self::Target(TargetUse::Session) => Some("session".to_owned()),
            Self::Target(TargetUse::File { path, direction }) | Self::Filesystem { path, direction } => {
                Some(format!("{direction} {}", shown(path)))
            }
            Self::Server { call } => Some(shown(call)),
            Self::Documents { collection, direction } => Some(format!("{direction} {}", shown(collection))),
            Self::Lock { name } | Self::Program { name } => Some(shown(name)),
            Self::Interact { title } => Some(shown(title)),
            Self::StepOutputs { phase, operation, output } => {
                Some(format!("{}.{}.{}", shown(phase), shown(operation), shown(output)))
            }
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

/// `host:port`, brackets around what holds colons, and the address it resolved to.
fn endpoint(host: &str, port: u16, address: Option<IpAddr>) -> String {
    let host = shown(host);
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    format!("{host}:{port}{}", resolved_to(address))
}

fn resolved_to(address: Option<IpAddr>) -> String {
    address.map(|address| format!(" ({})", address.to_canonical())).unwrap_or_default()
}

/// Values of the variables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// `${node.host}`.
    pub node_host: Option<&'a str>,
    /// `${job.dir}`. No capability of today has paths; it is the variable of those that will.
    pub job_dir: Option<&'a str>,
}

/// A request in the form that rules are held against.
#[derive(Debug)]
pub(crate) enum Subject {
    /// The interface as such.
    Interface,
    /// A use without a scope of its own.
    Use,
    /// A connection.
    Connection(Target),
}

impl Subject {
    fn new(access: &Access<'_>, facts: &Facts<'_>) -> Result<Self, HostError> {
        let Access::NetProbe { host, port, address } = access else {
            return Ok(if matches!(access, Access::Interface(_)) { Self::Interface } else { Self::Use });
        };
        let host = Host::parse(host)?;
        // A name that leads to the address and an address that is asked for are both looked at.
        let resolved = address.map(|address| address.to_canonical());
        let addresses = host.address().into_iter().chain(resolved).collect();
        let node = facts.node_host.and_then(|node| Host::parse(node).ok());
        Ok(Self::Connection(Target { host, addresses, port: *port, node }))
    }
}

/// What rules alone say, whatever the mode.
pub(crate) struct Verdict {
    pub(crate) rule: Option<RuleRef>,
    pub(crate) reason: Reason,
}

impl Policy {
    /// Decides. What becomes of a refusal depends on the mode; see [`Decision::allowed`].
    pub fn decide(&self, request: &Request<'_>, facts: &Facts<'_>) -> Decision {
        let verdict = match Subject::new(&request.access, facts) {
            Ok(subject) => self.judge(request, &subject),
            Err(error) => Verdict { rule: None, reason: Reason::Host(error) },
        };
        let capability = request.access.capability();
        let advice = self.advice(request, &verdict);
        Decision {
            tool: request.tool.to_owned(),
            digest: request.digest.map(str::to_owned),
            capability,
            argument: request.access.argument(),
            outcome: verdict.reason.outcome(self.mode),
            rule: verdict.rule,
            reason: verdict.reason,
            advice,
        }
    }

    fn judge(&self, request: &Request<'_>, subject: &Subject) -> Verdict {
        let capability = request.access.capability();
        let granted = self.granted(request.tool, capability);
        let ceiling: Option<Vec<&Rule>> = self
            .ceiling
            .as_ref()
            .map(|ceiling| ceiling.rules.iter().filter(|rule| rule.capability == capability).collect());
        let all = || granted.iter().chain(ceiling.iter().flatten());
        if let Some(rule) = all().find(|rule| rule.forbids(subject)) {
            return Verdict { rule: Some(rule.at.clone()), reason: Reason::Forbidden };
        }
        let allowing = match allowing(&granted, subject) {
            Ok(rule) => rule,
            Err(reason) => return Verdict { rule: None, reason },
        };
        match ceiling.map(|ceiling| self::allowing(&ceiling, subject).map(|_| ())) {
            Some(Err(_)) => {
                let rule = self.ceiling.as_ref().map(|ceiling| ceiling.at.clone());
                Verdict { rule, reason: Reason::Ceiling }
            }
            Some(Ok(())) | None => Verdict { rule: Some(allowing.at.clone()), reason: Reason::Granted },
        }
    }
}

/// The rule that allows the subject, addresses included.
fn allowing<'a>(rules: &[&'a Rule], subject: &Subject) -> Result<&'a Rule, Reason> {
    let by_name: Vec<&Rule> = rules.iter().copied().filter(|rule| rule.allows(subject)).collect();
    let first = *by_name.first().ok_or(Reason::NoRule)?;
    let Subject::Connection(target) = subject else { return Ok(first) };
    let mut deciding = first;
    for address in &target.addresses {
        let Some(block) = block_of(*address) else { continue };
        let exact = by_name.iter().find(|rule| rule.allowed_hosts().is_some_and(|p| p.names_exactly(target)));
        let reaches = |rule: &&&Rule| {
            rule.allowed_hosts().is_some_and(|p| p.reaches_into(block, *address, target.port))
        };
        deciding = exact
            .or_else(|| rules.iter().find(reaches))
            .ok_or(Reason::SpecialAddress { address: *address, class: block.class })?;
    }
    Ok(deciding)
}

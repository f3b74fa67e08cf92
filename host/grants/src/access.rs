//! What a tool asks a policy: a capability and what it is to be used on.

use std::fmt;
use std::net::IpAddr;

use crate::capability::Capability;

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
    /// `filesystem`: a file of the runner. The answer names the granted directory below which it lies
    /// ([`Terms::Directory`](crate::Terms::Directory)); it is opened without following links out of there. Where a link
    /// was followed, the path that it led to is asked about too, so that a link reaches nothing that is denied.
    Filesystem {
        /// The absolute path as the tool wrote it.
        path: &'a str,
        /// Read or written. Making, renaming and removing is writing, with both names.
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
    /// `program`: running a named program. The answer has its path ([`Terms::Program`](crate::Terms::Program)).
    Program {
        /// Its name in the policy.
        name: &'a str,
        /// Its arguments, without the program itself.
        arguments: &'a [String],
        /// Names of the variables that are set for it.
        environment: &'a [String],
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
}

impl Direction {
    /// The key of policies.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

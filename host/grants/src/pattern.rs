//! The one grammar by which rules name hosts: `host[:ports]`.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::address::{AddressClass, Block, block_around, carried_v4};
use crate::host::{Host, HostError, parse_name};
use crate::rule::Effect;

/// The variable for the node a tool is called for.
const NODE_HOST: &str = "${node.host}";

/// Hosts and ports that a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    host: HostMatcher,
    ports: Option<PortRange>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum HostMatcher {
    /// `*`: every name, every address.
    Any,
    /// `*.example.com`, kept as `.example.com`: one or more labels before it.
    Suffix(String),
    /// One name.
    Name(String),
    /// One address or a network.
    Net(IpNet),
    /// The node the tool is called for.
    NodeHost,
}

/// Ports from first to last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct PortRange {
    first: u16,
    last: u16,
}

/// What is asked for at a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Port {
    /// This port.
    Number(u16),
    /// A name is looked up for some port that will be asked for later.
    Lookup,
    /// The host itself, without a port.
    Without,
}

/// A connection in the form that patterns are held against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// As asked for.
    pub(crate) host: Host,
    /// Addresses that would be connected to, as far as they are known.
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) port: Port,
    /// The node the tool is called for, if its host has a form that can be compared.
    pub(crate) node: Option<Host>,
}

impl HostPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.contains("://") {
            return Err(PatternError::Host(HostError::Url));
        }
        let (host, ports) = split_ports(text)?;
        Ok(Self { host: HostMatcher::parse(host)?, ports: ports.map(PortRange::parse).transpose()? })
    }

    /// Whether it allows the host as asked for. Addresses behind a name are another question.
    pub(crate) fn matches_host(&self, target: &Target) -> bool {
        self.matches_port(target.port) && self.is_host(target)
    }

    fn is_host(&self, target: &Target) -> bool {
        match (&self.host, &target.host) {
            (HostMatcher::Any, _) => true,
            (HostMatcher::Net(net), Host::Address(address)) => net.contains(address),
            (HostMatcher::Suffix(suffix), Host::Name(name)) => has_suffix(name, suffix),
            _ => self.is_just_host(target),
        }
    }

    /// Whether it means just this host: then whoever wrote the rule answers for where the name leads.
    pub(crate) fn names_exactly(&self, target: &Target) -> bool {
        self.matches_port(target.port) && self.is_just_host(target)
    }

    fn is_just_host(&self, target: &Target) -> bool {
        match &self.host {
            HostMatcher::Name(name) => matches!(&target.host, Host::Name(asked) if asked == name),
            HostMatcher::NodeHost => target.node.as_ref() == Some(&target.host),
            HostMatcher::Any | HostMatcher::Suffix(_) | HostMatcher::Net(_) => false,
        }
    }

    /// Whether it allows an address that is not public: only a network inside the address' own block does, so that
    /// `0.0.0.0/0` gives out no private network, and `169.254.0.0/16` no metadata service.
    pub(crate) fn reaches_into(&self, block: &Block, address: IpAddr, port: Port) -> bool {
        let HostMatcher::Net(net) = &self.host else { return false };
        self.matches_port(port) && net.contains(&address) && block.net.contains(net)
    }

    /// Whether it forbids the connection: by the name, by an address, or by an IPv4 address inside an IPv6 one.
    pub(crate) fn forbids(&self, target: &Target) -> bool {
        let is_address = |test: &dyn Fn(&IpAddr) -> bool| {
            target
                .addresses
                .iter()
                .any(|address| test(address) || carried_v4(*address).is_some_and(|v4| test(&v4)))
        };
        self.forbids_port(target.port)
            && match &self.host {
                HostMatcher::Net(net) => is_address(&|address| net.contains(address)),
                HostMatcher::NodeHost => {
                    let node = target.node.as_ref();
                    node == Some(&target.host)
                        || node
                            .and_then(Host::address)
                            .is_some_and(|node| is_address(&|address| *address == node))
                }
                HostMatcher::Any | HostMatcher::Suffix(_) | HostMatcher::Name(_) => self.is_host(target),
            }
    }

    /// Whether it fits every name.
    pub(crate) fn is_any_host(&self) -> bool {
        self.host == HostMatcher::Any
    }

    /// Whether it is the node that a tool is called for.
    pub(crate) fn is_node(&self) -> bool {
        self.host == HostMatcher::NodeHost
    }

    /// The kind of addresses of a network that is not public, and whether it is just one of them.
    pub(crate) fn special(&self) -> Option<(AddressClass, bool)> {
        let HostMatcher::Net(net) = &self.host else { return None };
        Some((block_around(net)?.class, net.prefix_len() == net.max_prefix_len()))
    }

    /// Whether everything that `other` does is done by this one too. Says no where it is not sure.
    pub(crate) fn covers(&self, other: &Self, effect: Effect) -> bool {
        let ports = match (self.ports, other.ports) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => own.first <= other.first && other.last <= own.last,
        };
        ports && self.host.covers(&other.host, effect)
    }

    /// Whether an allow rule is about what is asked for. A rule for some ports gives no echo of the host, but its name
    /// must be looked up.
    fn matches_port(&self, port: Port) -> bool {
        self.ports.is_none_or(|ports| match port {
            Port::Number(port) => ports.contains(port),
            Port::Lookup => true,
            Port::Without => false,
        })
    }

    /// Whether a deny rule is about it. One for some ports leaves the others, and so the name.
    fn forbids_port(&self, port: Port) -> bool {
        self.ports.is_none_or(|ports| matches!(port, Port::Number(port) if ports.contains(port)))
    }
}

impl HostMatcher {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        if text == NODE_HOST {
            return Ok(Self::NodeHost);
        }
        if text.contains("${") {
            return Err(PatternError::Variable);
        }
        if let Some(rest) = text.strip_prefix("*.") {
            return parse_name(rest).map(|name| Self::Suffix(format!(".{name}"))).map_err(PatternError::Host);
        }
        if text.contains('*') {
            return Err(PatternError::Star);
        }
        if text.contains('/') {
            return parse_net(text).map(Self::Net);
        }
        match Host::parse(text).map_err(PatternError::Host)? {
            Host::Name(name) => Ok(Self::Name(name)),
            // `::ffff:10.0.0.1` in a rule would never be compared in that form: better to say so than to guess.
            Host::Address(IpAddr::V4(_)) if text.contains(':') => Err(PatternError::Mapped),
            Host::Address(address) => Ok(Self::Net(address.into())),
        }
    }

    fn covers(&self, other: &Self, effect: Effect) -> bool {
        let deny = effect == Effect::Deny;
        match (self, other) {
            (own, other) if own == other => true,
            (Self::Any, Self::Suffix(_)) => true,
            // Allowing an exact name or a private network also allows private addresses, which `*` does not.
            (Self::Any, Self::Net(net)) => deny || block_around(net).is_none(),
            (Self::Any, _) => deny,
            (Self::Suffix(own), Self::Suffix(other)) => other.ends_with(own.as_str()),
            (Self::Suffix(own), Self::Name(name)) => deny && has_suffix(name, own),
            (Self::Net(own), Self::Net(other)) => own.contains(other) && (deny || same_block(own, other)),
            _ => false,
        }
    }
}

fn same_block(one: &IpNet, other: &IpNet) -> bool {
    block_around(one).map(|block| block.net) == block_around(other).map(|block| block.net)
}

fn has_suffix(name: &str, suffix: &str) -> bool {
    name.len() > suffix.len() && name.ends_with(suffix)
}

/// Cuts `host:ports`. IPv6 has colons of its own, so with ports it stands in brackets.
fn split_ports(text: &str) -> Result<(&str, Option<&str>), PatternError> {
    let after = |host, rest: &'_ str| match rest.strip_prefix(':') {
        Some(_) => Ok(host),
        None if rest.is_empty() => Ok(host),
        None => Err(PatternError::Rest),
    };
    if let Some(inner) = text.strip_prefix('[') {
        let (host, rest) = inner.split_once(']').ok_or(PatternError::Bracket)?;
        if !host.contains(':') {
            return Err(PatternError::Bracket);
        }
        return Ok((after(host, rest)?, rest.strip_prefix(':')));
    }
    if let Some(end) = text.starts_with("${").then(|| text.find('}')).flatten() {
        let (host, rest) = text.split_at(end + 1);
        return Ok((after(host, rest)?, rest.strip_prefix(':')));
    }
    match text.matches(':').count() {
        1 => Ok(text.split_once(':').map_or((text, None), |(host, ports)| (host, Some(ports)))),
        _ => Ok((text, None)),
    }
}

fn parse_net(text: &str) -> Result<IpNet, PatternError> {
    let net: IpNet = text.parse().map_err(|_| PatternError::Network)?;
    if net != net.trunc() {
        return Err(PatternError::HostBits(net.trunc()));
    }
    let mapped =
        matches!(net, IpNet::V6(v6) if v6.prefix_len() >= 96 && v6.network().to_ipv4_mapped().is_some());
    if mapped { Err(PatternError::Mapped) } else { Ok(net) }
}

impl PortRange {
    fn contains(self, port: u16) -> bool {
        (self.first..=self.last).contains(&port)
    }

    fn parse(text: &str) -> Result<Self, PatternError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let number = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|port| plain && *port > 0).ok_or(PatternError::Port)
        };
        let range = Self { first: number(first)?, last: number(last)? };
        if range.first <= range.last { Ok(range) } else { Err(PatternError::Port) }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let brackets = self.ports.is_some() && matches!(self.host, HostMatcher::Net(IpNet::V6(_)));
        match &self.host {
            HostMatcher::Any => f.write_str("*"),
            HostMatcher::Suffix(suffix) => write!(f, "*{suffix}"),
            HostMatcher::Name(name) => f.write_str(name),
            HostMatcher::Net(net) if brackets => write!(f, "[{}]", short(net)),
            HostMatcher::Net(net) => f.write_str(&short(net)),
            HostMatcher::NodeHost => f.write_str(NODE_HOST),
        }?;
        match self.ports {
            None => Ok(()),
            Some(PortRange { first, last }) if first == last => write!(f, ":{first}"),
            Some(PortRange { first, last }) => write!(f, ":{first}-{last}"),
        }
    }
}

/// A network of one address is written as the address.
fn short(net: &IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// Why a text is no host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The host part is no name and no address.
    #[error("{0}")]
    Host(HostError),
    /// A star somewhere else.
    #[error("`*` stands alone or as `*.` before a name")]
    Star,
    /// A variable that does not exist here.
    #[error("the only variable in a host pattern is `{NODE_HOST}`, and it stands alone or before a port")]
    Variable,
    /// Brackets without an IPv6 address in them, or not closed.
    #[error("brackets stand around an IPv6 address or network: `[2001:db8::1]:443`")]
    Bracket,
    /// Something between host and end that is no port.
    #[error("after the host only `:` and ports may follow")]
    Rest,
    /// `address/length` that is none.
    #[error(
        "the network is not `address/length`; with ports, IPv6 stands in brackets: `[2001:db8::/32]:443`"
    )]
    Network,
    /// `10.1.2.3/8`.
    #[error("the network has bits beyond its length set; write it as {0}")]
    HostBits(IpNet),
    /// `::ffff:10.0.0.1`.
    #[error("IPv4-mapped IPv6 addresses are compared as IPv4; write the IPv4 address or network")]
    Mapped,
    /// Ports out of range.
    #[error("ports are a number from 1 to 65535 or a range `first-last`")]
    Port,
}

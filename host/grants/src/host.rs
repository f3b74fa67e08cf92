//! The host of a request: one form per host, so that rules can not be passed by with another spelling.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The most a name may hold, dots included (RFC 1035).
const LONGEST_NAME: usize = 253;

/// The most a label of a name may hold.
const LONGEST_LABEL: usize = 63;

/// A host in its one form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name in lower case without a trailing dot.
    Name(String),
    /// An address; never an IPv4-mapped IPv6 address.
    Address(IpAddr),
}

impl Host {
    /// Reads a host as a tool or a node file writes it.
    ///
    /// Lower case, a trailing dot, brackets around IPv6 and IPv4-mapped IPv6 are made one form. Forms that a resolver
    /// may read as another host than people do are refused: `0x7f.1`, `2130706433`, `017.0.0.1`, user information, zones.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        refuse_by_sight(text)?;
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(address) = bracketed {
            return parse_v6(address);
        }
        if text.contains(':') {
            return parse_v6(text);
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        match text.parse::<Ipv4Addr>() {
            Ok(address) => Ok(Self::Address(address.into())),
            Err(_) => parse_name(text).map(Self::Name),
        }
    }

    /// The address, if it is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(*address),
            Self::Name(_) => None,
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(address) => address.fmt(f),
        }
    }
}

fn refuse_by_sight(text: &str) -> Result<(), HostError> {
    // The length first: the text comes from a guest and may be large.
    if text.len() > LONGEST_NAME + 2 {
        Err(HostError::TooLong)
    } else if text.is_empty() {
        Err(HostError::Empty)
    } else if !text.is_ascii() {
        Err(HostError::NotAscii)
    } else if text.contains('/') {
        Err(HostError::Url)
    } else if text.contains('@') {
        Err(HostError::UserInfo)
    } else if text.contains('%') {
        Err(HostError::Zone)
    } else {
        Ok(())
    }
}

fn parse_v6(text: &str) -> Result<Host, HostError> {
    let address: Ipv6Addr = text.parse().map_err(|_| HostError::Address)?;
    Ok(Host::Address(IpAddr::V6(address).to_canonical()))
}

/// A name in its one form. Also for the names in patterns.
pub(crate) fn parse_name(text: &str) -> Result<String, HostError> {
    if text.len() > LONGEST_NAME {
        return Err(HostError::TooLong);
    }
    if !text.split('.').all(is_label) {
        return Err(HostError::Name);
    }
    if text.rsplit('.').next().is_some_and(reads_as_number) {
        return Err(HostError::OddAddress);
    }
    Ok(text.to_ascii_lowercase())
}

fn is_label(label: &str) -> bool {
    (1..=LONGEST_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// Whether a resolver takes a name that ends in this label for an IPv4 address in decimal, octal or hexadecimal.
fn reads_as_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// Why a text is not taken for a host. The text itself is not repeated: it may be long and of a guest's choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing there.
    #[error("the host is empty")]
    Empty,
    /// Longer than a name can be.
    #[error("the host is longer than a name can be")]
    TooLong,
    /// Letters that two encodings may spell differently.
    #[error("the host has letters beyond ASCII; write it in its `xn--` form")]
    NotAscii,
    /// `https://host/`.
    #[error("the host is a URL or has a path; give the host alone")]
    Url,
    /// `user@host`.
    #[error("the host has user information before an `@`; give the host alone")]
    UserInfo,
    /// `fe80::1%eth0`.
    #[error("the host has a zone or an escape after a `%`; give a plain name or address")]
    Zone,
    /// Colons or brackets, but no IPv6 address.
    #[error("the host has colons but is no IPv6 address")]
    Address,
    /// A number that only some programs read as an address.
    #[error("the host is a number that may be read as an address; write it as four decimal numbers")]
    OddAddress,
    /// A character or an empty label.
    #[error("the host is no name: labels hold 1 to 63 letters, digits, `-` and `_`, with dots between them")]
    Name,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_host_are_one() {
        for (text, expected) in [
            ("db.example.com", "db.example.com"),
            ("DB.Example.COM.", "db.example.com"),
            ("local", "local"),
            ("web_1", "web_1"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("10.0.0.1", "10.0.0.1"),
            ("10.0.0.1.", "10.0.0.1"),
            ("::1", "::1"),
            ("0:0:0:0:0:0:0:1", "::1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("[::ffff:7f00:1]", "127.0.0.1"),
            ("3com.example", "3com.example"),
            ("0xcafe.example", "0xcafe.example"),
        ] {
            assert_eq!(Host::parse(text).map(|host| host.to_string()), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for (text, expected) in [
            ("", HostError::Empty),
            (".", HostError::Name),
            ("..", HostError::Name),
            ("a..b", HostError::Name),
            ("a b", HostError::Name),
            ("a\0b", HostError::Name),
            ("a\nb", HostError::Name),
            ("-f", HostError::Name),
            ("a,b", HostError::Name),
            ("2130706433", HostError::OddAddress),
            ("0x7f000001", HostError::OddAddress),
            ("0X7F.1", HostError::OddAddress),
            ("127.1", HostError::OddAddress),
            ("127.0.0.0x1", HostError::OddAddress),
            ("0177.0.0.1", HostError::OddAddress),
            ("127.0.0.01", HostError::OddAddress),
            ("1.2.3.4.5", HostError::OddAddress),
            ("256.0.0.1", HostError::OddAddress),
            ("0x", HostError::OddAddress),
            ("user@host", HostError::UserInfo),
            ("user:pass@host", HostError::UserInfo),
            ("http://host", HostError::Url),
            ("host/path", HostError::Url),
            ("fe80::1%eth0", HostError::Zone),
            ("a%2eb", HostError::Zone),
            ("host:80", HostError::Address),
            ("[host]", HostError::Address),
            ("[127.0.0.1]", HostError::Address),
            ("[::1", HostError::Address),
            (":::", HostError::Address),
            ("bücher.example", HostError::NotAscii),
            ("127。0。0。1", HostError::NotAscii),
            ("１27.0.0.1", HostError::NotAscii),
        ] {
            assert_eq!(Host::parse(text), Err(expected), "{text}");
        }
        assert_eq!(Host::parse(&"a".repeat(64)), Err(HostError::Name));
        assert_eq!(Host::parse(&"a.".repeat(200)), Err(HostError::TooLong));
    }
}

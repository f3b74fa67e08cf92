//! The argument of a use as text, for people and for the audit, and back.

use std::fmt::Write;
use std::net::IpAddr;

use crate::access::{Access, Direction, SecretDestination, TargetUse};
use crate::capability::Capability;
use crate::decision::shown;

/// The most words of a program that are put together to be shown, its name aside.
const LONGEST_LIST: usize = 64;

/// What stands where a text was cut off.
const CUT: char = '…';

/// What stands where a character was no text.
const REPLACED: char = '\u{fffd}';

impl Access<'_> {
    /// The argument for people and for the audit; bounded, because a guest chose it. [`ParsedAccess`] reads it again.
    pub fn argument(&self) -> Option<String> {
        Some(match self {
            Self::Interface(_) => return None,
            Self::NetProbe { host, port, address }
            | Self::Socket { host, port, address }
            | Self::Snmp { host, port, address } => endpoint(host, *port, *address),
            Self::Http { method, scheme, host, port, address } => {
                format!("{} {}://{}", shown(method), shown(scheme), endpoint(host, *port, *address))
            }
            Self::IcmpEcho { host, address } => format!("icmp:{}{}", shown(host), resolved_to(*address)),
            Self::JobNodes { phase } => shown(phase),
            Self::StepOutputs { phase, operation, output } => {
                format!("{}.{}.{}", shown(phase), shown(operation), shown(output))
            }
            Self::Secret { name, destination } => match destination {
                None => shown(name),
                Some(destination) => format!("{} to {}", shown(name), place(destination)),
            },
            Self::Target(TargetUse::Command { line }) => format!("run {}", shown(line)),
            Self::Target(TargetUse::Session) => "session".to_owned(),
            Self::Target(TargetUse::File { path, direction }) | Self::Filesystem { path, direction } => {
                format!("{direction} {}", shown(path))
            }
            Self::Documents { collection, direction } => format!("{direction} {}", shown(collection)),
            Self::Server { call: name } | Self::Lock { name } | Self::Interact { title: name } => shown(name),
            Self::Program { name, arguments, environment } => program(name, arguments, environment),
        })
    }
}

/// As a shell would be told it, the values of the variables left out: `KUBECONFIG= kubectl get "a b"`.
fn program(name: &str, arguments: &[String], environment: &[String]) -> String {
    let variables = environment.iter().map(|variable| format!("{variable}="));
    let all = variables.chain([name.to_owned()]).chain(arguments.iter().cloned());
    let mut words = String::new();
    for word in all.take(LONGEST_LIST + 1) {
        if !words.is_empty() {
            words.push(' ');
        }
        write_word(&mut words, &word);
    }
    if environment.len() + arguments.len() > LONGEST_LIST {
        words.push(CUT);
    }
    shown(&words)
}

fn place(destination: &SecretDestination<'_>) -> String {
    match destination {
        SecretDestination::Http { scheme, host, port } => {
            format!("{}://{}", shown(scheme), endpoint(host, *port, None))
        }
        SecretDestination::Connection { host, port } => format!("connection {}", endpoint(host, *port, None)),
        SecretDestination::Snmp { host, port } => format!("snmp {}", endpoint(host, *port, None)),
        SecretDestination::Target => "node".to_owned(),
        SecretDestination::Program(program) => format!("program {}", shown(program)),
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

/// A word as it is, or in quotes where it could be read as several.
fn write_word(words: &mut String, word: &str) {
    if !word.is_empty() && !word.contains([' ', '"', '\\']) {
        words.push_str(word);
        return;
    }
    words.push('"');
    for c in word.chars() {
        if matches!(c, '"' | '\\') {
            words.push('\\');
        }
        words.push(c);
    }
    words.push('"');
}

/// A use read from its text.
#[derive(Debug, Clone)]
pub struct ParsedAccess<'t> {
    access: Access<'t>,
    /// What the text does not hold as such.
    program: ParsedProgram,
}

/// A program with what it is run with.
#[derive(Debug, Clone, Default)]
struct ParsedProgram {
    name: String,
    arguments: Vec<String>,
    environment: Vec<String>,
}

impl<'t> ParsedAccess<'t> {
    /// Reads what [`Access::argument`] writes; without an argument it is the interface as such. `address` is the one that
    /// the host resolved to, where the text has none.
    ///
    /// # Errors
    /// What it should look like.
    pub fn parse(
        capability: Capability,
        argument: Option<&'t str>,
        address: Option<IpAddr>,
    ) -> Result<Self, String> {
        let Some(text) = argument else {
            let access = Access::Interface(capability);
            return Ok(Self { access, program: ParsedProgram::default() });
        };
        if text.ends_with(CUT) || text.contains(REPLACED) {
            return Err("this is not whole: it was too long or had characters that are no text".to_owned());
        }
        let has_address = matches!(
            capability,
            Capability::NetProbe | Capability::Sockets | Capability::Snmp | Capability::Http
        );
        let (text, address) = match split_address(text) {
            (rest, Some(written)) if has_address => (rest, Some(written)),
            _ => (text, address),
        };
        let mut program = ParsedProgram::default();
        let access = match capability {
            Capability::NetProbe => {
                if let Some(host) = text.strip_prefix("icmp:") {
                    Access::IcmpEcho { host, address }
                } else {
                    let (host, port) = host_and_port(text)?;
                    Access::NetProbe { host, port, address }
                }
            }
            Capability::Sockets => {
                let (host, port) = host_and_port(text)?;
                Access::Socket { host, port, address }
            }
            Capability::Snmp => {
                let (host, port) = host_and_port(text)?;
                Access::Snmp { host, port, address }
            }
            Capability::Http => {
                let (method, url) = text
                    .split_once(' ')
                    .ok_or_else(|| format!("`{text}` is not METHOD URL, such as `GET https://host:443`"))?;
                let (scheme, host, port) = url_parts(url)?;
                Access::Http { method, scheme, host, port, address }
            }
            Capability::StepOutputs => {
                let parts =
                    text.split_once('.').and_then(|(phase, rest)| Some((phase, rest.rsplit_once('.')?)));
                let (phase, (operation, output)) =
                    parts.ok_or_else(|| format!("`{text}` is not PHASE.OPERATION.OUTPUT"))?;
                Access::StepOutputs { phase, operation, output }
            }
            Capability::JobNodes => Access::JobNodes { phase: text },
            Capability::Secret => {
                let (name, place) =
                    text.split_once(" to ").map_or((text, None), |(name, to)| (name, Some(to)));
                Access::Secret { name, destination: place.map(secret_destination).transpose()? }
            }
            Capability::Target => Access::Target(target_use(text)?),
            Capability::Filesystem => {
                let (direction, path) = way(text, "PATH")?;
                Access::Filesystem { path, direction }
            }
            Capability::Server => Access::Server { call: text },
            Capability::Documents => {
                let (direction, collection) = way(text, "COLLECTION")?;
                Access::Documents { collection, direction }
            }
            Capability::Lock => Access::Lock { name: text },
            Capability::Interact => Access::Interact { title: text },
            Capability::Program => {
                program = ParsedProgram::read(text)?;
                Access::Program { name: "", arguments: &[], environment: &[] }
            }
        };
        Ok(Self { access, program })
    }

    /// The use.
    pub fn access(&self) -> Access<'_> {
        match self.access {
            Access::Program { .. } => {
                let ParsedProgram { name, arguments, environment } = &self.program;
                Access::Program { name, arguments, environment }
            }
            access => access,
        }
    }
}

impl ParsedProgram {
    /// Reads what [`program`] writes.
    fn read(text: &str) -> Result<Self, String> {
        let mut words = words(text)?.into_iter().peekable();
        let mut environment = Vec::new();
        while let Some(mut variable) = words.next_if(|word| word.ends_with('=')) {
            variable.pop();
            environment.push(variable);
        }
        let name = words.next().ok_or_else(|| format!("`{text}` is not PROGRAM ARGUMENTS"))?;
        Ok(Self { name, arguments: words.collect(), environment })
    }
}

/// `… (address)`
fn split_address(text: &str) -> (&str, Option<IpAddr>) {
    let parts = text.strip_suffix(')').and_then(|rest| rest.rsplit_once(" ("));
    match parts.and_then(|(rest, address)| Some((rest, address.parse().ok()?))) {
        Some((rest, address)) => (rest, Some(address)),
        None => (text, None),
    }
}

fn host_and_port(text: &str) -> Result<(&str, u16), String> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.filter(|(host, _)| !host.contains(':') || host.starts_with('[')).ok_or_else(|| {
        format!("`{text}` is not HOST:PORT with a port from 0 to 65535; IPv6 stands in brackets")
    })
}

/// Scheme, host and port of a URL; the port is the scheme's where there is none. Path and query do not matter to a policy.
fn url_parts(url: &str) -> Result<(&str, &str, u16), String> {
    let (scheme, rest) =
        url.split_once("://").ok_or_else(|| format!("`{url}` is not a URL such as `https://host:443`"))?;
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
    if has_port {
        let (host, port) = host_and_port(authority)?;
        return Ok((scheme, host, port));
    }
    Ok((scheme, authority, if scheme == "http" { 80 } else { 443 }))
}

fn secret_destination(text: &str) -> Result<SecretDestination<'_>, String> {
    if text == "node" {
        return Ok(SecretDestination::Target);
    }
    if let Some(program) = text.strip_prefix("program ") {
        return Ok(SecretDestination::Program(program));
    }
    if let Some(peer) = text.strip_prefix("connection ") {
        return host_and_port(peer).map(|(host, port)| SecretDestination::Connection { host, port });
    }
    if let Some(peer) = text.strip_prefix("snmp ") {
        return host_and_port(peer).map(|(host, port)| SecretDestination::Snmp { host, port });
    }
    if text.contains("://") {
        return url_parts(text).map(|(scheme, host, port)| SecretDestination::Http { scheme, host, port });
    }
    Err(format!(
        "`{text}` is no place for a secret; there are: `https://HOST:PORT`, `connection HOST:PORT`, `snmp HOST:PORT`, `node`, `program NAME`"
    ))
}

fn target_use(text: &str) -> Result<TargetUse<'_>, String> {
    if text == "session" {
        return Ok(TargetUse::Session);
    }
    match text.strip_prefix("run ") {
        Some(line) => Ok(TargetUse::Command { line }),
        None => match way(text, "PATH") {
            Ok((direction, path)) => Ok(TargetUse::File { path, direction }),
            Err(_) => Err(format!("`{text}` is not `run COMMAND`, `session`, `read PATH` or `write PATH`")),
        },
    }
}

fn way<'t>(text: &'t str, what: &str) -> Result<(Direction, &'t str), String> {
    let read = text.strip_prefix("read ").map(|rest| (Direction::Read, rest));
    let write = text.strip_prefix("write ").map(|rest| (Direction::Write, rest));
    read.or(write).ok_or_else(|| format!("`{text}` is not `read {what}` or `write {what}`"))
}

/// Words as [`write_word`] writes them.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut left = text;
    while !left.is_empty() {
        let Some(quoted) = left.strip_prefix('"') else {
            let (word, rest) = left.split_once(' ').unwrap_or((left, ""));
            words.push(word.to_owned());
            left = rest;
            continue;
        };
        let mut word = String::new();
        let mut characters = quoted.chars();
        loop {
            match characters.next() {
                Some('"') => break,
                Some('\\') => word.extend(characters.next()),
                Some(c) => {
                    let _ = word.write_char(c);
                }
                None => return Err(format!("a quoted word in `{text}` has no end")),
            }
        }
        words.push(word);
        left = characters.as_str().trim_start_matches(' ');
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let address: Option<IpAddr> = Some("10.0.0.1".parse().unwrap());
        let words = ["get".to_owned(), "a b".to_owned(), String::new(), "c\"\\d".to_owned()];
        let variables = ["LC_ALL".to_owned(), "A B".to_owned()];
        let https = SecretDestination::Http { scheme: "https", host: "a.example", port: 443 };
        for (access, expected) in [
            (Access::NetProbe { host: "a", port: 22, address }, "a:22 (10.0.0.1)"),
            (Access::NetProbe { host: "[::1]", port: 22, address: None }, "[::1]:22"),
            (Access::IcmpEcho { host: "a", address }, "icmp:a (10.0.0.1)"),
            (Access::Socket { host: "a", port: 0, address: None }, "a:0"),
            (Access::Snmp { host: "a", port: 161, address: None }, "a:161"),
            (
                Access::Http { method: "GET", scheme: "https", host: "[::1]", port: 8443, address },
                "GET https://[::1]:8443 (10.0.0.1)",
            ),
            (Access::StepOutputs { phase: "p", operation: "a/b.c", output: "x" }, "p.a/b.c.x"),
            (Access::JobNodes { phase: "p" }, "p"),
            (Access::Secret { name: "option:x", destination: None }, "option:x"),
            (Access::Secret { name: "x", destination: Some(https) }, "x to https://a.example:443"),
            (
                Access::Secret {
                    name: "x",
                    destination: Some(SecretDestination::Connection { host: "a", port: 1 }),
                },
                "x to connection a:1",
            ),
            (
                Access::Secret {
                    name: "x",
                    destination: Some(SecretDestination::Snmp { host: "a", port: 1 }),
                },
                "x to snmp a:1",
            ),
            (Access::Secret { name: "x", destination: Some(SecretDestination::Target) }, "x to node"),
            (
                Access::Secret { name: "x", destination: Some(SecretDestination::Program("p")) },
                "x to program p",
            ),
            (Access::Target(TargetUse::Command { line: "ls -l /" }), "run ls -l /"),
            (Access::Target(TargetUse::Session), "session"),
            (Access::Target(TargetUse::File { path: "/a b", direction: Direction::Read }), "read /a b"),
            (
                Access::Filesystem { path: "/a (10.0.0.1)", direction: Direction::Write },
                "write /a (10.0.0.1)",
            ),
            (Access::Server { call: "a/b" }, "a/b"),
            (Access::Documents { collection: "c", direction: Direction::Read }, "read c"),
            (Access::Lock { name: "l" }, "l"),
            (Access::Interact { title: "t u" }, "t u"),
            (
                Access::Program { name: "p", arguments: &words, environment: &[] },
                "p get \"a b\" \"\" \"c\\\"\\\\d\"",
            ),
            (Access::Program { name: "p", arguments: &[], environment: &[] }, "p"),
            (
                Access::Program { name: "p q", arguments: &words[..1], environment: &variables },
                "LC_ALL= \"A B=\" \"p q\" get",
            ),
            (Access::Program { name: "", arguments: &[], environment: &[] }, "\"\""),
        ] {
            let text = access.argument().unwrap();
            assert_eq!(text, expected);
            let read = ParsedAccess::parse(access.capability(), Some(&text), None).unwrap();
            assert_eq!(format!("{:?}", read.access()), format!("{access:?}"), "{text}");
        }
    }

    #[test]
    fn what_can_not_be_read_says_what_it_should_look_like() {
        for (capability, text, expected) in [
            (Capability::NetProbe, "x", "HOST:PORT"),
            (Capability::NetProbe, "x:70000", "HOST:PORT"),
            (Capability::NetProbe, "::1:22", "brackets"),
            (Capability::StepOutputs, "x", "PHASE.OPERATION.OUTPUT"),
            (Capability::Http, "https://x", "METHOD URL"),
            (Capability::Http, "GET x:443", "not a URL"),
            (Capability::Http, "GET https://x:y", "HOST:PORT"),
            (Capability::Secret, "x to y", "no place for a secret"),
            (Capability::Target, "ls", "`run COMMAND`"),
            (Capability::Filesystem, "/x", "`read PATH`"),
            (Capability::Documents, "x", "`read COLLECTION`"),
            (Capability::Program, "p \"x", "has no end"),
            (Capability::Program, "", "PROGRAM ARGUMENTS"),
            (Capability::Program, "A= B=", "PROGRAM ARGUMENTS"),
            (Capability::Lock, "x…", "not whole"),
            (Capability::Lock, "x\u{fffd}y", "not whole"),
        ] {
            let error = ParsedAccess::parse(capability, Some(text), None).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_url_may_leave_out_what_a_policy_does_not_look_at() {
        for (text, expected) in [
            ("https://a/x?y:1", ("https", "a", 443)),
            ("http://a", ("http", "a", 80)),
            ("https://[::1]/x", ("https", "[::1]", 443)),
            ("https://[::1]:8/x", ("https", "[::1]", 8)),
            ("https://u@a:1", ("https", "u@a", 1)),
        ] {
            assert_eq!(url_parts(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn long_lists_of_arguments_are_cut() {
        let many = vec!["x".to_owned(); LONGEST_LIST + 1];
        let text = |arguments, environment| {
            Access::Program { name: "p", arguments, environment }.argument().unwrap()
        };
        for (arguments, variables) in [(&many[..], &[][..]), (&[], &many), (&many[1..], &many[..1])] {
            assert!(text(arguments, variables).ends_with('…'), "{}", text(arguments, variables));
        }
        let all = text(&many[1..], &[]);
        assert_eq!(all, format!("p{}", " x".repeat(LONGEST_LIST)));
    }
}

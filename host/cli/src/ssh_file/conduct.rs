//! `become` and `detached`: as whom operations run on targets, and whether they need their connection.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use autoexec_runners::{BecomePassword, ConductRule, RunAs, SshConduct};
use autoexec_transport::Secret;
use autoexec_transport::ssh::{HostPatterns, Method};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{HostsTable, SshFile};
use crate::standalone::SecretSource;

/// What holds for some operations only.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OperationsTable {
    r#match: Vec<String>,
    /// Only on these hosts.
    hosts: Option<Vec<String>>,
    r#become: Option<BecomeEntry>,
    detached: Option<bool>,
}

/// `"none"`, or a table.
#[derive(Debug)]
pub(super) enum BecomeEntry {
    None,
    Table(BecomeTable),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BecomeTable {
    user: String,
    #[serde(default)]
    method: MethodName,
    password: Option<SecretSource>,
    /// `sudo` asks for the password with which we log in to the node.
    #[serde(default)]
    node_password: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum MethodName {
    #[default]
    Sudo,
    Su,
}

impl<'de> Deserialize<'de> for BecomeEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = BecomeEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"none\" or a table such as { user = \"oracle\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<BecomeEntry, E> {
        match text {
            "none" => Ok(BecomeEntry::None),
            _ => Err(E::custom("`become` is \"none\" or a table such as { user = \"oracle\" }")),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<BecomeEntry, A::Error> {
        BecomeTable::deserialize(MapAccessDeserializer::new(map)).map(BecomeEntry::Table)
    }
}

/// The rules of a file: those of operations come before those of hosts.
pub(super) fn conduct(file: &SshFile, directory: &Path) -> Result<SshConduct, String> {
    let mut conduct = SshConduct::default();
    if let Some(seconds) = file.limits.reconnect {
        conduct.reconnect = Duration::from_secs(seconds.into());
    }
    for (index, table) in file.operations.iter().enumerate() {
        let about = |problem: String| format!("[[operations]] number {}: {problem}", index + 1);
        if table.r#match.is_empty() {
            return Err(about("`match` names no operation".to_owned()));
        }
        let hosts = table.hosts.clone().unwrap_or_else(|| vec!["*".to_owned()]);
        conduct.rules.push(ConductRule {
            operations: HostPatterns::new(table.r#match.clone()),
            hosts: HostPatterns::new(hosts),
            user: run_as(table.r#become.as_ref(), directory).map_err(about)?,
            detached: table.detached,
        });
    }
    for (index, table) in file.hosts.iter().enumerate() {
        let HostsTable { r#become, detached, r#match, .. } = table;
        if r#become.is_none() && detached.is_none() {
            continue;
        }
        let user = run_as(r#become.as_ref(), directory)
            .map_err(|problem| format!("[[hosts]] number {}: {problem}", index + 1))?;
        conduct.rules.push(ConductRule {
            operations: HostPatterns::new(["*"]),
            hosts: HostPatterns::new(r#match.clone()),
            user,
            detached: *detached,
        });
    }
    Ok(conduct)
}

fn run_as(entry: Option<&BecomeEntry>, directory: &Path) -> Result<Option<RunAs>, String> {
    let table = match entry {
        None => return Ok(None),
        Some(BecomeEntry::None) => return Ok(Some(RunAs::Login)),
        Some(BecomeEntry::Table(table)) => table,
    };
    let usable = |character: char| {
        !character.is_whitespace() && !character.is_control() && !matches!(character, ':' | ',' | '/')
    };
    if table.user.is_empty() || table.user.starts_with('-') || !table.user.chars().all(usable) {
        return Err(format!("`become.user`: {:?} is no name of a user", table.user));
    }
    let method = match table.method {
        MethodName::Sudo => Method::Sudo,
        MethodName::Su => Method::Su,
    };
    let password = match (&table.password, table.node_password) {
        (Some(_), true) => {
            return Err("`become`: `password` and `node_password` exclude each other".to_owned());
        }
        (None, true) if method == Method::Su => {
            return Err(
                "`become.node_password`: su asks for the password of the other user; give it as `password`"
                    .to_owned(),
            );
        }
        (None, true) => BecomePassword::OfNode,
        (None, false) => BecomePassword::None,
        (Some(source), false) => {
            let secret =
                source.reveal(directory).map_err(|problem| format!("`become.password`: {problem}"))?;
            if secret.expose().contains(['\n', '\0']) {
                return Err("`become.password`: it has more than one line".to_owned());
            }
            BecomePassword::Given(Secret::new(secret.expose().to_owned()))
        }
    };
    Ok(Some(RunAs::Other { user: table.user.clone(), method, password }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SshConduct, String> {
        let file: SshFile = toml::from_str(text).map_err(|error| error.message().to_owned())?;
        conduct(&file, Path::new("/conf"))
    }

    #[test]
    fn operations_come_before_hosts() {
        let conduct = parse(
            "[limits]\nreconnect = 30\n[[hosts]]\nmatch = ['db*']\nbecome = { user = 'oracle', node_password = true }\n\
             [[operations]]\nmatch = ['backup/*']\nhosts = ['db1']\nbecome = 'none'\ndetached = true\n\
             [[hosts]]\nmatch = ['*']\nlogins_per_second = 2\n",
        )
        .unwrap();
        assert_eq!(conduct.reconnect, Duration::from_secs(30));
        let [operation, hosts] = &conduct.rules[..] else { panic!("{conduct:?}") };
        assert!(matches!(operation.user, Some(RunAs::Login)) && operation.detached == Some(true));
        assert!(operation.hosts.matches("db1") && !operation.hosts.matches("db2"));
        let Some(RunAs::Other { user, method, password }) = &hosts.user else { panic!("{hosts:?}") };
        assert_eq!((user.as_str(), *method), ("oracle", Method::Sudo));
        assert!(matches!(password, BecomePassword::OfNode) && hosts.operations.matches("any/tool"));
    }

    #[test]
    fn mistakes_are_named_without_secrets() {
        for (text, want) in [
            ("[[operations]]\nmatch = []", "`match` names no operation"),
            ("[[operations]]\nmatch = ['*']\nbecome = 'oracle'", "is \"none\" or a table"),
            ("[[operations]]\nmatch = ['*']\nbecome = { user = '-u' }", "no name of a user"),
            ("[[operations]]\nmatch = ['*']\nbecome = { user = 'a', method = 'doas' }", "doas"),
            ("[[operations]]\nmatch = ['*']\nbecome = { user = 'a', pass = 'x' }", "unknown field `pass`"),
            (
                "[[hosts]]\nmatch = ['*']\nbecome = { user = 'a', method = 'su', node_password = true }",
                "su asks for",
            ),
            (
                "[[hosts]]\nmatch = ['*']\nbecome = { user = 'a', password = 's3cret', node_password = true }",
                "exclude each other",
            ),
            (
                "[[hosts]]\nmatch = ['*']\nbecome = { user = 'a', password = \"s3cret\\nx\" }",
                "more than one line",
            ),
            (
                "[[hosts]]\nmatch = ['*']\nbecome = { user = 'a', password = { env = 'NO_SUCH_X' } }",
                "NO_SUCH_X",
            ),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(want) && !problem.contains("s3cret"), "{text}: {problem}");
        }
    }
}

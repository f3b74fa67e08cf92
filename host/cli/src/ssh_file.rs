//! `conf/ssh.toml`: limits of the steps of connecting, jump hosts, and what holds for some hosts or operations only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use autoexec_runners::SshConduct;
use autoexec_store::Home;
use autoexec_transport::Secret;
use autoexec_transport::ssh::{
    HostPatterns, HostRule, JumpHost, Legacy, SshAuth, SshSettings, SshTarget, StepLimits,
};
use jiff::civil::Date;
use serde::Deserialize;

use crate::CliError;
use crate::standalone::{SecretSource, from_directory};

mod conduct;

const SSH_PORT: u16 = 22;

/// Jump hosts in a row; more is a mistake, or a ring.
const MAX_JUMPS: usize = 8;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SshFile {
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    jump: Vec<JumpTable>,
    #[serde(default)]
    hosts: Vec<HostsTable>,
    #[serde(default)]
    operations: Vec<conduct::OperationsTable>,
}

/// Seconds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsTable {
    reach: Option<u32>,
    handshake: Option<u32>,
    auth: Option<u32>,
    keepalive: Option<u32>,
    /// For the connections of detached operations.
    reconnect: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JumpTable {
    name: String,
    /// `user@host` or `user@host:port`.
    address: String,
    /// The jump host before it.
    via: Option<String>,
    #[serde(default)]
    identity: Vec<PathBuf>,
    identity_passphrase: Option<SecretSource>,
    password: Option<SecretSource>,
    #[serde(default)]
    agent: bool,
    logins_per_second: Option<f64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HostsTable {
    r#match: Vec<String>,
    /// Name of a jump host; `none` for a direct connection.
    jump: Option<String>,
    logins_per_second: Option<f64>,
    legacy: Option<LegacyTable>,
    r#become: Option<conduct::BecomeEntry>,
    detached: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LegacyTable {
    algorithms: Vec<String>,
    /// The last day, `YYYY-MM-DD`.
    until: String,
}

/// Completes the settings by the file of a home, and reads from it how operations run; without one the settings stay as
/// they are. `identities` are the keys for jump hosts that name none of their own.
pub(crate) fn complete(
    settings: SshSettings,
    home: &Home,
    identities: &[SshAuth],
) -> Result<(SshSettings, SshConduct), CliError> {
    let path = home.root().join("conf").join("ssh.toml");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((settings, SshConduct::default()));
        }
        Err(error) => return Err(CliError::files(format!("{}: {error}", path.display()))),
    };
    read(settings, &text, path.parent().unwrap_or(Path::new(".")), identities).map_err(|problem| {
        CliError::bad_input(format!("{}: {problem}", path.display()))
            .hint("docs/ssh.md has every key of this file")
    })
}

fn read(
    mut settings: SshSettings,
    text: &str,
    directory: &Path,
    identities: &[SshAuth],
) -> Result<(SshSettings, SshConduct), String> {
    let file: SshFile = toml::from_str(text).map_err(|error| form(text, &error))?;
    let seconds = |limit: Option<u32>| limit.map(|limit| Duration::from_secs(limit.into()));
    let limits = &file.limits;
    let step = |key: &str, limit: Option<u32>| match limit {
        // No step gets through in no time.
        Some(0) => {
            Err(format!("[limits]: `{key}` must be at least 1 second; leave it out for no limit of its own"))
        }
        limit => Ok(seconds(limit)),
    };
    settings.steps = StepLimits {
        reach: step("reach", limits.reach)?,
        handshake: step("handshake", limits.handshake)?,
        auth: step("auth", limits.auth)?,
    };
    match limits.keepalive {
        Some(0) => settings.keepalive = None,
        Some(_) => settings.keepalive = seconds(limits.keepalive),
        None => {}
    }
    let jumps = jump_hosts(&file.jump, directory, identities)?;
    for (index, table) in file.hosts.iter().enumerate() {
        let rule =
            rule(table, &jumps).map_err(|problem| format!("[[hosts]] number {}: {problem}", index + 1))?;
        settings.rules.push(rule);
    }
    let conduct = conduct::conduct(&file, directory)?;
    Ok((settings, conduct))
}

/// The library's own text shows the line itself, which may hold a password.
fn form(text: &str, error: &toml::de::Error) -> String {
    let line =
        error.span().map_or(1, |span| text.get(..span.start).unwrap_or(text).matches('\n').count() + 1);
    format!("line {line}: {}", error.message())
}

type Chains = BTreeMap<String, Vec<Arc<JumpHost>>>;

/// The way through each jump host, itself included.
fn jump_hosts(tables: &[JumpTable], directory: &Path, identities: &[SshAuth]) -> Result<Chains, String> {
    let mut hosts = BTreeMap::new();
    for table in tables {
        let about = |problem: String| format!("[[jump]] {}: {problem}", table.name);
        if table.name == "none" {
            return Err(about("the name stands for a direct connection".to_owned()));
        }
        let host = jump_host(table, directory, identities).map_err(about)?;
        if hosts.insert(table.name.as_str(), (Arc::new(host), table.via.as_deref())).is_some() {
            return Err(about("there are two of this name".to_owned()));
        }
    }
    let mut chains = Chains::new();
    for name in hosts.keys() {
        let mut chain = Vec::new();
        let mut next = Some(*name);
        while let Some(name) = next {
            let (host, via) =
                hosts.get(name).ok_or_else(|| format!("`via`: there is no [[jump]] with the name {name}"))?;
            chain.push(Arc::clone(host));
            if chain.len() > MAX_JUMPS {
                return Err(format!(
                    "[[jump]] {name}: more than {MAX_JUMPS} in a row; `via` may go in a ring"
                ));
            }
            next = *via;
        }
        chain.reverse();
        chains.insert((*name).to_owned(), chain);
    }
    Ok(chains)
}

fn jump_host(table: &JumpTable, directory: &Path, identities: &[SshAuth]) -> Result<JumpHost, String> {
    let reveal = |source: &SecretSource| {
        source.reveal(directory).map(|secret| Secret::new(secret.expose().to_owned()))
    };
    let passphrase = table.identity_passphrase.as_ref().map(reveal).transpose()?;
    let mut auth = Vec::new();
    for path in &table.identity {
        let path = from_directory(directory, path);
        auth.push(SshAuth::KeyFile { path, passphrase: passphrase.clone() });
    }
    if table.agent {
        auth.push(SshAuth::Agent);
    }
    if let Some(password) = &table.password {
        auth.push(SshAuth::Password(reveal(password)?));
    }
    if auth.is_empty() {
        auth.extend_from_slice(identities);
    }
    if auth.is_empty() {
        return Err("there is no way to log in: set `identity`, `agent` or `password`".to_owned());
    }
    let target = address(&table.address, auth)?;
    Ok(JumpHost { target, logins_per_second: positive(table.logins_per_second)? })
}

/// `user@host`, `user@host:port`, `user@[v6]:port`.
pub(crate) fn address(text: &str, auth: Vec<SshAuth>) -> Result<SshTarget, String> {
    let wrong = || format!("{text:?} is not user@host or user@host:port");
    let (user, rest) = text.rsplit_once('@').ok_or_else(wrong)?;
    let (host, port) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
            (host, port.strip_prefix(':'))
        }
        None => match rest.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, Some(port)),
            _ => (rest, None),
        },
    };
    let port = port.map_or(Ok(SSH_PORT), |port| port.parse().map_err(|_| wrong()))?;
    if user.is_empty() || host.is_empty() || port == 0 {
        return Err(wrong());
    }
    Ok(SshTarget { host: host.to_owned(), port, user: user.to_owned(), auth, jumps: None })
}

fn positive(rate: Option<f64>) -> Result<Option<f64>, String> {
    match rate {
        Some(rate) if !(rate.is_finite() && rate > 0.0) => {
            Err("`logins_per_second` must be a number above 0".to_owned())
        }
        rate => Ok(rate),
    }
}

fn rule(table: &HostsTable, jumps: &Chains) -> Result<HostRule, String> {
    if table.r#match.is_empty() {
        return Err("`match` names no host".to_owned());
    }
    let mut rule = HostRule::new(HostPatterns::new(table.r#match.clone()));
    rule.jumps = match table.jump.as_deref() {
        None => None,
        Some("none") => Some(Vec::new()),
        Some(name) => {
            let chain = jumps.get(name).ok_or_else(|| {
                let names: Vec<&str> = jumps.keys().map(String::as_str).collect();
                format!("there is no [[jump]] with the name {name}; there are: {}", names.join(", "))
            })?;
            Some(chain.clone())
        }
    };
    rule.logins_per_second = positive(table.logins_per_second)?;
    rule.legacy = table.legacy.as_ref().map(legacy).transpose()?;
    Ok(rule)
}

fn legacy(table: &LegacyTable) -> Result<Legacy, String> {
    if table.algorithms.is_empty() {
        return Err("`legacy.algorithms` names none".to_owned());
    }
    let wrong = |_| "`legacy.until` must be a day, as in 2027-03-31".to_owned();
    let day: Date = table.until.parse().map_err(wrong)?;
    let end = day.tomorrow().and_then(|next| next.to_zoned(jiff::tz::TimeZone::UTC)).map_err(wrong)?;
    Ok(Legacy {
        algorithms: table.algorithms.clone(),
        until: SystemTime::from(end.timestamp()),
        until_text: table.until.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> SshSettings {
        SshSettings::new("/kh".into())
    }

    fn parse(text: &str) -> Result<SshSettings, String> {
        read(settings(), text, Path::new("/conf"), &[]).map(|(settings, _)| settings)
    }

    const FILE: &str = r#"
        [limits]
        reach = 5
        keepalive = 0
        [[jump]]
        name = "outer"
        address = "ops@bastion.example"
        identity = ["keys/bastion"]
        logins_per_second = 2.5
        [[jump]]
        name = "inner"
        address = "ops@[fd00::1]:2222"
        via = "outer"
        agent = true
        [[hosts]]
        match = ["10.1.*", "!10.1.9.1"]
        jump = "inner"
        legacy = { algorithms = ["ssh-rsa"], until = "2027-03-31" }
        [[hosts]]
        match = ["*"]
        jump = "none"
        logins_per_second = 20
    "#;

    #[test]
    fn a_whole_file() {
        let settings = parse(FILE).unwrap();
        assert_eq!((settings.steps.reach, settings.keepalive), (Some(Duration::from_secs(5)), None));
        let [first, second] = &settings.rules[..] else { panic!("{:?}", settings.rules) };
        let names: Vec<String> = first.jumps.iter().flatten().map(|jump| jump.target.to_string()).collect();
        assert_eq!(names, ["ops@bastion.example:22", "ops@[fd00::1]:2222"]);
        assert!(first.hosts.matches("10.1.2.3") && !first.hosts.matches("10.1.9.1"));
        let legacy = first.legacy.as_ref().unwrap();
        let until = legacy.until.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert_eq!(until, 1_806_537_600, "the day itself is included");
        assert_eq!(second.jumps.as_deref().map(<[_]>::len), Some(0));
        assert_eq!(second.logins_per_second, Some(20.0));
        let SshAuth::KeyFile { path, .. } = &first.jumps.as_ref().unwrap()[0].target.auth[0] else {
            panic!()
        };
        assert_eq!(path, Path::new("/conf/keys/bastion"));
    }

    #[test]
    fn mistakes_are_named_without_secrets() {
        for (text, want) in [
            ("[[hosts]]\nmatch = []", "`match` names no host"),
            ("[[hosts]]\nmatch = ['*']\njump = 'x'", "no [[jump]] with the name x"),
            ("[[hosts]]\nmatch = ['*']\nlogins_per_second = 0", "above 0"),
            ("[[hosts]]\nmatch = ['*']\nlegacy = {algorithms=['ssh-rsa'], until='soon'}", "must be a day"),
            ("[[jump]]\nname = 'a'\naddress = 'b@c'", "no way to log in"),
            ("[[jump]]\nname = 'a'\naddress = 'c'\nagent = true", "not user@host"),
            ("[[jump]]\nname = 'a'\naddress = 'b@c'\nagent = true\nvia = 'a'", "in a ring"),
            (
                "[[jump]]\nname = 'a'\naddress = 'b@c'\npassword = {env = 'NO_SUCH_VARIABLE_X'}",
                "NO_SUCH_VARIABLE_X",
            ),
            ("odd = 1", "line 1"),
            ("[limits]\nreach = 0", "[limits]: `reach` must be at least 1 second"),
            ("[limits]\nhandshake = 0", "`handshake` must be at least 1 second"),
            ("[limits]\nauth = 0", "`auth` must be at least 1 second"),
        ] {
            let problem = parse(text).unwrap_err();
            assert!(problem.contains(want), "{text}: {problem}");
        }
        let problem = parse("[[jump]]\nname = 'a'\naddress = 'b@c'\npassword = 's3cret' x").unwrap_err();
        assert!(problem.starts_with("line 4") && !problem.contains("s3cret"), "{problem}");
    }
}

//! `conf/config.ini` (`spec/cli.md` §1.8): read with its secrets, and rewritten when one stands there plainly.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use autoexec_model::{Secret, SecretKey};
use autoexec_store::atomic;
use autoexec_supply::Strictness;
use ini::{Ini, ParseOption};

mod misspelled;

pub use misspelled::MisspelledKey;

const MARK: &str = "{ENCRYPTED}";

/// A century. Some write a huge number for "no limit", and a deadline has to be a moment the clock can show.
const LONGEST_SECONDS: u64 = 100 * 366 * 86_400;

/// Why the configuration cannot be used. Values are never repeated.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read or written.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        problem: String,
    },
    /// The file is not an INI file.
    #[error("{path}, line {line}: {problem}")]
    Syntax {
        /// The file.
        path: String,
        /// Line from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A needed key is missing or empty.
    #[error("{path}: section [{section}]: `{key}` is missing")]
    Missing {
        /// The file.
        path: String,
        /// Section.
        section: &'static str,
        /// Key.
        key: &'static str,
    },
    /// A key with an unusable value.
    #[error("{path}: section [{section}]: `{key}` {problem}")]
    Value {
        /// The file.
        path: String,
        /// Section.
        section: &'static str,
        /// Key.
        key: &'static str,
        /// What is wrong.
        problem: String,
    },
}

/// How to reach the console server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// `server.baseurl` without a trailing slash.
    pub base_url: String,
    /// `server.username`.
    pub user: String,
    /// `server.password`, decrypted.
    pub password: Secret,
    /// `server.cafile`: further certificate authorities, PEM. Ours.
    pub ca_file: Option<std::path::PathBuf>,
}

/// Limits and switches of remote execution and jobs.
#[derive(Debug, Clone)]
pub struct AutoexecConfig {
    /// `rexec.fail.reservedir`.
    pub keep_failed_directory: bool,
    /// `job.maxExecSecs`.
    pub longest_wait: Duration,
    /// `rexec.connectTimeout`.
    pub connect_timeout: Duration,
    /// `rexec.readTimeout`.
    pub read_timeout: Duration,
    /// `rexec.writeTimeout`.
    pub write_timeout: Duration,
    /// `deploy.possibleEncodings`.
    pub deploy_encodings: String,
    /// `ssh.hostkeys` (ours): `tofu` (default), `strict` or `accept`.
    pub host_keys: HostKeys,
    /// `ssh.knownHosts` (ours): default `<home>/conf/known_hosts`.
    pub known_hosts: Option<std::path::PathBuf>,
    /// `ssh.identity` (ours): private key files, comma list, for nodes without a password.
    pub identities: Vec<std::path::PathBuf>,
    /// `ssh.identityPassphrase` (ours): opens the encrypted ones of these; from a file or the environment.
    pub identity_passphrase: Option<autoexec_transport::Secret>,
    /// `ssh.agent` (ours): the keys of the SSH agent, after those.
    pub ssh_agent: bool,
    /// `ssh.maxConnections` (ours).
    pub max_connections: usize,
    /// `shell.expansion` (ours): `off` (default) or `compatible`.
    pub live_shell: bool,
    /// `setenv.shell` (ours): 1 lets `native/setenv` evaluate `$( … )`.
    pub shell_in_setenv: bool,
    /// `plugins.signatures` (ours): `warn` (default), `off` or `require`.
    pub signatures: Strictness,
    /// `plugins.cafile` (ours): certificate authorities, PEM, that components trust besides the system's.
    pub plugin_ca_file: Option<std::path::PathBuf>,
    /// `outbox.maxWaitSecs` (ours): how long a finished run waits for a server that is away.
    pub outbox_wait: Duration,
}

/// Where the shared MongoDB is. Without `db.url` the server is asked.
#[derive(Debug, Clone)]
pub struct DbConfig {
    /// `db.url`; empty when absent. It may hold a password.
    pub url: Secret,
    /// `db.name`; empty when absent.
    pub name: String,
    /// `db.username`; empty when absent.
    pub username: String,
    /// `db.password`, decrypted; empty when absent.
    pub password: Secret,
    /// `db.maxPoolSize`; 0 or less means the default.
    pub max_pool_size: i64,
}

impl Default for DbConfig {
    fn default() -> Self {
        Self {
            url: Secret::new(""),
            name: String::new(),
            username: String::new(),
            password: Secret::new(""),
            max_pool_size: 0,
        }
    }
}

/// What to do about host keys of targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostKeys {
    /// Record a new host's key, refuse a changed one.
    Tofu,
    /// Only hosts that are recorded.
    Strict,
    /// Accept all, as the replaced system did.
    Accept,
}

impl Default for AutoexecConfig {
    fn default() -> Self {
        Self {
            keep_failed_directory: false,
            longest_wait: Duration::from_hours(24),
            connect_timeout: Duration::from_mins(1),
            read_timeout: Duration::from_hours(1),
            write_timeout: Duration::from_mins(1),
            deploy_encodings: String::new(),
            host_keys: HostKeys::Tofu,
            known_hosts: None,
            identities: Vec::new(),
            identity_passphrase: None,
            ssh_agent: false,
            max_connections: 256,
            live_shell: false,
            shell_in_setenv: false,
            signatures: Strictness::default(),
            plugin_ca_file: None,
            outbox_wait: Duration::from_hours(1),
        }
    }
}

/// The whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Section `server`; `None` when the file has none, which is enough for runs without a server.
    pub server: Option<ServerConfig>,
    /// `password.key`, decrypted; empty when absent.
    pub key: SecretKey,
    /// Section `autoexec`.
    pub autoexec: AutoexecConfig,
    /// The keys `db.*` of section `autoexec`.
    pub db: DbConfig,
    /// Keys that have no effect, though they look like ours.
    pub misspelled: Vec<MisspelledKey>,
}

impl Config {
    /// What holds without a file.
    pub fn without_file() -> Self {
        Self {
            server: None,
            key: SecretKey::new(""),
            autoexec: AutoexecConfig::default(),
            db: DbConfig::default(),
            misspelled: Vec::new(),
        }
    }

    /// Reads the file. Secrets that stand there plainly are replaced by encrypted ones; everything else of the
    /// file, comments included, stays as it is.
    ///
    /// # Errors
    /// Names file, section and key.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError::File { path: name.clone(), problem: error.to_string() })?;
        let config = Self::parse(&text, &name)?;
        if let Some(hidden) = hide_plain_secrets(&text, &config) {
            atomic::write(path, hidden.as_bytes(), atomic::PRIVATE)
                .map_err(|error| ConfigError::File { path: name, problem: error.to_string() })?;
        }
        Ok(config)
    }

    /// Reads the text of a configuration; `path` is for error texts.
    ///
    /// # Errors
    /// Names section and key.
    pub fn parse(text: &str, path: &str) -> Result<Self, ConfigError> {
        let text = text.trim_start_matches('\u{feff}');
        let syntax = |line| ConfigError::Syntax {
            path: path.to_owned(),
            line,
            // The library's text may hold a piece of the line.
            problem: "not `key = value`, `[section]` or a comment".to_owned(),
        };
        // The library would take a line without `=` for the first part of the next line's key.
        if let Some(at) = text.lines().position(|line| !is_ini_line(line.trim())) {
            return Err(syntax(at + 1));
        }
        let options = ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
        let ini = Ini::load_from_str_opt(text, options).map_err(|error| syntax(error.line + 1))?;
        let file = File { ini, path, read: RefCell::default() };
        let master = SecretKey::master();
        let key = match file.text("server", "password.key") {
            Some(text) => SecretKey::new(file.reveal("server", "password.key", text, &master)?.expose()),
            None => SecretKey::new(""),
        };
        let (server, autoexec, db) = (file.server(&key)?, file.autoexec()?, file.db(&key)?);
        let misspelled = misspelled::find(&file.ini, path, &file.read.borrow());
        Ok(Self { server, key, autoexec, db, misspelled })
    }
}

fn is_ini_line(line: &str) -> bool {
    let is_section = line.starts_with('[') && line.contains(']');
    line.is_empty() || line.starts_with(['#', ';']) || is_section || line.contains(['=', ':'])
}

struct File<'a> {
    ini: Ini,
    path: &'a str,
    /// The keys of section `autoexec` that were looked for, so that those that are known need no list of their own.
    read: RefCell<BTreeSet<&'static str>>,
}

impl File<'_> {
    fn text(&self, section: &'static str, key: &'static str) -> Option<&str> {
        if section == "autoexec" {
            self.read.borrow_mut().insert(key);
        }
        self.ini.section(Some(section))?.get(key).map(str::trim).filter(|text| !text.is_empty())
    }

    fn needed(&self, section: &'static str, key: &'static str) -> Result<&str, ConfigError> {
        let missing = || ConfigError::Missing { path: self.path.to_owned(), section, key };
        self.text(section, key).ok_or_else(missing)
    }

    fn wrong(&self, section: &'static str, key: &'static str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Value { path: self.path.to_owned(), section, key, problem: problem.into() }
    }

    /// In this file only `{ENCRYPTED}` marks an encrypted text.
    fn reveal(
        &self,
        section: &'static str,
        key: &'static str,
        text: &str,
        by: &SecretKey,
    ) -> Result<Secret, ConfigError> {
        match text.strip_prefix(MARK) {
            Some(hex) => by
                .decrypt(hex)
                .map_err(|error| self.wrong(section, key, format!("can not be decrypted: {error}"))),
            None => Ok(Secret::new(text)),
        }
    }

    fn server(&self, key: &SecretKey) -> Result<Option<ServerConfig>, ConfigError> {
        let section = "server";
        if self.text(section, "server.baseurl").is_none()
            && self.text(section, "server.username").is_none()
            && self.text(section, "server.password").is_none()
        {
            return Ok(None);
        }
        let base_url = self.needed(section, "server.baseurl")?;
        let password = self.needed(section, "server.password")?;
        Ok(Some(ServerConfig {
            base_url: base_url.strip_suffix('/').unwrap_or(base_url).to_owned(),
            user: self.needed(section, "server.username")?.to_owned(),
            password: self.reveal(section, "server.password", password, key)?,
            ca_file: self.text(section, "server.cafile").map(Into::into),
        }))
    }

    fn autoexec(&self) -> Result<AutoexecConfig, ConfigError> {
        let default = AutoexecConfig::default();
        let paths =
            |text: &str| text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(Into::into).collect();
        Ok(AutoexecConfig {
            keep_failed_directory: self
                .flag("rexec.fail.reservedir")?
                .unwrap_or(default.keep_failed_directory),
            longest_wait: self.seconds("job.maxExecSecs")?.unwrap_or(default.longest_wait),
            connect_timeout: self.seconds("rexec.connectTimeout")?.unwrap_or(default.connect_timeout),
            read_timeout: self.seconds("rexec.readTimeout")?.unwrap_or(default.read_timeout),
            write_timeout: self.seconds("rexec.writeTimeout")?.unwrap_or(default.write_timeout),
            deploy_encodings: self
                .text("autoexec", "deploy.possibleEncodings")
                .unwrap_or_default()
                .to_owned(),
            host_keys: self.host_keys()?,
            known_hosts: self.text("autoexec", "ssh.knownHosts").map(Into::into),
            identities: self.text("autoexec", "ssh.identity").map(paths).unwrap_or_default(),
            identity_passphrase: self.passphrase()?,
            ssh_agent: self.flag("ssh.agent")?.unwrap_or(default.ssh_agent),
            max_connections: self.connections()?.unwrap_or(default.max_connections),
            live_shell: self.live_shell()?,
            shell_in_setenv: self.flag("setenv.shell")?.unwrap_or(default.shell_in_setenv),
            signatures: self.signatures()?,
            plugin_ca_file: self.plugin_ca_file()?,
            outbox_wait: self.seconds("outbox.maxWaitSecs")?.unwrap_or(default.outbox_wait),
        })
    }

    /// A file that can not be read would fail the first tool that speaks TLS, in the middle of a job.
    fn plugin_ca_file(&self) -> Result<Option<std::path::PathBuf>, ConfigError> {
        let key = "plugins.cafile";
        let Some(path) = self.text("autoexec", key).map(std::path::PathBuf::from) else { return Ok(None) };
        match std::fs::File::open(&path) {
            Ok(_) => Ok(Some(path)),
            Err(error) => {
                Err(self.wrong("autoexec", key, format!("names a file that can not be read: {error}")))
            }
        }
    }

    fn db(&self, key: &SecretKey) -> Result<DbConfig, ConfigError> {
        let section = "autoexec";
        let text = |name| self.text(section, name).unwrap_or_default();
        let pool = text("db.maxPoolSize");
        let wrong = |_| self.wrong(section, "db.maxPoolSize", "must be a whole number");
        Ok(DbConfig {
            url: Secret::new(text("db.url")),
            name: text("db.name").to_owned(),
            username: text("db.username").to_owned(),
            password: self.reveal(section, "db.password", text("db.password"), key)?,
            max_pool_size: if pool.is_empty() { 0 } else { pool.parse().map_err(wrong)? },
        })
    }

    fn host_keys(&self) -> Result<HostKeys, ConfigError> {
        match self.text("autoexec", "ssh.hostkeys") {
            None | Some("tofu") => Ok(HostKeys::Tofu),
            Some("strict") => Ok(HostKeys::Strict),
            Some("accept") => Ok(HostKeys::Accept),
            Some(_) => Err(self.wrong("autoexec", "ssh.hostkeys", "must be tofu, strict or accept")),
        }
    }

    /// `file:PATH` or `env:NAME`: the passphrase itself does not belong into this file, which tools read.
    fn passphrase(&self) -> Result<Option<autoexec_transport::Secret>, ConfigError> {
        let key = "ssh.identityPassphrase";
        let Some(text) = self.text("autoexec", key) else { return Ok(None) };
        let found = if let Some(path) = text.strip_prefix("file:") {
            std::fs::read_to_string(path)
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|error| format!("names {path}: {error}"))
        } else if let Some(name) = text.strip_prefix("env:") {
            std::env::var(name)
                .map_err(|_| format!("names the environment variable {name}, which is not set"))
        } else {
            Err("must be file:PATH or env:NAME".to_owned())
        };
        found
            .map(|passphrase| Some(autoexec_transport::Secret::new(passphrase)))
            .map_err(|problem| self.wrong("autoexec", key, problem))
    }

    fn live_shell(&self) -> Result<bool, ConfigError> {
        match self.text("autoexec", "shell.expansion") {
            None | Some("off") => Ok(false),
            Some("compatible") => Ok(true),
            Some(_) => Err(self.wrong("autoexec", "shell.expansion", "must be off or compatible")),
        }
    }

    fn signatures(&self) -> Result<Strictness, ConfigError> {
        match self.text("autoexec", "plugins.signatures") {
            None => Ok(Strictness::default()),
            Some("off") => Ok(Strictness::Off),
            Some("warn") => Ok(Strictness::Warn),
            Some("require") => Ok(Strictness::Require),
            Some(_) => Err(self.wrong("autoexec", "plugins.signatures", "must be off, warn or require")),
        }
    }

    fn connections(&self) -> Result<Option<usize>, ConfigError> {
        let key = "ssh.maxConnections";
        let Some(text) = self.text("autoexec", key) else { return Ok(None) };
        match text.parse() {
            Ok(0) | Err(_) => Err(self.wrong("autoexec", key, "must be a whole number above 0")),
            Ok(number) => Ok(Some(number)),
        }
    }

    fn seconds(&self, key: &'static str) -> Result<Option<Duration>, ConfigError> {
        let Some(text) = self.text("autoexec", key) else { return Ok(None) };
        match text.parse::<u64>() {
            Err(_) => Err(self.wrong("autoexec", key, "must be a number of seconds")),
            // Nothing is done in no time, and "no limit" is not what it says either.
            Ok(0) => Err(self.wrong(
                "autoexec",
                key,
                "must be at least 1 second; leave it out for the default, or give a large number for hardly any limit",
            )),
            Ok(seconds) => Ok(Some(Duration::from_secs(seconds.min(LONGEST_SECONDS)))),
        }
    }

    fn flag(&self, key: &'static str) -> Result<Option<bool>, ConfigError> {
        match self.text("autoexec", key) {
            None => Ok(None),
            Some("0" | "false") => Ok(Some(false)),
            Some("1" | "true") => Ok(Some(true)),
            Some(_) => Err(self.wrong("autoexec", key, "must be 0 or 1")),
        }
    }
}

/// The text with every plain secret encrypted; `None` when there is none. Plugins read the same file with their own
/// copy of the scheme, so format and keys must stay.
fn hide_plain_secrets(text: &str, config: &Config) -> Option<String> {
    let mut changed = false;
    let mut section = String::new();
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if let Some(name) = trimmed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.trim().clone_into(&mut section);
        }
        match hidden_line(&section, line, config) {
            Some(hidden) => {
                changed = true;
                lines.push(hidden);
            }
            None => lines.push(line.to_owned()),
        }
    }
    changed.then(|| lines.concat())
}

fn hidden_line(section: &str, line: &str, config: &Config) -> Option<String> {
    if line.trim_start().starts_with(['#', ';']) {
        return None;
    }
    let at = line.find(['=', ':'])?;
    let (key, rest) = line.split_at_checked(at)?;
    let by = match (section, key.trim()) {
        ("server", "password.key") => SecretKey::master(),
        ("server", "server.password") | ("autoexec", "db.password") => config.key.clone(),
        _ => return None,
    };
    let separator = rest.get(..1)?;
    let value = rest.get(1..)?;
    let plain = value.trim();
    if plain.is_empty() || plain.starts_with(MARK) || (key.trim() != "password.key" && config.has_no_key()) {
        return None;
    }
    let blank = if value.starts_with(' ') { " " } else { "" };
    let end = if line.ends_with("\r\n") {
        "\r\n"
    } else if line.ends_with('\n') {
        "\n"
    } else {
        ""
    };
    Some(format!("{key}{separator}{blank}{MARK}{}{end}", by.encrypt(&Secret::new(plain))))
}

impl Config {
    fn has_no_key(&self) -> bool {
        self.key.encrypt(&Secret::new("x")) == "78"
    }

    /// Whether `password.key` is set.
    pub(crate) fn has_key(&self) -> bool {
        !self.has_no_key()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "\
# the server
[server]
server.baseurl = http://127.0.0.1:8080/
server.username = autoexec
server.password = tok-4711
password.key = k3y-for-tests-0123456789abcdefgh

[autoexec]
; limits
rexec.connectTimeout = 5
job.maxExecSecs=7
db.password=
";

    #[test]
    fn a_plain_file_is_read_and_its_secrets_are_hidden_with_everything_else_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.ini");
        std::fs::write(&path, PLAIN).unwrap();
        let config = Config::load(&path).unwrap();
        let server = config.server.unwrap();
        assert_eq!(
            (server.base_url.as_str(), server.password.expose()),
            ("http://127.0.0.1:8080", "tok-4711")
        );
        assert_eq!(config.autoexec.connect_timeout, Duration::from_secs(5));
        assert_eq!(config.autoexec.longest_wait, Duration::from_secs(7));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("tok-4711") && !text.contains("k3y-for"), "{text}");
        assert!(text.contains(
            "password.key = {ENCRYPTED}c34ecd89482c0abbe905cb6f8547b217a7c46be9afd52005f1845257b59ba6f3\n"
        ));
        assert!(text.starts_with("# the server\n[server]\n") && text.contains("; limits\n"));
        let again = Config::load(&path).unwrap();
        assert_eq!(again.server.unwrap().password.expose(), "tok-4711");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "an encrypted file is left alone");
    }

    #[test]
    fn every_complaint_names_section_and_key_and_no_value() {
        for (text, expected) in [
            ("[server]\nserver.baseurl = x\n", "config.ini: section [server]: `server.password` is missing"),
            (
                "[autoexec]\nrexec.readTimeout = soon\n",
                "section [autoexec]: `rexec.readTimeout` must be a number of seconds",
            ),
            ("[autoexec]\nssh.hostkeys = maybe\n", "`ssh.hostkeys` must be tofu, strict or accept"),
            ("[autoexec]\nplugins.signatures = yes\n", "`plugins.signatures` must be off, warn or require"),
            ("[server]\npassword.key = {ENCRYPTED}zz\n", "`password.key` can not be decrypted"),
            ("[autoexec]\ndb.password = {ENCRYPTED}zz\n", "`db.password` can not be decrypted"),
            ("[autoexec]\ndb.maxPoolSize = many\n", "`db.maxPoolSize` must be a whole number"),
            ("[server]\nhunter2\n", "config.ini, line 2: "),
            ("[autoexec]\nhunter2\nrexec.readTimeout = 5\n", "config.ini, line 2: not `key = value`"),
        ] {
            let error = Config::parse(text, "config.ini").unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_database_is_read_with_its_password() {
        let text = "[server]\npassword.key = k3y-for-tests-0123456789abcdefgh\n[autoexec]\ndb.url = mongodb://db1/?a=b\n\
            db.name = jobs\ndb.username = app\ndb.password = {ENCRYPTED}d94cf101ca62a06c8680c8\ndb.maxPoolSize = -1\n";
        let db = Config::parse(text, "config.ini").unwrap().db;
        assert_eq!((db.url.expose(), db.name.as_str()), ("mongodb://db1/?a=b", "jobs"));
        assert_eq!((db.username.as_str(), db.password.expose()), ("app", "s3cret-Pa55"));
        assert_eq!(db.max_pool_size, -1);
        assert!(Config::parse("[autoexec]\n", "config.ini").unwrap().db.url.expose().is_empty());
    }

    #[test]
    fn no_time_at_all_is_no_limit() {
        for key in [
            "job.maxExecSecs",
            "rexec.connectTimeout",
            "rexec.readTimeout",
            "rexec.writeTimeout",
            "outbox.maxWaitSecs",
        ] {
            let of = |value| Config::parse(&format!("[autoexec]\n{key} = {value}\n"), "config.ini");
            let error = of("0").unwrap_err().to_string();
            assert!(
                error.starts_with(&format!(
                    "config.ini: section [autoexec]: `{key}` must be at least 1 second"
                )),
                "{error}"
            );
            assert!(of("1").is_ok() && of("").is_ok());
        }
    }

    #[test]
    fn a_huge_limit_still_gives_a_deadline() {
        let text = format!("[autoexec]\njob.maxExecSecs = {}\n", u64::MAX);
        let limit = Config::parse(&text, "config.ini").unwrap().autoexec.longest_wait;
        assert!(std::time::Instant::now().checked_add(limit).is_some());
    }

    #[test]
    fn a_file_without_a_server_is_enough_for_runs_without_one() {
        let config = Config::parse("[autoexec]\n", "config.ini").unwrap();
        assert!(config.server.is_none());
        assert_eq!(format!("{:?}", config.autoexec), format!("{:?}", AutoexecConfig::default()));
    }
}

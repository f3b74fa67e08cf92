//! Secrets of a stand-alone run: taken from where the job says, and kept encrypted in the job directory.
//!
//! The key is the home's `password.key` where there is one, because native tools decrypt with it too. Elsewhere it is
//! random and lives in the memory of this process only: what lies on the disk after the run opens nothing.

use std::fmt;
use std::path::{Path, PathBuf};

use autoexec_model::{Secret, SecretKey, is_encrypted};
use autoexec_store::Home;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use crate::CliError;
use crate::config::Config;

/// The mark of an encrypted value that references and options know.
const MARK: &str = "{RC4}";

/// Where a secret comes from. `Debug` shows no secret.
#[derive(Clone)]
pub(crate) enum SecretSource {
    /// It stands in the file.
    Text(Secret),
    /// A variable of the environment.
    Variable(String),
    /// The content of a file, without the line break at its end.
    File(PathBuf),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(..)"),
            Self::Variable(name) => write!(f, "Variable({name})"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SourceVisitor)
    }
}

struct SourceVisitor;

impl<'de> Visitor<'de> for SourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret: {env: NAME}, {file: PATH} or a text in quotes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<SecretSource, E> {
        Ok(SecretSource::Text(Secret::new(text)))
    }

    // The default text of these would repeat the value, which may be a password of digits.
    fn visit_i64<E: Error>(self, _: i64) -> Result<SecretSource, E> {
        Err(E::custom("a secret of digits must stand in quotes"))
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<SecretSource, E> {
        Err(E::custom("a secret of digits must stand in quotes"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<SecretSource, E> {
        Err(E::custom("a secret of digits must stand in quotes"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
        let wrong = || A::Error::custom("a secret is {env: NAME} or {file: PATH}");
        let (name, value) = map.next_entry::<String, String>()?.ok_or_else(wrong)?;
        let source = match name.as_str() {
            "env" => SecretSource::Variable(value),
            "file" => SecretSource::File(value.into()),
            _ => return Err(wrong()),
        };
        match map.next_key::<String>()? {
            Some(_) => Err(wrong()),
            None => Ok(source),
        }
    }
}

impl SecretSource {
    /// Reads a value of an option that is a secret. The error never holds the value.
    pub(super) fn from_value(value: &serde_json::Value) -> Result<Self, String> {
        let wrong = || "expected a secret: {env: NAME}, {file: PATH} or a text in quotes".to_owned();
        Self::deserialize(value).map_err(|_| wrong())
    }

    /// The secret. Relative files start from `directory`.
    pub(crate) fn reveal(&self, directory: &Path) -> Result<Secret, String> {
        let secret = match self {
            Self::Text(secret) => secret.clone(),
            Self::Variable(name) => match std::env::var(name) {
                Ok(text) => Secret::new(text),
                Err(std::env::VarError::NotPresent) => {
                    return Err(format!(
                        "the environment variable {name} is not set; export it before the run"
                    ));
                }
                Err(_) => return Err(format!("the environment variable {name} is not UTF-8")),
            },
            Self::File(path) => read_secret(&from_directory(directory, path))?,
        };
        if secret.expose().is_empty() { Err(format!("the secret is empty ({self:?})")) } else { Ok(secret) }
    }
}

fn read_secret(path: &Path) -> Result<Secret, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("secret file {}: {error}", path.display()))?;
    let end = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(Secret::new(end))
}

/// A path of a file as people write it: `~/` is their home, anything relative starts beside the file.
pub(crate) fn from_directory(directory: &Path, path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), std::env::var_os("HOME")) {
        (Ok(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => directory.join(path),
    }
}

/// Encrypts what must lie on the disk.
#[derive(Debug, Clone)]
pub(super) struct Vault {
    key: SecretKey,
    /// The key is this run's own, the home has none.
    temporary: bool,
}

impl Vault {
    /// The vault of a home with this configuration.
    pub(super) fn new(config: &Config) -> Result<Self, CliError> {
        if config.has_key() {
            return Ok(Self { key: config.key.clone(), temporary: false });
        }
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| CliError::files(format!("the system has no random numbers: {error}")))?;
        Ok(Self { key: SecretKey::new(hex::encode(bytes)), temporary: true })
    }

    /// The key of this run, if the home has none.
    pub(super) fn temporary_key(&self) -> Option<SecretKey> {
        self.temporary.then(|| self.key.clone())
    }

    /// The text that stands for the secret on the disk.
    pub(super) fn keep(&self, secret: &Secret) -> String {
        format!("{MARK}{}", self.key.encrypt(secret))
    }

    /// A value that somebody else encrypted can be used only with the key it was encrypted with.
    pub(super) fn admit(&self, text: &str) -> Result<(), String> {
        if self.temporary && is_encrypted(text) {
            return Err("the value is encrypted, and the home has no `password.key` in conf/config.ini to decrypt it with".to_owned());
        }
        Ok(())
    }
}

/// The configuration of a home, read without changing it.
pub(super) fn configuration(home: &Home) -> Result<Config, CliError> {
    let path = home.config_file();
    match std::fs::read_to_string(&path) {
        Ok(text) => Config::parse(&text, &path.display().to_string()).map_err(CliError::bad_input),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Config::without_file()),
        Err(error) => Err(CliError::bad_input(format!("{}: {error}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_secret_comes_from_the_file_that_is_named_and_its_text_never_shows() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "hunter2\n").unwrap();
        let source = SecretSource::from_value(&json!({"file": "pw"})).unwrap();
        assert_eq!(source.reveal(dir.path()).unwrap().expose(), "hunter2");
        let text = SecretSource::from_value(&json!("hunter2")).unwrap();
        assert!(!format!("{text:?}").contains("hunter2"));
        for wrong in
            [json!({"env": "A", "file": "b"}), json!({"password": "hunter2"}), json!(47_114_711), json!({})]
        {
            let error = SecretSource::from_value(&wrong).unwrap_err();
            assert!(error.starts_with("expected a secret") && !error.contains("4711"), "{error}");
        }
    }

    #[test]
    fn a_missing_variable_and_an_empty_file_are_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "\n").unwrap();
        let reveal = |value| SecretSource::from_value(&value).unwrap().reveal(dir.path()).unwrap_err();
        assert!(
            reveal(json!({"env": "AUTOEXEC_NO_SUCH_VARIABLE"}))
                .contains("AUTOEXEC_NO_SUCH_VARIABLE is not set")
        );
        assert_eq!(reveal(json!({"file": "pw"})), "the secret is empty (File(pw))");
        assert!(reveal(json!({"file": "none"})).contains("none: No such file"));
    }

    #[test]
    fn a_home_without_a_key_gets_one_for_the_run_and_refuses_foreign_secrets() {
        let vault = Vault::new(&Config::without_file()).unwrap();
        let kept = vault.keep(&Secret::new("pa$$word"));
        assert!(kept.starts_with("{RC4}") && !kept.contains("pa$$"));
        assert_eq!(vault.temporary_key().unwrap().reveal(&kept).unwrap().expose(), "pa$$word");
        assert!(vault.admit("{RC4}00").unwrap_err().contains("password.key"));
        assert!(vault.admit("plain").is_ok());
        let config = Config::parse("[server]\npassword.key = k\n", "config.ini").unwrap();
        let vault = Vault::new(&config).unwrap();
        assert!(vault.temporary_key().is_none() && vault.admit("{RC4}00").is_ok());
        assert_eq!(config.key.reveal(&vault.keep(&Secret::new("x"))).unwrap().expose(), "x");
    }
}

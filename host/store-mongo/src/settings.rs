//! How to reach MongoDB: `db.*` of the configuration, or what the server announces (`spec/cli.md` §1.8).

use std::time::Duration;

use autoexec_model::Secret;
use mongodb::options::ClientOptions;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::MongoError;

/// `db.maxPoolSize` where it is 0 or less.
const DEFAULT_POOL: u32 = 64;
const SCHEME: &str = "mongodb://";

/// How to reach the database.
#[derive(Debug, Clone)]
pub struct MongoSettings {
    /// `db.url`: `mongodb://host[:port][,…]/[?options]`. Shown in `Debug` output and error texts only as its hosts
    /// elsewhere: it may hold a password.
    pub url: Secret,
    /// `db.name`; empty for the one that the URL names.
    pub database: String,
    /// `db.username`; empty where none is needed or the URL has one.
    pub username: String,
    /// `db.password`, decrypted.
    pub password: Secret,
    /// `db.maxPoolSize`: most connections at a time; 64 for 0 or less.
    pub max_pool_size: i64,
    /// How long a server is looked for before a request fails, unless the URL says it.
    pub patience: Duration,
}

impl MongoSettings {
    /// Settings without user and with the default limits.
    pub fn new(url: impl Into<String>, database: impl Into<String>) -> Self {
        Self {
            url: Secret::new(url.into()),
            database: database.into(),
            username: String::new(),
            password: Secret::new(""),
            max_pool_size: 0,
            patience: Duration::from_secs(10),
        }
    }

    /// The driver's options and the name of the database.
    pub(crate) async fn options(&self) -> Result<(ClientOptions, String), MongoError> {
        // The driver's own words may repeat a piece of the URL.
        let mut options = ClientOptions::parse(self.url_with_user()?)
            .await
            .map_err(|error| MongoError::setting("db.url", self.without_secrets(&error.kind.to_string())))?;
        let database = Some(self.database.clone()).filter(|name| !name.is_empty());
        let database = database
            .or_else(|| options.default_database.clone())
            .ok_or_else(|| MongoError::setting("db.name", "it is missing, and db.url names no database"))?;
        options.app_name = Some("autoexec".to_owned());
        options.max_pool_size =
            Some(u32::try_from(self.max_pool_size).ok().filter(|size| *size > 0).unwrap_or(DEFAULT_POOL));
        options.server_selection_timeout.get_or_insert(self.patience);
        options.connect_timeout.get_or_insert(self.patience);
        Ok((options, database))
    }

    /// The URL with user and password in it: only there the driver minds its `authSource`.
    fn url_with_user(&self) -> Result<String, MongoError> {
        let url = self.url.expose().trim();
        let Some(rest) = url.strip_prefix(SCHEME) else {
            return Err(MongoError::setting("db.url", format!("it must begin with {SCHEME}")));
        };
        if self.username.is_empty() {
            return Ok(url.to_owned());
        }
        let hosts_end = rest.find(['/', '?']).unwrap_or(rest.len());
        let hosts_start =
            rest.get(..hosts_end).and_then(|hosts| hosts.rfind('@')).map_or(0, |position| position + 1);
        let hosts_and_options = rest.get(hosts_start..).unwrap_or_default();
        let encode = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let (user, password) = (encode(&self.username), encode(self.password.expose()));
        Ok(format!("{SCHEME}{user}:{password}@{hosts_and_options}"))
    }

    /// `text` with the password and whatever the URL has before an `@` masked.
    fn without_secrets(&self, text: &str) -> String {
        let url = self.url.expose();
        let in_url = url.strip_prefix(SCHEME).and_then(|rest| rest.rsplit_once('@')).map(|(user, _)| user);
        let in_url = in_url.into_iter().flat_map(|user| std::iter::once(user).chain(user.split(':')));
        let own = utf8_percent_encode(self.password.expose(), NON_ALPHANUMERIC).to_string();
        let secrets =
            in_url.chain([self.password.expose(), own.as_str()]).filter(|secret| !secret.is_empty());
        secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "******"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_user(url: &str) -> MongoSettings {
        let mut settings = MongoSettings::new(url, "autoexec");
        settings.username = "app@corp".to_owned();
        settings.password = Secret::new("p@ss:w/ord%");
        settings
    }

    #[tokio::test]
    async fn user_and_password_reach_the_driver_whatever_they_hold() {
        for url in [
            "mongodb://db1:27017,db2:27018/?authSource=ops&replicaSet=rs",
            "mongodb://old:one@db1:27017,db2:27018/?authSource=ops&replicaSet=rs",
        ] {
            let (options, database) = with_user(url).options().await.unwrap();
            let credential = options.credential.unwrap();
            assert_eq!(credential.username.as_deref(), Some("app@corp"));
            assert_eq!(credential.password.as_deref(), Some("p@ss:w/ord%"));
            assert_eq!(credential.source.as_deref(), Some("ops"));
            assert_eq!((options.hosts.len(), database.as_str()), (2, "autoexec"));
            assert_eq!(options.max_pool_size, Some(64));
        }
    }

    #[tokio::test]
    async fn the_url_may_name_the_database_and_limits_have_defaults() {
        let mut settings = MongoSettings::new("mongodb://db1/jobs?serverSelectionTimeoutMS=1500", "");
        settings.max_pool_size = 7;
        let (options, database) = settings.options().await.unwrap();
        assert_eq!((database.as_str(), options.max_pool_size), ("jobs", Some(7)));
        assert_eq!(options.server_selection_timeout, Some(Duration::from_millis(1500)));
        assert_eq!(options.connect_timeout, Some(Duration::from_secs(10)));
        assert!(options.credential.is_none());
    }

    #[tokio::test]
    async fn a_setting_that_cannot_be_used_is_named_without_its_secrets() {
        for (url, database, expected) in [
            ("http://db1", "x", "db.url cannot be used: it must begin with mongodb://"),
            ("mongodb+srv://db1", "x", "it must begin with mongodb://"),
            ("mongodb://db1", "", "db.name cannot be used"),
            ("mongodb://u:hunter2@db1:notaport/", "x", "db.url cannot be used"),
            ("mongodb://u:hunter2%zz@db1/", "x", "db.url cannot be used"),
            ("mongodb://u:hunter2@db1/?maxPoolSize=x", "x", "db.url cannot be used"),
        ] {
            let error = MongoSettings::new(url, database).options().await.unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{error}");
        }
        let settings = with_user("mongodb://u:hunter2@db1/");
        assert!(!format!("{settings:?}").contains("hunter2") && !format!("{settings:?}").contains("p@ss"));
    }
}

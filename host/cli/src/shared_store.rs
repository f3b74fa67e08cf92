//! The store that runners share: MongoDB, where it is configured or the server announces it (`spec/cli.md` §1.8,
//! `spec/defects.md` 36).

use std::time::Duration;

use autoexec_console::{ConsoleClient, ConsoleError, MongoSource};
use autoexec_store_mongo::{Database, MongoSettings};

use crate::CliError;
use crate::config::{Config, DbConfig};

/// A developer's run does not wait long for a database that it can do without.
const DEVMODE_PATIENCE: Duration = Duration::from_secs(3);

/// What came of looking for the shared store.
#[derive(Debug)]
pub(crate) enum SharedStore {
    /// It is there.
    Connected(Database),
    /// The files of this runner are the only store, for this reason.
    FilesOnly(FilesOnly),
}

/// Why there is no shared store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FilesOnly {
    /// Nothing is configured, and there is no server to ask.
    Unconfigured,
    /// The server announces none.
    Unannounced(String),
    /// It is configured and cannot be used, and the run can do without.
    Unusable(String),
}

/// Connects to what `db.url` names, else to what the server announces.
///
/// # Errors
/// A database that is configured or announced and cannot be used, except in devmode.
pub(crate) async fn connect(
    config: &Config,
    client: Option<&ConsoleClient>,
    dev_mode: bool,
) -> Result<SharedStore, CliError> {
    if !config.db.url.expose().trim().is_empty() {
        return connect_to(configured(&config.db), dev_mode).await;
    }
    let Some(client) = client.filter(|_| !dev_mode) else {
        return Ok(SharedStore::FilesOnly(FilesOnly::Unconfigured));
    };
    match client.mongo_settings().await {
        Ok(Some(source)) => connect_to(announced(source, &config.db), dev_mode).await,
        Ok(None) => Ok(SharedStore::FilesOnly(FilesOnly::Unannounced("it names none".to_owned()))),
        Err(ConsoleError::Rejected { message, .. }) => {
            Ok(SharedStore::FilesOnly(FilesOnly::Unannounced(message)))
        }
        Err(error) => Err(CliError::server(error)
            .hint("the server is asked for its MongoDB; set db.url, db.name, db.username and db.password in conf/config.ini instead")),
    }
}

async fn connect_to(settings: MongoSettings, dev_mode: bool) -> Result<SharedStore, CliError> {
    let settings = if dev_mode { MongoSettings { patience: DEVMODE_PATIENCE, ..settings } } else { settings };
    match Database::connect(settings).await {
        Ok(database) => Ok(SharedStore::Connected(database)),
        Err(error) if dev_mode => Ok(SharedStore::FilesOnly(FilesOnly::Unusable(error.to_string()))),
        Err(error) => Err(CliError::server(error).hint(
            "the runners of a job share statuses and outputs there; see db.url, db.name, db.username and db.password in \
             conf/config.ini, or the MongoDB settings of the server",
        )),
    }
}

/// The database that the configuration names.
pub(crate) fn configured(db: &DbConfig) -> MongoSettings {
    MongoSettings {
        username: db.username.clone(),
        password: db.password.clone(),
        max_pool_size: db.max_pool_size,
        ..MongoSettings::new(db.url.expose(), db.name.clone())
    }
}

fn announced(source: MongoSource, db: &DbConfig) -> MongoSettings {
    let settings = MongoSettings::new(source.url(), source.database);
    MongoSettings {
        username: source.username,
        password: source.password,
        max_pool_size: db.max_pool_size,
        ..settings
    }
}

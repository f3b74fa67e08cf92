//! The server and the database, asked once each.

use std::time::Duration;

use autoexec_console::{ConsoleClient, ConsoleError, ConsoleSettings, PassThrough};
use autoexec_events::ExitCode;
use serde_json::Map;
use tokio::time::timeout;

use super::check::Check;
use crate::config::{Config, ServerConfig};
use crate::run::tenant_before_params;
use crate::shared_store::{self, FilesOnly, SharedStore};

pub(super) async fn checks(config: Option<&Config>, patience: Duration) -> Vec<Check> {
    let Some(config) = config else {
        return vec![Check::skipped("server", "the configuration can not be read")];
    };
    let client = match &config.server {
        None => {
            return vec![
                Check::skipped("server", "none is configured"),
                database(config, None, patience).await,
            ];
        }
        Some(settings) => client(settings, patience),
    };
    match client {
        Ok(client) => {
            let server = server(&client, patience).await;
            vec![server, database(config, Some(&client), patience).await]
        }
        Err(error) => vec![Check::failed(
            "server",
            ExitCode::BadInput,
            error.to_string(),
            "correct section [server] of the configuration",
        )],
    }
}

fn client(settings: &ServerConfig, patience: Duration) -> Result<ConsoleClient, ConsoleError> {
    ConsoleClient::new(ConsoleSettings {
        tenant: tenant_before_params(&Map::new()),
        pass_through: PassThrough::new(Map::new()),
        ca_file: settings.ca_file.clone(),
        connect_timeout: patience,
        ..ConsoleSettings::new(settings.base_url.clone(), settings.user.clone(), settings.password.clone())
    })
}

/// Asks for the settings of the database: a call that changes nothing and is signed like all others.
async fn server(client: &ConsoleClient, patience: Duration) -> Check {
    let name = "server";
    let url = client.base_url();
    match timeout(patience, client.mongo_settings()).await {
        Ok(Ok(_)) => Check::ok(name, format!("{url} answers and takes our signature")),
        Ok(Err(ConsoleError::Rejected { message, .. })) => {
            Check::ok(name, format!("{url} answers (\"{message}\")"))
        }
        Ok(Err(error)) => Check::failed(
            name,
            ExitCode::ServerUnavailable,
            error.to_string(),
            "check server.baseurl, server.username and server.password, and whether the server is up",
        ),
        Err(_) => Check::failed(
            name,
            ExitCode::ServerUnavailable,
            format!("{url} did not answer within {} s", patience.as_secs()),
            "check server.baseurl, firewalls and whether the server is up; --timeout waits longer",
        ),
    }
}

async fn database(config: &Config, client: Option<&ConsoleClient>, patience: Duration) -> Check {
    let name = "database";
    let configured = !config.db.url.expose().trim().is_empty();
    if !configured && client.is_none() {
        return Check::skipped(name, "none is configured");
    }
    // As a developer's run: it says what is wrong instead of ending.
    let connected = shared_store::connect(config, client, configured);
    match timeout(patience, connected).await {
        Ok(Ok(SharedStore::Connected(_))) => Check::ok(name, "MongoDB answers"),
        Ok(Ok(SharedStore::FilesOnly(FilesOnly::Unusable(problem)))) => failed(name, problem),
        Ok(Ok(SharedStore::FilesOnly(FilesOnly::Unannounced(why)))) => {
            Check::skipped(name, format!("the server announces none ({why})"))
        }
        Ok(Ok(SharedStore::FilesOnly(FilesOnly::Unconfigured))) => Check::skipped(name, "none is configured"),
        Ok(Err(error)) if configured => failed(name, error.text().to_owned()),
        Ok(Err(_)) => Check::skipped(name, "the server can not be asked for one"),
        Err(_) if configured => failed(name, format!("it did not answer within {} s", patience.as_secs())),
        Err(_) => Check::skipped(name, "the server did not say in time whether there is one"),
    }
}

fn failed(name: &'static str, problem: String) -> Check {
    let advice = "check db.url, db.name, db.username and db.password, and whether MongoDB is up";
    Check::failed(name, ExitCode::ServerUnavailable, problem, advice)
}

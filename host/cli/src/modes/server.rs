//! A client of the server for modes that talk to it.

use std::sync::Arc;

use autoexec_console::{ConsoleClient, ConsoleSettings, PassThrough};
use autoexec_store::Home;
use serde_json::{Map, Value};

use crate::CliError;
use crate::config::Config;

pub(super) fn client(
    home: &Home,
    tenant: String,
    pass_through: Map<String, Value>,
) -> Result<Arc<ConsoleClient>, CliError> {
    let path = home.config_file();
    let config = Config::load(&path).map_err(CliError::bad_input)?;
    let server = config.server.ok_or_else(|| {
        CliError::bad_input(format!("{}: section [server] is missing", path.display()))
            .hint("set server.baseurl, server.username and server.password")
    })?;
    let settings = ConsoleSettings {
        tenant,
        pass_through: PassThrough::new(pass_through),
        ca_file: server.ca_file,
        ..ConsoleSettings::new(server.base_url, server.user, server.password)
    };
    ConsoleClient::new(settings).map(Arc::new).map_err(CliError::bad_input)
}

//! A client of the server for modes that talk to it.

use std::sync::Arc;

use autoexec_console::{ConsoleClient, ConsoleSettings, PassThrough};
use autoexec_events::ExitCode;
use autoexec_model::{JobId, RunnerId};
use autoexec_store::Home;
use serde_json::{Map, Value};

use super::target::TargetJob;
use crate::CliError;
use crate::config::Config;
use crate::run::{merged, runner_id, tenant_before_params};

/// A client that speaks for a job, and the id under which the server knows the job.
pub(super) fn client_of(job: &TargetJob) -> Result<(Arc<ConsoleClient>, JobId), CliError> {
    let inherited = std::env::var("PASSTHROUGH_ENV").ok();
    let given =
        job.flags.pass_through(inherited.as_deref()).map_err(|text| CliError::new(ExitCode::Usage, text))?;
    let params = job.params();
    let tenant = params.as_ref().and_then(|params| params.tenant.clone());
    let tenant = tenant.unwrap_or_else(|| tenant_before_params(&given));
    let stored = params.as_ref().map(|params| params.pass_through.clone()).unwrap_or_default();
    let client = client(&job.home, tenant, with_runner_id(merged(&stored, &given)))?;
    Ok((client, params.and_then(|params| params.job).unwrap_or_else(|| job.id.clone())))
}

/// The server needs `runnerId` to know whose phases are meant.
fn with_runner_id(mut pass_through: Map<String, Value>) -> Map<String, Value> {
    let RunnerId(runner) = runner_id(&pass_through);
    pass_through.entry("runnerId").or_insert_with(|| runner.into());
    pass_through
}

pub(crate) fn client(
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

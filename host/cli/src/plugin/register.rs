//! `autoexec plugin register`: the server learns of one tool.

use autoexec_console::Registration;
use autoexec_events::ExitCode;
use autoexec_manifest::{Manifest, read_outline};
use serde_json::{Map, Value, json};

use super::args::RegisterArgs;
use super::project::Project;
use super::tell;
use crate::modes::server;
use crate::run::runtime;
use crate::{CliError, home};

/// Registers it. Other tools stay as they are.
pub(super) fn run(arguments: &RegisterArgs) -> Result<ExitCode, CliError> {
    let project = Project::find(&arguments.project)?;
    let built = project.built()?;
    let bytes = std::fs::read(&built).map_err(CliError::files)?;
    // What was built counts, not what tool.toml says by now.
    let manifest = read_outline(&bytes).map_err(CliError::bad_input)?.manifest;
    let tenant = arguments.tenant.trim();
    if tenant.is_empty() {
        return Err(CliError::bad_input("--tenant is empty"));
    }
    let client = server::client(&home::find()?, tenant.to_owned(), Map::new())?;
    let registration = registration(&manifest)?;
    runtime()?.block_on(client.register_tool(registration)).map_err(CliError::server)?;
    let text = format!("registered {} {} for {tenant}\n", manifest.name, manifest.version);
    tell(arguments.project.output, &text, &json!({"name": manifest.name.as_str(), "tenant": tenant}))
}

fn registration(manifest: &Manifest) -> Result<Registration, CliError> {
    let Value::Object(description) = manifest.registration() else {
        return Err(CliError::bad_input("the manifest has no description"));
    };
    let op_type = description.get("opType").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Registration {
        description,
        op_name: manifest.name.to_string(),
        import_time: jiff::Timestamp::now().as_second(),
        op_type,
    })
}

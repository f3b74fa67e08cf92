//! `--register`: tells the server which tools there are (`spec/tool-descriptor.md`, Registration).

mod tools;

use autoexec_console::{ConsoleClient, ConsoleError, Registration};
use autoexec_events::ExitCode;
use autoexec_store::Home;
use serde_json::Map;

use self::tools::{Description, FoundTool};
use super::{say, server};
use crate::CliError;
use crate::args::DropIn;
use crate::run::{runtime, tenant_before_params};

/// Registers the tools of the home for `tenant` and deletes those that are no longer there.
pub(super) fn run(home: &Home, flags: &DropIn, tenant: &str) -> Result<ExitCode, CliError> {
    let inherited = std::env::var("PASSTHROUGH_ENV").ok();
    let given =
        flags.pass_through(inherited.as_deref()).map_err(|text| CliError::new(ExitCode::Usage, text))?;
    let tenant =
        if tenant.trim().is_empty() { tenant_before_params(&given) } else { tenant.trim().to_owned() };
    let tools = tools::find(home).map_err(CliError::files)?;
    if tools.is_empty() {
        // The clean-up would delete every tool of the tenant.
        let text = format!(
            "there is no tool under {}: nothing is registered or cleaned up",
            home.root().join("plugins").display()
        );
        return Err(CliError::bad_input(text).hint("is this the right home? See AUTOEXEC_HOME"));
    }
    let client = server::client(home, tenant, Map::new())?;
    runtime()?.block_on(register(&client, tools))
}

async fn register(client: &ConsoleClient, tools: Vec<FoundTool>) -> Result<ExitCode, CliError> {
    let import_time = jiff::Timestamp::now().as_second();
    let mut all_well = true;
    for tool in tools {
        let description = tool.read();
        if description == Ok(Description::Disabled) {
            continue;
        }
        crate::print(&format!("INFO: Begin to register tool:{} {}...\n", tool.place, tool.name))?;
        match register_one(client, &tool, description, import_time).await {
            Ok(()) => crate::print(&format!("INFO: Register tool:{} {} success.\n", tool.place, tool.name))?,
            Err(Failure::OfAll(error)) => return Err(CliError::server(error)),
            Err(Failure::OfThis(problem)) => {
                say(&format!("ERROR: Register tool:{} {} failed {problem}", tool.place, tool.name));
                all_well = false;
            }
        }
    }
    match client.clean_up_tools(import_time).await {
        Ok(()) => crate::print("INFO: Clean discarded tools success.\n")?,
        Err(error) => {
            say(&format!("ERROR: Clean discarded tools failed, {error}"));
            all_well = false;
        }
    }
    Ok(if all_well { ExitCode::Success } else { ExitCode::NodeFailed })
}

/// Why a tool is not registered.
enum Failure {
    /// The next one would meet the same: nothing more is tried, and nothing is cleaned up.
    OfAll(ConsoleError),
    OfThis(String),
}

async fn register_one(
    client: &ConsoleClient,
    tool: &FoundTool,
    description: Result<Description, String>,
    import_time: i64,
) -> Result<(), Failure> {
    let Description::Enabled { object, op_type } = description.map_err(Failure::OfThis)? else {
        return Ok(());
    };
    let registration = Registration { description: object, op_name: tool.name.clone(), import_time, op_type };
    client.register_tool(registration).await.map_err(|error| {
        if concerns_all(&error) { Failure::OfAll(error) } else { Failure::OfThis(error.to_string()) }
    })
}

/// Whether the next tool would meet the same: a server that is away, or does not know us.
fn concerns_all(error: &ConsoleError) -> bool {
    matches!(
        error,
        ConsoleError::Unreachable { .. }
            | ConsoleError::Tls { .. }
            | ConsoleError::Timeout { .. }
            | ConsoleError::Redirected { .. }
            | ConsoleError::AuthenticationFailed { .. }
    )
}

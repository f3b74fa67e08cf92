//! `autoexec plugin`: from nothing to a tested, signed tool (docs/authoring.md).

mod args;
mod build;
mod call;
mod inspect;
mod make;
mod pack;
mod project;
mod refusals;
mod register;
mod replay;
mod scripted;
mod sdk;
mod sign;
mod test_run;

use autoexec_events::ExitCode;
use serde_json::Value;

pub(crate) use args::PluginArgs;
use args::PluginCommand;

use crate::args::Output;
use crate::{CliError, print};

/// Does what was typed.
pub(crate) fn run(arguments: PluginArgs) -> Result<ExitCode, CliError> {
    match arguments.command {
        PluginCommand::New(arguments) => make::run(&arguments),
        PluginCommand::Build(arguments) => build::run(&arguments),
        PluginCommand::Test(arguments) => test_run::run(&arguments),
        PluginCommand::Run(arguments) => call::run(&arguments),
        PluginCommand::Inspect(arguments) => inspect::run(&arguments),
        PluginCommand::Pack(arguments) => pack::run(&arguments),
        PluginCommand::Sign(arguments) => sign::run(&arguments),
        PluginCommand::Register(arguments) => register::run(&arguments),
    }
}

/// Prints a result: text for people, or the document for programs.
fn tell(output: Output, text: &str, document: &Value) -> Result<ExitCode, CliError> {
    match output {
        Output::Human => print(text)?,
        Output::Json => print(&format!("{document}\n"))?,
    }
    Ok(ExitCode::Success)
}

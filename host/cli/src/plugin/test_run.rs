//! `autoexec plugin test`: the tool's own tests, against the fake host of its SDK.

use std::process::Command;

use autoexec_events::ExitCode;
use serde_json::json;

use super::args::{Language, ProjectArgs};
use super::build::{not_started, program};
use super::project::Project;
use super::{scripted, tell};
use crate::CliError;

/// Runs them.
pub(super) fn run(arguments: &ProjectArgs) -> Result<ExitCode, CliError> {
    let project = Project::find(arguments)?;
    let mut command = match project.language {
        Language::Rust => rust(&project),
        Language::Python => scripted::python_tests(&project),
        Language::Js => scripted::js_tests(&project),
    };
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdout(std::io::stderr());
    let status = command.status().map_err(|error| not_started(&name, &error))?;
    let text = if status.success() { "the tests pass\n" } else { "" };
    tell(arguments.output, text, &json!({"passed": status.success()}))?;
    Ok(if status.success() { ExitCode::Success } else { ExitCode::NodeFailed })
}

fn rust(project: &Project) -> Command {
    let mut cargo = Command::new(program("CARGO", "cargo"));
    cargo.args(["test", "--quiet", "--manifest-path"]).arg(project.dir.join("Cargo.toml"));
    cargo.arg("--target-dir").arg(project.target());
    cargo
}

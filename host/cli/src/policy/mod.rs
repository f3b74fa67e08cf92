//! `autoexec policy`: check, explain, compare, learn and audit policies, with the code that enforces them (docs/policy.md).

mod args;
mod audit;
mod explain;
mod learn;
mod load;
mod request;
mod review;
mod sarif;

use std::path::PathBuf;

use autoexec_events::ExitCode;
use autoexec_grants::{BUILT_IN, Policy};
use autoexec_store::Home;

use args::PolicyCommand;

use crate::{CliError, home, print};

pub(crate) use args::PolicyArgs;
pub(crate) use load::site_policy;

/// The policy of a home: its files, or the built-in one when it has none.
pub(crate) fn of_home(home: &Home) -> Result<Policy, CliError> {
    Ok(load::of_home(home)?)
}

/// Does what was typed.
pub(crate) fn run(arguments: &PolicyArgs) -> Result<ExitCode, CliError> {
    match &arguments.command {
        PolicyCommand::Check(arguments) => review::check(&home_of(arguments.home.as_ref())?, arguments),
        PolicyCommand::Explain(arguments) => explain::run(&home_of(arguments.home.as_ref())?, arguments),
        PolicyCommand::Diff(arguments) => review::compare(arguments),
        PolicyCommand::Learn(arguments) => learn::run(&home_of(arguments.home.as_ref())?, arguments),
        PolicyCommand::Audit(arguments) => audit::run(&home_of(arguments.home.as_ref())?, arguments),
        PolicyCommand::Default => print(BUILT_IN).map(|()| ExitCode::Success),
    }
}

fn home_of(given: Option<&PathBuf>) -> Result<Home, CliError> {
    let Some(path) = given else { return home::find() };
    if path.is_dir() {
        Ok(Home::new(path))
    } else {
        Err(CliError::bad_input(format!("--home {}: there is no such directory", path.display())))
    }
}

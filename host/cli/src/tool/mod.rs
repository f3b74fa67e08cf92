//! `autoexec tool`: installed tools, where they come from, and what was approved (docs/supply-chain.md). The same code
//! judges here as when a job loads a tool.

mod args;
mod health;
pub(crate) mod installed;
mod list;
mod lock;
mod show;
mod trust;
mod verify;

use std::io;
use std::path::PathBuf;

use autoexec_events::ExitCode;
use autoexec_store::Home;
use autoexec_supply::{Lock, Rules, Strictness, TrustedKeys};
use serde_json::Value;

use args::{Shared, ToolCommand};

use crate::config::Config;
use crate::{CliError, home, print};

pub(crate) use args::ToolArgs;
pub(crate) use health::{Health, health};
pub(crate) use list::signature_object;

/// Does what was typed.
pub(crate) fn run(arguments: &ToolArgs) -> Result<ExitCode, CliError> {
    match &arguments.command {
        ToolCommand::List(arguments) => list::run(arguments),
        ToolCommand::Show(arguments) => show::run(arguments),
        ToolCommand::Verify(arguments) => verify::run(arguments),
        ToolCommand::Trust(arguments) => trust::run(&arguments.command),
        ToolCommand::Lock(arguments) => lock::run(arguments),
    }
}

/// What runs of this home go by, as configured.
pub(crate) fn rules_of(home: &Home) -> Result<Rules, CliError> {
    rules(home, strictness(home)?)
}

/// What runs go by: the trusted keys and the lock of a home. What can not be read ends the run before it begins.
pub(crate) fn rules(home: &Home, strictness: Strictness) -> Result<Rules, CliError> {
    let trusted = TrustedKeys::load(&home.trust()).map_err(|error| {
        CliError::bad_input(error).hint("`autoexec tool trust list` shows the keys that can be read")
    })?;
    Ok(Rules { strictness, trusted, lock: read_lock(home)? })
}

/// The lock of a home; none if it has none.
pub(crate) fn read_lock(home: &Home) -> Result<Option<Lock>, CliError> {
    let path = home.plugins_lock();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CliError::files(format!("{}: {error}", path.display()))),
    };
    Lock::parse(&text).map(Some).map_err(|error| {
        CliError::bad_input(format!("{}: {error}", path.display())).hint(
            "restore it from your version control, or remove it and approve all tools anew with `autoexec tool lock`",
        )
    })
}

/// The configured strictness; a home without configuration has the default.
fn strictness(home: &Home) -> Result<Strictness, CliError> {
    let path = home.config_file();
    // Not with `Config::load`, which rewrites the file: looking at tools changes nothing.
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Strictness::default()),
        Err(error) => return Err(CliError::files(format!("{}: {error}", path.display()))),
    };
    let config = Config::parse(&text, &path.display().to_string()).map_err(CliError::bad_input)?;
    Ok(config.autoexec.signatures)
}

fn home_of(shared: &Shared) -> Result<Home, CliError> {
    home_at(shared.home.as_ref())
}

/// The home that was given, else the one of this program.
pub(crate) fn home_at(given: Option<&PathBuf>) -> Result<Home, CliError> {
    let Some(path) = given else { return home::find() };
    if path.is_dir() {
        Ok(Home::new(path))
    } else {
        Err(CliError::bad_input(format!("--home {}: there is no such directory", path.display())))
    }
}

fn print_json(value: &Value) -> Result<(), CliError> {
    print(&format!("{value:#}\n"))
}

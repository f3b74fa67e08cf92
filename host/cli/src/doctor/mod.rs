//! `autoexec doctor`: is this installation as it should be, and if not, what is to be done? Reads only; changes nothing.

mod check;
mod home;
mod remote;
mod system;
mod tools;

use std::path::PathBuf;
use std::time::Duration;

use autoexec_events::ExitCode;
use clap::{Args, ValueEnum};
use serde_json::json;

use check::{Check, Status};

use crate::config::Config;
use crate::tool::home_at;
use crate::{CliError, print};

/// `autoexec doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each check is ok, a warning, failed, or skipped because it does not apply here. Nothing is changed, and no job is touched.

Exit codes: 0 without a failed check, else that of the first kind of: 65 configuration, policy, keys or tools;
69 server or database; 74 files and directories.")]
pub struct DoctorArgs {
    /// The home [default: the one of this program].
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Longest wait for the server and the database, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub timeout: u64,
    /// Ask neither server nor database.
    #[arg(long)]
    pub offline: bool,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub output: Format,
}

/// What the command prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people.
    Table,
    /// One JSON document.
    Json,
}

/// Does what was typed.
pub(crate) fn run(arguments: &DoctorArgs) -> Result<ExitCode, CliError> {
    let home = home_at(arguments.home.as_ref())?;
    let mut checks = home::checks(&home);
    let (config, config_check) = home::configuration(&home);
    checks.push(config_check);
    checks.extend(tools::checks(&home, config.as_ref()));
    checks.extend(system::checks(&home, config.as_ref()));
    checks.extend(remote_checks(config.as_ref(), arguments)?);
    let failed: Vec<&Check> = checks.iter().filter(|check| check.status == Status::Failed).collect();
    let code = failed.iter().map(|check| check.code).min_by_key(|code| code.code());
    let code = code.unwrap_or(ExitCode::Success);
    match arguments.output {
        Format::Json => print(&format!(
            "{:#}\n",
            json!({"ok": failed.is_empty(), "version": env!("CARGO_PKG_VERSION"), "home": home.root(),
                "checks": checks})
        ))?,
        Format::Table => {
            let lines: String = checks.iter().map(ToString::to_string).collect();
            let count = |status| checks.iter().filter(|check| check.status == status).count();
            let (failed, warnings) = (count(Status::Failed), count(Status::Warning));
            let home = home.root().display();
            print(&format!(
                "{lines}\n{home}: {} check(s), {failed} failed, {warnings} warning(s).\n",
                checks.len()
            ))?;
        }
    }
    Ok(code)
}

fn remote_checks(config: Option<&Config>, arguments: &DoctorArgs) -> Result<Vec<Check>, CliError> {
    if arguments.offline {
        return Ok(vec![Check::skipped("server", "not asked, because of --offline")]);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(ExitCode::Internal, format!("can not start the runtime: {error}")))?;
    Ok(runtime.block_on(remote::checks(config, Duration::from_secs(arguments.timeout))))
}

//! From the command line to the mode that was asked for.

use std::collections::HashMap;

use autoexec_events::ExitCode;
use autoexec_model::JobId;
use autoexec_plan::Filter;
use clap::CommandFactory;

use crate::args::{Cli, Command, DropIn, Mode, Parsed, group_list, node_list, phase_list};
use crate::modes::{self, ModeRequest};
use crate::run::{Face, NodesSource, ParamsSource, RunRequest};
use crate::{CliError, doctor, home, plugin, policy, run, standalone, tool};

/// Does what the command line asks.
pub(crate) fn dispatch(parsed: Parsed) -> Result<ExitCode, CliError> {
    match parsed.cli.command {
        Some(Command::Run(arguments)) => standalone::run(arguments),
        Some(Command::Plan(arguments)) => standalone::plan(arguments),
        Some(Command::Status(arguments)) => standalone::status(arguments),
        Some(Command::Policy(arguments)) => policy::run(&arguments),
        Some(Command::Plugin(arguments)) => plugin::run(arguments),
        Some(Command::Tool(arguments)) => tool::run(&arguments),
        Some(Command::Doctor(arguments)) => doctor::run(&arguments),
        Some(Command::Completion { shell }) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "autoexec", &mut script);
            crate::print(&String::from_utf8_lossy(&script))?;
            Ok(ExitCode::Success)
        }
        None => drop_in(parsed.cli.drop_in, parsed.unknown),
    }
}

fn drop_in(flags: DropIn, unknown: Vec<String>) -> Result<ExitCode, CliError> {
    if std::env::args_os().len() == 1 {
        let help = Cli::command().render_help().to_string();
        crate::print(&help)?;
        return Ok(ExitCode::Usage);
    }
    let home = home::find()?;
    match flags.mode() {
        Mode::Run => run::run(&home, run_request(flags, unknown)?),
        mode => modes::run(&home, mode, ModeRequest { flags, unknown }),
    }
}

fn run_request(flags: DropIn, unknown: Vec<String>) -> Result<RunRequest, CliError> {
    let usage = |text: String| CliError::new(ExitCode::Usage, text);
    let inherited = std::env::var("PASSTHROUGH_ENV").ok();
    Ok(RunRequest {
        job: JobId::new(flags.jobid.clone()).map_err(|error| usage(error.to_string()))?,
        exec_id: flags.execid.clone(),
        first_fire: flags.firstfire,
        reuse_console_log: flags.reuseconslog,
        force: flags.force,
        check: false,
        fire_next: !flags.nofirenext,
        dev_mode: flags.devmode,
        filter: Filter {
            groups: group_list(flags.phasegroups.as_deref()).map_err(usage)?,
            phases: phase_list(flags.phases.as_deref()).map_err(usage)?,
            nodes: node_list(flags.nodes.as_deref()).map_err(usage)?,
        },
        params: flags.paramsfile.clone().map_or(ParamsSource::Server, ParamsSource::File),
        nodes: flags.nodesfile.clone().map_or(NodesSource::Server, NodesSource::File),
        pass_through: flags.pass_through(inherited.as_deref()).map_err(usage)?,
        has_pass_through_flag: !matches!(flags.passthroughenv.trim(), "" | "{}"),
        sql_files: flags.sqlfiles,
        exec_user: flags.execuser,
        ssh_keys: Vec::new(),
        ssh_ways: HashMap::new(),
        key: None,
        face: Face::None,
        tape: None,
        unknown_flags: unknown,
    })
}

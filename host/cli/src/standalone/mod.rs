//! Jobs for people without a server (`docs/standalone.md`): a readable job and inventory become the parameters and
//! the node file that a server would send, and the same code runs them.

mod call;
#[cfg(test)]
mod documented;
mod inventory;
mod job_file;
mod place;
mod plan;
mod references;
mod results;
mod scripts;
mod setup;
mod source;
mod status;
mod steps;
mod tools;
mod translate;
mod values;
mod vault;

pub(crate) use vault::{SecretSource, from_directory};

use autoexec_events::ExitCode;
use autoexec_model::JobId;
use autoexec_runners::Tape;
use autoexec_store::json::{Style, to_bytes};
use autoexec_store::{Home, JobDir, atomic};
use serde_json::{Map, Value, json};

pub(crate) use place::home_of_jobs;
pub(crate) use plan::plan;
pub(crate) use status::status;

use crate::CliError;
use crate::args::{JobArgs, Output, RunArgs};
use crate::run::{self, Face, NodesSource, ParamsSource, RunRequest};
use inventory::{Inventory, RUNNER};
use place::JobPlace;
use results::Results;
use setup::Setup;
use values::GivenFile;

/// `autoexec run`.
pub(crate) fn run(arguments: RunArgs) -> Result<ExitCode, CliError> {
    let found = place::find_home()?;
    let home = found.home;
    let setup = Setup::read(&home, &arguments.job)?;
    if found.is_personal {
        place::make(&home)?;
        say(&format!(
            "Using {} as home: autoexec is not installed in one, and AUTOEXEC_HOME is not set.",
            home.root().display()
        ));
    }
    let place = JobPlace::take(&home, arguments.job.id.as_deref())?;
    store(&place.dir, &setup, &place.job)?;
    announce(&place, &setup, &arguments);
    let Setup { params, inventory, filter, reported, vault, .. } = setup;
    let Inventory { nodes, keys, ways } = inventory;
    let request = RunRequest {
        job: place.job.clone(),
        exec_user: Some(user()),
        exec_id: None,
        first_fire: place.is_new,
        reuse_console_log: false,
        force: arguments.job.force,
        check: arguments.check,
        fire_next: false,
        dev_mode: true,
        filter,
        params: ParamsSource::File(place.dir.params()),
        nodes: NodesSource::File(place.dir.nodes()),
        pass_through: Map::from_iter([("runnerId".to_owned(), RUNNER.0.into())]),
        has_pass_through_flag: false,
        sql_files: None,
        ssh_keys: keys,
        ssh_ways: ways,
        key: vault.temporary_key(),
        face: match arguments.output {
            Output::Human => Face::Human,
            Output::Json => Face::Json,
        },
        tape: tape(&arguments),
        unknown_flags: Vec::new(),
    };
    let code = run::run(&home, request)?;
    let inventory = Inventory { nodes, ..Inventory::default() };
    let results = Results::read(&place.dir, &params, &inventory, &reported);
    tell(&place, &results, code, &arguments)?;
    Ok(code)
}

/// What `plugin run` asks for.
fn tape(arguments: &RunArgs) -> Option<Tape> {
    let record = arguments.record_calls.clone().map(Tape::Record);
    record.or_else(|| arguments.replay_calls.clone().map(Tape::Replay))
}

/// Writes what the run reads. Values in it that are secret are encrypted, and nobody else may read it.
fn store(dir: &JobDir, setup: &Setup, job: &JobId) -> Result<(), CliError> {
    let mut params = setup.value.clone();
    params.insert("jobId".to_owned(), job.as_str().into());
    let params = to_bytes(&params, Style::Indented).map_err(CliError::files)?;
    atomic::write(&dir.params(), &params, atomic::PRIVATE).map_err(CliError::files)?;
    let nodes = setup.inventory.to_node_file();
    atomic::write(&dir.nodes(), nodes.as_bytes(), atomic::PRIVATE).map_err(CliError::files)?;
    setup.files.iter().try_for_each(|file| copy(file, dir))
}

fn copy(file: &GivenFile, dir: &JobDir) -> Result<(), CliError> {
    let to = dir.files().join(&file.name);
    std::fs::copy(&file.path, &to).map(drop).map_err(|error| {
        CliError::files(format!("can not copy {} to {}: {error}", file.path.display(), to.display()))
    })
}

fn announce(place: &JobPlace, setup: &Setup, arguments: &RunArgs) {
    let phases: usize = setup.params.groups.iter().map(|group| group.phases.len()).sum();
    let how = if place.is_new { "Job" } else { "Continuing job" };
    say(&format!(
        "{how} {}: {}, {phases} phase(s), {} node(s).",
        place.job,
        setup.name,
        setup.inventory.nodes.len()
    ));
    for key in &setup.misspelled {
        say(&format!("WARN: {key}"));
    }
    if arguments.check {
        say("Dry run: tools are asked what they would change, and nothing is changed.");
    } else if place.is_new {
        let command = continuation(place, &arguments.job);
        say(&format!("If it does not get through, continue it with: {command}"));
    }
}

/// The command that continues a job; what has succeeded is not run again.
fn continuation(place: &JobPlace, arguments: &JobArgs) -> String {
    let mut words =
        vec!["autoexec".to_owned(), "run".to_owned(), shell_word(&arguments.job.display().to_string())];
    let mut add = |flag: &str, value: &str| words.extend([flag.to_owned(), shell_word(value)]);
    if let Some(inventory) = &arguments.inventory {
        add("-i", &inventory.display().to_string());
    }
    for (flag, value) in
        [("--phases", &arguments.phases), ("--limit", &arguments.limit), ("--nodes", &arguments.nodes)]
    {
        if let Some(value) = value {
            add(flag, value);
        }
    }
    for option in &arguments.options {
        add("-o", option);
    }
    add("--id", place.job.as_str());
    words.join(" ")
}

/// Quotes only what needs it, since people read the command.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=,:@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        autoexec_transport::ssh::quote(text)
    }
}

fn tell(place: &JobPlace, results: &Results, code: ExitCode, arguments: &RunArgs) -> Result<(), CliError> {
    match arguments.output {
        Output::Json => {
            let report = json!({
                "event": "job-report", "job": place.job, "exitCode": code.code(),
                "directory": place.dir.root(), "results": results,
            });
            crate::print(&format!("{report}\n"))
        }
        Output::Human => {
            let again = match code {
                ExitCode::Success => String::new(),
                _ if arguments.check => String::new(),
                _ => format!("Continue with: {}\n", continuation(place, &arguments.job)),
            };
            crate::print(&format!("{}\nLogs: {}\n{again}", results.render(), place.dir.logs().display()))
        }
    }
}

/// Who runs the job, for logs and history files.
fn user() -> String {
    let uid = nix::unistd::geteuid();
    match nix::unistd::User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        _ => uid.to_string(),
    }
}

/// Standard error: standard output is for results.
fn say(text: &str) {
    use std::io::Write;
    // Nobody reads it if standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// One JSON document for programs.
fn print_json(value: &Value) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::new(ExitCode::Internal, format!("can not write JSON: {error}")))?;
    crate::print(&format!("{text}\n"))
}

/// The home for commands that only look.
fn existing_home() -> Result<Home, CliError> {
    Ok(place::find_home()?.home)
}

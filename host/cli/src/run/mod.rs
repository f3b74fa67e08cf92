//! A run: everything is read, opened and wired in the order of `spec/execution.md` §6.1, then the engine works.

mod input;
mod job_store;
mod limits;
pub(crate) mod logging;
pub(crate) mod outbox;
mod request;
mod surroundings;
mod wiring;

pub(crate) use input::{merged, runner_id, tenant_before_params};
pub(crate) use request::{Face, NodesSource, ParamsSource, RunRequest};

use std::sync::Arc;

use autoexec_events::{ExitCode, Level};
use autoexec_store::{Home, JobDir, JobLock, LockScope, atomic};

use crate::CliError;
use crate::config::Config;
use crate::signals::{self, Signals};
use autoexec_report::logfile::{ConsoleLog, ConsoleStart, LogClock};

/// Runs a job and returns its exit code.
pub(crate) fn run(home: &Home, request: RunRequest) -> Result<ExitCode, CliError> {
    signals::unblock()?;
    logging::to_file(home);
    limits::set();
    let job_dir = home.job(&request.job);
    job_dir.create().map_err(CliError::files)?;
    let _shared = JobLock::share(&job_dir, LockScope::Job).map_err(|error| {
        CliError::files(error).hint("the job is being purged; start it again when that is done")
    })?;
    let console = open_console(&job_dir, &request)?;
    let result = runtime()?.block_on(run_job(home, &job_dir, request, Arc::clone(&console)));
    result.map_err(|error| tell_console(&console, error))
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(ExitCode::Internal, format!("can not start threads: {error}")))
}

fn open_console(job_dir: &JobDir, request: &RunRequest) -> Result<Arc<ConsoleLog>, CliError> {
    let start = match (request.first_fire, request.reuse_console_log) {
        (true, false) => ConsoleStart::New,
        (true, true) => ConsoleStart::Reuse,
        (false, _) => ConsoleStart::Append,
    };
    let user = request.exec_user.as_deref().unwrap_or("anonymous");
    ConsoleLog::open(job_dir, start, user, LogClock::system()).map(Arc::new).map_err(CliError::files)
}

/// An error that ends the run belongs into the console log, where the job's owner looks. Standard error gets it too,
/// unless it *is* that file, as it is under the runner.
pub(crate) fn tell_console(console: &ConsoleLog, error: CliError) -> CliError {
    let text = error.to_string();
    let text = text.strip_prefix("ERROR: ").unwrap_or(&text);
    // If the console log cannot be written either, standard error still has it.
    let logged = console.message(Level::Error, text).is_ok();
    if logged && logging::stderr_is(console.path()) { CliError::silent(error.code()) } else { error }
}

async fn run_job(
    home: &Home,
    job_dir: &JobDir,
    request: RunRequest,
    console: Arc<ConsoleLog>,
) -> Result<ExitCode, CliError> {
    remove_leftovers(home, job_dir);
    let mut config = load_config(home, &request)?;
    if let Some(key) = request.key.clone().filter(|_| !config.has_key()) {
        config.key = key;
    }
    // Before anything that may take long: a signal must not meet its default, which ends the process without a word.
    let mut signals = Signals::register()?;
    let prepared = tokio::select! {
        prepared = input::prepare(home, job_dir, request, config, &console) => prepared?,
        () = signals.stop_asked() => {
            console.message(Level::Warn, "Stopped before anything was started.").map_err(CliError::files)?;
            return Ok(ExitCode::Success);
        }
    };
    let face = prepared.request.face;
    let outcome = wiring::run(home, prepared, console, signals).await?;
    Ok(if face == Face::None { outcome.exit_code() } else { outcome.exit_code_for_people() })
}

/// What processes of the job that were killed left half-written is in nobody's way; it goes while the run begins.
fn remove_leftovers(home: &Home, job_dir: &JobDir) {
    let places = [job_dir.root().to_owned(), home.cache()];
    tokio::task::spawn_blocking(move || {
        for place in places {
            if let Err(error) = atomic::remove_leftovers(&place) {
                tracing::warn!("{error}");
            }
        }
    });
}

/// A run that needs no server needs no configuration either.
fn load_config(home: &Home, request: &RunRequest) -> Result<Config, CliError> {
    let path = home.config_file();
    if !request.needs_server() && !path.exists() {
        return Ok(Config::without_file());
    }
    let config = Config::load(&path).map_err(|error| {
        CliError::bad_input(error).hint("see docs/configuration.md for every section and key")
    })?;
    if request.needs_server() && config.server.is_none() {
        return Err(CliError::bad_input(format!("{}: section [server] is missing", path.display()))
            .hint("set server.baseurl, server.username and server.password, or run with --devmode, --paramsfile and --nodesfile"));
    }
    Ok(config)
}

//! The `autoexec` command: flags, configuration, wiring, rendering of errors, exit codes. No logic of its own.
//!
//! Two ways in: the flags that a runner passes ([`args::DropIn`], `spec/cli.md`), and subcommands for people.

pub mod args;
mod boot;
pub mod config;
mod doctor;
mod environment;
mod error;
mod home;
mod modes;
mod plugin;
mod policy;
mod run;
mod script_source;
mod services;
mod shared_store;
mod signals;
mod sources;
mod ssh_file;
mod standalone;
mod tool;

use std::process::ExitCode as ProcessExit;

use autoexec_events::ExitCode;
use autoexec_transport::ssh::{ConnectionWorker, WorkerError};

pub use error::{CliError, Hint};

/// Parses the command line and does what it asks.
#[must_use]
pub fn main() -> ProcessExit {
    if let Err(error) = autoexec_confine::keep_open_files() {
        // A kernel from before 2021 without /proc: better told than not run.
        print_progress(&format!(
            "files that were left open for autoexec are open in programs that it starts, too: {error}"
        ));
    }
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(first) if first == autoexec_confine::HELPER_ARGUMENT => return confined(arguments),
        Some(first) if first == autoexec_transport::ssh::WORKER_ARGUMENT => return ssh_worker(),
        _ => {}
    }
    let code = match args::parse(std::env::args_os()) {
        Ok(parsed) => match boot::dispatch(parsed) {
            Ok(code) => code,
            Err(error) => error.print(),
        },
        Err(exit) => exit,
    };
    ProcessExit::from(code.code())
}

/// Progress for people, on standard error.
pub(crate) fn print_progress(text: &str) {
    use std::io::Write;
    // Nobody reads it if standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Becomes a native tool in its confinement: the executor starts itself for that. Returns only if it could not.
fn confined(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ProcessExit {
    use std::io::Write;
    let error = autoexec_confine::helper(arguments);
    // It is the node's log that reads this; nobody does if it is closed, and the code still tells.
    let _ = writeln!(std::io::stderr().lock(), "ERROR: {error}");
    ProcessExit::from(autoexec_confine::EXIT_NOT_CONFINED)
}

/// Holds SSH connections for the run that started this process. What is worth a line goes to standard error, which that
/// run reads.
fn ssh_worker() -> ProcessExit {
    let logged = tracing_subscriber::fmt()
        .with_max_level(tracing::level_filters::LevelFilter::WARN)
        .without_time()
        .with_target(false)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .try_init();
    let serve = || ConnectionWorker::confined()?.serve();
    match logged
        .map_err(|error| error.to_string())
        .and_then(|()| serve().map_err(|error: WorkerError| error.to_string()))
    {
        Ok(()) => ProcessExit::SUCCESS,
        Err(problem) => {
            print_progress(&format!("ERROR {problem}"));
            ProcessExit::FAILURE
        }
    }
}

/// The door to the terminal for text that is a command's result.
pub(crate) fn print(text: &str) -> Result<(), CliError> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other
            .map_err(|error| CliError::new(ExitCode::Files, format!("can not write the output: {error}"))),
    }
}

//! The modes of the job runner besides a run (`spec/cli.md` §1.6): abort, pause, register, clean status, purge.

mod abort;
mod callback;
mod clean_status;
mod pause;
mod purge;
mod register;
mod running;
pub(crate) mod server;
mod target;

use autoexec_events::ExitCode;
use autoexec_store::Home;

use crate::CliError;
use crate::args::{DropIn, Mode};
use crate::run::logging;
use crate::standalone;

/// What a mode needs to know about the command line.
pub(crate) struct ModeRequest {
    /// The flags.
    pub(crate) flags: DropIn,
    /// Flags nobody knows; they have no effect.
    pub(crate) unknown: Vec<String>,
}

/// Does what `mode` asks; `Mode::Run` is not one of them. `program` is the home that the program is in.
pub(crate) fn run(program: &Home, mode: Mode, request: ModeRequest) -> Result<ExitCode, CliError> {
    let home = &match mode {
        // A program that is installed in no home keeps its jobs in the user's own.
        Mode::Abort | Mode::Pause | Mode::CleanStatus => standalone::home_of_jobs(program),
        Mode::Register(_) | Mode::Purge(_) | Mode::Run => program.clone(),
    };
    logging::to_file(home);
    for flag in &request.unknown {
        say(&format!("WARN: The flag {flag} is not known and has no effect."));
    }
    let flags = request.flags;
    match mode {
        Mode::Abort => target::TargetJob::open(home, program, flags)?.reporting(abort::run),
        Mode::Pause => target::TargetJob::open(home, program, flags)?.reporting(pause::run),
        Mode::CleanStatus => target::TargetJob::open(home, program, flags)?.reporting(clean_status::run),
        Mode::Register(tenant) => register::run(home, &flags, &tenant),
        Mode::Purge(days) => purge::run(home, &days),
        Mode::Run => Err(CliError::new(ExitCode::Internal, "a run is not a mode of its own")),
    }
}

/// A line for whoever started the command; the job's owner reads the console log.
fn say(line: &str) {
    use std::io::Write;
    // Nobody reads it if standard error is closed.
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

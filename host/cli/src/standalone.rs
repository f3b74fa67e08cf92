//! `autoexec run`.
use crate::args::RunArgs;
use crate::CliError;
use autoexec_events::ExitCode;
pub(crate) fn run(arguments: RunArgs) -> Result<ExitCode, CliError> {
    Err(CliError::bad_input(format!("{}: not yet", arguments.job.display())))
}

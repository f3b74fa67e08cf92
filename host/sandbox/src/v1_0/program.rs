//! `program`.

use std::time::Duration;

use autoexec_grants::{Access, SecretDestination};
use wasmtime::Result;

use super::bindings::autoexec::tool::program as wit;
use crate::border::Border;
use crate::host::{Completed, ProgramCall, ProgramError};
use crate::state::CallState;

impl wit::Host for CallState {
    async fn run(
        &mut self,
        invocation: wit::Invocation,
    ) -> Result<Result<wit::Completed, wit::ProgramError>> {
        let border = self.enter()?;
        let completed = |Completed { status, stdout, stderr }| wit::Completed { status, stdout, stderr };
        let asked = border.asked("program.run", &(&invocation,))?;
        let act = async { run(&border, invocation).await.map(completed).map_err(wit_error) };
        Ok(asked.answers(act).await?)
    }
}

async fn run(border: &std::sync::Arc<Border>, asked: wit::Invocation) -> Result<Completed, ProgramError> {
    let wit::Invocation { name, arguments, environment, directory, input, timeout_ms } = asked;
    let variables: Vec<String> = environment.iter().map(|(variable, _)| variable.clone()).collect();
    border
        .permit(&Access::Program { name: &name, arguments: &arguments, environment: &variables })
        .map_err(|denied| ProgramError::Denied(denied.0))?;
    let directory = match directory {
        Some(path) => Some(
            border
                .open_directory(&path)
                .await
                .map_err(|error| ProgramError::Denied(format!("{path}: {error}")))?,
        ),
        None => None,
    };
    let input = border
        .reveal(&input, SecretDestination::Program(&name))
        .await
        .map_err(|error| ProgramError::Denied(error.to_string()))?;
    let host = border.host().map_err(|over| ProgramError::Other(over.to_string()))?;
    let programs =
        host.programs().ok_or_else(|| ProgramError::Other("programs can not be run here".into()))?;
    let timeout = (timeout_ms != 0).then(|| Duration::from_millis(timeout_ms.into()));
    let call = ProgramCall { name, arguments, environment, directory, input, timeout };
    let limit = border.limits.response;
    let completed = programs.run(call, limit).await?;
    if completed.stdout.len().saturating_add(completed.stderr.len()) as u64 > limit {
        return Err(ProgramError::TooLarge(limit));
    }
    Ok(completed)
}

fn wit_error(error: ProgramError) -> wit::ProgramError {
    match error {
        ProgramError::Denied(why) => wit::ProgramError::Denied(why),
        ProgramError::NotFound => wit::ProgramError::NotFound,
        ProgramError::TimedOut => wit::ProgramError::TimedOut,
        ProgramError::TooLarge(limit) => wit::ProgramError::TooLarge(limit),
        ProgramError::Other(why) => wit::ProgramError::Other(why),
    }
}

//! `target`: the step's own node, over the executor's connection.

use std::sync::Arc;
use std::time::Duration;

use autoexec_grants::{Access, DataDirection, SecretDestination, TargetUse};
use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::autoexec::tool::target as wit;
use crate::border::Border;
use crate::host::{
    Captured, Ending, SecretValue, TargetCommand, TargetEntry, TargetError, TargetHost, TargetSession,
    ToolHost,
};
use crate::state::CallState;

/// An interactive session that a guest holds; none in a replay.
#[expect(unreachable_pub, reason = "the generated bindings name it in public")]
pub struct Session(Option<Box<dyn TargetSession>>);

impl Session {
    fn live(&mut self) -> Result<&mut Box<dyn TargetSession>, TargetError> {
        self.0.as_mut().ok_or_else(|| TargetError::Other("there is no session in a replay".into()))
    }
}

impl wit::Host for CallState {
    async fn capture(&mut self, command: wit::Command) -> Result<Result<wit::Captured, wit::TargetError>> {
        let border = self.enter()?;
        let asked = border.asked("target.capture", &(&command,))?;
        let captured = |Captured { ending, stdout, stderr }| wit::Captured {
            ending: wit_ending(ending),
            stdout,
            stderr,
        };
        let act = async { capture(&border, command).await.map(captured).map_err(wit_error) };
        Ok(asked.answers(act).await?)
    }

    async fn run(&mut self, command: wit::Command) -> Result<Result<wit::Ending, wit::TargetError>> {
        let border = self.enter()?;
        let asked = border.asked("target.run", &(&command,))?;
        let act = async { run(&border, command).await.map(wit_ending).map_err(wit_error) };
        Ok(asked.answers(act).await?)
    }

    async fn upload(
        &mut self,
        local: String,
        remote: String,
        keep_times: bool,
    ) -> Result<Result<u64, wit::TargetError>> {
        let border = self.enter()?;
        let asked = border.asked("target.upload", &(&local, &remote, keep_times))?;
        let act = async { upload(&border, &local, &remote, keep_times).await.map_err(wit_error) };
        Ok(asked.answers(act).await?)
    }

    async fn download(
        &mut self,
        remote: String,
        local: String,
        keep_times: bool,
    ) -> Result<Result<u64, wit::TargetError>> {
        let border = self.enter()?;
        let asked = border.asked("target.download", &(&remote, &local, keep_times))?;
        let act = async { download(&border, &remote, &local, keep_times).await.map_err(wit_error) };
        Ok(asked.answers(act).await?)
    }

    async fn list_directory(&mut self, path: String) -> Result<Result<Vec<wit::Entry>, wit::TargetError>> {
        let border = self.enter()?;
        let asked = border.asked("target.list-directory", &(&path,))?;
        let entries = |entries: Vec<TargetEntry>| entries.into_iter().map(wit_entry).collect();
        let act = async { list(&border, &path).await.map(entries).map_err(wit_error) };
        Ok(asked.answers(act).await?)
    }

    async fn stat(&mut self, path: String) -> Result<Result<wit::Entry, wit::TargetError>> {
        let border = self.enter()?;
        let asked = border.asked("target.stat", &(&path,))?;
        let act = async { stat(&border, &path).await.map(wit_entry).map_err(wit_error) };
        Ok(asked.answers(act).await?)
    }

    async fn open_session(
        &mut self,
        columns: u16,
        rows: u16,
    ) -> Result<Result<Resource<Session>, wit::TargetError>> {
        let border = self.enter()?;
        let asked = border.asked("target.open-session", &(columns, rows))?;
        let mut session = None;
        let act = async {
            session = Some(open_session(&border, columns, rows).await.map_err(wit_error)?);
            Ok(())
        };
        let opened: Result<(), wit::TargetError> = asked.answers(act).await?;
        Ok(match opened {
            Ok(()) => Ok(self.table.push(Session(session))?),
            Err(error) => Err(error),
        })
    }
}

impl wit::HostSession for CallState {
    async fn send(
        &mut self,
        session: Resource<Session>,
        text: Vec<u8>,
    ) -> Result<Result<(), wit::TargetError>> {
        let border = self.enter()?;
        let session = self.table.get_mut(&session)?;
        let asked = border.asked("target.session.send", &(&text,))?;
        let act = async {
            let text = reveal(&border, &text).await?;
            session.live()?.send(text).await
        };
        Ok(asked.answers(async { act.await.map_err(wit_error) }).await?)
    }

    async fn receive(
        &mut self,
        session: Resource<Session>,
        timeout_ms: u32,
    ) -> Result<Result<Vec<u8>, wit::TargetError>> {
        let border = self.enter()?;
        let session = self.table.get_mut(&session)?;
        let wait = Duration::from_millis(timeout_ms.into()).min(border.clock.left());
        let asked = border.asked("target.session.receive", &(timeout_ms,))?;
        let act = async { session.live()?.receive(wait).await };
        Ok(asked.answers(async { act.await.map_err(wit_error) }).await?)
    }

    fn drop(&mut self, session: Resource<Session>) -> Result<()> {
        self.table.delete(session)?;
        Ok(())
    }
}

async fn capture(border: &Border, command: wit::Command) -> Result<Captured, TargetError> {
    let command = permitted(border, command).await?;
    let limit = border.limits.response;
    let captured = connection(alive(border)?)?.capture(command, limit).await?;
    if captured.stdout.len().saturating_add(captured.stderr.len()) as u64 > limit {
        return Err(TargetError::TooLarge(limit));
    }
    Ok(captured)
}

async fn run(border: &Border, command: wit::Command) -> Result<Ending, TargetError> {
    let command = permitted(border, command).await?;
    connection(alive(border)?)?.run(command).await
}

async fn permitted(border: &Border, command: wit::Command) -> Result<TargetCommand, TargetError> {
    let wit::Command { line, environment, input, timeout_ms } = command;
    permit(border, TargetUse::Command { line: &line })?;
    let timeout = (timeout_ms != 0).then(|| Duration::from_millis(timeout_ms.into()));
    Ok(TargetCommand { line, environment, input: reveal(border, &input).await?, timeout })
}

async fn upload(
    border: &Arc<Border>,
    local: &str,
    remote: &str,
    keep_times: bool,
) -> Result<u64, TargetError> {
    permit(border, TargetUse::File { path: remote, direction: DataDirection::Write })?;
    let source = border.upload_source(local).await?;
    connection(alive(border)?)?.upload(source, remote, keep_times).await
}

async fn download(
    border: &Arc<Border>,
    remote: &str,
    local: &str,
    keep_times: bool,
) -> Result<u64, TargetError> {
    permit(border, TargetUse::File { path: remote, direction: DataDirection::Read })?;
    let sink = border.download_sink(local, keep_times).await?;
    connection(alive(border)?)?.download(remote, sink, keep_times).await
}

async fn list(border: &Border, path: &str) -> Result<Vec<TargetEntry>, TargetError> {
    permit(border, TargetUse::File { path, direction: DataDirection::Read })?;
    connection(alive(border)?)?.list_directory(path).await
}

async fn stat(border: &Border, path: &str) -> Result<TargetEntry, TargetError> {
    permit(border, TargetUse::File { path, direction: DataDirection::Read })?;
    connection(alive(border)?)?.stat(path).await
}

async fn open_session(
    border: &Border,
    columns: u16,
    rows: u16,
) -> Result<Box<dyn TargetSession>, TargetError> {
    permit(border, TargetUse::Session)?;
    connection(alive(border)?)?.open_session(columns, rows).await
}

fn permit(border: &Border, what: TargetUse<'_>) -> Result<(), TargetError> {
    border.permit(&Access::Target(what)).map_err(|denied| TargetError::Denied(denied.0))
}

async fn reveal(border: &Border, bytes: &[u8]) -> Result<SecretValue, TargetError> {
    let revealed = border.reveal(bytes, SecretDestination::Target).await;
    revealed.map_err(|error| TargetError::Denied(error.to_string()))
}

fn alive(border: &Border) -> Result<&Arc<dyn ToolHost>, TargetError> {
    border.host().map_err(|over| TargetError::Other(over.to_string()))
}

fn connection(host: &Arc<dyn ToolHost>) -> Result<&dyn TargetHost, TargetError> {
    let none = || {
        TargetError::Unsupported(
            "there is no connection to a node here: the step runs for the runner itself".into(),
        )
    };
    host.target().ok_or_else(none)
}

fn wit_ending(ending: Ending) -> wit::Ending {
    match ending {
        Ending::Exited(status) => wit::Ending::Exited(status),
        Ending::Signalled(signal) => wit::Ending::Signalled(signal),
    }
}

fn wit_entry(entry: TargetEntry) -> wit::Entry {
    let TargetEntry { name, is_directory, size, modified, mode } = entry;
    wit::Entry { name, is_directory, size, modified, mode }
}

fn wit_error(error: TargetError) -> wit::TargetError {
    match error {
        TargetError::Denied(why) => wit::TargetError::Denied(why),
        TargetError::Unreachable(why) => wit::TargetError::Unreachable(why),
        TargetError::NotAuthenticated(why) => wit::TargetError::NotAuthenticated(why),
        TargetError::NotFound(what) => wit::TargetError::NotFound(what),
        TargetError::TimedOut => wit::TargetError::TimedOut,
        TargetError::Disconnected(why) => wit::TargetError::Disconnected(why),
        TargetError::TooLarge(limit) => wit::TargetError::TooLarge(limit),
        TargetError::Unsupported(what) => wit::TargetError::Unsupported(what),
        TargetError::Other(why) => wit::TargetError::Other(why),
    }
}

//! `server` and `lock`.

use std::time::Duration;

use autoexec_grants::Access;
use wasmtime::Result;
use wasmtime::component::Resource;

use super::bindings::autoexec::tool::{lock, server};
use crate::border::Border;
use crate::host::{HeldLock, LockError, LockMode, ServerError};
use crate::state::CallState;

impl server::Host for CallState {
    async fn call(
        &mut self,
        name: String,
        parameters: String,
    ) -> Result<Result<String, server::ServerError>> {
        let border = self.enter()?;
        let asked = border.asked("server.call", &(&name, &parameters))?;
        let act = async { call(&border, &name, &parameters).await.map_err(wit_server_error) };
        Ok(asked.answers(act).await?)
    }
}

async fn call(border: &Border, name: &str, parameters: &str) -> Result<String, ServerError> {
    border.permit(&Access::Server { call: name }).map_err(|denied| ServerError::Denied(denied.0))?;
    let parameters = serde_json::from_str(parameters)
        .map_err(|error| ServerError::Refused(format!("the parameters are not JSON: {error}")))?;
    let host = border.host().map_err(|over| ServerError::Unavailable(over.to_string()))?;
    let answer = host.server().ok_or(ServerError::None)?.call(name, parameters).await?.to_string();
    if answer.len() as u64 > border.limits.response {
        return Err(ServerError::Unavailable(format!(
            "the answer is longer than {} bytes; raise `response-kib` under [[limits]] in the policy",
            border.limits.response
        )));
    }
    Ok(answer)
}

fn wit_server_error(error: ServerError) -> server::ServerError {
    match error {
        ServerError::Denied(why) => server::ServerError::Denied(why),
        ServerError::None => server::ServerError::None,
        ServerError::Unavailable(why) => server::ServerError::Unavailable(why),
        ServerError::Refused(why) => server::ServerError::Refused(why),
    }
}

/// A lock that a guest holds.
#[expect(unreachable_pub, reason = "the generated bindings name it in public")]
pub struct Held {
    name: String,
    /// None in a replay.
    _lock: Option<Box<dyn HeldLock>>,
}

impl lock::Host for CallState {
    async fn acquire(
        &mut self,
        name: String,
        mode: lock::Mode,
        wait_ms: u32,
    ) -> Result<Result<Resource<Held>, lock::LockError>> {
        let border = self.enter()?;
        let asked = border.asked("lock.acquire", &(&name, mode, wait_ms))?;
        let mode = match mode {
            lock::Mode::Read => LockMode::Read,
            lock::Mode::Write => LockMode::Write,
        };
        let mut held = None;
        let act = async {
            held = Some(acquire(&border, &name, mode, Duration::from_millis(wait_ms.into())).await?);
            Ok(())
        };
        let answer: std::result::Result<(), lock::LockError> =
            asked.answers(async { act.await.map_err(wit_lock_error) }).await?;
        Ok(match answer {
            Ok(()) => Ok(self.table.push(Held { name, _lock: held })?),
            Err(error) => Err(error),
        })
    }
}

fn wit_lock_error(error: LockError) -> lock::LockError {
    match error {
        LockError::Denied(why) => lock::LockError::Denied(why),
        LockError::TimedOut => lock::LockError::TimedOut,
        LockError::Unavailable(why) => lock::LockError::Unavailable(why),
    }
}

async fn acquire(
    border: &Border,
    name: &str,
    mode: LockMode,
    wait: Duration,
) -> Result<Box<dyn HeldLock>, LockError> {
    border.permit(&Access::Lock { name }).map_err(|denied| LockError::Denied(denied.0))?;
    let host = border.host().map_err(|over| LockError::Unavailable(over.to_string()))?;
    let locks = host.locks().ok_or_else(|| {
        LockError::Unavailable("there are no global locks here: the job runs without a server".into())
    })?;
    locks.acquire(name, mode, wait).await
}

impl lock::HostHeld for CallState {
    fn name(&mut self, held: Resource<Held>) -> Result<String> {
        Ok(self.table.get(&held)?.name.clone())
    }

    fn drop(&mut self, held: Resource<Held>) -> Result<()> {
        self.table.delete(held)?;
        Ok(())
    }
}

//! One call: a fresh store and instance, run under limits, ended at once when stopped.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use wasmtime::component::{InstancePre, ResourceTableError};
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::I32Exit;

use crate::border::{Border, HostTrap};
use crate::call::{Answer, Ask, Change, Effect, ToolCall, ToolFailure, ToolOutcome};
use crate::engine::{Bounds, RunningEngine};
use crate::host::ToolHost;
use crate::limits::{LimitName, LimitReached, Limits};
use crate::sandbox::Sandbox;
use crate::secrets::Secrets;
use crate::state::CallState;
use crate::tool::Tool;
use crate::v1_0::Exports;

/// A call that ended without the tool's answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvokeError {
    /// The guest's code trapped. A panic's text is in the log.
    #[error("the tool crashed: {message}")]
    Trap {
        /// What wasmtime says.
        message: String,
    },
    /// The guest was refused memory and gave up.
    #[error(
        "the tool needs more memory than its limit of {} MiB; raise `memory-mib` under [limits] in the tool's \
         manifest, or the policy's limit if that is lower", limit >> 20
    )]
    OutOfMemory {
        /// The limit in bytes.
        limit: u64,
    },
    /// No instance could be made: the machine's fault, not the tool's.
    #[error(
        "the tool could not be started: {message}; the machine lacks memory or address space (`ulimit -v`) for one \
         more call, so run fewer nodes at once"
    )]
    NoResources {
        /// What wasmtime says.
        message: String,
    },
    /// It used up its stack.
    #[error("the tool used up its stack, most likely by endless recursion")]
    StackOverflow,
    /// It ran longer than it may.
    #[error(
        "the tool did not end within its limit of {limit:?}; raise `time-seconds` under [limits] in the tool's manifest, or the policy's limit if that is lower"
    )]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The caller stopped it.
    #[error("the tool was stopped")]
    Stopped,
    /// It logged more than it may.
    #[error(
        "the tool wrote more than its limit of {limit} bytes to the log; raise `log-kib` under [limits] in the tool's manifest, or the policy's limit if that is lower"
    )]
    LogLimit {
        /// The limit in bytes.
        limit: u64,
    },
    /// It came to another of its limits.
    #[error("the tool was ended: {0}")]
    Limit(LimitReached),
    /// It is bigger than the sandbox can take.
    #[error(
        "the tool needs more than {limit} {what}, which is what the sandbox has for one call whatever the policy \
         says; build it with less"
    )]
    TooBig {
        /// What it needs too much of.
        what: &'static str,
        /// How much there is.
        limit: u64,
    },
    /// It has no such export.
    #[error("the tool can not do this: it does not export `{0}`")]
    NotExported(&'static str),
    /// The recording of its host calls can not be made, or says something else.
    #[error("{0}")]
    Recording(String),
    /// It broke the rules of an interface.
    #[error("the tool used the host wrongly: {0}")]
    Misuse(String),
    /// Something in the sandbox itself.
    #[error("the sandbox failed: {0}; this is a defect of autoexec, please report it")]
    Internal(String),
}

impl Sandbox {
    /// Calls the tool once, in an instance of its own, and waits for its answer.
    ///
    /// Waits for a free slot first. Ends the guest when `stop` resolves, when the time limit is over, or when the
    /// returned future is dropped; after that the guest reaches `host` no more.
    pub async fn invoke(
        &self,
        tool: &Tool,
        call: ToolCall,
        host: Arc<dyn ToolHost>,
        limits: Limits,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<ToolOutcome, InvokeError> {
        match self.ask(Ask::Run, tool, call, host, limits, stop).await? {
            Answer::Run(outcome) => Ok(outcome),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks the tool what a run with these options would change ([`Tool::can_check`]). Whatever plainly changes files or documents
    /// is denied to it meanwhile. Otherwise as [`Sandbox::invoke`].
    pub async fn check(
        &self,
        tool: &Tool,
        call: ToolCall,
        host: Arc<dyn ToolHost>,
        limits: Limits,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Result<Vec<Change>, ToolFailure>, InvokeError> {
        match self.ask(Ask::Check, tool, call, host, limits, stop).await? {
            Answer::Check(changes) => Ok(changes),
            other => Err(unexpected(&other)),
        }
    }

    /// Asks the tool whether an earlier, interrupted run with these options took effect ([`Tool::can_probe`]). Otherwise as
    /// [`Sandbox::check`].
    pub async fn probe(
        &self,
        tool: &Tool,
        call: ToolCall,
        host: Arc<dyn ToolHost>,
        limits: Limits,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Result<Effect, ToolFailure>, InvokeError> {
        match self.ask(Ask::Probe, tool, call, host, limits, stop).await? {
            Answer::Probe(effect) => Ok(effect),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(
        &self,
        ask: Ask,
        tool: &Tool,
        call: ToolCall,
        host: Arc<dyn ToolHost>,
        limits: Limits,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Answer, InvokeError> {
        if !tool.exports.can(ask) {
            return Err(InvokeError::NotExported(export_of(ask)));
        }
        let mut stop = pin!(stop);
        let free = async {
            let own = Arc::clone(tool.running(limits.concurrent)).acquire_owned().await;
            // Behind the tool's own limit, so that calls that wait for it hold up nobody else.
            let slot = Arc::clone(&self.slots).acquire_owned().await;
            Ok((own.map_err(|_| shut_down())?, slot.map_err(|_| shut_down())?))
        };
        let slot = tokio::select! {
            biased;
            () = &mut stop => return Err(InvokeError::Stopped),
            slot = free => slot?,
        };
        let mut guest = self.start(ask, tool, call, host, limits, slot)?;
        let border = Arc::clone(&guest.border);
        tokio::select! {
            biased;
            () = &mut stop => Err(InvokeError::Stopped),
            answer = &mut guest.task => answer.unwrap_or_else(|error| Err(InvokeError::Internal(error.to_string()))),
            () = border.clock.over() => Err(InvokeError::TimedOut { limit: limits.time }),
        }
    }

    fn start(
        &self,
        ask: Ask,
        tool: &Tool,
        mut call: ToolCall,
        host: Arc<dyn ToolHost>,
        limits: Limits,
        slot: (OwnedSemaphorePermit, OwnedSemaphorePermit),
    ) -> Result<RunningGuest, InvokeError> {
        let engine = &tool.engine;
        let host_call = u64::try_from(self.settings.host_call_bytes).unwrap_or(u64::MAX);
        let limits = Limits {
            memory: limits.memory.min(engine.memory_cap),
            host_call: limits.host_call.min(host_call),
            ..limits
        };
        let secrets = Secrets::take(&mut call, &tool.manifest);
        let tape = self.tape(ask, tool, &call, &secrets).map_err(InvokeError::Recording)?;
        let network = Arc::clone(&self.network);
        let only_looks = ask != Ask::Run;
        let border =
            Arc::new(Border::new(host, tool.linked.clone(), limits, secrets, network, tape, only_looks));
        let store = new_store(engine, Arc::clone(&border));
        let (instance, exports) = (tool.instance.clone(), tool.exports.clone());
        let measured = border.cpu.measure(async move {
            // Kept to the end: the slot is free only when the instance is gone.
            let _slot = slot;
            run(store, &instance, &exports, ask, call).await.map_err(|ended| ended.explain(&limits))
        });
        let task = self.threads.spawn(measured);
        Ok(RunningGuest { task: task.ok_or_else(shut_down)?, border })
    }
}

pub(crate) fn new_store(engine: &RunningEngine, border: Arc<Border>) -> Store<CallState> {
    let host_call = usize::try_from(border.limits.host_call).unwrap_or(usize::MAX);
    let mut store = Store::new(&engine.engine, CallState::new(border, engine.bounds));
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(host_call);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|store| {
        let border = &store.data().border;
        border.check_alive()?;
        border.check_cpu()?;
        Ok(UpdateDeadline::Yield(1))
    });
    store
}

fn export_of(ask: Ask) -> &'static str {
    match ask {
        Ask::Run => autoexec_manifest::TOOL_EXPORT,
        Ask::Check => autoexec_manifest::CHECK_EXPORT,
        Ask::Probe => autoexec_manifest::PROBE_EXPORT,
    }
}

fn unexpected(answer: &Answer) -> InvokeError {
    InvokeError::Internal(format!("the wrong export answered: {answer:?}"))
}

pub(crate) fn shut_down() -> InvokeError {
    InvokeError::Internal("it is being shut down".into())
}

/// A guest on its thread. Dropping this ends it.
struct RunningGuest {
    task: JoinHandle<Result<Answer, InvokeError>>,
    border: Arc<Border>,
}

impl Drop for RunningGuest {
    fn drop(&mut self) {
        self.border.close();
        self.task.abort();
    }
}

/// How a guest ended without an answer, with what only the store knew.
pub(crate) struct Ended {
    error: wasmtime::Error,
    memory_refused: bool,
    /// The bound on table entries, if it was reached.
    table_bound: Option<u64>,
    bounds: Bounds,
    /// Whether there was an instance; before that, what is no trap comes from the machine.
    started: bool,
}

async fn run(
    mut store: Store<CallState>,
    instance: &InstancePre<CallState>,
    exports: &Exports,
    ask: Ask,
    call: ToolCall,
) -> Result<Answer, Ended> {
    let instance = match instance.instantiate_async(&mut store).await {
        Ok(instance) => instance,
        Err(error) => return Err(Ended::new(error, &store, false)),
    };
    match exports.call(ask, &mut store, &instance, call).await {
        Ok(Some(answer)) => {
            let finished = store.data().border.tape.finish();
            finished.map(|()| answer).map_err(|trap| Ended::new(trap.into(), &store, true))
        }
        Ok(None) => Err(Ended::new(wasmtime::Error::msg("no such export"), &store, true)),
        Err(error) => Err(Ended::new(error, &store, true)),
    }
}

impl Ended {
    pub(crate) fn new(error: wasmtime::Error, store: &Store<CallState>, started: bool) -> Self {
        let memory = &store.data().memory;
        let (memory_refused, table_bound) = (memory.has_refused(), memory.table_bound());
        Self { error, memory_refused, table_bound, bounds: memory.bounds(), started }
    }

    pub(crate) fn explain(self, limits: &Limits) -> InvokeError {
        if let Some(trap) = self.error.downcast_ref::<HostTrap>() {
            return host_trap(trap, limits);
        }
        if matches!(self.error.downcast_ref::<ResourceTableError>(), Some(ResourceTableError::Full)) {
            return limit(LimitName::Handles, u64::from(limits.handles));
        }
        if let Some(exit) = self.error.downcast_ref::<I32Exit>() {
            return InvokeError::Trap { message: format!("it called exit({}) instead of answering", exit.0) };
        }
        let trap = self.error.downcast_ref::<Trap>().copied();
        if self.memory_refused && matches!(trap, None | Some(Trap::UnreachableCodeReached)) {
            return InvokeError::OutOfMemory { limit: limits.memory };
        }
        let message = format!("{:#}", self.error);
        if let Some(too_big) = self.too_big(trap, &message) {
            return too_big;
        }
        match trap {
            Some(Trap::StackOverflow) => InvokeError::StackOverflow,
            Some(trap) => InvokeError::Trap { message: trap.to_string() },
            // wasmtime has no type for it.
            None if message.contains("hostcalls has been exhausted") => {
                limit(LimitName::HostCall, limits.host_call)
            }
            None if self.started => InvokeError::Trap { message },
            None => InvokeError::NoResources { message },
        }
    }
}

impl Ended {
    /// The bounds that are not limits of a call; wasmtime has no types for them.
    fn too_big(&self, trap: Option<Trap>, message: &str) -> Option<InvokeError> {
        let (what, limit) = match (self.table_bound, trap) {
            (Some(limit), None | Some(Trap::UnreachableCodeReached)) => ("entries of a table", limit),
            _ if message.contains("instance count too high") => {
                ("core instances", self.bounds.instances.into())
            }
            _ if message.contains("table count too high") => ("tables", self.bounds.tables.into()),
            _ if message.contains("memory count too high") => ("memories", self.bounds.memories.into()),
            _ => return None,
        };
        Some(InvokeError::TooBig { what, limit })
    }
}

fn limit(name: LimitName, value: u64) -> InvokeError {
    InvokeError::Limit(LimitReached { name, value })
}

fn host_trap(trap: &HostTrap, limits: &Limits) -> InvokeError {
    match trap {
        HostTrap::Stopped => InvokeError::Stopped,
        HostTrap::TimedOut => InvokeError::TimedOut { limit: limits.time },
        HostTrap::LogLimit => InvokeError::LogLimit { limit: limits.log },
        HostTrap::Limit(reached) => InvokeError::Limit(*reached),
        HostTrap::Misuse(text) => InvokeError::Misuse(text.clone()),
        HostTrap::Tape(text) => InvokeError::Recording(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(error: wasmtime::Error, memory_refused: bool, started: bool) -> InvokeError {
        let bounds = Bounds { table_elements: 10, instances: 20, memories: 1, tables: 5 };
        Ended { error, memory_refused, table_bound: None, bounds, started }.explain(&Limits::default())
    }

    #[test]
    fn what_the_machine_lacks_is_not_the_tools_crash() {
        let message = "mmap failed".to_owned();
        let error = || wasmtime::Error::msg("mmap failed");
        assert_eq!(explain(error(), false, false), InvokeError::NoResources { message: message.clone() });
        assert_eq!(explain(error(), false, true), InvokeError::Trap { message });
        assert_eq!(
            explain(error(), true, false),
            InvokeError::OutOfMemory { limit: Limits::default().memory }
        );
    }

    #[test]
    fn bounds_of_the_sandbox_are_named_with_their_value() {
        let error = wasmtime::Error::msg("resource limit exceeded: instance count too high at 21");
        let ended = explain(error, false, false);
        assert_eq!(ended, InvokeError::TooBig { what: "core instances", limit: 20 });
        assert!(ended.to_string().contains("more than 20 core instances"), "{ended}");
    }

    #[test]
    fn refused_memory_explains_only_the_abort_that_follows_it() {
        let limit = Limits::default().memory;
        assert_eq!(
            explain(Trap::UnreachableCodeReached.into(), true, true),
            InvokeError::OutOfMemory { limit }
        );
        assert_eq!(explain(Trap::StackOverflow.into(), true, true), InvokeError::StackOverflow);
        assert!(matches!(explain(Trap::IntegerDivisionByZero.into(), true, true), InvokeError::Trap { .. }));
        assert_eq!(explain(HostTrap::Stopped.into(), true, true), InvokeError::Stopped);
    }
}

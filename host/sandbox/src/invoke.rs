//! One call: a fresh store and instance, run under limits, ended at once when stopped.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use wasmtime::{Store, Trap, UpdateDeadline};

use crate::call::{ToolCall, ToolOutcome};
use crate::host::ToolHost;
use crate::limits::Limits;
use crate::sandbox::Sandbox;
use crate::state::{CallState, Gate, HostTrap};
use crate::tool::Tool;
use crate::v1_0;

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
    /// It put out more than it may.
    #[error(
        "the tool put out more than the limit of {limit} bytes of outputs and live data; hand large data over as files"
    )]
    OutputLimit {
        /// The limit in bytes.
        limit: u64,
    },
    /// It handed over too much in one call to the host, or in its answer.
    #[error("the tool handed over more than {limit} bytes in one piece")]
    HostCallLimit {
        /// The limit in bytes.
        limit: usize,
    },
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
        let mut stop = pin!(stop);
        let slot = tokio::select! {
            biased;
            () = &mut stop => return Err(InvokeError::Stopped),
            slot = Arc::clone(&self.slots).acquire_owned() => slot.map_err(|_| shut_down())?,
        };
        let mut guest = self.start(tool, call, host, limits, slot)?;
        tokio::select! {
            biased;
            () = &mut stop => Err(InvokeError::Stopped),
            answer = &mut guest.task => answer.unwrap_or_else(|error| Err(InvokeError::Internal(error.to_string()))),
            () = tokio::time::sleep(limits.time) => Err(InvokeError::TimedOut { limit: limits.time }),
        }
    }

    fn start(
        &self,
        tool: &Tool,
        call: ToolCall,
        host: Arc<dyn ToolHost>,
        limits: Limits,
        slot: OwnedSemaphorePermit,
    ) -> Result<RunningGuest, InvokeError> {
        let gate = Arc::new(Gate::default());
        let limits = Limits { memory: limits.memory.min(self.settings.memory_cap), ..limits };
        let state = CallState::new(host, Arc::clone(&gate), &limits);
        let host_call_bytes = self.settings.host_call_bytes;
        let store = self.store(state);
        let plugin = tool.plugin.clone();
        let task = self.threads.spawn(async move {
            // Kept to the end: the slot is free only when the instance is gone.
            let _slot = slot;
            run(store, &plugin, call).await.map_err(|ended| ended.explain(&limits, host_call_bytes))
        });
        Ok(RunningGuest { task: task.ok_or_else(shut_down)?, gate })
    }

    fn store(&self, state: CallState) -> Store<CallState> {
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.settings.host_call_bytes);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            store.data().check_alive()?;
            Ok(UpdateDeadline::Yield(1))
        });
        store
    }
}

fn shut_down() -> InvokeError {
    InvokeError::Internal("it is being shut down".into())
}

/// A guest on its thread. Dropping this ends it.
struct RunningGuest {
    task: JoinHandle<Result<ToolOutcome, InvokeError>>,
    gate: Arc<Gate>,
}

impl Drop for RunningGuest {
    fn drop(&mut self) {
        self.gate.close();
        self.task.abort();
    }
}

/// How a guest ended without an answer, with what only the store knew.
struct Ended {
    error: wasmtime::Error,
    memory_refused: bool,
    /// Whether there was an instance; before that, what is no trap comes from the machine.
    started: bool,
}

async fn run(
    mut store: Store<CallState>,
    plugin: &v1_0::PluginPre<CallState>,
    call: ToolCall,
) -> Result<ToolOutcome, Ended> {
    let instance = match plugin.instantiate_async(&mut store).await {
        Ok(instance) => instance,
        Err(error) => return Err(Ended::new(error, &store, false)),
    };
    let answer = instance.autoexec_tool_tool().call_run(&mut store, &v1_0::invocation(call)).await;
    answer.map(v1_0::outcome).map_err(|error| Ended::new(error, &store, true))
}

impl Ended {
    fn new(error: wasmtime::Error, store: &Store<CallState>, started: bool) -> Self {
        Self { error, memory_refused: store.data().memory.has_refused(), started }
    }

    fn explain(self, limits: &Limits, host_call_bytes: usize) -> InvokeError {
        if let Some(trap) = self.error.downcast_ref::<HostTrap>() {
            return host_trap(trap, limits);
        }
        let trap = self.error.downcast_ref::<Trap>().copied();
        if self.memory_refused && matches!(trap, None | Some(Trap::UnreachableCodeReached)) {
            return InvokeError::OutOfMemory { limit: limits.memory };
        }
        let message = format!("{:#}", self.error);
        match trap {
            Some(Trap::StackOverflow) => InvokeError::StackOverflow,
            Some(trap) => InvokeError::Trap { message: trap.to_string() },
            // wasmtime has no type for it.
            None if message.contains("hostcalls has been exhausted") => {
                InvokeError::HostCallLimit { limit: host_call_bytes }
            }
            None if self.started => InvokeError::Trap { message },
            None => InvokeError::NoResources { message },
        }
    }
}

fn host_trap(trap: &HostTrap, limits: &Limits) -> InvokeError {
    match trap {
        HostTrap::Stopped => InvokeError::Stopped,
        HostTrap::TimedOut => InvokeError::TimedOut { limit: limits.time },
        HostTrap::LogLimit => InvokeError::LogLimit { limit: limits.log },
        HostTrap::OutputLimit => InvokeError::OutputLimit { limit: limits.output },
        HostTrap::Misuse(text) => InvokeError::Misuse(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(error: wasmtime::Error, memory_refused: bool, started: bool) -> InvokeError {
        Ended { error, memory_refused, started }.explain(&Limits::default(), 1000)
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

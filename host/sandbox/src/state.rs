//! What a store holds for the length of one call: budgets, the memory limiter and the way back to the host.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::clocks::WasiClocksCtxView;
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::engine::{CORE_INSTANCES, MEMORIES, TABLE_ELEMENTS, TABLES};
use crate::host::ToolHost;
use crate::limits::Limits;

/// Handles (timers to wait for) that a guest may hold at once.
const HANDLES: usize = 1_000;

/// Random bytes of one request. The default of the library is 64 MiB.
const RANDOM_BYTES: u64 = 1 << 20;

/// Why the host ended a call from inside.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostTrap {
    #[error("stopped")]
    Stopped,
    #[error("time limit reached")]
    TimedOut,
    #[error("log limit reached")]
    LogLimit,
    #[error("output limit reached")]
    OutputLimit,
    #[error("{0}")]
    Misuse(String),
}

/// Closed when a call is over for its caller. A guest that still has its thread must have no effect after that.
#[derive(Debug, Default)]
pub(crate) struct Gate(AtomicBool);

impl Gate {
    pub(crate) fn close(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The data of one call's store.
pub(crate) struct CallState {
    host: Arc<dyn ToolHost>,
    gate: Arc<Gate>,
    deadline: Option<Instant>,
    log_left: u64,
    output_left: u64,
    pub(crate) memory: MemoryLimiter,
    wasi: Option<WasiCtx>,
    pub(crate) table: ResourceTable,
}

impl CallState {
    pub(crate) fn new(host: Arc<dyn ToolHost>, gate: Arc<Gate>, limits: &Limits) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        Self {
            host,
            gate,
            deadline: Instant::now().checked_add(limits.time),
            log_left: limits.log,
            output_left: limits.output,
            memory: MemoryLimiter { limit: limits.memory, used: 0, refused: false },
            wasi: None,
            table,
        }
    }

    /// The host, unless the call is over. Every host function goes through here.
    pub(crate) fn host(&self) -> Result<&Arc<dyn ToolHost>, HostTrap> {
        self.check_alive().map(|()| &self.host)
    }

    /// Whether the guest may go on.
    pub(crate) fn check_alive(&self) -> Result<(), HostTrap> {
        if self.gate.is_closed() {
            Err(HostTrap::Stopped)
        } else if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            Err(HostTrap::TimedOut)
        } else {
            Ok(())
        }
    }

    /// Takes bytes from the log budget.
    pub(crate) fn spend_log(&mut self, bytes: usize) -> Result<(), HostTrap> {
        // A line costs its line break too, or a flood of empty lines would be free.
        spend(&mut self.log_left, bytes.saturating_add(1), HostTrap::LogLimit)
    }

    /// Takes bytes from the output budget.
    pub(crate) fn spend_output(&mut self, bytes: usize) -> Result<(), HostTrap> {
        spend(&mut self.output_left, bytes.saturating_add(1), HostTrap::OutputLimit)
    }

    /// WASI clocks.
    pub(crate) fn clocks(&mut self) -> WasiClocksCtxView<'_> {
        let wasi = self.wasi.get_or_insert_with(bare_wasi);
        WasiClocksCtxView { ctx: wasi.clocks(), table: &mut self.table }
    }

    /// WASI random numbers.
    pub(crate) fn random(&mut self) -> &mut WasiRandomCtx {
        self.wasi.get_or_insert_with(bare_wasi).random()
    }
}

/// Built on first use, because seeding its random numbers costs more than an instance.
fn bare_wasi() -> WasiCtx {
    WasiCtxBuilder::new().max_random_size(RANDOM_BYTES).build()
}

fn spend(left: &mut u64, bytes: usize, otherwise: HostTrap) -> Result<(), HostTrap> {
    *left = left.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX)).ok_or(otherwise)?;
    Ok(())
}

/// Bounds the memories of one instance together and remembers when it said no: the guest's abort that follows does not
/// say "memory".
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit: u64,
    used: u64,
    refused: bool,
}

impl MemoryLimiter {
    /// Whether the guest was ever refused memory.
    pub(crate) fn has_refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let used = self.used.saturating_add(more);
        let granted = used <= self.limit;
        if granted {
            self.used = used;
        } else {
            self.refused = true;
        }
        Ok(granted)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.refused = true;
        Ok(())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        usize::try_from(CORE_INSTANCES).unwrap_or(usize::MAX)
    }

    fn tables(&self) -> usize {
        usize::try_from(TABLES).unwrap_or(usize::MAX)
    }

    fn memories(&self) -> usize {
        usize::try_from(MEMORIES).unwrap_or(usize::MAX)
    }
}

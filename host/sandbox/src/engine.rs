//! The wasmtime engine: settings, pooled or on-demand memory, and the clock that interrupts guests.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Strategy};

use crate::tape::Tape;

/// Memory kept mapped in a pool slot between calls: more is slower to reset (wasm-facts §4).
const KEEP_RESIDENT: usize = 64 << 10;

/// Inaccessible bytes after each memory, which let the compiler leave out most bounds checks.
const MEMORY_GUARD: u64 = 32 << 20;

/// Address space a memory keeps for growing in place, where there is no pool.
const GROWTH: u64 = 1 << 20;

/// Wasm stack of a guest in bytes; the host's own frames get the rest of [`ASYNC_STACK`].
const WASM_STACK: usize = 512 << 10;

/// Stack of a guest with the host functions it calls, in bytes.
const ASYNC_STACK: usize = 1 << 20;

/// What one component may have of each kind of thing, whatever policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Entries of one table.
    pub(crate) table_elements: usize,
    /// Core instances.
    pub(crate) instances: u32,
    /// Memories.
    pub(crate) memories: u32,
    /// Tables.
    pub(crate) tables: u32,
}

/// For the tools of this repository: `wit-component` makes three instances and two tables, with a few hundred entries.
const SMALL: Bounds = Bounds { table_elements: 20_000, instances: 20, memories: 1, tables: 5 };

/// For interpreters with their programs (JavaScript, Python).
const LARGE: Bounds = Bounds { table_elements: 200_000, instances: 200, memories: 20, tables: 50 };

/// How the sandbox is set up. The defaults suit a runner.
#[derive(Debug, Clone)]
pub struct SandboxSettings {
    /// Directory for compiled tools, made with mode 0700. None compiles each tool once per process.
    pub cache_dir: Option<PathBuf>,
    /// Calls that run at the same time; further ones wait in order.
    pub slots: u32,
    /// The most memory a call can get, in bytes, whatever its limits say.
    pub memory_cap: u64,
    /// The same for components that need more than the pool gives: whole interpreters, and tools whose manifest asks for more
    /// memory. Their memory is mapped for each call.
    pub large_memory_cap: u64,
    /// Records the host calls of the one call that is made, or answers them from a recording.
    pub tape: Option<Tape>,
    /// Certificates (PEM) of authorities that the site trusts beside those of the system.
    pub ca_bundle: Option<PathBuf>,
    /// How often a running guest is interrupted to look at its time and at requests to stop.
    pub tick: Duration,
    /// Threads that run guests. More than a few gain nothing (wasm-facts §4).
    pub guest_threads: usize,
    /// Bytes a guest may hand over in one call to a host function.
    pub host_call_bytes: usize,
}

impl Default for SandboxSettings {
    fn default() -> Self {
        let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cache_dir: None,
            slots: 256,
            memory_cap: 64 << 20,
            large_memory_cap: 512 << 20,
            tape: None,
            ca_bundle: None,
            tick: Duration::from_millis(10),
            guest_threads: (cores / 2).clamp(1, 4),
            host_call_bytes: 8 << 20,
        }
    }
}

/// How instances get their memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// From slots reserved at the start: fast, and a hard cap.
    Pooled,
    /// Mapped for each call, because the address space for the pool could not be reserved.
    OnDemand,
}

/// The sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// wasmtime refuses the settings or the machine.
    #[error("the WebAssembly engine can not be started: {0}")]
    Engine(String),
    /// A thread could not be started.
    #[error(
        "a thread of the WebAssembly sandbox can not be started: {0}; check the limits on processes and memory"
    )]
    Thread(#[source] std::io::Error),
    /// A number of 0 where something must run.
    #[error("sandbox setting `{0}` is 0, so nothing could run; set it to 1 or more")]
    Zero(&'static str),
}

/// An engine with its clock, and what its components may have.
pub(crate) struct RunningEngine {
    pub(crate) engine: Engine,
    pub(crate) bounds: Bounds,
    /// Bytes of memory of one call.
    pub(crate) memory_cap: u64,
    pub(crate) allocation: Allocation,
    _ticker: Ticker,
}

impl RunningEngine {
    /// For small tools, pooled if the address space allows it.
    pub(crate) fn small(settings: &SandboxSettings) -> Result<Self, SandboxError> {
        match Engine::new(&pooled(settings)) {
            Ok(engine) => Self::start(engine, Allocation::Pooled, SMALL, settings.memory_cap, settings.tick),
            Err(error) => {
                tracing::warn!(
                    slots = settings.slots,
                    memory_cap = settings.memory_cap,
                    "no address space for the pool of WebAssembly instances ({error:#}); each call maps its own memory, \
                     which is slower. Raise the limit on virtual memory (`ulimit -v`) or lower the number of slots",
                );
                let engine = new_engine(&on_demand())?;
                Self::start(engine, Allocation::OnDemand, SMALL, settings.memory_cap, settings.tick)
            }
        }
    }

    /// For what the pool has no place for.
    pub(crate) fn large(settings: &SandboxSettings) -> Result<Self, SandboxError> {
        let engine = new_engine(&roomy(settings)).or_else(|_| new_engine(&on_demand()))?;
        Self::start(engine, Allocation::OnDemand, LARGE, settings.large_memory_cap, settings.tick)
    }

    fn start(
        engine: Engine,
        allocation: Allocation,
        bounds: Bounds,
        memory_cap: u64,
        tick: Duration,
    ) -> Result<Self, SandboxError> {
        let ticker = Ticker::start(engine.clone(), tick)?;
        Ok(Self { engine, bounds, memory_cap, allocation, _ticker: ticker })
    }
}

impl std::fmt::Debug for RunningEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningEngine")
            .field("bounds", &self.bounds)
            .field("memory_cap", &self.memory_cap)
            .field("allocation", &self.allocation)
            .finish_non_exhaustive()
    }
}

fn new_engine(config: &Config) -> Result<Engine, SandboxError> {
    Engine::new(config).map_err(|error| SandboxError::Engine(format!("{error:#}")))
}

fn pooled(settings: &SandboxSettings) -> Config {
    let mut config = base_config();
    config
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings)))
        .memory_reservation(settings.memory_cap)
        .memory_guard_size(MEMORY_GUARD)
        // The address of a memory is fixed, so growing beyond the reservation fails instead of copying.
        .memory_may_move(false);
    config
}

/// Room to grow to the cap without moving, for a few calls at a time.
fn roomy(settings: &SandboxSettings) -> Config {
    let mut config = base_config();
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_reservation(settings.large_memory_cap)
        .memory_guard_size(MEMORY_GUARD)
        .memory_may_move(true);
    config
}

/// Address space is scarce here, so a memory takes what it uses and moves when it grows.
fn on_demand() -> Config {
    let mut config = base_config();
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_reservation(0)
        .memory_guard_size(0)
        .memory_reservation_for_growth(GROWTH)
        .memory_may_move(true);
    config
}

fn base_config() -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(ASYNC_STACK)
        .wasm_memory64(false)
        .wasm_relaxed_simd(false);
    config
}

fn pool(settings: &SandboxSettings) -> PoolingAllocationConfig {
    let slots = settings.slots;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(SMALL.instances))
        .total_memories(slots.saturating_mul(SMALL.memories))
        .total_tables(slots.saturating_mul(SMALL.tables))
        .total_stacks(slots)
        .max_core_instances_per_component(SMALL.instances)
        .max_memories_per_component(SMALL.memories)
        .max_tables_per_component(SMALL.tables)
        .max_memory_size(usize::try_from(settings.memory_cap).unwrap_or(usize::MAX))
        .table_elements(SMALL.table_elements)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// The thread that moves the engine's epoch on; it ends when this is dropped.
pub(crate) struct Ticker {
    stop: Option<Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Ticker {
    pub(crate) fn start(engine: Engine, tick: Duration) -> Result<Self, SandboxError> {
        let (stop, stopped) = channel();
        let thread = thread::Builder::new()
            .name("wasm-epoch".into())
            .spawn(move || tick_until(&stopped, &engine, tick))
            .map_err(SandboxError::Thread)?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It waits on the channel just closed, so this is immediate; a panic there has been printed already.
            let _ended = thread.join();
        }
    }
}

fn tick_until(stopped: &Receiver<()>, engine: &Engine, tick: Duration) {
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(tick) {
        engine.increment_epoch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_settings_give_a_pool() {
        let engine = RunningEngine::small(&SandboxSettings::default()).unwrap();
        assert_eq!(engine.allocation, Allocation::Pooled);
    }

    #[test]
    fn without_address_space_memory_is_mapped_on_demand() {
        // 2 million slots of 96 MiB are more than the 128 TiB a process can address.
        let settings = SandboxSettings { slots: 2_000_000, ..SandboxSettings::default() };
        let engine = RunningEngine::small(&settings).unwrap();
        assert_eq!(engine.allocation, Allocation::OnDemand);
    }

    #[test]
    fn the_ticker_ends_with_its_owner() {
        let engine = new_engine(&on_demand()).unwrap();
        let ticker = Ticker::start(engine, Duration::from_hours(1)).unwrap();
        let begin = std::time::Instant::now();
        drop(ticker);
        assert!(begin.elapsed() < Duration::from_secs(10), "drop waited for the tick");
    }
}

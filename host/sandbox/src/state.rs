//! What a store holds for the length of one call.

use std::collections::HashMap;
use std::sync::Arc;

use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::WasiHttpCtx;

use crate::border::{Border, Counted, HostTrap};
use crate::engine::Bounds;
use crate::wasi::{HttpHooks, Names};

/// The data of one call's store.
pub(crate) struct CallState {
    pub(crate) border: Arc<Border>,
    pub(crate) memory: MemoryLimiter,
    pub(crate) table: ResourceTable,
    pub(crate) wasi: Option<WasiCtx>,
    pub(crate) http: WasiHttpCtx,
    pub(crate) hooks: HttpHooks,
    /// Which names led to which addresses.
    pub(crate) names: Arc<Names>,
    /// Open files and sockets of WASI by their handles.
    pub(crate) open_files: HashMap<u32, Counted>,
    /// See `open_files`.
    pub(crate) open_sockets: HashMap<u32, Counted>,
}

impl CallState {
    pub(crate) fn new(border: Arc<Border>, bounds: Bounds) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(border.limits.handles).unwrap_or(usize::MAX));
        Self {
            memory: MemoryLimiter {
                limit: border.limits.memory,
                bounds,
                used: 0,
                refused: false,
                table_refused: false,
            },
            hooks: HttpHooks::new(&border),
            border,
            table,
            wasi: None,
            http: WasiHttpCtx::new(),
            names: Arc::default(),
            open_files: HashMap::new(),
            open_sockets: HashMap::new(),
        }
    }

    /// The border, for a host function that waits, unless the call is over.
    pub(crate) fn enter(&self) -> Result<Arc<Border>, HostTrap> {
        self.border.check_alive().map(|()| Arc::clone(&self.border))
    }
}

/// Bounds the memories of one instance together and remembers when it said no: the guest's abort that follows does not
/// say "memory".
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit: u64,
    bounds: Bounds,
    used: u64,
    refused: bool,
    table_refused: bool,
}

impl MemoryLimiter {
    /// The most entries of a table, if the guest was ever refused more.
    pub(crate) fn table_bound(&self) -> Option<u64> {
        self.table_refused.then(|| u64::try_from(self.bounds.table_elements).unwrap_or(u64::MAX))
    }

    /// What the engine has for one call.
    pub(crate) fn bounds(&self) -> Bounds {
        self.bounds
    }

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
        let granted = desired <= self.bounds.table_elements;
        self.table_refused |= !granted;
        Ok(granted)
    }

    fn instances(&self) -> usize {
        usize::try_from(self.bounds.instances).unwrap_or(usize::MAX)
    }

    fn tables(&self) -> usize {
        usize::try_from(self.bounds.tables).unwrap_or(usize::MAX)
    }

    fn memories(&self) -> usize {
        usize::try_from(self.bounds.memories).unwrap_or(usize::MAX)
    }
}

//! What one call may use.

use std::time::Duration;

use autoexec_manifest::Manifest;

/// Upper bounds of one call. Each has a test that it binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory in bytes, all memories of the instance together. The sandbox's own cap bounds it too.
    pub memory: u64,
    /// Wall-clock time from the start of the call; waiting for a free slot does not count.
    pub time: Duration,
    /// Log text in bytes, over the whole call.
    pub log: u64,
    /// Output and live data in bytes, over the whole call.
    pub output: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory: 64 << 20, time: Duration::from_mins(10), log: 16 << 20, output: 16 << 20 }
    }
}

impl Limits {
    /// What the manifest asks for, or `ceiling` where it asks for nothing or for more.
    pub fn for_tool(manifest: &Manifest, ceiling: &Self) -> Self {
        let asked = &manifest.limits;
        Self {
            memory: asked.memory_bytes().unwrap_or(u64::MAX).min(ceiling.memory),
            time: asked.time().unwrap_or(Duration::MAX).min(ceiling.time),
            log: asked.log_bytes().unwrap_or(u64::MAX).min(ceiling.log),
            output: ceiling.output,
        }
    }
}

//! Bounds on what one call of a tool may use.

use std::time::Duration;

use crate::tools::ToolPattern;

/// Upper bounds for one call. A tool's manifest may ask for less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToolLimits {
    /// Memory in bytes.
    pub memory: u64,
    /// Wall-clock time.
    pub time: Duration,
    /// Log text in bytes.
    pub log: u64,
}

impl Default for ToolLimits {
    /// What holds for tools that no entry of the policy names.
    fn default() -> Self {
        Self { memory: 64 << 20, time: Duration::from_mins(10), log: 16 << 20 }
    }
}

/// One `[[limits]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LimitEntry {
    pub(crate) tools: Vec<ToolPattern>,
    pub(crate) memory: Option<u64>,
    pub(crate) time: Option<Duration>,
    pub(crate) log: Option<u64>,
}

/// The smallest bound of the entries that `is_meant` picks; the default where they leave one out.
pub(crate) fn smallest<'a>(entries: &'a [LimitEntry], is_meant: impl Fn(&ToolPattern) -> bool) -> ToolLimits {
    let meant: Vec<&'a LimitEntry> =
        entries.iter().filter(|entry| entry.tools.iter().any(&is_meant)).collect();
    let default = ToolLimits::default();
    ToolLimits {
        memory: meant.iter().filter_map(|entry| entry.memory).min().unwrap_or(default.memory),
        time: meant.iter().filter_map(|entry| entry.time).min().unwrap_or(default.time),
        log: meant.iter().filter_map(|entry| entry.log).min().unwrap_or(default.log),
    }
}

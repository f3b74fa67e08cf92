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
    /// Time of a processor.
    pub cpu: Duration,
    /// Log text in bytes.
    pub log: u64,
    /// Outputs and live data in bytes.
    pub output: u64,
    /// Data of one host call in bytes.
    pub host_call: u64,
    /// One answer from outside (a response, a command's output) in bytes.
    pub response: u64,
    /// Files that are open at once.
    pub files: u32,
    /// Connections that are open at once.
    pub sockets: u32,
    /// Resources of all kinds that are held at once.
    pub handles: u32,
    /// Calls of the tool that run at once in a process; others wait.
    pub concurrent_calls: u32,
}

impl Default for ToolLimits {
    /// What holds for tools that no entry of the policy names.
    fn default() -> Self {
        Self::from_values(Limit::ALL.map(Limit::default_value))
    }
}

/// A key of `[[limits]]`, with the unit in its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// `memory-mib`
    Memory,
    /// `time-seconds`
    Time,
    /// `cpu-seconds`
    Cpu,
    /// `log-kib`
    Log,
    /// `output-kib`
    Output,
    /// `host-call-kib`
    HostCall,
    /// `response-kib`
    Response,
    /// `files`
    Files,
    /// `sockets`
    Sockets,
    /// `handles`
    Handles,
    /// `concurrent-calls`
    ConcurrentCalls,
}

/// A value for each limit, in the unit of its key.
type Values = [u32; Limit::ALL.len()];

impl Limit {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Memory,
        Self::Time,
        Self::Cpu,
        Self::Log,
        Self::Output,
        Self::HostCall,
        Self::Response,
        Self::Files,
        Self::Sockets,
        Self::Handles,
        Self::ConcurrentCalls,
    ];

    /// The key in policies.
    pub fn key(self) -> &'static str {
        match self {
            Self::Memory => "memory-mib",
            Self::Time => "time-seconds",
            Self::Cpu => "cpu-seconds",
            Self::Log => "log-kib",
            Self::Output => "output-kib",
            Self::HostCall => "host-call-kib",
            Self::Response => "response-kib",
            Self::Files => "files",
            Self::Sockets => "sockets",
            Self::Handles => "handles",
            Self::ConcurrentCalls => "concurrent-calls",
        }
    }

    /// What holds without an entry, in the unit of the key.
    pub fn default_value(self) -> u32 {
        match self {
            Self::Memory | Self::Files | Self::Sockets => 64,
            Self::Time | Self::Cpu => 600,
            Self::Log | Self::Output | Self::Response => 16 << 10,
            Self::HostCall => 8 << 10,
            Self::Handles | Self::ConcurrentCalls => 1024,
        }
    }
}

impl ToolLimits {
    fn from_values(values: Values) -> Self {
        let [memory, time, cpu, log, output, host_call, response, files, sockets, handles, concurrent_calls] =
            values;
        Self {
            memory: u64::from(memory) << 20,
            time: Duration::from_secs(time.into()),
            cpu: Duration::from_secs(cpu.into()),
            log: u64::from(log) << 10,
            output: u64::from(output) << 10,
            host_call: u64::from(host_call) << 10,
            response: u64::from(response) << 10,
            files,
            sockets,
            handles,
            concurrent_calls,
        }
    }
}

/// One `[[limits]]` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LimitEntry {
    pub(crate) tools: Vec<ToolPattern>,
    /// In the order of [`Limit::ALL`].
    pub(crate) values: [Option<u32>; Limit::ALL.len()],
}

/// The smallest bound of the entries that `is_meant` picks; the default where they leave one out.
pub(crate) fn smallest(entries: &[LimitEntry], is_meant: impl Fn(&ToolPattern) -> bool) -> ToolLimits {
    ToolLimits::from_values(smallest_values(entries, is_meant))
}

/// The same in the units of the keys, in the order of [`Limit::ALL`].
pub(crate) fn smallest_values(entries: &[LimitEntry], is_meant: impl Fn(&ToolPattern) -> bool) -> Values {
    let mut values = Limit::ALL.map(Limit::default_value);
    let meant: Vec<&LimitEntry> = entries.iter().filter(|entry| entry.tools.iter().any(&is_meant)).collect();
    for (index, value) in values.iter_mut().enumerate() {
        let said = meant.iter().filter_map(|entry| entry.values.get(index).copied().flatten());
        *value = said.min().unwrap_or(*value);
    }
    values
}

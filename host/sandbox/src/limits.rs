//! What one call may use.

use std::fmt;
use std::time::Duration;

pub use autoexec_grants::Limit as LimitName;
use autoexec_manifest::Manifest;

/// Upper bounds of one call. Each has a test that it binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory in bytes, all memories of the instance together. The sandbox's own cap bounds it too.
    pub memory: u64,
    /// Wall-clock time from the start of the call; waiting for a free slot or for a person does not count.
    pub time: Duration,
    /// Processor time of the guest and of the host functions that it calls.
    pub cpu: Duration,
    /// Log text in bytes, over the whole call.
    pub log: u64,
    /// Output and live data in bytes, over the whole call.
    pub output: u64,
    /// Bytes handed over in one call to a host function, or in the answer. The sandbox's own cap bounds it too.
    pub host_call: u64,
    /// Bytes of one answer that the host fetches for the guest: the body of a response, the output of a command or program,
    /// a listing, documents.
    pub response: u64,
    /// Files and directories open at the same time.
    pub files: u32,
    /// Sockets open at the same time, those of HTTP included.
    pub sockets: u32,
    /// Handles of any kind (streams, timers, requests, sockets, files) held at the same time.
    pub handles: u32,
    /// Calls of the tool running at the same time in this process; further ones wait in order.
    pub concurrent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            time: Duration::from_mins(10),
            cpu: Duration::from_mins(10),
            log: 16 << 20,
            output: 16 << 20,
            host_call: 8 << 20,
            response: 16 << 20,
            files: 64,
            sockets: 64,
            handles: 1_024,
            concurrent: 1_024,
        }
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
            ..*ceiling
        }
    }
}

/// A limit that a call has come to, with its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub struct LimitReached {
    /// Which.
    pub name: LimitName,
    /// Its value: a number, bytes, or for processor time milliseconds.
    pub value: u64,
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value } = *self;
        f.write_str("the limit of ")?;
        match name {
            LimitName::Cpu | LimitName::Time => write!(f, "{:?} ", Duration::from_millis(value))?,
            _ => write!(f, "{value} ")?,
        }
        write!(
            f,
            "{} is reached; raise `{}` for this tool under [[limits]] in the policy",
            what(name),
            name.key()
        )
    }
}

fn what(name: LimitName) -> &'static str {
    match name {
        LimitName::Memory => "bytes of memory",
        LimitName::Time => "of time",
        LimitName::Cpu => "of processor time",
        LimitName::Log => "bytes of log",
        LimitName::Output => "bytes of outputs and live data",
        LimitName::HostCall => "bytes handed over in one piece",
        LimitName::Response => "bytes of one answer",
        LimitName::Files => "files open at the same time",
        LimitName::Sockets => "sockets open at the same time",
        LimitName::Handles => "handles held at the same time",
        LimitName::ConcurrentCalls => "calls at the same time",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_says_its_value_and_where_to_raise_it() {
        let text = LimitReached { name: LimitName::Sockets, value: 64 }.to_string();
        assert_eq!(
            text,
            "the limit of 64 sockets open at the same time is reached; raise `sockets` for this tool under \
             [[limits]] in the policy"
        );
        let text = LimitReached { name: LimitName::Cpu, value: 1500 }.to_string();
        assert!(
            text.starts_with("the limit of 1.5s of processor time is reached; raise `cpu-seconds`"),
            "{text}"
        );
    }
}

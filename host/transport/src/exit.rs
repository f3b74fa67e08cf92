//! How a process ended, and what is known after it was stopped.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The end of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It exited with this code. A remote shell reports a signalled child as `128 + n`, which stays a code.
    Code(i32),
    /// This signal ended it; 0 when the peer named a signal that has no number here.
    Signal(i32),
}

impl Exit {
    /// True for exit code 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(0) => write!(f, "an unknown signal"),
            Self::Signal(number) => write!(f, "signal {number}"),
        }
    }
}

/// What is known about a process group after it was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopOutcome {
    /// True when we looked and no live process of the group was left; false means "not known", not "alive".
    pub proved_dead: bool,
}

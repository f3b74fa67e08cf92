//! Statuses of operations, nodes, phases and jobs, and what may follow what (`spec/execution.md` §6.8).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A status word that is not in the vocabulary.
#[derive(Debug, thiserror::Error)]
#[error("`{word}` is not a {kind} status")]
pub struct UnknownStatus {
    kind: &'static str,
    word: String,
}

macro_rules! status {
    ($(#[$doc:meta])* $name:ident, $kind:literal { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// The word on the wire, in files and in logs.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.pad(self.as_str()) }
        }

        impl FromStr for $name {
            type Err = UnknownStatus;
            fn from_str(word: &str) -> Result<Self, UnknownStatus> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownStatus { kind: $kind, word: word.to_owned() }),
                }
            }
        }
    };
}

status! {
    /// Status of one operation on one node. Kept in the node's status file, never sent to the server.
    OpStatus, "operation" {
        /// Not reached yet.
        Pending = "pending",
        /// Recorded before the process is started, so that a crash leaves a trace.
        Running = "running",
        /// Ended well.
        Succeed = "succeed",
        /// Ended badly.
        Failed = "failed",
        /// Ended badly, and the job tolerates it. Shown in logs, stored as `failed`.
        Ignored = "ignored",
        /// Stopped by an abort.
        Aborted = "aborted",
        /// The process that ran it died; nobody knows whether it took effect.
        Unknown = "unknown",
    }
}

status! {
    /// Status of a node within a phase.
    NodeStatus, "node" {
        /// Not started.
        Pending = "pending",
        /// Its operations are being run.
        Running = "running",
        /// An operation waits for a person.
        WaitInput = "waitInput",
        /// Stopped between operations.
        Paused = "paused",
        /// All operations ended well.
        Succeed = "succeed",
        /// All operations ended; some failures were tolerated.
        Ignored = "ignored",
        /// An operation failed.
        Failed = "failed",
        /// Told to stop at once; not sent to the server.
        Aborting = "aborting",
        /// Killed.
        Aborted = "aborted",
    }
}

impl NodeStatus {
    /// Whether a later run may leave the node out (`--force` aside).
    pub fn is_done(self) -> bool {
        matches!(self, Self::Succeed | Self::Ignored)
    }

    /// Whether this status makes "a failed node is known" true for the whole process.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Aborted)
    }

    /// Whether no further status follows within one run.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Paused | Self::Succeed | Self::Ignored | Self::Failed | Self::Aborted)
    }

    /// Whether a unit may go from `self` to `next` within one run.
    ///
    /// A run starts from whatever an earlier one left, so everything may become `Running`.
    pub fn may_become(self, next: Self) -> bool {
        match next {
            Self::Running => true,
            Self::WaitInput | Self::Succeed | Self::Ignored => {
                matches!(self, Self::Running | Self::WaitInput)
            }
            Self::Paused => matches!(self, Self::Running | Self::WaitInput | Self::Pending),
            Self::Aborting => matches!(self, Self::Running | Self::WaitInput | Self::Pending),
            Self::Failed => matches!(self, Self::Pending | Self::Running | Self::WaitInput),
            Self::Aborted => matches!(self, Self::Aborting | Self::Running | Self::WaitInput),
            Self::Pending => false,
        }
    }
}

status! {
    /// Status of a phase as the server is told.
    PhaseStatus, "phase" {
        /// At least one node may run.
        Running = "running",
        /// A node waits for a person.
        WaitInput = "waitInput",
        /// All nodes ended well.
        Succeed = "succeed",
        /// All nodes ended; some failures were tolerated.
        Completed = "completed",
        /// Some node failed.
        Failed = "failed",
        /// Killed.
        Aborted = "aborted",
        /// Stopped before all nodes were run.
        Paused = "paused",
    }
}

status! {
    /// Status of a job as the server is told.
    JobStatus, "job" {
        /// Stopped between operations.
        Paused = "paused",
        /// Killed.
        Aborted = "aborted",
    }
}

/// How the nodes of a phase ended. The sum of all fields is the number of nodes that were fed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseCounts {
    /// Nodes that succeeded in this run.
    pub succeed: u64,
    /// Nodes that failed or were aborted.
    pub failed: u64,
    /// Nodes with tolerated failures.
    pub ignored: u64,
    /// Nodes stopped between operations, or taken and not started because of a stop.
    pub paused: u64,
    /// Nodes left out because an earlier run had finished them.
    pub skipped: u64,
    /// Nodes that were never taken from the queue.
    pub not_run: u64,
    /// Warnings written to the node logs.
    pub warnings: u64,
}

impl PhaseCounts {
    /// The final status of the phase (`spec/execution.md` §6.8, second table).
    ///
    /// `aborting` is true while an abort is in progress; `cut_short` when a stop was asked or a failed
    /// node is known in another phase, so that not every node was run.
    pub fn final_status(&self, aborting: bool, cut_short: bool) -> PhaseStatus {
        match (self.failed, aborting) {
            (_, true) => PhaseStatus::Aborted,
            (failed, false) if failed > 0 => PhaseStatus::Failed,
            _ if cut_short => PhaseStatus::Paused,
            _ if self.ignored > 0 => PhaseStatus::Completed,
            _ => PhaseStatus::Succeed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for status in [NodeStatus::WaitInput, NodeStatus::Aborting, NodeStatus::Succeed] {
            assert_eq!(status.as_str().parse::<NodeStatus>().unwrap(), status);
        }
        assert_eq!("done".parse::<NodeStatus>().unwrap_err().to_string(), "`done` is not a node status");
    }

    #[test]
    fn final_phase_status_follows_the_table() {
        let counts = |failed, ignored| PhaseCounts { failed, ignored, ..PhaseCounts::default() };
        assert_eq!(counts(1, 0).final_status(false, true), PhaseStatus::Failed);
        assert_eq!(counts(1, 0).final_status(true, true), PhaseStatus::Aborted);
        assert_eq!(counts(0, 1).final_status(true, false), PhaseStatus::Aborted);
        assert_eq!(counts(0, 1).final_status(false, true), PhaseStatus::Paused);
        assert_eq!(counts(0, 1).final_status(false, false), PhaseStatus::Completed);
        assert_eq!(counts(0, 0).final_status(false, false), PhaseStatus::Succeed);
    }

    #[test]
    fn a_final_node_status_is_only_left_by_a_new_run() {
        use NodeStatus as S;
        let all = [
            S::Pending,
            S::Running,
            S::WaitInput,
            S::Paused,
            S::Succeed,
            S::Ignored,
            S::Failed,
            S::Aborting,
            S::Aborted,
        ];
        for from in all.into_iter().filter(|s| s.is_final()) {
            for to in all {
                assert_eq!(from.may_become(to), to == S::Running, "{from} -> {to}");
            }
        }
    }
}

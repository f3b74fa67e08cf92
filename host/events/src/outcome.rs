//! How a run ended, and the exit code that says so.

use crate::StopReason;

/// Exit codes are a contract with the runner and with people's scripts (`spec/cli.md` §1.4).
///
/// 0, 1 and 2 are what the runner expects; codes from 64 up are ours and follow `sysexits.h` where it has
/// a word for the case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// Everything ended well, or the run was paused or aborted without a failure.
    Success,
    /// Some node failed or was aborted without "ignore".
    NodeFailed,
    /// Pause and abort: there is no such process. Never used by a run: the runner takes it as an order.
    NoSuchProcess,
    /// The command line cannot be understood.
    Usage,
    /// Parameters, nodes or configuration are broken.
    BadInput,
    /// The server cannot be reached or refused a call that the run needs.
    ServerUnavailable,
    /// A defect in autoexec.
    Internal,
    /// A file or directory of the home cannot be created, read or written.
    Files,
    /// Callbacks are still undelivered; they are kept and sent by the next process of the job.
    Undelivered,
    /// A tool's signature does not hold, or is missing where one is required.
    BadSignature,
    /// Policy does not allow it, or nobody has approved it.
    Denied,
    /// Some operation may or may not have taken effect, and a person has to decide.
    UnknownOutcome,
    /// Ended by a third signal without finishing.
    Interrupted,
}

impl ExitCode {
    /// Every code, for `--help` and its test.
    pub const ALL: [Self; 13] = [
        Self::Success,
        Self::NodeFailed,
        Self::NoSuchProcess,
        Self::Usage,
        Self::BadInput,
        Self::ServerUnavailable,
        Self::Internal,
        Self::Files,
        Self::Undelivered,
        Self::BadSignature,
        Self::Denied,
        Self::UnknownOutcome,
        Self::Interrupted,
    ];

    /// The number the process exits with.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::NodeFailed => 1,
            Self::NoSuchProcess => 2,
            Self::Usage => 64,
            Self::BadInput => 65,
            Self::ServerUnavailable => 69,
            Self::Internal => 70,
            Self::Files => 74,
            Self::Undelivered => 75,
            Self::BadSignature => 76,
            Self::Denied => 77,
            Self::UnknownOutcome => 79,
            Self::Interrupted => 130,
        }
    }

    /// One line for `--help`.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Success => "no failed node (also after a pause or abort without failure)",
            Self::NodeFailed => "some node failed or was aborted",
            Self::NoSuchProcess => "pause, abort: no such process (never used by a run)",
            Self::Usage => "the command line cannot be understood",
            Self::BadInput => "parameters, nodes or configuration are broken",
            Self::ServerUnavailable => "the server cannot be reached or refused a call that the run needs",
            Self::Internal => "a defect in autoexec",
            Self::Files => "a file of the home cannot be created, read or written",
            Self::Undelivered => "callbacks are undelivered; the next process of the job sends them",
            Self::BadSignature => "a tool's signature does not hold, or is missing where one is required",
            Self::Denied => "policy does not allow it, or nobody has approved it",
            Self::UnknownOutcome => "an operation may have taken effect; a person has to decide",
            Self::Interrupted => "ended by a third signal without finishing",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// A failed or aborted node is known.
    pub failed: bool,
    /// Why the run stopped before its end.
    pub stopped: Option<StopReason>,
    /// Phases that really started.
    pub phases_run: u64,
    /// Operations whose effect nobody knows and that may not be run again without a person's word.
    pub unknown: u64,
    /// Callbacks that could not be delivered.
    pub undelivered: u64,
}

impl Outcome {
    /// The one place where a run's exit code is derived.
    pub fn exit_code(&self) -> ExitCode {
        if self.failed || self.unknown > 0 {
            ExitCode::NodeFailed
        } else if self.undelivered > 0 {
            ExitCode::Undelivered
        } else {
            ExitCode::Success
        }
    }

    /// As [`Self::exit_code`], for people's own runs: an outcome that somebody has to look into has a code of its own.
    /// The runner knows 1 only.
    pub fn exit_code_for_people(&self) -> ExitCode {
        if self.unknown > 0 { ExitCode::UnknownOutcome } else { self.exit_code() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_distinct_and_ordered() {
        let codes: Vec<u8> = ExitCode::ALL.iter().map(|code| code.code()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
    }

    #[test]
    fn a_run_never_ends_with_two() {
        for failed in [false, true] {
            for (unknown, undelivered) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let outcome = Outcome { failed, unknown, undelivered, ..Outcome::default() };
                assert_ne!(outcome.exit_code(), ExitCode::NoSuchProcess);
            }
        }
    }

    #[test]
    fn people_are_told_of_an_unknown_effect_by_the_code() {
        let outcome = Outcome { failed: true, unknown: 1, ..Outcome::default() };
        assert_eq!(outcome.exit_code(), ExitCode::NodeFailed);
        assert_eq!(outcome.exit_code_for_people(), ExitCode::UnknownOutcome);
        assert_eq!(Outcome::default().exit_code_for_people(), ExitCode::Success);
    }

    #[test]
    fn a_failed_node_weighs_more_than_an_undelivered_callback() {
        let outcome = Outcome { failed: true, undelivered: 3, ..Outcome::default() };
        assert_eq!(outcome.exit_code(), ExitCode::NodeFailed);
    }
}

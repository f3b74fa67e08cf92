//! What a run says about itself: the public event vocabulary, and how events fold into an outcome.
//!
//! Events are self-contained and stamped; a reporter needs nothing else. They never hold a secret, a value
//! of an option, or output of a tool, but for what a tool was refused: a host or a path, as in the policy's audit log. The journal
//! stores them as they are, under [`JOURNAL_FORMAT`].

mod event;
mod outcome;

pub use autoexec_grants::Refusal;
pub use event::{
    CallbackPosition, Change, Level, NodeRef, OperationRef, RunEvent, Stamped, Stamper, StopReason,
};
pub use outcome::{ExitCode, Outcome};

/// Version of the journal's record format. A reader refuses a newer one.
pub const JOURNAL_FORMAT: u32 = 1;

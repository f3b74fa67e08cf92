//! The journal: every event, on disk before anybody acts on it.

use autoexec_engine::ports::{ReportError, Reporter};
use autoexec_events::Stamped;
use autoexec_store::Journal;

/// Appends every event to the journal of the process.
#[derive(Debug)]
pub struct JournalReporter {
    journal: Journal,
}

impl JournalReporter {
    /// Reports to `journal`.
    pub fn new(journal: Journal) -> Self {
        Self { journal }
    }
}

impl Reporter for JournalReporter {
    fn name(&self) -> &'static str {
        "journal"
    }

    fn report(&mut self, event: &Stamped) -> Result<(), ReportError> {
        self.journal.append(event).map_err(|error| ReportError(error.to_string()))
    }
}

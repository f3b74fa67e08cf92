//! Where a run keeps statuses, outputs and variables, and whom it waits for because of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use autoexec_control::{DocumentQuery, Documents, MAX_DOCUMENTS, NoDocuments};
use autoexec_engine::ports::{ReportError, Reporter};
use autoexec_events::{Level, RunEvent, Stamped};
use autoexec_model::PhaseStatus;
use autoexec_report::logfile::ConsoleLog;
use autoexec_store::{FileRecords, Home, JobDir, NodeRecords};
use autoexec_store_mongo::{Database, MongoRecords};
use serde_json::{Map, Value};

use super::Face;
use super::input::Prepared;
use crate::CliError;
use crate::shared_store::{self, FilesOnly, SharedStore};
use crate::sources;

/// How long the end of a phase waits for the shared store. The phase's status, which lets other runners go on, is
/// told afterwards.
const PHASE_WAIT: Duration = Duration::from_secs(5);

/// How long the end of the run waits for it.
const END_WAIT: Duration = Duration::from_secs(30);

/// The records of a run.
pub(super) struct JobStore {
    records: Arc<dyn NodeRecords>,
    shared: Option<Shared>,
}

#[derive(Clone)]
struct Shared {
    records: Arc<MongoRecords>,
    database: Database,
}

impl JobStore {
    /// Connects to the shared store, where there is one.
    pub(super) async fn open(prepared: &Prepared, console: &Arc<ConsoleLog>) -> Result<Self, CliError> {
        let (job_dir, dev_mode) = (&prepared.job_dir, prepared.request.dev_mode);
        if prepared.request.face != Face::None {
            // Started by a person from files: nobody else takes part in it.
            return Ok(Self::files(job_dir));
        }
        match shared_store::connect(&prepared.config, prepared.client.as_deref(), dev_mode).await? {
            SharedStore::Connected(database) => {
                let console = Arc::clone(console);
                let warn = Arc::new(move |text: &str| say(&console, text));
                let records =
                    MongoRecords::new(prepared.job.clone(), job_dir.clone(), database.clone(), warn);
                let records = Arc::new(records);
                Ok(Self {
                    records: Arc::clone(&records) as Arc<dyn NodeRecords>,
                    shared: Some(Shared { records, database }),
                })
            }
            SharedStore::FilesOnly(why) => {
                if let Some(text) = worth_a_warning(&why, job_dir) {
                    say(console, &text);
                }
                Ok(Self::files(job_dir))
            }
        }
    }

    fn files(job_dir: &JobDir) -> Self {
        Self { records: Arc::new(FileRecords::new(job_dir.clone())), shared: None }
    }

    pub(super) fn records(&self) -> Arc<dyn NodeRecords> {
        Arc::clone(&self.records)
    }

    /// The shared store, where there is one.
    pub(super) fn database(&self) -> Option<&Database> {
        self.shared.as_ref().map(|shared| &shared.database)
    }

    /// Where plugins search collected data.
    pub(super) fn documents(&self, home: &Home) -> Arc<dyn Documents> {
        match &self.shared {
            Some(shared) => Arc::new(Collected(shared.database.clone())),
            None => Arc::new(NoDocuments::new(home.config_file())),
        }
    }

    /// A reporter that waits for the shared store at the end of each phase.
    pub(super) fn reporter(&self) -> Option<Box<dyn Reporter>> {
        let shared = self.shared.as_ref()?;
        Some(Box::new(PhaseFlush { records: Arc::clone(&shared.records) }))
    }

    /// Waits for what is not written yet, and says what is given up.
    pub(super) fn finish(&self, console: &ConsoleLog) {
        let Some(shared) = &self.shared else { return };
        let left = shared.records.flush(END_WAIT);
        if left > 0 {
            let text = format!(
                "{left} status(es) and output(s) could not be written to MongoDB at {}: they are in the files of this \
                 runner only.",
                shared.database.hosts()
            );
            say(console, &text);
        }
    }
}

fn say(console: &ConsoleLog, text: &str) {
    // A console log that cannot be written is reported by the run's own reporter.
    let _ = console.message(Level::Warn, text);
}

/// A job of a single runner loses nothing without a shared store.
fn worth_a_warning(why: &FilesOnly, job_dir: &JobDir) -> Option<String> {
    match why {
        FilesOnly::Unconfigured => None,
        FilesOnly::Unusable(reason) => Some(format!("Files are the only store of this run: {reason}")),
        FilesOnly::Unannounced(reason) => {
            let nodes = sources::open_file(&job_dir.nodes()).ok()?;
            (nodes.header.runner_count() > 1).then(|| {
                format!(
                    "The job has several runners, and the server announces no MongoDB ({reason}): they do not see each \
                     other's outputs and variables."
                )
            })
        }
    }
}

/// The shared store has what a phase left before the server learns that it is over.
struct PhaseFlush {
    records: Arc<MongoRecords>,
}

impl Reporter for PhaseFlush {
    fn name(&self) -> &'static str {
        "shared store"
    }

    fn report(&mut self, event: &Stamped) -> Result<(), ReportError> {
        if let RunEvent::PhaseStatusChanged { status, .. } = &event.event
            && !matches!(status, PhaseStatus::Running | PhaseStatus::WaitInput)
        {
            // What is left is told about when it is given up.
            let _ = self.records.flush(PHASE_WAIT);
        }
        Ok(())
    }
}

/// Collected data in the shared store.
struct Collected(Database);

#[async_trait]
impl Documents for Collected {
    async fn find(&self, query: &DocumentQuery) -> Result<Vec<Map<String, Value>>, String> {
        let limit = u32::try_from(MAX_DOCUMENTS).unwrap_or(u32::MAX);
        let found = self.0.find(query.collection(), query.condition(), query.projection(), limit, u64::MAX);
        found.await.map_err(|error| error.to_string())
    }
}

//! `--cleanstatus`: forgets the statuses of all nodes of a job, in the shared store and in files.

use std::sync::Arc;

use autoexec_events::{ExitCode, Level};
use autoexec_model::JobId;
use autoexec_store::{FileRecords, NodeRecords, StoreError};
use autoexec_store_mongo::MongoRecords;

use super::target::{TargetJob, named};
use super::{say, server};
use crate::CliError;
use crate::config::Config;
use crate::run::runtime;
use crate::shared_store::{self, SharedStore};

pub(super) fn run(job: &TargetJob) -> Result<ExitCode, CliError> {
    let processes = job.running()?.processes;
    if !processes.is_empty() {
        let pids: Vec<u32> = processes.iter().map(autoexec_control::processes::JobProcess::pid).collect();
        let text =
            format!("Job {} is being run by {}; the nodes at work keep their status.", job.id, named(&pids));
        job.tell(Level::Warn, &text);
    }
    if let Err(error) = clean(job)? {
        return Err(CliError::new(
            ExitCode::NodeFailed,
            format!("the statuses of job {} are not forgotten: {error}", job.id),
        ));
    }
    job.tell(Level::Info, &format!("The statuses of all nodes of job {} are forgotten.", job.id));
    Ok(ExitCode::Success)
}

/// Documents and files are kept in step: what is only forgotten in one of them would be read from the other.
fn clean(job: &TargetJob) -> Result<Result<(), StoreError>, CliError> {
    let path = job.home.config_file();
    if !path.exists() {
        return Ok(FileRecords::new(job.dir.clone()).clean_states());
    }
    let config = Config::load(&path).map_err(CliError::bad_input)?;
    let runtime = runtime()?;
    let (store, known_as) = runtime.block_on(find_store(job, &config))?;
    let records: Box<dyn NodeRecords> = match store {
        SharedStore::Connected(database) => {
            Box::new(MongoRecords::new(known_as, job.dir.clone(), database, Arc::new(|text: &str| say(text))))
        }
        SharedStore::FilesOnly(_) => Box::new(FileRecords::new(job.dir.clone())),
    };
    Ok(records.clean_states())
}

async fn find_store(job: &TargetJob, config: &Config) -> Result<(SharedStore, JobId), CliError> {
    let dev_mode = job.flags.devmode;
    if config.server.is_none() || dev_mode {
        let store = shared_store::connect(config, None, dev_mode).await?;
        return Ok((store, job.id.clone()));
    }
    let (client, known_as) = server::client_of(job)?;
    Ok((shared_store::connect(config, Some(&client), false).await?, known_as))
}

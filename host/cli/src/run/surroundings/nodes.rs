//! The node lists of the job's phases for tools.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use autoexec_engine::ports::{NodeList, NodeProvider as _, NodeScope};
use autoexec_model::{ExecStrategy, JobParams, PhaseName};
use autoexec_plan::{Filter, JobPlan};
use autoexec_runners::PhaseNodes;
use autoexec_sandbox::JobNodesError;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use crate::sources::{NodeFiles, open_file};

/// All phases of the job, also those that this process does not run.
pub(super) struct JobNodes {
    scopes: HashMap<String, NodeScope>,
    files: Arc<NodeFiles>,
    /// Phases whose list was brought up to date: once for each process is enough.
    fresh: Mutex<HashSet<String>>,
    runtime: Handle,
}

impl JobNodes {
    pub(super) fn new(params: &JobParams, files: NodeFiles, runtime: &Handle) -> Self {
        let plan = JobPlan::new(params, &Filter::default());
        let phases = plan.groups.iter().flat_map(|group| {
            let scope = move |phase: &PhaseName| match group.strategy {
                ExecStrategy::OneShot => NodeScope::Phase(group.number, phase.clone()),
                ExecStrategy::GrayScale => NodeScope::Group(group.number),
            };
            group
                .phases
                .iter()
                .map(move |planned| (planned.phase.name.to_string(), scope(&planned.phase.name)))
        });
        Self {
            scopes: phases.collect(),
            files: Arc::new(files),
            fresh: Mutex::default(),
            runtime: runtime.clone(),
        }
    }

    fn is_fresh(&self, phase: &str) -> bool {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).contains(phase)
    }
}

#[async_trait]
impl PhaseNodes for JobNodes {
    async fn open(&self, phase: &str) -> Result<NodeList, JobNodesError> {
        let scope = self.scopes.get(phase).ok_or(JobNodesError::NotFound)?.clone();
        let (files, is_fresh) = (Arc::clone(&self.files), self.is_fresh(phase));
        let opening = self.runtime.spawn(async move {
            if is_fresh { open_file(&files.choose(&scope)) } else { files.open(&scope).await }
        });
        let opened = AbortOnDropHandle::new(opening).await;
        let list =
            opened.unwrap_or_else(|error| Err(error.to_string())).map_err(JobNodesError::Unavailable)?;
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).insert(phase.to_owned());
        Ok(list)
    }
}

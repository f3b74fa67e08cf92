//! What all runners of a job share.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use autoexec_engine::ports::{Runners, ToolInfo, ToolProblem, UnitInfo, UnitRunner};
use autoexec_events::Level;
use autoexec_model::command_line::ShellExpansion;
use autoexec_model::{Call, JobId, Node, Operation, ResourceId, SecretKey};
use autoexec_plan::{PlannedPhase, Rerun};
use autoexec_sandbox::{Sandbox, SandboxSettings, Tape};
use autoexec_store::{Home, JobDir};
use autoexec_transport::ssh::{Digests, JumpHost, SshAuth, SshConnector};
use autoexec_transport::tagent::TagentConnector;

use crate::capabilities::Surroundings;
use crate::catalog::{Catalog, Found, Promises};
use crate::conduct::SshConduct;
use crate::permits::SitePolicy;
use crate::scripts::Scripts;
use crate::ssh::{self, KeptDirectories};
use crate::supply::SiteSupply;
use crate::unit::ToolRunner;

/// Fixed facts of a job that tools are told or that decide how they run.
#[derive(Debug, Clone)]
pub struct RunnerSettings {
    /// The home.
    pub home: Home,
    /// The job's directory.
    pub job_dir: JobDir,
    /// The job.
    pub job: JobId,
    /// Who started the job.
    pub exec_user: String,
    /// Tenant; empty when stand-alone.
    pub tenant: String,
    /// Key of the job's secrets.
    pub key: SecretKey,
    /// Whether a shell sees what stands in text values (`shell.expansion` in the configuration).
    pub expansion: ShellExpansion,
    /// Keep the directory on the target after a failure (`rexec.fail.reservedir`).
    pub keep_failed_directory: bool,
    /// Ways to log in to a target that has no password.
    pub ssh_keys: Vec<SshAuth>,
    /// The jump hosts on the way to a node that has a way of its own; for the others the rules of the connector hold.
    pub ssh_ways: HashMap<ResourceId, Vec<Arc<JumpHost>>>,
    /// As whom operations run on targets, and whether they need their connection.
    pub conduct: SshConduct,
    /// What tools in the sandbox may do.
    pub policy: Arc<SitePolicy>,
    /// Whose tools are run, and which were approved.
    pub supply: Arc<SiteSupply>,
    /// Directory of compiled components.
    pub compiled_cache: PathBuf,
    /// Certificate authorities, PEM, that components trust besides the system's.
    pub ca_bundle: Option<PathBuf>,
    /// What is around the tools of the job.
    pub surroundings: Surroundings,
    /// Records the host calls of the one component that is called, or answers them from a recording.
    pub tape: Option<Tape>,
}

/// Finds tools and makes unit runners.
#[derive(Clone)]
pub struct ToolRunners {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) settings: RunnerSettings,
    pub(crate) catalog: Catalog,
    pub(crate) connector: SshConnector,
    pub(crate) agents: TagentConnector,
    pub(crate) scripts: Arc<dyn Scripts>,
    /// Of the files that go to targets.
    pub(crate) digests: Digests,
    /// Directories that stay on targets from one phase to the next.
    pub(crate) kept: Arc<KeptDirectories>,
    sandbox: OnceLock<Result<Sandbox, String>>,
}

impl Shared {
    /// The sandbox, made when the first component is met: a job without components pays nothing for it.
    /// Blocks for some milliseconds the first time.
    pub(crate) fn sandbox(&self) -> Result<&Sandbox, String> {
        let made = self.sandbox.get_or_init(|| {
            let cache_dir = Some(self.settings.compiled_cache.clone());
            let ca_bundle = self.settings.ca_bundle.clone();
            let tape = self.settings.tape.clone();
            let settings = SandboxSettings { cache_dir, ca_bundle, tape, ..SandboxSettings::default() };
            Sandbox::new(settings).map_err(|error| error.to_string())
        });
        made.as_ref().map_err(Clone::clone)
    }
}

impl ToolRunners {
    /// Runners for one job.
    pub fn new(
        settings: RunnerSettings,
        connector: SshConnector,
        agents: TagentConnector,
        scripts: Arc<dyn Scripts>,
    ) -> Self {
        let catalog = Catalog::new(settings.home.clone());
        let kept = Arc::new(KeptDirectories::new(&settings.job, &settings.job_dir));
        Self {
            shared: Arc::new(Shared {
                settings,
                catalog,
                connector,
                agents,
                scripts,
                digests: Digests::default(),
                kept,
                sandbox: OnceLock::new(),
            }),
        }
    }
}

#[async_trait]
impl Runners for ToolRunners {
    async fn prepare(&self, phase: &PlannedPhase) -> Result<(), String> {
        self.shared.scripts.prepare(phase).await
    }

    fn tool(&self, operation: &Operation, call: &Call) -> Result<ToolInfo, ToolProblem> {
        if call.script.is_some() {
            let script = self.shared.scripts.script(operation);
            script?;
            return Ok(ToolInfo { rerun: Rerun::Safe, is_component: false, can_check: false });
        }
        let (Promises { rerun, can_check, .. }, is_component) = match self.shared.catalog.find(operation)? {
            Found::Component(path) => (self.shared.promises_of(&operation.name, &path)?, true),
            Found::Program(path) | Found::Remote(path) => (self.shared.catalog.promises_of(&path)?, false),
        };
        Ok(ToolInfo { rerun, is_component, can_check })
    }

    fn meet(&self, node: &Node) {
        self.shared.kept.meet(node);
    }

    fn open(&self, unit: &UnitInfo) -> Box<dyn UnitRunner> {
        Box::new(ToolRunner::new(Arc::clone(&self.shared), unit.clone()))
    }

    async fn finish(&self) -> Vec<(Level, String)> {
        ssh::remove_kept(&self.shared).await
    }
}

//! Groups in order, phases by the group's strategy, nodes by width.

mod feeder;
mod gray_scale;
mod one_shot;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use autoexec_events::{CallbackPosition, Level, Outcome, RunEvent, StopReason};
use autoexec_model::value::JobOptions;
use autoexec_model::{ExecStrategy, GroupNo, JobId, RunnerId, SecretKey};
use autoexec_plan::{Filter, JobPlan, PlannedGroup, PlannedPhase};
use autoexec_store::{JobDir, Loaded, NodeRecords};
use std::collections::BTreeSet;
use tokio::sync::{mpsc, watch};

use crate::JobEnvironment;
use crate::dispatcher::{Dispatcher, Gate, Inbox, Input, ReleasedRound, Request, SchedulerMessage};
use crate::environment::JobVariables;
use crate::ports::{JobServices, NodeProvider, Reporter, Runners, StopSignal, UnitLogs};
use crate::unit;

/// What does not change while a job runs.
#[derive(Debug)]
pub struct RunSettings {
    /// The job.
    pub job: JobId,
    /// The number of this runner.
    pub runner: RunnerId,
    /// `--firstfire`.
    pub first_fire: bool,
    /// `--force`.
    pub force: bool,
    /// A dry run: tools are asked what they would change, and nothing is changed.
    pub check: bool,
    /// Call "next group" at the end.
    pub fire_next: bool,
    /// Which groups, phases and nodes.
    pub filter: Filter,
    /// The job's directory.
    pub job_dir: JobDir,
    /// Key of the job's secrets.
    pub key: SecretKey,
    /// Resolved job options.
    pub options: JobOptions,
    /// Outputs declared as passwords: operation id and key.
    pub secret_outputs: BTreeSet<(String, String)>,
    /// Longest wait for other runners at the end of a round (`job.maxExecSecs`).
    pub round_limit: Duration,
    /// `native/setenv` may evaluate `$( … )` with the shell. Off unless configured (defect 76).
    pub shell_in_setenv: bool,
}

/// Everything a run works with. Made by `cli`, used once.
pub struct Engine {
    /// Fixed facts.
    pub settings: RunSettings,
    /// What to run.
    pub plan: JobPlan,
    /// The job's environment.
    pub environment: JobEnvironment,
    /// Where nodes come from.
    pub nodes: Box<dyn NodeProvider>,
    /// What is kept between runs.
    pub records: Arc<dyn NodeRecords>,
    /// Where operations run.
    pub runners: Box<dyn Runners>,
    /// Node logs.
    pub logs: Box<dyn UnitLogs>,
    /// Calls that need an answer.
    pub services: Box<dyn JobServices>,
}

/// What the scheduler's and units' tasks share.
pub(crate) struct Shared {
    pub(crate) settings: RunSettings,
    pub(crate) environment: Arc<JobEnvironment>,
    pub(crate) nodes: Box<dyn NodeProvider>,
    pub(crate) records: Arc<dyn NodeRecords>,
    pub(crate) runners: Box<dyn Runners>,
    pub(crate) logs: Box<dyn UnitLogs>,
    pub(crate) services: Box<dyn JobServices>,
    pub(crate) inbox: Inbox,
    pub(crate) gate: watch::Receiver<Gate>,
    pub(crate) released: watch::Receiver<ReleasedRound>,
}

impl Shared {
    pub(crate) fn gate(&self) -> Gate {
        *self.gate.borrow()
    }

    pub(crate) fn stop_signal(&self) -> StopSignal {
        StopSignal(self.gate.clone())
    }

    pub(crate) fn tell(&self, message: SchedulerMessage) {
        self.inbox.send(Input::Scheduler(message));
    }

    /// Waits for something that knows of no stop by itself; `None` as soon as nothing new is to be started.
    async fn while_open<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut gate = self.gate.clone();
        tokio::select! {
            biased;
            _ = gate.wait_for(|gate| !gate.is_open()) => None,
            done = work => Some(done),
        }
    }

    fn message(&self, level: Level, text: String) {
        self.tell(SchedulerMessage::Message { level, text });
    }
}

/// A phase that is being run, and the file its nodes come from.
pub(crate) struct RunningPhase {
    pub(crate) position: CallbackPosition,
    pub(crate) phase: Arc<PlannedPhase>,
    pub(crate) nodes_path: PathBuf,
    /// Targets over all runners; one target lets its outputs be seen by local phases.
    pub(crate) total_nodes: u64,
}

impl Engine {
    /// Runs the job. Events go to `reporters` in order; `requests` brings signals and the like.
    pub async fn run(self, reporters: Vec<Box<dyn Reporter>>, requests: mpsc::Receiver<Request>) -> Outcome {
        let environment = Arc::new(self.environment);
        let variables = JobVariables::new(Arc::clone(&environment), Arc::clone(&self.records));
        let (dispatcher, handles) = Dispatcher::new(reporters, requests, variables);
        let started = RunEvent::JobStarted {
            job: self.settings.job.clone(),
            pid: std::process::id(),
            first_fire: self.settings.first_fire,
        };
        let shared = Arc::new(Shared {
            settings: self.settings,
            environment,
            nodes: self.nodes,
            records: self.records,
            runners: self.runners,
            logs: self.logs,
            services: self.services,
            inbox: handles.inbox,
            gate: handles.gate,
            released: handles.released,
        });
        let plan = self.plan;
        // The dispatcher ends when the last inbox is dropped, that is when the scheduler and all units are done.
        let (outcome, ()) = tokio::join!(dispatcher.run(started), async move {
            run_groups(&shared, plan).await;
            drop(shared);
        });
        outcome
    }
}

async fn run_groups(shared: &Arc<Shared>, plan: JobPlan) {
    for phase in &plan.unknown_phases {
        shared.message(Level::Warn, format!("The job has no phase `{phase}` (--phases)."));
    }
    for group in &plan.unknown_groups {
        shared.message(Level::Warn, format!("The job has no group {group} (--phasegroups)."));
    }
    let mut last_group = None;
    for group in plan.groups {
        if !shared.gate().is_open() {
            break;
        }
        let number = group.number;
        if run_group(shared, group).await > 0 {
            // A group that the filter leaves empty is not one that was run: naming it would fire the wrong one.
            last_group = Some(number);
        }
    }
    for (level, text) in finish_runners(shared).await {
        shared.message(level, text);
    }
    for (level, text) in shared.services.end_control().await {
        shared.message(level, text);
    }
    if let Some(group) = last_group
        && shared.settings.fire_next
        && shared.gate().is_open()
    {
        shared.tell(SchedulerMessage::NextGroup(group));
    }
}

/// Whoever stops harder does not wait for targets that no longer answer.
async fn finish_runners(shared: &Shared) -> Vec<(Level, String)> {
    let finished =
        unit::unless_stopped(shared.stop_signal(), StopReason::Kill, shared.runners.finish()).await;
    finished.unwrap_or_else(|| vec![(Level::Warn, "Stopped before all targets were cleaned up.".to_owned())])
}

/// Returns the number of phases that were really started.
async fn run_group(shared: &Arc<Shared>, group: PlannedGroup) -> u64 {
    shared.tell(SchedulerMessage::GroupStarted(group.number));
    load_job_variables(shared);
    match group.strategy {
        ExecStrategy::OneShot => one_shot::run(shared, group).await,
        ExecStrategy::GrayScale => gray_scale::run(shared, group).await,
    }
}

/// Variables that an earlier process, or another runner, set for the whole job.
fn load_job_variables(shared: &Shared) {
    match shared.records.load_env() {
        Ok(Loaded::Found(env)) => {
            for (name, stored) in env.variables {
                if stored.is_hidden {
                    shared.environment.set_hidden(&name, stored.value);
                } else {
                    shared.environment.set(name, stored.value);
                }
            }
        }
        Ok(Loaded::Missing) => {}
        Ok(Loaded::Broken { reason }) => {
            shared.message(Level::Warn, format!("The job's variables are broken and left out: {reason}"));
        }
        Err(error) => shared.message(Level::Warn, format!("Can not load the job's variables: {error}")),
    }
}

fn position(group: GroupNo, phase: &PlannedPhase) -> CallbackPosition {
    CallbackPosition { group, phase: phase.phase.name.clone() }
}

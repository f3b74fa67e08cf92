//! `--abort`: ends the processes of a job, as hard as it takes.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use autoexec_control::stop::{self, Aborted, Patience};
use autoexec_events::{ExitCode, Level};
use autoexec_model::{JobStatus, NodeKey, NodeStatus};
use autoexec_store::{JobDir, NodeState};

use super::callback::{Found, conclude};
use super::running::{Running, unexpected};
use super::target::{TargetJob, named};
use crate::CliError;

/// A run ends its local processes within 10 s and then waits up to 30 s for a server that is away.
const LOCAL: Duration = Duration::from_mins(1);

/// A run that ends work on targets may have to connect to them first.
const REMOTE: Duration = Duration::from_mins(5);

pub(super) fn run(job: &TargetJob) -> Result<ExitCode, CliError> {
    let Running { processes, is_standalone } = job.running()?;
    let pids: Vec<u32> = processes.iter().map(autoexec_control::processes::JobProcess::pid).collect();
    if pids.is_empty() {
        job.tell(Level::Warn, &format!("Abort of job {}: no process of it runs here.", job.id));
        return conclude(job, JobStatus::Aborted, Found::Nothing);
    }
    job.tell(Level::Info, &format!("Abort of job {}: {} asked to end.", job.id, named(&pids)));
    let said = Cell::new(false);
    let until_kill = || patience(job, &pids, &said);
    let patience = Patience {
        until_kill: &until_kill,
        look: Duration::from_secs(1),
        after_kill: Duration::from_secs(5),
    };
    match stop::abort(&processes, &patience).map_err(unexpected)? {
        Aborted::Ended => {}
        Aborted::Killed(pids) => {
            let text = format!(
                "{} did not end in time and had to be killed; look for what it left on targets.",
                named(&pids)
            );
            job.tell(Level::Warn, &text);
        }
        Aborted::Alive(pids) => {
            return Err(CliError::new(
                ExitCode::NodeFailed,
                format!("{} still there after KILL", named(&pids)),
            )
            .hint(
                "it is stuck in the kernel, often on a file system that does not answer; abort again later",
            ));
        }
    }
    remove_dead_sockets(job);
    job.tell(Level::Info, &format!("Job {} is aborted.", job.id));
    conclude(job, JobStatus::Aborted, Found::stopped(is_standalone))
}

/// The runner takes the socket of a killed process for a running job.
fn remove_dead_sockets(job: &TargetJob) {
    if let Err(error) = autoexec_control::remove_dead_sockets(&job.dir) {
        job.tell(Level::Warn, &error.to_string());
    }
}

fn patience(job: &TargetJob, pids: &[u32], said: &Cell<bool>) -> Duration {
    if !works_on_targets(&job.dir, pids) {
        return LOCAL;
    }
    if !said.replace(true) {
        let text = format!("Work on targets is being ended; that may take up to {} s.", REMOTE.as_secs());
        job.tell(Level::Info, &text);
    }
    REMOTE
}

/// Whether one of the processes still has an operation on a target: its node has no final status yet, and no local
/// process stands for it.
fn works_on_targets(dir: &JobDir, pids: &[u32]) -> bool {
    status_files(dir).iter().any(|path| {
        let state = NodeState::load(path).ok().and_then(autoexec_store::Loaded::found);
        state.is_some_and(|state| {
            let ours = state.process.is_some_and(|process| pids.contains(&process.pid));
            let busy =
                matches!(state.status, NodeStatus::Running | NodeStatus::WaitInput | NodeStatus::Aborting);
            ours && busy && state.op_pid.is_none() && state.current_op.is_some()
        })
    })
}

/// Status files of nodes that are targets.
fn status_files(dir: &JobDir) -> Vec<PathBuf> {
    let local = format!("{}.json", NodeKey::local().as_str());
    let phases = fs::read_dir(dir.statuses()).into_iter().flatten().flatten();
    let files = phases.flat_map(|phase| fs::read_dir(phase.path()).into_iter().flatten().flatten());
    files
        .map(|file| file.path())
        .filter(|path| {
            path.extension().is_some_and(|extension| extension == "json") && !path.ends_with(&local)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_model::{OpId, PhaseName, ResourceId};
    use autoexec_store::ProcessIdentity;

    #[test]
    fn only_a_running_operation_on_a_target_of_that_process_is_waited_for_longer() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir::at(dir.path());
        let (phase, target) = (PhaseName::new("A").unwrap(), NodeKey::new("h", Some(1), ResourceId(5)));
        let remote = NodeState {
            process: Some(ProcessIdentity { pid: 4711, start: None }),
            status: NodeStatus::Running,
            current_op: Some(OpId::new("b/x_1").unwrap()),
            ..NodeState::default()
        };
        let with = |key: &NodeKey, state: &NodeState| {
            job.prepare_unit(&phase, key).unwrap();
            let path = job.node_status(&phase, key);
            state.save(&path).unwrap();
            let works = works_on_targets(&job, &[4711]);
            fs::remove_file(path).unwrap();
            works
        };
        assert!(!works_on_targets(&job, &[4711]), "no status at all");
        assert!(with(&target, &remote));
        assert!(with(&target, &NodeState { status: NodeStatus::WaitInput, ..remote.clone() }));
        assert!(!with(&NodeKey::local(), &remote));
        assert!(!with(&target, &NodeState { status: NodeStatus::Aborted, ..remote.clone() }));
        assert!(
            !with(&target, &NodeState { op_pid: Some(99), ..remote.clone() }),
            "a process on this machine"
        );
        assert!(!with(
            &target,
            &NodeState { process: Some(ProcessIdentity { pid: 1, start: None }), ..remote }
        ));
    }
}

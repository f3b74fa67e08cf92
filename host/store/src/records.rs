//! What is kept about nodes between runs, behind one trait: files by default.

use std::time::Duration;

use autoexec_model::{NodeKey, PhaseName, ResourceId};

use crate::{
    EnvValue, JobDir, JobEnv, JobLock, Loaded, LockScope, NodeOutput, NodeState, StoreError, clean_status,
};

/// How long an update waits for another process that updates the same file. Updates take milliseconds.
pub(crate) const UPDATE_LIMIT: Duration = Duration::from_secs(30);

/// A node as the keys of all stores need it: files by [`NodeKey`], documents by resource id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NodeIdentity {
    /// The server's id; 0 for the local pseudo node.
    pub resource: ResourceId,
    /// Host as in the node file.
    pub host: String,
    /// Service port.
    pub port: Option<u16>,
}

impl NodeIdentity {
    /// The local pseudo node.
    pub fn local() -> Self {
        Self { resource: ResourceId::LOCAL, host: "local".to_owned(), port: Some(0) }
    }

    /// The part of file names that stands for the node.
    pub fn key(&self) -> NodeKey {
        NodeKey::new(&self.host, self.port, self.resource)
    }
}

/// Statuses, outputs and variables of one job. Calls block.
pub trait NodeRecords: Send + Sync {
    /// The status of a node in a phase.
    fn load_state(&self, phase: &PhaseName, node: &NodeIdentity) -> Result<Loaded<NodeState>, StoreError>;

    /// Replaces the status of a node in a phase.
    fn save_state(&self, phase: &PhaseName, node: &NodeIdentity, state: &NodeState)
    -> Result<(), StoreError>;

    /// Forgets the statuses of all nodes (`--cleanstatus`).
    fn clean_states(&self) -> Result<(), StoreError>;

    /// The outputs of a node.
    fn load_output(&self, node: &NodeIdentity) -> Result<Loaded<NodeOutput>, StoreError>;

    /// Reads the outputs of a node (empty if there are none), lets `change` change them and writes them back;
    /// nobody else writes in between. Returns what was written.
    fn update_output(
        &self,
        node: &NodeIdentity,
        change: &mut dyn FnMut(&mut NodeOutput),
    ) -> Result<NodeOutput, StoreError>;

    /// The job-wide variables.
    fn load_env(&self) -> Result<Loaded<JobEnv>, StoreError>;

    /// Sets a job-wide variable.
    fn set_env(&self, name: &str, value: EnvValue) -> Result<(), StoreError>;
}

/// [`NodeRecords`] in files of the job directory.
#[derive(Debug, Clone)]
pub struct FileRecords {
    job: JobDir,
}

impl FileRecords {
    /// Records of the job in this directory. The directories of a node must have been made
    /// ([`JobDir::prepare_unit`]) before its records are written.
    pub fn new(job: JobDir) -> Self {
        Self { job }
    }
}

impl NodeRecords for FileRecords {
    fn load_state(&self, phase: &PhaseName, node: &NodeIdentity) -> Result<Loaded<NodeState>, StoreError> {
        NodeState::load(&self.job.node_status(phase, &node.key()))
    }

    fn save_state(
        &self,
        phase: &PhaseName,
        node: &NodeIdentity,
        state: &NodeState,
    ) -> Result<(), StoreError> {
        state.save(&self.job.node_status(phase, &node.key()))
    }

    fn clean_states(&self) -> Result<(), StoreError> {
        clean_status(&self.job)
    }

    fn load_output(&self, node: &NodeIdentity) -> Result<Loaded<NodeOutput>, StoreError> {
        NodeOutput::load(&self.job.node_output(&node.key()))
    }

    fn update_output(
        &self,
        node: &NodeIdentity,
        change: &mut dyn FnMut(&mut NodeOutput),
    ) -> Result<NodeOutput, StoreError> {
        let key = node.key();
        let path = self.job.node_output(&key);
        let _lock = JobLock::acquire_within(&self.job, LockScope::Output(&key), UPDATE_LIMIT)?;
        let mut output = writable(NodeOutput::load(&path)?, &path)?;
        change(&mut output);
        output.save(&path)?;
        Ok(output)
    }

    fn load_env(&self) -> Result<Loaded<JobEnv>, StoreError> {
        JobEnv::load(&self.job.env_file())
    }

    fn set_env(&self, name: &str, value: EnvValue) -> Result<(), StoreError> {
        let path = self.job.env_file();
        let _lock = JobLock::acquire_within(&self.job, LockScope::Env, UPDATE_LIMIT)?;
        let mut env = writable(JobEnv::load(&path)?, &path)?;
        env.variables.insert(name.to_owned(), value);
        env.save(&path)
    }
}

/// What an update starts from. A broken file is not overwritten: it may hold outputs that a person can rescue.
fn writable<T: Default>(loaded: Loaded<T>, path: &std::path::Path) -> Result<T, StoreError> {
    match loaded {
        Loaded::Found(value) => Ok(value),
        Loaded::Missing => Ok(T::default()),
        Loaded::Broken { reason } => Err(StoreError::Broken { path: path.to_owned(), reason }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_model::{NodeStatus, OpId};
    use serde_json::{Map, Value};
    use std::fs;

    fn records() -> (tempfile::TempDir, FileRecords, PhaseName) {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir::at(dir.path());
        let phase = PhaseName::new("P").unwrap();
        job.create().unwrap();
        job.prepare_unit(&phase, &NodeKey::local()).unwrap();
        (dir, FileRecords::new(job), phase)
    }

    #[test]
    fn the_local_node_has_its_fixed_key() {
        assert_eq!(NodeIdentity::local().key(), NodeKey::local());
    }

    #[test]
    fn updates_from_many_writers_are_all_kept() {
        let (_dir, records, _) = records();
        let node = NodeIdentity::local();
        std::thread::scope(|scope| {
            for number in 0..8 {
                let (records, node) = (&records, &node);
                scope.spawn(move || {
                    let op = OpId::new(format!("b/x_{number}")).unwrap();
                    let mut add = |output: &mut NodeOutput| {
                        output.set_operation(
                            op.clone(),
                            Map::from_iter([("n".to_owned(), Value::from(number))]),
                        );
                    };
                    records.update_output(node, &mut add).unwrap();
                    let value = EnvValue { value: number.to_string(), is_hidden: number % 2 == 0 };
                    records.set_env(&format!("V{number}"), value).unwrap();
                });
            }
        });
        assert_eq!(records.load_output(&node).unwrap().found().unwrap().operations().count(), 8);
        let env = records.load_env().unwrap().found().unwrap();
        assert_eq!(env.variables.len(), 8);
        assert_eq!(env.variables["V2"], EnvValue { value: "2".to_owned(), is_hidden: true });
    }

    #[test]
    fn a_broken_output_file_is_not_overwritten() {
        let (_dir, records, _) = records();
        let path = records.job.node_output(&NodeKey::local());
        fs::write(&path, "{\"half").unwrap();
        let error = records.update_output(&NodeIdentity::local(), &mut |_| {}).unwrap_err();
        assert!(matches!(error, StoreError::Broken { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"half");
    }

    #[test]
    fn cleaning_forgets_every_status() {
        let (_dir, records, phase) = records();
        let node = NodeIdentity::local();
        let state = NodeState { status: NodeStatus::Succeed, ..NodeState::default() };
        records.save_state(&phase, &node, &state).unwrap();
        assert_eq!(records.load_state(&phase, &node).unwrap(), Loaded::Found(state));
        records.clean_states().unwrap();
        assert_eq!(records.load_state(&phase, &node).unwrap(), Loaded::Missing);
        records.clean_states().unwrap();
    }
}

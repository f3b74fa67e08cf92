//! Where everything lies: the installation and the directory of a job (`spec/cli.md` §1.1, `spec/workdir.md` §5.1).

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use autoexec_model::{GroupNo, JobId, NodeKey, OpId, PhaseName};

use crate::StoreError;
use crate::error::io_error;

/// The installation directory and the paths under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The installation at `root`, the directory above the one that holds the executable.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The installation directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `conf/config.ini`
    pub fn config_file(&self) -> PathBuf {
        self.root.join("conf/config.ini")
    }

    /// `conf/policy`: what tools may do, `*.toml`.
    pub fn policy(&self) -> PathBuf {
        self.root.join("conf/policy")
    }

    /// `conf/trust`: public keys whose signatures of tools count, `*.pub`.
    pub fn trust(&self) -> PathBuf {
        self.root.join("conf/trust")
    }

    /// `plugins.lock`: the tools that were approved.
    pub fn plugins_lock(&self) -> PathBuf {
        self.root.join("plugins.lock")
    }

    /// `data/wasm-cache`: compiled components.
    pub fn compiled_tools(&self) -> PathBuf {
        self.root.join("data/wasm-cache")
    }

    /// `data/job`: the runner's setting `autoexec.home` points here.
    pub fn jobs(&self) -> PathBuf {
        self.root.join("data/job")
    }

    /// `data/cache`: downloaded files, shared by all jobs.
    pub fn cache(&self) -> PathBuf {
        self.root.join("data/cache")
    }

    /// `logs`: the executor's own log.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// `logs/policy-audit.jsonl`: every decision about what a tool may do.
    pub fn policy_audit(&self) -> PathBuf {
        self.root.join("logs/policy-audit.jsonl")
    }

    /// `plugins/local`: native tools that run here.
    pub fn local_plugins(&self) -> PathBuf {
        self.root.join("plugins/local")
    }

    /// `plugins/remote`: native tools that are sent to targets.
    pub fn remote_plugins(&self) -> PathBuf {
        self.root.join("plugins/remote")
    }

    /// `plugins/wasm`: tools that are WebAssembly components.
    pub fn wasm_plugins(&self) -> PathBuf {
        self.root.join("plugins/wasm")
    }

    /// The directory of a job. Nothing is created.
    pub fn job(&self, job: &JobId) -> JobDir {
        JobDir { root: self.jobs().join(job.split_path()) }
    }
}

/// The directory of one job. Methods only build paths, except those that say they create something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDir {
    root: PathBuf,
}

impl JobDir {
    /// A job directory at a place of the caller's choice (stand-alone runs).
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself; plugins run in it.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `params.json`
    pub fn params(&self) -> PathBuf {
        self.root.join("params.json")
    }

    /// `nodes.json`: targets of the job.
    pub fn nodes(&self) -> PathBuf {
        self.root.join("nodes.json")
    }

    /// `nodes-gp-<g>.json`: targets of a group.
    pub fn group_nodes(&self, group: GroupNo) -> PathBuf {
        self.root.join(format!("nodes-gp-{group}.json"))
    }

    /// `nodes-ph-<P>.json`: targets of a phase.
    pub fn phase_nodes(&self, phase: &PhaseName) -> PathBuf {
        self.root.join(format!("nodes-ph-{phase}.json"))
    }

    /// `job<X>.sock`; X is the exec id, else the process id (`spec/job-socket.md`). The path may be longer than
    /// a socket address can be.
    pub fn socket(&self, instance: &str) -> PathBuf {
        self.root.join(format!("job{instance}.sock"))
    }

    /// `file`: links to downloaded files.
    pub fn files(&self) -> PathBuf {
        self.root.join("file")
    }

    /// `script`: custom scripts.
    pub fn scripts(&self) -> PathBuf {
        self.root.join("script")
    }

    /// `log`
    pub fn logs(&self) -> PathBuf {
        self.root.join("log")
    }

    /// `log/console.txt`
    pub fn console_log(&self) -> PathBuf {
        self.root.join("log/console.txt")
    }

    /// `log/console.hislog`: history of the console log.
    pub fn console_history(&self) -> PathBuf {
        self.root.join("log/console.hislog")
    }

    /// `log/<P>`
    pub fn phase_logs(&self, phase: &PhaseName) -> PathBuf {
        self.logs().join(phase.as_str())
    }

    /// `log/<P>.waitInput`: marker of older versions.
    pub fn wait_input_marker(&self, phase: &PhaseName) -> PathBuf {
        self.logs().join(format!("{phase}.waitInput"))
    }

    /// `log/<P>/<K>.txt`
    pub fn node_log(&self, phase: &PhaseName, node: &NodeKey) -> PathBuf {
        self.phase_logs(phase).join(format!("{node}.txt"))
    }

    /// `log/<P>/<K>.txt.run.pipe`: the FIFO from which a question to a person is answered.
    pub fn question_pipe(&self, phase: &PhaseName, node: &NodeKey) -> PathBuf {
        let mut path = self.node_log(phase, node).into_os_string();
        path.push(".run.pipe");
        path.into()
    }

    /// `log/<P>/<K>.hislog`: history of a node log.
    pub fn node_history(&self, phase: &PhaseName, node: &NodeKey) -> PathBuf {
        self.phase_logs(phase).join(format!("{node}.hislog"))
    }

    /// `log/<P>/<K>`: logs of SQL files.
    pub fn sql_logs(&self, phase: &PhaseName, node: &NodeKey) -> PathBuf {
        self.phase_logs(phase).join(node.as_str())
    }

    /// `status`
    pub fn statuses(&self) -> PathBuf {
        self.root.join("status")
    }

    /// `status/<P>/<K>.json`
    pub fn node_status(&self, phase: &PhaseName, node: &NodeKey) -> PathBuf {
        self.statuses().join(phase.as_str()).join(format!("{node}.json"))
    }

    /// `status/<P>/<K>`: statuses of SQL files.
    pub fn sql_statuses(&self, phase: &PhaseName, node: &NodeKey) -> PathBuf {
        self.statuses().join(phase.as_str()).join(node.as_str())
    }

    /// `input/<K>.json`
    pub fn node_input(&self, node: &NodeKey) -> PathBuf {
        self.root.join("input").join(format!("{node}.json"))
    }

    /// `output/<K>.json`: in plugins' environment as `NODE_OUTPUT_PATH`.
    pub fn node_output(&self, node: &NodeKey) -> PathBuf {
        self.root.join("output").join(format!("{node}.json"))
    }

    /// The output files of all nodes that have one, with the node's key as text, in the order of the keys.
    pub fn node_output_files(&self) -> Result<Vec<(String, PathBuf)>, StoreError> {
        let directory = self.root.join("output");
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io_error("read", &directory)(error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(io_error("read", &directory))?.path();
            let name =
                path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".json"));
            // A dot in front marks a temporary file of a write that is under way.
            if let Some(key) = name.filter(|name| !name.starts_with('.')) {
                files.push((key.to_owned(), path.clone()));
            }
        }
        files.sort();
        Ok(files)
    }

    /// `output-op/<K>`: in plugins' environment as `OUTPUT_DIR`.
    pub fn op_outputs(&self, node: &NodeKey) -> PathBuf {
        self.root.join("output-op").join(node.as_str())
    }

    /// `output-op/<K>/<opId>.json`: in plugins' environment as `OUTPUT_PATH`.
    pub fn op_output(&self, node: &NodeKey, operation: &OpId) -> PathBuf {
        self.op_outputs(node).join(format!("{operation}.json"))
    }

    /// `output-op/<K>/<opId>`: file outputs of one operation.
    pub fn op_output_files(&self, node: &NodeKey, operation: &OpId) -> PathBuf {
        self.op_outputs(node).join(operation.as_str())
    }

    /// `livedata/<P>/<K>`
    pub fn live_data_dir(&self, phase: &PhaseName, node: &NodeKey) -> PathBuf {
        self.root.join("livedata").join(phase.as_str()).join(node.as_str())
    }

    /// `livedata/<P>/<K>/<opId>.json`: in plugins' environment as `LIVEDATA_PATH`.
    pub fn live_data(&self, phase: &PhaseName, node: &NodeKey, operation: &OpId) -> PathBuf {
        self.live_data_dir(phase, node).join(format!("{operation}.json"))
    }

    /// `sqlfile/<P>`: SQL sources.
    pub fn sql_files(&self, phase: &PhaseName) -> PathBuf {
        self.root.join("sqlfile").join(phase.as_str())
    }

    /// `.journal`: one file per process. Not part of the reference.
    pub fn journals(&self) -> PathBuf {
        self.root.join(".journal")
    }

    /// `.kept`: directories that runs keep on targets between phases, a file for each. Not part of the reference.
    pub fn kept(&self) -> PathBuf {
        self.root.join(".kept")
    }

    /// `.lock`: lock files. Not part of the reference.
    pub fn locks(&self) -> PathBuf {
        self.root.join(".lock")
    }

    /// `.env.json`: job-wide variables where no MongoDB keeps them. Not part of the reference.
    pub fn env_file(&self) -> PathBuf {
        self.root.join(".env.json")
    }

    /// Creates the job directory and the directories that exist from the start. The job directory is closed to
    /// other users (`spec/defects.md` 101), also where the runner made it first.
    pub fn create(&self) -> Result<(), StoreError> {
        create_dirs(&self.root)?;
        close_to_others(&self.root)?;
        ["script", "file", "status", "log", "output", "output-op", "input"]
            .iter()
            .try_for_each(|name| create_dirs(&self.root.join(name)))
    }

    /// Creates the directories of one node in one phase.
    pub fn prepare_unit(&self, phase: &PhaseName, node: &NodeKey) -> Result<(), StoreError> {
        [
            self.node_history(phase, node),
            self.statuses().join(phase.as_str()),
            self.op_outputs(node),
            self.root.join("input"),
            self.root.join("output"),
            self.root.join("livedata"),
        ]
        .iter()
        .try_for_each(|path| create_dirs(path))
    }

    /// Creates the directory in which the output file of one operation lies: its id may hold `/`.
    pub fn prepare_operation(&self, node: &NodeKey, operation: &OpId) -> Result<(), StoreError> {
        self.op_output(node, operation).parent().map_or(Ok(()), create_dirs)
    }

    /// Creates the directory for live data of an operation, which only what runs on this machine has (`spec/plugin-contract.md` §8.4).
    pub fn prepare_live_data(
        &self,
        phase: &PhaseName,
        node: &NodeKey,
        operation: &OpId,
    ) -> Result<(), StoreError> {
        self.live_data(phase, node, operation).parent().map_or(Ok(()), create_dirs)
    }

    /// Removes the marker that older versions left for a phase that waits for input.
    pub fn remove_wait_input_marker(&self, phase: &PhaseName) -> Result<(), StoreError> {
        remove_if_there(&self.wait_input_marker(phase))
    }
}

/// Creates a directory and what is missing above it. Another process may be doing the same, or removing an
/// empty directory above (`purge`), so a missing parent is tried again.
pub(crate) fn create_dirs(path: &Path) -> Result<(), StoreError> {
    let mut attempt = 0;
    loop {
        match DirBuilder::new().recursive(true).mode(0o755).create(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < 5 => attempt += 1,
            result => return result.map_err(io_error("create the directory", path)),
        }
    }
}

/// Removes a file that may be gone already.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", path)(error)),
        _ => Ok(()),
    }
}

fn close_to_others(path: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(path).map_err(io_error("inspect", path))?.permissions().mode();
    let open_to_others = mode & 0o077;
    if open_to_others == 0 {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io_error("close to other users", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit() -> (PhaseName, NodeKey, OpId) {
        let key = NodeKey::new("10.1.0.1", None, autoexec_model::ResourceId(71));
        (PhaseName::new("检查").unwrap(), key, OpId::new("basic/free_501").unwrap())
    }

    #[test]
    fn every_path_of_the_tree() {
        let home = Home::new("/app");
        let job = home.job(&JobId::new("620011223344").unwrap());
        let (phase, node, op) = unit();
        let root = "/app/data/job/620/011/223/344";
        for (path, expected) in [
            (job.params(), "params.json"),
            (job.group_nodes(GroupNo(2)), "nodes-gp-2.json"),
            (job.phase_nodes(&phase), "nodes-ph-检查.json"),
            (job.socket("7"), "job7.sock"),
            (job.console_log(), "log/console.txt"),
            (job.wait_input_marker(&phase), "log/检查.waitInput"),
            (job.node_log(&phase, &node), "log/检查/10.1.0.1--71.txt"),
            (job.node_history(&phase, &node), "log/检查/10.1.0.1--71.hislog"),
            (job.node_status(&phase, &node), "status/检查/10.1.0.1--71.json"),
            (job.sql_statuses(&phase, &node), "status/检查/10.1.0.1--71"),
            (job.node_input(&node), "input/10.1.0.1--71.json"),
            (job.node_output(&node), "output/10.1.0.1--71.json"),
            (job.op_output(&node, &op), "output-op/10.1.0.1--71/basic/free_501.json"),
            (job.op_output_files(&node, &op), "output-op/10.1.0.1--71/basic/free_501"),
            (job.live_data(&phase, &node, &op), "livedata/检查/10.1.0.1--71/basic/free_501.json"),
        ] {
            assert_eq!(path, Path::new(root).join(expected));
        }
        assert_eq!(home.wasm_plugins(), Path::new("/app/plugins/wasm"));
    }

    #[test]
    fn many_at_once_create_the_same_directories() {
        let dir = tempfile::tempdir().unwrap();
        let job = Home::new(dir.path()).job(&JobId::new("12345").unwrap());
        let (phase, node, op) = unit();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    job.create().unwrap();
                    job.prepare_unit(&phase, &node).unwrap();
                    job.prepare_operation(&node, &op).unwrap();
                    job.prepare_live_data(&phase, &node, &op).unwrap();
                });
            }
        });
        assert!(job.op_output(&node, &op).parent().unwrap().is_dir());
        assert!(job.live_data(&phase, &node, &op).parent().unwrap().is_dir());
        assert!(job.node_history(&phase, &node).is_dir());
    }

    #[test]
    fn a_directory_the_runner_made_is_closed() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir::at(dir.path().join("1"));
        fs::create_dir_all(job.logs()).unwrap();
        fs::set_permissions(job.root(), Permissions::from_mode(0o755)).unwrap();
        job.create().unwrap();
        assert_eq!(fs::metadata(job.root()).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log"), "").unwrap();
        let error = JobDir::at(dir.path()).create().unwrap_err();
        assert!(error.to_string().contains("/log`"), "{error}");
    }
}

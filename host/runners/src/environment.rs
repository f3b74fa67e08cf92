//! The environment that a native tool is started with (`spec/plugin-contract.md` §8.3).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use autoexec_engine::ports::{OperationCall, UnitInfo};
use autoexec_model::Place;
use autoexec_store::{Home, JobDir};
use serde_json::Value;

use crate::settings::Shared;

/// The whole environment of a local process: the job's, what the contract adds, the node's variables.
pub(crate) fn local(
    shared: &Shared,
    unit: &UnitInfo,
    call: &OperationCall<'_>,
    program: &Path,
) -> BTreeMap<OsString, OsString> {
    let settings = &shared.settings;
    let (job_dir, node, key) = (&settings.job_dir, &unit.node, unit.node.key());
    let (phase, operation) = (&unit.phase.phase.name, &call.operation.id);
    let mut environment: BTreeMap<OsString, OsString> =
        call.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    // Defect 82: the replaced system computed these and did not export them.
    for (name, value) in call.node_variables.iter().filter(|(name, _)| is_exported(call, name)) {
        environment.insert(name.into(), value.into());
    }
    let mut set = |name: &str, value: OsString| environment.insert(name.into(), value);
    set("TERM", "dumb".into());
    set("GROUP_NO", unit.group.to_string().into());
    set("AUTOEXEC_PHASE_NAME", phase.as_str().into());
    set("OPERATION_ID", operation.as_str().into());
    set("OUTPUT_DIR", job_dir.op_outputs(&key).into());
    set("OUTPUT_PATH", job_dir.op_output(&key, operation).into());
    set("LIVEDATA_PATH", job_dir.live_data(phase, &key, operation).into());
    set("NODE_OUTPUT_PATH", job_dir.node_output(&key).into());
    set("AUTOEXEC_NODES_PATH", unit.nodes_path.clone().into());
    let password = node.password(&settings.key);
    let node_object = Value::Object(node.to_plugin_object(password.as_ref()));
    set("AUTOEXEC_NODE", node_object.to_string().into());
    prepend_paths(&mut environment, &settings.home, job_dir, program);
    environment
}

/// Facts about the local pseudo node would only hide what a job option of the same name says.
fn is_exported(call: &OperationCall<'_>, name: &str) -> bool {
    call.operation.place == Place::RunnerTarget || !name.starts_with("NODE_")
}

fn prepend_paths(
    environment: &mut BTreeMap<OsString, OsString>,
    home: &Home,
    _job_dir: &JobDir,
    program: &Path,
) {
    let own = program.parent().unwrap_or(Path::new("/"));
    let shared = home.local_plugins().join("lib");
    prepend(environment, "PATH", &[&own.join("lib"), &shared]);
    for name in ["PYTHONPATH", "PERL5LIB"] {
        prepend(environment, name, &[own, &own.join("lib"), &shared]);
    }
}

fn prepend(environment: &mut BTreeMap<OsString, OsString>, name: &str, directories: &[&Path]) {
    let mut value = OsString::new();
    for directory in directories {
        value.push(directory);
        value.push(":");
    }
    if let Some(old) = environment.get(&OsString::from(name)) {
        value.push(old);
    }
    environment.insert(name.into(), value);
}

/// Variables of a script on a target (§8.5). Job options are not sent; the node object has no password.
pub(crate) fn remote(shared: &Shared, unit: &UnitInfo, call: &OperationCall<'_>) -> Vec<(String, String)> {
    let node = &unit.node;
    let port = node.port.map(|port| port.to_string()).unwrap_or_default();
    let mut environment = vec![
        ("HISTSIZE".to_owned(), "0".to_owned()),
        ("NODE_HOST".to_owned(), node.host.clone()),
        ("NODE_PORT".to_owned(), port),
        ("NODE_NAME".to_owned(), node.name.clone()),
        ("AUTOEXEC_JOBID".to_owned(), shared.settings.job.to_string()),
        ("AUTOEXEC_NODE".to_owned(), Value::Object(node.to_plugin_object(None)).to_string()),
    ];
    for name in ["INS_PATH", "INS_ID_PATH"] {
        if let Some(found) = call.node_variables.get(name) {
            environment.push((name.to_owned(), found.text.into_owned()));
        }
    }
    environment
}

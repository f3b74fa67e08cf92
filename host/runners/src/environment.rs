//! The environment that a native tool is started with (`spec/plugin-contract.md` §8.3).

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use autoexec_engine::ports::{OperationCall, UnitInfo};
use autoexec_model::Place;
use autoexec_model::value::is_refused_environment_name;
use autoexec_store::Home;
use serde_json::Value;

use crate::secret_files::SecretFiles;
use crate::settings::Shared;

/// The whole environment of a local process: the job's, what the contract adds, the node's variables. With `secrets`, the
/// node's password stands in a file that `AUTOEXEC_NODE_FILE` names.
pub(crate) fn local(
    shared: &Shared,
    unit: &UnitInfo,
    call: &OperationCall<'_>,
    program: &Path,
    secrets: Option<&SecretFiles>,
) -> Result<BTreeMap<OsString, OsString>, String> {
    let settings = &shared.settings;
    let (job_dir, node, key) = (&settings.job_dir, &unit.node, unit.node.key());
    let (phase, operation) = (&unit.phase.phase.name, &call.operation.id);
    let mut environment: BTreeMap<OsString, OsString> =
        call.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
    // Defect 82: the replaced system computed these and did not export them.
    for (name, value) in call.node_variables.iter().filter(|(name, _)| is_exported(unit, call, name)) {
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
    let object = |password| Value::Object(node.to_plugin_object(password)).to_string();
    match secrets {
        None => set("AUTOEXEC_NODE", object(password.as_ref()).into()),
        Some(files) => {
            set("AUTOEXEC_NODE", object(None).into());
            set("AUTOEXEC_NODE_FILE", files.write(&object(password.as_ref()))?.into())
        }
    };
    prepend_paths(&mut environment, &settings.home, program);
    Ok(environment)
}

/// Facts about the node, known without anybody setting them (`spec/job-params.md` §2.9).
const INSTANCE_FACTS: [&str; 7] =
    ["RESOURCE_ID", "INS_NAME", "INS_HOST", "INS_PORT", "INS_PROTOCOL_PORT", "INS_PATH", "INS_ID_PATH"];
const NODE_FACTS: [&str; 4] = ["NODE_NAME", "NODE_HOST", "NODE_PORT", "NODE_PROTOCOL_PORT"];

/// Facts about the local pseudo node would only hide what a job option of the same name says. A variable that decides
/// what plugins load is set by nobody, an operation of the job included (defect 68).
fn is_exported(unit: &UnitInfo, call: &OperationCall<'_>, name: &str) -> bool {
    let is_for_target = call.operation.place == Place::RunnerTarget;
    !is_refused_environment_name(name)
        && (is_for_target || !NODE_FACTS.contains(&name))
        && (is_for_target || !unit.node.is_local() || !INSTANCE_FACTS.contains(&name))
}

fn prepend_paths(environment: &mut BTreeMap<OsString, OsString>, home: &Home, program: &Path) {
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

#[cfg(test)]
mod tests {
    use autoexec_model::command_line::ShellExpansion;
    use serde_json::json;

    use super::*;
    use crate::samples::{Sample, operation_from};

    /// The environment of a local run, with the sample's directory shown as `DIR`.
    fn local_environment(place: &str, inherited: &[(&str, &str)]) -> BTreeMap<String, String> {
        let sample = Sample::new(ShellExpansion::Off);
        let json = json!({"opName": "basic/free", "opId": "basic/free_501", "opType": place});
        let (unit, operation) = (sample.unit(&json), operation_from(&json));
        let mut parts = sample.call_parts(&operation);
        parts
            .environment
            .extend(inherited.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        for name in ["COLOUR", "LD_PRELOAD", "PERL5OPT", "A=B"] {
            parts.variables.set(name, "blue", false);
        }
        let program = sample.dir().join("plugins/local/basic/free");
        let environment = local(&sample.shared, &unit, &parts.call(&operation), &program, None).unwrap();
        let text =
            |text: OsString| text.into_string().unwrap().replace(&sample.dir().display().to_string(), "DIR");
        environment.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn a_local_process_gets_the_table_of_the_contract() {
        let inherited =
            [("PATH", "/bin"), ("TERM", "xterm"), ("AUTOEXEC_JOBID", "620011"), ("region", "north")];
        let found = local_environment("runner_target", &inherited);
        for (name, value) in [
            ("TERM", "dumb"),
            ("GROUP_NO", "3"),
            ("AUTOEXEC_PHASE_NAME", "check"),
            ("OPERATION_ID", "basic/free_501"),
            ("OUTPUT_DIR", "DIR/job/output-op/10.1.0.1-8080-71"),
            ("OUTPUT_PATH", "DIR/job/output-op/10.1.0.1-8080-71/basic/free_501.json"),
            ("LIVEDATA_PATH", "DIR/job/livedata/check/10.1.0.1-8080-71/basic/free_501.json"),
            ("NODE_OUTPUT_PATH", "DIR/job/output/10.1.0.1-8080-71.json"),
            ("AUTOEXEC_NODES_PATH", "DIR/job/nodes-ph-check.json"),
            ("PATH", "DIR/plugins/local/basic/lib:DIR/plugins/local/lib:/bin"),
            ("PYTHONPATH", "DIR/plugins/local/basic:DIR/plugins/local/basic/lib:DIR/plugins/local/lib:"),
            ("PERL5LIB", "DIR/plugins/local/basic:DIR/plugins/local/basic/lib:DIR/plugins/local/lib:"),
            ("NODE_HOST", "10.1.0.1"),
            ("NODE_PORT", "8080"),
            ("NODE_NAME", "web-1"),
            ("AUTOEXEC_JOBID", "620011"),
            ("region", "north"),
            ("COLOUR", "blue"),
            ("INS_PATH", "shop/cart/SIT/web-1"),
            ("INS_ID_PATH", "11/22/33/71"),
        ] {
            assert_eq!(found.get(name).map(String::as_str), Some(value), "{name}");
        }
        let node: Value = serde_json::from_str(&found["AUTOEXEC_NODE"]).unwrap();
        assert_eq!((&node["password"], &node["resourceId"]), (&json!("s3cret-Pa55"), &json!(71)));
    }

    #[test]
    fn facts_of_the_node_are_for_operations_on_nodes_only() {
        let found = local_environment("runner", &[("NODE_HOST", "an option of the job")]);
        assert_eq!(found["NODE_HOST"], "an option of the job");
        assert!(!found.contains_key("NODE_PORT") && !found.contains_key("NODE_NAME"));
        assert_eq!(found["COLOUR"], "blue");
        for refused in ["LD_PRELOAD", "PERL5OPT", "A=B"] {
            assert!(!found.contains_key(refused), "{refused}");
        }
    }

    #[test]
    fn a_target_gets_few_variables_and_no_password() {
        let sample = Sample::new(ShellExpansion::Off);
        let json = json!({"opName": "b/t", "opId": "b/t_1", "opType": "target"});
        let (unit, operation) = (sample.unit(&json), operation_from(&json));
        let mut parts = sample.call_parts(&operation);
        parts.environment.insert("region".to_owned(), "north".to_owned());
        let found = remote(&sample.shared, &unit, &parts.call(&operation));
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "HISTSIZE",
                "NODE_HOST",
                "NODE_PORT",
                "NODE_NAME",
                "AUTOEXEC_JOBID",
                "AUTOEXEC_NODE",
                "INS_PATH",
                "INS_ID_PATH"
            ]
        );
        let node: Value = serde_json::from_str(&found[5].1).unwrap();
        assert_eq!(node["password"], "");
        assert!(
            found.iter().all(|(_, value)| !value.contains("s3cret") && !value.contains("d94cf1")),
            "{found:?}"
        );
    }
}

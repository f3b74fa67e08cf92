//! Short ways to write parameters and nodes as the server sends them (`spec/job-params.md`, `spec/nodes.md`).

use serde_json::{Value, json};

/// Parameters with these groups, numbered from 0.
pub fn params(groups: impl IntoIterator<Item = Value>) -> Value {
    let groups: Vec<Value> = groups
        .into_iter()
        .enumerate()
        .map(|(number, mut group)| {
            group["groupNo"] = json!(number);
            group
        })
        .collect();
    json!({"jobId": 620_011_223_344_u64, "tenant": "demo", "execUser": "u-77", "roundCount": 0, "opt": {},
        "arg": {}, "environment": {}, "runFlow": groups})
}

/// A one-shot group.
pub fn one_shot(phases: impl IntoIterator<Item = Value>) -> Value {
    json!({"execStrategy": "oneShot", "phases": phases.into_iter().collect::<Vec<_>>()})
}

/// A phase; `kind` is `runner`, `target`, `runner_target` or `sqlfile`.
pub fn phase(name: &str, kind: &str, operations: impl IntoIterator<Item = Value>) -> Value {
    json!({"phaseName": name, "phaseType": kind, "execRound": "first",
        "operations": operations.into_iter().collect::<Vec<_>>()})
}

/// An operation without options; its id is `<name>_<number>`.
pub fn op(name: &str, kind: &str, number: u32) -> Value {
    json!({"opId": format!("{name}_{number}"), "opName": name, "opType": kind, "interpreter": "sh", "isScript": 0,
        "failIgnore": 0, "arg": [], "opt": {}, "desc": {}, "output": {}})
}

/// Adds an option with its type to an operation.
#[must_use]
pub fn with_option(mut operation: Value, name: &str, kind: &str, value: &str) -> Value {
    operation["opt"][name] = json!(value);
    operation["desc"][name] = json!(kind);
    operation
}

/// Adds a free argument to an operation.
#[must_use]
pub fn with_argument(mut operation: Value, kind: &str, value: &str) -> Value {
    if let Some(arguments) = operation["arg"].as_array_mut() {
        arguments.push(json!({"key": 1, "type": kind, "value": value}));
    }
    operation
}

/// Declares an output of an operation.
#[must_use]
pub fn with_output(mut operation: Value, name: &str, kind: &str) -> Value {
    operation["output"][name] = json!({"opt": name, "type": kind, "defaultValue": ""});
    operation
}

/// Makes a failure of the operation tolerable.
#[must_use]
pub fn fail_ignored(mut operation: Value) -> Value {
    operation["failIgnore"] = json!(1);
    operation
}

/// A target of runner 1: resource `id` at `10.1.0.<id - 70>`, without a port.
pub fn node(id: u32) -> Value {
    json!({"resourceId": id, "nodeName": format!("n{id}"), "nodeType": "Linux", "host": format!("10.1.0.{}", id - 70),
        "protocol": "ssh", "protocolPort": 22, "username": "app", "password": "pw", "runnerId": 1})
}

/// The key of such a target in file names.
pub fn key(id: u32) -> String {
    format!("10.1.0.{}--{id}", id - 70)
}

/// A node file of one runner.
pub fn node_file(nodes: &[Value]) -> String {
    let header = json!({"totalCount": nodes.len(), "localRunnerId": 1, "jobRunnerIds": [1]});
    let lines: Vec<String> = std::iter::once(&header).chain(nodes).map(Value::to_string).collect();
    lines.join("\n") + "\n"
}

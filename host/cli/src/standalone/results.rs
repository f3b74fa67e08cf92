//! What a run leaves for people: failed operations with the end of their logs, reported values, and where the rest is.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use autoexec_model::{JobParams, NodeKey, NodeStatus, OpId, OpStatus, OperationBody, PhaseName};
use autoexec_report::logfile::visible;
use autoexec_store::{JobDir, Loaded, NodeOutput, NodeState};
use serde::Serialize;
use serde_json::{Map, Value};

use super::inventory::Inventory;

/// Failures shown with their log; further ones are counted.
const MAX_FAILURES: usize = 10;
/// Lines shown of each log.
const LOG_LINES: usize = 12;
/// The end of a log that is looked at, in bytes.
const LOG_TAIL: u64 = 16 * 1024;
/// Nodes whose values are shown.
const MAX_VALUE_NODES: usize = 100;
/// Characters shown of a value.
const MAX_VALUE: usize = 2000;

/// A node of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct NodeLabel {
    /// The part of file names.
    node: NodeKey,
    /// What people call it.
    name: String,
}

impl NodeLabel {
    fn text(&self) -> String {
        if self.name.is_empty() { self.node.to_string() } else { format!("{} ({})", self.name, self.node) }
    }
}

/// A node that failed in a phase.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failure {
    phase: PhaseName,
    #[serde(flatten)]
    label: NodeLabel,
    status: NodeStatus,
    operations: Vec<OpId>,
    log: PathBuf,
}

/// Outputs of an operation on a node.
#[derive(Debug, Serialize)]
struct Reported {
    #[serde(flatten)]
    label: NodeLabel,
    operation: OpId,
    values: Map<String, Value>,
}

/// What a run left.
#[derive(Debug, Serialize)]
pub(super) struct Results {
    failures: Vec<Failure>,
    reported: Vec<Reported>,
    /// Files that should tell, but can not be read.
    problems: Vec<String>,
}

impl Results {
    /// Reads the job directory.
    pub(super) fn read(dir: &JobDir, params: &JobParams, inventory: &Inventory, reported: &[OpId]) -> Self {
        let nodes = labels(inventory);
        let mut results = Self { failures: Vec::new(), reported: Vec::new(), problems: Vec::new() };
        for phase in params.groups.iter().flat_map(|group| &group.phases) {
            let local = [local()];
            let nodes = if phase.kind.is_local() { &local[..] } else { &nodes };
            for label in nodes {
                results.look_at_status(dir, &phase.name, label);
            }
        }
        let secret = secret_outputs(params);
        for label in nodes.iter().chain(std::iter::once(&local())) {
            results.look_at_output(dir, label, reported, &secret);
        }
        results
    }

    fn look_at_status(&mut self, dir: &JobDir, phase: &PhaseName, label: &NodeLabel) {
        let path = dir.node_status(phase, &label.node);
        let state = match NodeState::load(&path) {
            Ok(Loaded::Found(state)) => state,
            Ok(Loaded::Missing) => return,
            Ok(Loaded::Broken { reason }) => {
                return self.problems.push(format!("{}: {reason}", path.display()));
            }
            Err(error) => return self.problems.push(error.to_string()),
        };
        if !state.status.is_failure() {
            return;
        }
        let failed =
            |status: &OpStatus| matches!(status, OpStatus::Failed | OpStatus::Aborted | OpStatus::Unknown);
        let operations =
            state.operations.iter().filter(|(_, status)| failed(status)).map(|(id, _)| id.clone());
        self.failures.push(Failure {
            phase: phase.clone(),
            label: label.clone(),
            status: state.status,
            operations: operations.collect(),
            log: dir.node_log(phase, &label.node),
        });
    }

    fn look_at_output(
        &mut self,
        dir: &JobDir,
        label: &NodeLabel,
        reported: &[OpId],
        secret: &BTreeSet<(OpId, String)>,
    ) {
        let path = dir.node_output(&label.node);
        let output = match NodeOutput::load(&path) {
            Ok(Loaded::Found(output)) => output,
            Ok(Loaded::Missing) => return,
            Ok(Loaded::Broken { reason }) => {
                return self.problems.push(format!("{}: {reason}", path.display()));
            }
            Err(error) => return self.problems.push(error.to_string()),
        };
        for operation in reported {
            let Some(values) = output.operation(operation) else { continue };
            let hidden = |name: &String| secret.contains(&(operation.clone(), name.clone()));
            let values = values.iter().map(|(name, value)| {
                (name.clone(), if hidden(name) { Value::from("******") } else { value.clone() })
            });
            let values = values.collect();
            self.reported.push(Reported { label: label.clone(), operation: operation.clone(), values });
        }
        // A lone target shares its outputs with the local node; once is enough.
        if label.node == NodeKey::local() {
            let shown: BTreeSet<OpId> = self
                .reported
                .iter()
                .filter(|reported| reported.label.node != label.node)
                .map(|reported| reported.operation.clone())
                .collect();
            self.reported
                .retain(|reported| reported.label.node != label.node || !shown.contains(&reported.operation));
        }
    }

    /// The text for people, with a line break at its end; empty if there is nothing to say.
    pub(super) fn render(&self) -> String {
        let mut lines = self.failure_lines();
        lines.extend(self.value_lines());
        lines.extend(self.problems.iter().map(|problem| format!("\nCan not be read: {problem}")));
        lines.into_iter().map(|line| line + "\n").collect()
    }

    fn failure_lines(&self) -> Vec<String> {
        if self.failures.is_empty() {
            return Vec::new();
        }
        let mut lines = vec!["\nFailed:".to_owned()];
        lines.extend(self.failures.iter().take(MAX_FAILURES).flat_map(Failure::lines));
        if self.failures.len() > MAX_FAILURES {
            lines.push(format!("  ... and {} more", self.failures.len() - MAX_FAILURES));
        }
        lines
    }

    fn value_lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut last: Option<&NodeLabel> = None;
        let mut nodes = 0;
        for reported in self.reported.iter().filter(|reported| !reported.values.is_empty()) {
            if last.is_none() {
                lines.push("\nValues:".to_owned());
            }
            if last != Some(&reported.label) {
                nodes += 1;
                if nodes > MAX_VALUE_NODES {
                    lines.push("  ... further nodes: see the directory `output` of the job".to_owned());
                    break;
                }
                lines.push(format!("  {}", reported.label.text()));
                last = Some(&reported.label);
            }
            let values = reported.values.iter();
            lines.extend(
                values.map(|(name, value)| format!("    {}.{name} = {}", reported.operation, shown(value))),
            );
        }
        lines
    }
}

impl Failure {
    fn lines(&self) -> Vec<String> {
        let operations: Vec<&str> = self.operations.iter().map(OpId::as_str).collect();
        let operations =
            if operations.is_empty() { String::new() } else { format!(", at {}", operations.join(", ")) };
        let first = format!("  {} on {}: {}{operations}", self.phase, self.label.text(), self.status);
        let log = tail(&self.log).into_iter().map(|line| format!("    | {line}"));
        let path = format!("    {}", self.log.display());
        std::iter::once(first).chain(log).chain(std::iter::once(path)).collect()
    }
}

/// What targets and tools wrote must not steer the terminal.
fn shown(value: &Value) -> String {
    let mut text = autoexec_model::plain_text(value);
    if let Some((end, _)) = text.char_indices().nth(MAX_VALUE) {
        text.truncate(end);
        text.push_str(" ...");
    }
    let lines: Vec<String> = text.lines().map(|line| visible(line).to_string()).collect();
    match lines.as_slice() {
        [] => String::new(),
        [line] => line.clone(),
        lines => format!("\n      {}", lines.join("\n      ")),
    }
}

/// The last lines of a log; none if it cannot be read, since its path is shown anyway.
fn tail(path: &Path) -> Vec<String> {
    let Ok(bytes) = read_end(path) else { return Vec::new() };
    let text = String::from_utf8_lossy(&bytes);
    let is_told = |line: &&str| line.len() > 9 && !line.contains("======[") && !line.contains("------END--[");
    let lines: Vec<&str> = text.lines().filter(is_told).collect();
    let skipped = lines.len().saturating_sub(LOG_LINES);
    lines.into_iter().skip(skipped).map(|line| visible(line).to_string()).collect()
}

fn read_end(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(LOG_TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(LOG_TAIL).read_to_end(&mut bytes)?;
    if start > 0 {
        // The first line is cut somewhere.
        let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| at + 1);
        bytes.drain(..end);
    }
    Ok(bytes)
}

fn labels(inventory: &Inventory) -> Vec<NodeLabel> {
    let nodes = inventory.nodes.iter().map(|node| &node.node);
    nodes.map(|node| NodeLabel { node: node.key(), name: node.name.clone() }).collect()
}

fn local() -> NodeLabel {
    NodeLabel { node: NodeKey::local(), name: "this machine".to_owned() }
}

fn secret_outputs(params: &JobParams) -> BTreeSet<(OpId, String)> {
    let mut secret = BTreeSet::new();
    for phase in params.groups.iter().flat_map(|group| &group.phases) {
        phase.for_each_operation(|operation| {
            let OperationBody::Call(call) = &operation.body else { return };
            let outputs = call.outputs.iter().flatten().filter(|(_, output)| output.is_secret);
            secret.extend(outputs.map(|(name, _)| (operation.id.clone(), name.clone())));
        });
    }
    secret
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn params() -> JobParams {
        let operation = json!({"opId": "b/t_1", "opName": "b/t", "opType": "runner",
            "output": {"n": {"type": "text"}, "pw": {"type": "password"}}});
        let value = json!({"runFlow": [{"groupNo": 0, "phases": [
            {"phaseName": "p", "phaseType": "runner", "operations": [operation]}]}]});
        JobParams::from_value(&value, "test").unwrap()
    }

    #[test]
    fn failures_come_with_the_end_of_their_log_and_values_without_secrets() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = JobDir::at(temporary.path());
        let (phase, key, id) = (PhaseName::new("p").unwrap(), NodeKey::local(), OpId::new("b/t_1").unwrap());
        dir.create().unwrap();
        dir.prepare_unit(&phase, &key).unwrap();
        let mut state = NodeState { status: NodeStatus::Failed, ..NodeState::default() };
        state.operations.insert(id.clone(), OpStatus::Failed);
        state.save(&dir.node_status(&phase, &key)).unwrap();
        let log: Vec<String> = (0..2000).map(|n| format!("12:00:00 line {n} \u{1b}[2J")).collect();
        std::fs::write(dir.node_log(&phase, &key), log.join("\n")).unwrap();
        let mut output = NodeOutput::default();
        let values = Map::from_iter([("n".to_owned(), json!("1\n2")), ("pw".to_owned(), json!("hunter2"))]);
        output.set_operation(id.clone(), values);
        output.save(&dir.node_output(&key)).unwrap();

        let results = Results::read(&dir, &params(), &Inventory::default(), &[id]);
        let text = results.render();
        assert!(text.contains("p on this machine (local-0-0): failed, at b/t_1\n"), "{text}");
        assert!(
            text.contains("line 1999") && text.contains("line 1988") && !text.contains("line 1987"),
            "{text}"
        );
        assert!(
            text.contains("b/t_1.n = \n      1\n      2\n") && text.contains("b/t_1.pw = ******"),
            "{text}"
        );
        assert!(!text.contains("hunter2") && !text.contains('\u{1b}'), "{text}");
        assert!(!serde_json::to_string(&results).unwrap().contains("hunter2"));
    }

    #[test]
    fn nothing_to_say_is_nothing_said() {
        let temporary = tempfile::tempdir().unwrap();
        let results = Results::read(&JobDir::at(temporary.path()), &params(), &Inventory::default(), &[]);
        assert_eq!(results.render(), "");
    }
}

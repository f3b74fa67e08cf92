//! The status file of a node in a phase: `status/<P>/<K>.json` (`spec/workdir.md` §5.5).
//!
//! The runner rewrites `status` in it (and orders the keys as it likes) or deletes it, so nothing is taken for
//! granted on reading, and keys that are not ours are kept.

use std::path::Path;

use autoexec_model::{NodeStatus, OpId, OpStatus, RunnerId};
use indexmap::IndexMap;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::atomic::{self, PRIVATE};
use crate::json::Style;
use crate::read::{kind_of, load_object};
use crate::{Loaded, ProcessIdentity, StoreError};

const PID: &str = "pid";
const PID_START: &str = "pidStart";
const RUNNER_ID: &str = "runnerId";
const INTERACT: &str = "interact";
const STATUS: &str = "status";
const WARN_COUNT: &str = "warnCount";
// Spelt this way in every file and read by the runner.
const CURRENT_OP: &str = "currenOp";
const OP_PID: &str = "opPid";
const LOOP_ITEMS: &str = "loopItems";
const RESERVED: [&str; 9] =
    [PID, PID_START, RUNNER_ID, INTERACT, STATUS, WARN_COUNT, CURRENT_OP, OP_PID, LOOP_ITEMS];

/// What is recorded about a node in a phase.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeState {
    /// The executor process that runs or ran the node.
    pub process: Option<ProcessIdentity>,
    /// The runner that process belongs to; a process id says nothing on another machine.
    pub runner: Option<RunnerId>,
    /// What a person is asked, while an operation waits (`spec/job-socket.md`).
    pub interact: Option<Value>,
    /// Status of the node.
    pub status: NodeStatus,
    /// Lines of the node log that start with `ERROR:` or `WARN:`.
    pub warn_count: u64,
    /// Status of each operation, in the order of execution.
    pub operations: IndexMap<OpId, OpStatus>,
    /// The operation started last.
    pub current_op: Option<OpId>,
    /// The process of that operation; none for one on a target.
    pub op_pid: Option<u32>,
    /// A mark for each item of each loop, by the loop's id (with `#<n>` in a loop in a loop): whose iterations the
    /// statuses `<opId>#<n>` are.
    pub loop_items: IndexMap<String, Vec<String>>,
    /// Keys we do not know, written back as they were.
    pub extra: Map<String, Value>,
}

impl Default for NodeState {
    fn default() -> Self {
        Self {
            process: None,
            runner: None,
            interact: None,
            status: NodeStatus::Pending,
            warn_count: 0,
            operations: IndexMap::new(),
            current_op: None,
            op_pid: None,
            loop_items: IndexMap::new(),
            extra: Map::new(),
        }
    }
}

impl NodeState {
    /// Reads a status file. Anything but a system error is an answer, see [`Loaded`].
    pub fn load(path: &Path) -> Result<Loaded<Self>, StoreError> {
        Ok(load_object(path)?.and_then(Self::from_object))
    }

    /// Replaces the status file.
    pub fn save(&self, path: &Path) -> Result<(), StoreError> {
        atomic::write_json(path, self, Style::Compact, PRIVATE)
    }

    /// Status of one operation; `pending` if nothing is recorded.
    pub fn operation(&self, operation: &OpId) -> OpStatus {
        self.operations.get(operation).copied().unwrap_or(OpStatus::Pending)
    }

    /// Whether a process other than this one runs the node now, as far as can be known on this machine.
    pub fn is_run_by_another_process(&self, own_runner: RunnerId) -> bool {
        let here = self.runner.is_none_or(|runner| runner == own_runner);
        here && self.process.is_some_and(|process| process.pid != std::process::id() && process.is_alive())
    }

    /// Types the content of a status document (file or database).
    pub fn from_object(mut object: Map<String, Value>) -> Result<Self, String> {
        let pid: Option<u32> = number(&mut object, PID)?;
        let start = number(&mut object, PID_START)?;
        let mut state = Self {
            process: pid.map(|pid| ProcessIdentity { pid, start }),
            runner: number(&mut object, RUNNER_ID)?.map(RunnerId),
            interact: object.shift_remove(INTERACT).filter(|value| !value.is_null()),
            status: status(&mut object)?,
            warn_count: number(&mut object, WARN_COUNT)?.unwrap_or(0),
            current_op: object.shift_remove(CURRENT_OP).and_then(|v| OpId::new(v.as_str()?).ok()),
            op_pid: number(&mut object, OP_PID)?,
            // Without marks the iterations count by their position.
            loop_items: object
                .shift_remove(LOOP_ITEMS)
                .and_then(|items| serde_json::from_value(items).ok())
                .unwrap_or_default(),
            ..Self::default()
        };
        for (key, value) in object {
            if let Some((operation, status)) = operation_entry(&key, &value) {
                state.operations.insert(operation, status);
            } else {
                state.extra.insert(key, value);
            }
        }
        Ok(state)
    }
}

/// An entry is an operation if it reads as one; there is no other mark.
fn operation_entry(key: &str, value: &Value) -> Option<(OpId, OpStatus)> {
    Some((OpId::new(key).ok()?, value.as_str()?.parse().ok()?))
}

fn status(object: &mut Map<String, Value>) -> Result<NodeStatus, String> {
    match object.shift_remove(STATUS) {
        None | Some(Value::Null) => Ok(NodeStatus::Pending),
        Some(Value::String(word)) => word.parse().map_err(|error| format!("`{STATUS}`: {error}")),
        Some(other) => Err(format!("`{STATUS}`: expected a text, found {}", kind_of(&other))),
    }
}

/// A number that may have become a text or null on its way through other programs.
fn number<T: TryFrom<i64>>(object: &mut Map<String, Value>, key: &str) -> Result<Option<T>, String> {
    let value = match object.shift_remove(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value,
    };
    let number = match &value {
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_i64(),
    };
    match number.and_then(|n| T::try_from(n).ok()) {
        Some(number) => Ok(Some(number)),
        None => Err(format!("`{key}`: expected a number in range, found {}", kind_of(&value))),
    }
}

impl Serialize for NodeState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(PID, &self.process.map(|process| process.pid))?;
        map.serialize_entry(INTERACT, &self.interact)?;
        map.serialize_entry(STATUS, &self.status)?;
        map.serialize_entry(WARN_COUNT, &self.warn_count)?;
        // An operation called like one of our keys would make the file ambiguous. Servers append `_<number>`.
        for (operation, status) in self.operations.iter().filter(|(id, _)| !RESERVED.contains(&id.as_str())) {
            map.serialize_entry(operation.as_str(), status)?;
        }
        if let Some(operation) = &self.current_op {
            map.serialize_entry(CURRENT_OP, operation.as_str())?;
        }
        // Of an operation whose name could not be read the process is still known.
        if self.current_op.is_some() || self.op_pid.is_some() {
            map.serialize_entry(OP_PID, &self.op_pid)?;
        }
        if let Some(start) = self.process.and_then(|process| process.start) {
            map.serialize_entry(PID_START, &start)?;
        }
        if let Some(runner) = self.runner {
            map.serialize_entry(RUNNER_ID, &runner)?;
        }
        if !self.loop_items.is_empty() {
            map.serialize_entry(LOOP_ITEMS, &self.loop_items)?;
        }
        for (key, value) in &self.extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const REFERENCE: &str = r#"{"pid": 4711, "interact": null, "status": "succeed", "warnCount": 1, "basic/free_501": "succeed", "currenOp": "basic/free_501", "opPid": 4790}"#;

    fn load_text(text: &str) -> Loaded<NodeState> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        fs::write(&path, text).unwrap();
        NodeState::load(&path).unwrap()
    }

    fn found(text: &str) -> NodeState {
        match load_text(text) {
            Loaded::Found(state) => state,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_file_of_the_reference_comes_back_byte_for_byte() {
        let state = found(REFERENCE);
        assert_eq!(state.status, NodeStatus::Succeed);
        assert_eq!(state.operation(&OpId::new("basic/free_501").unwrap()), OpStatus::Succeed);
        assert_eq!(state.operation(&OpId::new("other_1").unwrap()), OpStatus::Pending);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.json");
        state.save(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), REFERENCE);
    }

    #[test]
    fn what_the_runner_rewrites_is_understood_and_kept() {
        let state = found(
            "{\"warnCount\":\"2\",\"by\":\"runner\",\"b/x_2\":\"failed\",\"opPid\":null,\"a/y_1\":\"succeed\",\
             \"status\":\"pending\",\"pid\":7,\"pidStart\":99,\"loopItems\":{\"L_1\":[\"m\"]},\"runnerId\":3,\"note_1\":\"hello\"}\n",
        );
        assert_eq!((state.status, state.warn_count), (NodeStatus::Pending, 2));
        assert_eq!(state.process, Some(ProcessIdentity { pid: 7, start: Some(99) }));
        assert_eq!(state.runner, Some(RunnerId(3)));
        let order: Vec<_> = state.operations.keys().map(OpId::as_str).collect();
        assert_eq!(order, ["b/x_2", "a/y_1"]);
        let text = crate::json::to_text(&state, Style::Compact).unwrap();
        assert_eq!(found(&text), state);
        assert!(
            text.ends_with(r#""pidStart": 99, "runnerId": 3, "loopItems": {"L_1": ["m"]}, "by": "runner", "note_1": "hello"}"#),
            "{text}"
        );
    }

    #[test]
    fn missing_and_broken_files_are_answers() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(NodeState::load(&dir.path().join("none")).unwrap(), Loaded::Missing);
        for (text, expected) in [
            ("", "it is empty"),
            ("{\"status\": \"succ", "it is not valid JSON"),
            ("{\"status\": \"done\"}", "`status`: `done` is not a node status"),
            ("{\"status\": 1}", "`status`: expected a text, found a number"),
            ("{\"pid\": -1}", "`pid`: expected a number in range"),
            ("{\"pid\": 1.5}", "`pid`: expected a number in range"),
        ] {
            match load_text(text) {
                Loaded::Broken { reason } => assert!(reason.starts_with(expected), "{text}: {reason}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(found("{}"), NodeState::default());
    }

    #[test]
    fn the_owner_counts_only_on_its_own_runner() {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let start = stat.rsplit(')').next().unwrap().split_whitespace().nth(19).unwrap().parse().ok();
        let process = Some(ProcessIdentity { pid: child.id(), start });
        let state = NodeState { process, runner: Some(RunnerId(1)), ..NodeState::default() };
        assert!(state.is_run_by_another_process(RunnerId(1)));
        assert!(!state.is_run_by_another_process(RunnerId(2)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!state.is_run_by_another_process(RunnerId(1)));
        let own = NodeState { process: ProcessIdentity::current().ok(), ..NodeState::default() };
        assert!(!own.is_run_by_another_process(RunnerId(1)));
    }
}

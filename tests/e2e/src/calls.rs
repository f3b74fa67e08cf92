//! The calls that arrived at the server, as lines that can be compared.
//!
//! `spec/execution.md` §6.9 fixes the order of the calls of one node and of one phase; calls of nodes that run side by
//! side, and of phases that run side by side, may arrive in any order. [`lines`] puts such calls into one canonical
//! order and leaves every other order as it was, so that a wrong order still differs.

use autoexec_test_support::server::{Call, CallName};
use serde_json::{Map, Value};

/// Members that stand in every body and are checked once per call instead of being printed.
/// The time of an import differs from run to run.
const IN_EVERY_BODY: [&str; 4] = ["jobId", "time", "passThroughEnv", "importTime"];

/// What a call's place in the order depends on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Everything before it comes before it, everything after it after it.
    Barrier,
    /// It needs an answer and goes past the callbacks that are being delivered.
    Aside,
    /// A barrier within its phase.
    Phase(String),
    /// In order with the calls of the same node only.
    Node(String, u64),
}

/// A call as text.
#[derive(Debug, Clone)]
pub struct Line {
    place: Place,
    text: String,
}

impl Line {
    /// The text.
    pub fn into_text(self) -> String {
        self.text
    }

    fn phase(&self) -> &str {
        match &self.place {
            Place::Phase(phase) | Place::Node(phase, _) => phase,
            Place::Barrier | Place::Aside => "",
        }
    }
}

/// The calls as lines in canonical order. Calls that were answered with a failure on purpose are left out: they are
/// attempts, not deliveries.
pub fn lines(calls: &[Call], job: &str) -> Vec<Line> {
    let compared = calls.iter().filter(|call| call.failure.is_none());
    let lines: Vec<Line> = compared.map(|call| line(call, job)).collect();
    let mut ordered = Vec::new();
    for segment in lines.split_inclusive(|line| line.place == Place::Barrier) {
        let (barrier, segment) = match segment.split_last() {
            Some((last, rest)) if last.place == Place::Barrier => (Some(last.clone()), rest),
            _ => (None, segment),
        };
        ordered.extend(order_segment(segment.to_vec()));
        ordered.extend(barrier);
    }
    ordered
}

/// Phases one after the other; within one, runs of node calls sorted by node.
fn order_segment(mut lines: Vec<Line>) -> Vec<Line> {
    let aside: Vec<Line> = lines.extract_if(.., |line| line.place == Place::Aside).collect();
    lines.sort_by(|a, b| a.phase().cmp(b.phase()));
    for run in lines.chunk_by_mut(|a, b| is_node(a) && is_node(b)) {
        run.sort_by(|a, b| a.place.cmp(&b.place));
    }
    let mut ordered = aside;
    ordered.sort_by(|a, b| a.text.cmp(&b.text));
    ordered.extend(lines);
    ordered
}

fn is_node(line: &Line) -> bool {
    matches!(line.place, Place::Node(..))
}

fn line(call: &Call, job: &str) -> Line {
    let body = match call.json() {
        Value::Object(body) => body,
        _ => Map::new(),
    };
    let fields = if call.method == "GET" { query_fields(call) } else { body_fields(&body) };
    let text = format!("{}{fields}{}", word(call.name), complaint(call, &body, job));
    Line { place: place(call, &body), text }
}

fn place(call: &Call, body: &Map<String, Value>) -> Place {
    let phase = || body.get("phase").and_then(Value::as_str).unwrap_or_default().to_owned();
    match call.name {
        CallName::NodeStatus => {
            Place::Node(phase(), body.get("resourceId").and_then(Value::as_u64).unwrap_or(u64::MAX))
        }
        CallName::PhaseStatus | CallName::RoundEnded => Place::Phase(phase()),
        CallName::Nodes => match call.query_value("nodeFrom").as_deref() {
            Some("phase") => Place::Phase(call.query_value("phase").unwrap_or_default()),
            _ => Place::Barrier,
        },
        CallName::Parameters | CallName::MongoSettings | CallName::NextGroup | CallName::JobStatus => {
            Place::Barrier
        }
        _ => Place::Aside,
    }
}

fn word(name: CallName) -> &'static str {
    match name {
        CallName::MongoSettings => "mongo-settings",
        CallName::Parameters => "get-parameters",
        CallName::Nodes => "get-nodes",
        CallName::NodeStatus => "node-status",
        CallName::PhaseStatus => "phase-status",
        CallName::NextGroup => "next-group",
        CallName::RoundEnded => "round-ended",
        CallName::JobStatus => "job-status",
        CallName::ExportVariable => "export-variable",
        CallName::GlobalParameter => "global-parameter",
        CallName::Account => "get-account",
        CallName::File => "get-file",
        CallName::Script => "get-script",
        CallName::GlobalLock => "global-lock",
        CallName::DeployIds => "deploy-ids",
        CallName::RunnerGroup => "runner-group",
        CallName::Register => "register",
        CallName::CleanUp => "clean-up",
        CallName::Unknown => "UNKNOWN",
    }
}

fn body_fields(body: &Map<String, Value>) -> String {
    let told =
        body.iter().filter(|(name, _)| !IN_EVERY_BODY.contains(&name.as_str()) && *name != "lastModified");
    let fields: Vec<String> = told.map(|(name, value)| field(name, value)).collect();
    fields.concat()
}

fn field(name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => format!(" {name}={text}"),
        other => format!(" {name}={other}"),
    }
}

fn query_fields(call: &Call) -> String {
    let named = ["nodeFrom", "phase", "groupNo", "runnerId", "id", "operationId", "scriptId"];
    let present = named.into_iter().filter_map(|name| Some((name, call.query_value(name)?)));
    let fields: Vec<String> = present
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!(" {name}={value}"))
        .collect();
    fields.concat()
}

/// What is wrong with the members that stand in every call; empty when nothing is.
fn complaint(call: &Call, body: &Map<String, Value>, job: &str) -> String {
    let mut wrong = Vec::new();
    let sent = match body.get("jobId") {
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
        None => call.query_value("jobId"),
    };
    let has_job = !matches!(
        call.name,
        CallName::File
            | CallName::MongoSettings
            | CallName::DeployIds
            | CallName::RunnerGroup
            | CallName::Register
            | CallName::CleanUp
    );
    if has_job && sent.as_deref() != Some(job) {
        wrong.push(format!(" WRONG-JOB={sent:?}"));
    }
    let names_runner = body.get("passThroughEnv").and_then(|env| env.get("runnerId")).is_some();
    if is_callback(call.name) && !names_runner {
        wrong.push(" NO-RUNNER-IN-PASS-THROUGH".to_owned());
    }
    // Seconds since 1970, not milliseconds.
    let time = body.get("time").and_then(Value::as_f64).unwrap_or_default();
    if is_callback(call.name) && !(1.5e9..1.0e10).contains(&time) {
        wrong.push(" WRONG-TIME".to_owned());
    }
    wrong.concat()
}

fn is_callback(name: CallName) -> bool {
    matches!(
        name,
        CallName::NodeStatus
            | CallName::PhaseStatus
            | CallName::NextGroup
            | CallName::RoundEnded
            | CallName::JobStatus
            | CallName::ExportVariable
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Instant;

    use serde_json::json;

    use super::*;

    fn call(name: CallName, mut body: Value) -> Call {
        body["jobId"] = json!("1");
        body["time"] = json!(1.7e9);
        body["passThroughEnv"] = json!({"runnerId": 1});
        Call {
            name,
            method: "POST".into(),
            path: String::new(),
            query: String::new(),
            body: body.to_string(),
            headers: BTreeMap::new(),
            at: Instant::now(),
            failure: None,
        }
    }

    fn node(phase: &str, id: u32, status: &str) -> Call {
        call(CallName::NodeStatus, json!({"phase": phase, "resourceId": id, "status": status}))
    }

    fn phase(phase: &str, status: &str) -> Call {
        call(CallName::PhaseStatus, json!({"phase": phase, "status": status}))
    }

    fn texts(calls: &[Call]) -> Vec<String> {
        lines(calls, "1").into_iter().map(Line::into_text).collect()
    }

    #[test]
    fn only_what_may_differ_is_put_into_order() {
        let one = [
            phase("A", "running"),
            phase("B", "running"),
            node("A", 2, "running"),
            node("B", 1, "running"),
            node("A", 1, "running"),
            node("A", 1, "succeed"),
            node("A", 2, "succeed"),
            node("B", 1, "succeed"),
            phase("A", "succeed"),
            phase("B", "succeed"),
        ];
        let other = [1, 3, 7, 9, 0, 4, 2, 6, 5, 8].map(|n: usize| one[n].clone());
        assert_eq!(texts(&one), texts(&other));
        let wrong_node = [0, 1, 2, 3, 5, 4, 6, 7, 8, 9].map(|n: usize| one[n].clone());
        assert_ne!(texts(&one), texts(&wrong_node), "succeed before running");
        let wrong_phase = [0, 1, 2, 3, 4, 5, 8, 6, 7, 9].map(|n: usize| one[n].clone());
        assert_ne!(texts(&one), texts(&wrong_phase), "a node after its phase");
    }

    #[test]
    fn members_of_every_call_are_checked() {
        let mut wrong = call(CallName::NextGroup, json!({"groupNo": 0}));
        wrong.body = json!({"jobId": 2, "groupNo": 0, "time": 1.7e12, "passThroughEnv": {}}).to_string();
        assert_eq!(
            texts(&[wrong]),
            [r#"next-group groupNo=0 WRONG-JOB=Some("2") NO-RUNNER-IN-PASS-THROUGH WRONG-TIME"#]
        );
    }
}

//! What the server knows, and the answers that follow from it.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::answer::Answer;
use super::{Call, CallName};

/// Whose nodes a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The job's.
    Job,
    /// A group's.
    Group(i64),
    /// A phase's.
    Phase(String),
}

/// A custom script.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// The script, or a tar file.
    pub content: Vec<u8>,
    /// Headers of `spec/server-api.md` §4.4.
    pub headers: Vec<(String, String)>,
    /// Whether the content is sent as `Return.script` of a JSON reply.
    pub as_json: bool,
    /// When it last changed, in seconds since 1970.
    pub modified: f64,
}

/// A file parameter.
#[derive(Debug, Clone, Default)]
pub struct File {
    /// Value of `Content-Disposition`.
    pub disposition: String,
    /// The file.
    pub content: Vec<u8>,
    /// When it last changed, in seconds since 1970.
    pub modified: f64,
}

#[derive(Debug, Default)]
pub(super) struct Data {
    pub(super) params: Option<Value>,
    pub(super) nodes: HashMap<Scope, (String, f64)>,
    pub(super) scripts: HashMap<String, Script>,
    pub(super) files: HashMap<String, File>,
    pub(super) accounts: HashMap<String, String>,
    pub(super) locks: HashMap<String, Value>,
    pub(super) lock_ids: AtomicU64,
    pub(super) mongo: Option<Value>,
    pub(super) deploy_ids: Option<Value>,
    pub(super) runner_group: Option<Value>,
    pub(super) global_parameters: Option<HashSet<String>>,
    pub(super) failed_elsewhere: HashSet<String>,
    pub(super) further: HashMap<String, Value>,
}

impl Data {
    /// The answer to a request that is not to fail.
    pub(super) fn answer(&self, call: &Call) -> Answer {
        match call.name {
            CallName::MongoSettings => known(self.mongo.as_ref(), "no data source"),
            CallName::Parameters => known(self.params.as_ref(), "the job does not exist"),
            CallName::Nodes => self.nodes(call),
            CallName::NodeStatus => self.node_status(call),
            CallName::GlobalParameter => self.global_parameter(call),
            CallName::Account => self.account(call),
            CallName::File => self.file(call),
            CallName::Script => self.script(call),
            CallName::GlobalLock => self.lock(call),
            CallName::DeployIds => known(self.deploy_ids.as_ref(), "no such system"),
            CallName::RunnerGroup => known(self.runner_group.as_ref(), "no runner group"),
            CallName::Unknown => self.further(call),
            CallName::PhaseStatus
            | CallName::NextGroup
            | CallName::RoundEnded
            | CallName::JobStatus
            | CallName::ExportVariable
            | CallName::Register
            | CallName::CleanUp => Answer::ok(None),
        }
    }

    fn further(&self, call: &Call) -> Answer {
        let name = call.path.strip_prefix("/neatlogic/api/").unwrap_or_default();
        match self.further.get(name) {
            Some(Value::Null) => Answer::ok(None),
            Some(result) => Answer::ok(Some(result.clone())),
            None => Answer::refuse(404, "no such interface"),
        }
    }

    /// §3.3: content when the local copy is older or absent and, but for the job's list, there is a node.
    fn nodes(&self, call: &Call) -> Answer {
        let number = |name| call.query_value(name).and_then(|text| text.parse().ok()).unwrap_or(-1);
        let scope = match call.query_value("nodeFrom").as_deref() {
            Some("job") => Scope::Job,
            Some("group") => Scope::Group(number("groupNo")),
            Some("phase") => Scope::Phase(call.query_value("phase").unwrap_or_default()),
            _ => return Answer::refuse(530, "nodeFrom must be job, group or phase"),
        };
        let Some((text, modified)) = self.nodes.get(&scope) else { return Answer::empty(204) };
        let header: Value = serde_json::from_str(text.lines().next().unwrap_or_default()).unwrap_or_default();
        let has_nodes = header["totalCount"].as_u64().is_some_and(|count| count > 0);
        if is_current(call, *modified) || !(has_nodes || scope == Scope::Job) {
            return Answer::empty(204);
        }
        Answer::raw(text.clone().into_bytes())
    }

    fn node_status(&self, call: &Call) -> Answer {
        let failed = call.json()["phase"].as_str().is_some_and(|phase| self.failed_elsewhere.contains(phase));
        Answer::ok(failed.then(|| json!({"hasFailNode": 1})))
    }

    fn global_parameter(&self, call: &Call) -> Answer {
        let key = call.json()["key"].as_str().unwrap_or_default().to_owned();
        match &self.global_parameters {
            Some(known) if !known.contains(&key) => {
                Answer::refuse(520, &format!("global parameter {key} does not exist"))
            }
            _ => Answer::ok(None),
        }
    }

    fn account(&self, call: &Call) -> Answer {
        let body = call.json();
        let id = body["accountId"].as_str().map_or_else(|| body["accountId"].to_string(), str::to_owned);
        match self.accounts.get(&id) {
            Some(password) => Answer::ok(Some(json!(password))),
            None => Answer::refuse(520, &format!("account {id} does not exist")),
        }
    }

    fn file(&self, call: &Call) -> Answer {
        let Some(file) = call.query_value("id").and_then(|id| self.files.get(&id)) else {
            return Answer::refuse(520, "the file does not exist");
        };
        let answer = if is_current(call, file.modified) {
            Answer::empty(205)
        } else {
            Answer::raw(file.content.clone())
        };
        answer.with("Content-Disposition", &file.disposition)
    }

    fn script(&self, call: &Call) -> Answer {
        let Some(script) = call.query_value("scriptId").and_then(|id| self.scripts.get(&id)) else {
            return Answer::refuse(520, "the script does not exist");
        };
        let answer = if is_current(call, script.modified) {
            Answer::empty(205)
        } else if script.as_json {
            Answer::ok(Some(json!({"script": String::from_utf8_lossy(&script.content)})))
        } else {
            Answer::raw(script.content.clone())
        };
        script.headers.iter().fold(answer, |answer, (name, value)| answer.with(name, value))
    }

    fn lock(&self, call: &Call) -> Answer {
        let action = call.json()["action"].as_str().unwrap_or_default().to_owned();
        let mut reply = self.locks.get(&action).cloned();
        if action == "lock"
            && let Some(Value::Object(reply)) = &mut reply
        {
            // No two locks of a server have one id.
            reply.entry("lockId").or_insert_with(|| self.lock_ids.fetch_add(1, Ordering::Relaxed).into());
        }
        known(reply.as_ref(), &format!("no reply is set for the lock action {action}"))
    }
}

fn known(result: Option<&Value>, otherwise: &str) -> Answer {
    match result {
        Some(result) => Answer::ok(Some(result.clone())),
        None => Answer::refuse(520, otherwise),
    }
}

/// Whether `lastModified` is neither 0 nor older than `modified`.
fn is_current(call: &Call, modified: f64) -> bool {
    let local: f64 = call.query_value("lastModified").and_then(|text| text.parse().ok()).unwrap_or(0.0);
    local > 0.0 && local >= modified
}

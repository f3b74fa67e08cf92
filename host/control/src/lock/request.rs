//! What a plugin asks for, and who it is.

use std::fmt;

use autoexec_model::{JobId, RunnerId};
use serde_json::{Map, Value};

/// What is to be done with a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockAction {
    Lock,
    Unlock,
    Cancel,
}

impl LockAction {
    /// The server's word.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Unlock => "unlock",
            Self::Cancel => "cancel",
        }
    }
}

/// A request from a plugin. Members that we do not know go to the server as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct LockRequest {
    pub(crate) action: LockAction,
    pub(crate) params: Map<String, Value>,
}

impl LockRequest {
    /// Reads `lockParams`. The error says what is wrong with its `action`.
    pub(crate) fn new(params: Map<String, Value>) -> Result<Self, String> {
        let action = match params.get("action").and_then(Value::as_str) {
            Some("lock") => LockAction::Lock,
            Some("unlock") => LockAction::Unlock,
            Some("cancel") => LockAction::Cancel,
            _ => return Err("`lockParams.action` must be lock, unlock or cancel".to_owned()),
        };
        Ok(Self { action, params })
    }
}

/// The server's id of a lock: a number, kept as it was written, compared as text.
#[derive(Debug, Clone)]
pub struct LockId {
    text: String,
    value: Value,
}

impl LockId {
    /// Reads a number or text; anything else is no id.
    pub fn from_member(value: Option<&Value>) -> Option<Self> {
        let text = match value? {
            Value::Number(number) => number.to_string(),
            Value::String(text) if !text.trim().is_empty() => text.trim().to_owned(),
            _ => return None,
        };
        value.map(|value| Self { text, value: value.clone() })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn to_value(&self) -> Value {
        self.value.clone()
    }
}

impl PartialEq for LockId {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for LockId {}

impl fmt::Display for LockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// For whom a lock is: a second request of the same holder gets the same lock (defect 94).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Holder([String; 4]);

impl Holder {
    pub(crate) fn of(params: &Map<String, Value>) -> Self {
        let text = |name: &str| match params.get(name) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        Self(["pid", "lockOwner", "lockTarget", "lockMode"].map(text))
    }
}

/// Who asks the server: it notifies the socket `job<exec id>` on the runner `runner`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockIdentity {
    /// The job.
    pub job: JobId,
    /// This runner.
    pub runner: RunnerId,
    /// The exec id, else the process id: the name of the job socket.
    pub instance: String,
}

impl LockIdentity {
    /// A lock is always the own job's; the other two only fill what the plugin left out.
    pub(crate) fn complete(&self, mut params: Map<String, Value>) -> Map<String, Value> {
        params.insert("jobId".to_owned(), self.job.as_str().into());
        for (name, value) in [("runnerId", self.runner.to_string()), ("execId", self.instance.clone())] {
            let member = params.entry(name).or_insert(Value::Null);
            if member.is_null() || *member == "" {
                *member = value.into();
            }
        }
        params
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_request_is_completed_and_cannot_be_another_jobs() {
        let identity =
            LockIdentity { job: JobId::new("77").unwrap(), runner: RunnerId(3), instance: "900".to_owned() };
        let params = identity.complete(map(json!({"jobId": "1", "runnerId": "", "version": "1.4"})));
        let expected = json!({"jobId": "77", "runnerId": "3", "version": "1.4", "execId": "900"});
        assert_eq!(Value::Object(params), expected);
        let kept = identity.complete(map(json!({"runnerId": "5", "execId": 6})));
        assert_eq!((&kept["runnerId"], &kept["execId"]), (&json!("5"), &json!(6)));
    }

    #[test]
    fn holders_differ_by_process_owner_target_and_mode_only() {
        let base = json!({"pid": 5, "lockOwner": "a", "lockTarget": "t", "lockMode": "read", "version": "1"});
        let holder = |name: &str, value: Value| {
            let mut params = map(base.clone());
            params.insert(name.to_owned(), value);
            Holder::of(&params)
        };
        let same = Holder::of(&map(base.clone()));
        assert_eq!(holder("version", json!("2")), same);
        assert_eq!(holder("pid", json!("5")), same, "a number is as good as its text");
        for name in ["pid", "lockOwner", "lockTarget", "lockMode"] {
            assert_ne!(holder(name, json!("other")), same, "{name}");
        }
        assert_eq!(Holder::of(&Map::new()), Holder::of(&map(json!({"pid": null}))));
    }

    #[test]
    fn ids_are_compared_as_text_and_given_back_as_they_came() {
        let number = LockId::from_member(Some(&json!(9001))).unwrap();
        assert_eq!(number, LockId::from_member(Some(&json!("9001"))).unwrap());
        assert_eq!(number.to_value(), json!(9001));
        for none in [json!(null), json!(""), json!({}), json!(true)] {
            assert!(LockId::from_member(Some(&none)).is_none(), "{none}");
        }
    }
}

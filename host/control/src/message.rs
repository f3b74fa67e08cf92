//! Datagrams of the job socket as types (`spec/job-socket.md` §9.1).

use autoexec_model::{PhaseName, ResourceId};
use serde_json::{Map, Value, json};

use crate::documents::DocumentQuery;
use crate::lock::{LockId, LockRequest};

/// Longest piece of foreign text that an error repeats, in characters.
const QUOTED: usize = 40;

/// What a datagram asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// A plugin waits for a person, or (`None`) does not any longer.
    WaitInput {
        /// Phase of the unit.
        phase: PhaseName,
        /// Node of the unit.
        resource: ResourceId,
        /// What is asked; JSON null when the plugin did not say.
        interact: Option<Value>,
    },
    /// The server releases a round.
    RoundContinue {
        /// The phase that waits.
        phase: PhaseName,
        /// The round; 0 is whatever round is waited for.
        round: u64,
    },
    /// Variables for everything that starts from now on.
    SetEnv {
        /// Name and value.
        items: Vec<(String, String)>,
        /// Not for later processes of the job.
        only_in_process: bool,
    },
    /// Lock, unlock or cancel.
    GlobalLock(LockRequest),
    /// The server says that a lock may be free now.
    GlobalLockNotify(LockId),
    /// A search in the collected data.
    QueryCollectDb(DocumentQuery),
    /// Stop listening and release the locks.
    Exit,
}

/// Why a datagram has no meaning. Values are never repeated: they may be secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It filled the whole buffer, so the rest of it is lost.
    #[error("it has {0} bytes or more")]
    TooLong(usize),
    /// Not a JSON object in UTF-8.
    #[error("it is not a JSON object ({0})")]
    NotJson(String),
    /// No `action`, or one that is no text.
    #[error("`action` is missing")]
    NoAction,
    /// An action that is not in the table.
    #[error("the action `{0}` is not known")]
    UnknownAction(String),
    /// A member that is missing or of the wrong kind.
    #[error("{action}: {problem}")]
    Field {
        /// The action.
        action: &'static str,
        /// Which member, and what is wrong with it.
        problem: String,
    },
}

impl MessageError {
    /// What a sender gets who waits for a reply: without one it would wait for ever (defect 93).
    pub fn reply(&self) -> Option<Value> {
        match self {
            Self::Field { action: "globalLock", problem } => {
                Some(json!({"lockId": null, "message": problem}))
            }
            Self::Field { action: "queryCollectDB", problem } => {
                Some(json!({"result": null, "error": problem}))
            }
            _ => None,
        }
    }
}

impl Message {
    /// Reads a datagram.
    ///
    /// # Errors
    /// Says what is wrong; members of other actions than the one asked for are not looked at.
    pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
        let object: Map<String, Value> = serde_json::from_slice(bytes).map_err(|error| not_json(&error))?;
        let action = object.get("action").and_then(Value::as_str).ok_or(MessageError::NoAction)?;
        match action {
            "informNodeWaitInput" => in_action("informNodeWaitInput", wait_input(&object)),
            "informRoundContinue" => in_action("informRoundContinue", round_continue(&object)),
            "setEnv" => in_action("setEnv", set_env(&object)),
            "globalLock" => {
                let request = member_object(&object, "lockParams").and_then(LockRequest::new);
                in_action("globalLock", request.map(Self::GlobalLock))
            }
            "globalLockNotify" => {
                let lock = LockId::from_member(object.get("lockId"));
                in_action(
                    "globalLockNotify",
                    lock.ok_or_else(|| wrong("lockId", "a number or text")).map(Self::GlobalLockNotify),
                )
            }
            "queryCollectDB" => {
                let query = member_object(&object, "queryParams").and_then(DocumentQuery::new);
                in_action("queryCollectDB", query.map(Self::QueryCollectDb))
            }
            "exit" => Ok(Self::Exit),
            other => Err(MessageError::UnknownAction(quoted(other))),
        }
    }
}

/// The text of a data error would repeat the value, so only the place is told.
fn not_json(error: &serde_json::Error) -> MessageError {
    MessageError::NotJson(format!("line {}, column {}", error.line(), error.column()))
}

fn in_action(action: &'static str, result: Result<Message, String>) -> Result<Message, MessageError> {
    result.map_err(|problem| MessageError::Field { action, problem })
}

fn wait_input(object: &Map<String, Value>) -> Result<Message, String> {
    let clean = is_set(object.get("clean"));
    let interact = object.get("interact").cloned().unwrap_or_default();
    if !clean && !interact.is_object() && !interact.is_null() {
        return Err(wrong("interact", "an object or null"));
    }
    Ok(Message::WaitInput {
        phase: phase(object)?,
        resource: ResourceId(integer(object, "resourceId")?),
        interact: (!clean).then_some(interact),
    })
}

fn round_continue(object: &Map<String, Value>) -> Result<Message, String> {
    let round = integer(object, "roundNo")?;
    let round = u64::try_from(round).map_err(|_| wrong("roundNo", "not negative"))?;
    Ok(Message::RoundContinue { phase: phase(object)?, round })
}

fn set_env(object: &Map<String, Value>) -> Result<Message, String> {
    let items = object.get("items").and_then(Value::as_object).ok_or_else(|| wrong("items", "an object"))?;
    let items = items.iter().map(|(name, value)| match value {
        Value::String(text) => Ok((name.clone(), text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok((name.clone(), value.to_string())),
        _ => Err(format!("the value of `{}` must be text or a number", quoted(name))),
    });
    let items = items.collect::<Result<_, _>>()?;
    Ok(Message::SetEnv { items, only_in_process: is_set(object.get("onlyInProcess")) })
}

fn phase(object: &Map<String, Value>) -> Result<PhaseName, String> {
    let name = object.get("phaseName").and_then(Value::as_str).ok_or_else(|| wrong("phaseName", "text"))?;
    PhaseName::new(name).map_err(|_| wrong("phaseName", "the name of a phase"))
}

/// Numbers come as numbers or as text, depending on who wrote the plugin.
fn integer(object: &Map<String, Value>, name: &str) -> Result<i64, String> {
    let number = match object.get(name) {
        Some(Value::Number(number)) => number.as_i64(),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| wrong(name, "a whole number"))
}

fn member_object(object: &Map<String, Value>, name: &str) -> Result<Map<String, Value>, String> {
    object.get(name).and_then(Value::as_object).cloned().ok_or_else(|| wrong(name, "an object"))
}

/// Perl and Python senders write 1, "1" or true.
fn is_set(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(set)) => *set,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !matches!(text.trim(), "" | "0" | "false"),
        _ => false,
    }
}

fn wrong(name: &str, expected: &str) -> String {
    format!("`{name}` must be {expected}")
}

/// Foreign text fit for a log line.
fn quoted(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { '?' } else { c });
    let cut: String = plain.take(QUOTED).collect();
    if text.chars().nth(QUOTED).is_some() { format!("{cut}…") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(value: &Value) -> Result<Message, MessageError> {
        Message::parse(value.to_string().as_bytes())
    }

    fn phase(name: &str) -> PhaseName {
        PhaseName::new(name).unwrap()
    }

    #[test]
    fn a_wait_begins_with_its_question_and_ends_with_clean() {
        let asked = json!({"title": "go on?", "opType": "button"});
        let begin = json!({"action": "informNodeWaitInput", "phaseName": "检查", "resourceId": "71", "interact": asked});
        let wait =
            |interact| Message::WaitInput { phase: phase("检查"), resource: ResourceId(71), interact };
        assert_eq!(parse(&begin), Ok(wait(Some(asked))));
        for clean in [json!(1), json!("1"), json!(true)] {
            let end = json!({"action": "informNodeWaitInput", "phaseName": "检查", "resourceId": 71, "interact": null, "clean": clean});
            assert_eq!(parse(&end), Ok(wait(None)), "{clean}");
        }
        for clean in [json!(0), json!("0"), json!(false), Value::Null] {
            let silent = json!({"action": "informNodeWaitInput", "phaseName": "检查", "resourceId": 71, "clean": clean});
            assert_eq!(parse(&silent), Ok(wait(Some(Value::Null))), "{clean}");
        }
    }

    #[test]
    fn a_round_is_released_by_number() {
        let message = |round: Value| {
            parse(&json!({"action": "informRoundContinue", "phaseName": "A", "roundNo": round, "groupNo": 0}))
        };
        assert_eq!(message(json!(2)), Ok(Message::RoundContinue { phase: phase("A"), round: 2 }));
        assert_eq!(message(json!("0")), Ok(Message::RoundContinue { phase: phase("A"), round: 0 }));
        assert!(message(json!(-1)).unwrap_err().to_string().contains("roundNo"));
    }

    #[test]
    fn variables_are_texts_or_numbers() {
        let message = json!({"action": "setEnv", "items": {"A": "x", "N": 5}, "onlyInProcess": 1});
        let items = vec![("A".to_owned(), "x".to_owned()), ("N".to_owned(), "5".to_owned())];
        assert_eq!(parse(&message), Ok(Message::SetEnv { items, only_in_process: true }));
        let error = parse(&json!({"action": "setEnv", "items": {"A": ["hunter2"]}})).unwrap_err().to_string();
        assert!(error.contains("`A`") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_named_and_not_repeated() {
        for (datagram, expected) in [
            ("", "line 1"),
            ("[1]", "not a JSON object"),
            ("{\"action\": \"setEnv\", \"items\": {\"A\": \"hunter2\"", "not a JSON object"),
            ("{}", "`action` is missing"),
            ("{\"action\": 7}", "`action` is missing"),
            ("{\"action\": \"rm -rf\\n/\"}", "the action `rm -rf?/` is not known"),
            ("{\"action\": \"setEnv\", \"items\": \"hunter2\"}", "setEnv: `items` must be an object"),
            ("{\"action\": \"informRoundContinue\", \"roundNo\": 1, \"phaseName\": \"a/b\"}", "`phaseName`"),
            ("{\"action\": \"informNodeWaitInput\", \"phaseName\": \"A\"}", "`resourceId`"),
            (
                "{\"action\": \"informNodeWaitInput\", \"phaseName\": \"A\", \"resourceId\": 1, \"interact\": 5}",
                "`interact`",
            ),
            ("{\"action\": \"globalLockNotify\"}", "`lockId`"),
            ("{\"action\": \"globalLock\"}", "`lockParams`"),
            ("{\"action\": \"queryCollectDB\", \"queryParams\": 1}", "`queryParams`"),
        ] {
            let error = Message::parse(datagram.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hunter2"), "{datagram}: {error}");
        }
        let long = format!("{{\"action\": \"{}\"}}", "x".repeat(60_000));
        assert!(Message::parse(long.as_bytes()).unwrap_err().to_string().len() < 200);
        assert!(Message::parse(b"\xff\xfe{").is_err());
    }

    #[test]
    fn only_who_waits_for_a_reply_gets_one() {
        let lock = parse(&json!({"action": "globalLock", "lockParams": {"action": "steal"}})).unwrap_err();
        let reply = lock.reply().unwrap();
        assert!(
            reply["lockId"].is_null() && reply["message"].as_str().unwrap().contains("lockParams.action"),
            "{reply}"
        );
        let query = parse(&json!({"action": "queryCollectDB", "queryParams": {}})).unwrap_err();
        assert!(query.reply().unwrap()["error"].as_str().unwrap().contains("collection"));
        assert!(parse(&json!({"action": "setEnv"})).unwrap_err().reply().is_none());
    }

    proptest! {
        #[test]
        fn no_datagram_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Message::parse(&bytes);
        }

        #[test]
        fn no_object_panics(action in "informNodeWaitInput|informRoundContinue|setEnv|globalLock|globalLockNotify|queryCollectDB",
                            name in "phaseName|resourceId|interact|clean|items|lockParams|lockId|queryParams|roundNo",
                            text in ".{0,40}", number in any::<f64>()) {
            for value in [json!(text), json!(number), json!({text.clone(): number}), json!([text])] {
                let _ = parse(&json!({"action": action, name.clone(): value}));
            }
        }
    }
}

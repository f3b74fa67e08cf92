//! JSON of the job's files to documents and back, and the documents of each collection (`spec/workdir.md` §5.6).

use autoexec_model::{JobId, PhaseName, ResourceId};
use autoexec_store::{EnvValue, NodeIdentity};
use bson::{Bson, DateTime, Document, doc};
use serde_json::{Map, Number, Value};

use crate::MongoError;

/// The executor's collections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Collection {
    /// Job variables.
    Env,
    /// Outputs of nodes.
    Output,
    /// Statuses of nodes.
    Status,
}

impl Collection {
    /// In the order in which they are written: whoever sees a status may look for the outputs.
    pub(crate) const ALL: [Self; 3] = [Self::Env, Self::Output, Self::Status];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Env => "_autoexec_env",
            Self::Output => "_node_output",
            Self::Status => "_node_status",
        }
    }
}

/// Which document.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A job variable.
    Env(String),
    /// The outputs of a node.
    Output(ResourceId),
    /// The status of a node in a phase.
    Status(PhaseName, ResourceId),
}

impl Key {
    pub(crate) fn collection(&self) -> Collection {
        match self {
            Self::Env(_) => Collection::Env,
            Self::Output(_) => Collection::Output,
            Self::Status(..) => Collection::Status,
        }
    }

    /// What the document is found by.
    pub(crate) fn filter(&self, job: &JobId) -> Document {
        match self {
            Self::Env(name) => doc! { "jobId": job.as_str(), "name": name },
            Self::Output(resource) => doc! { "jobId": job.as_str(), "resourceId": integer(resource.0) },
            Self::Status(phase, resource) => {
                doc! { "jobId": job.as_str(), "phase": phase.as_str(), "resourceId": integer(resource.0) }
            }
        }
    }

    /// The document in a message for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Env(name) => format!("variable {name} of the job"),
            Self::Output(resource) => format!("outputs of node {resource}"),
            Self::Status(phase, resource) => format!("status of node {resource} in phase {phase}"),
        }
    }
}

/// The fields of a node's document.
pub(crate) fn node_fields(node: &NodeIdentity, data: Map<String, Value>) -> Document {
    doc! {
        "host": &node.host,
        "port": node.port.map(i32::from),
        "data": document(data),
        "createDate": DateTime::now(),
    }
}

/// The fields of a variable's document.
pub(crate) fn env_fields(value: &EnvValue) -> Document {
    doc! {
        "value": &value.value,
        "isHidden": i32::from(value.is_hidden),
        "createDate": DateTime::now(),
    }
}

/// A variable read back. Older processes may have written the flag in another type.
pub(crate) fn env_value(found: &Document) -> Option<(String, EnvValue)> {
    let name = found.get_str("name").ok()?.to_owned();
    let value = match found.get("value")? {
        Bson::String(text) => text.clone(),
        Bson::Null => return None,
        other => other.clone().into_relaxed_extjson().to_string(),
    };
    let is_hidden = match found.get("isHidden") {
        Some(Bson::Boolean(flag)) => *flag,
        Some(Bson::Int32(number)) => *number != 0,
        Some(Bson::Int64(number)) => *number != 0,
        Some(Bson::Double(number)) => *number != 0.0,
        Some(Bson::String(text)) => !matches!(text.as_str(), "" | "0" | "false"),
        _ => false,
    };
    Some((name, EnvValue { value, is_hidden }))
}

/// `data` of a node's document.
pub(crate) fn data(mut found: Document) -> Option<Map<String, Value>> {
    match found.remove("data")? {
        Bson::Document(data) => Some(object(data)),
        _ => None,
    }
}

/// `resourceId` of a node's document, in whatever number type it was written.
pub(crate) fn resource(found: &Document) -> Option<ResourceId> {
    match found.get("resourceId")? {
        Bson::Int32(number) => Some(ResourceId(i64::from(*number))),
        Bson::Int64(number) => Some(ResourceId(*number)),
        _ => None,
    }
}

/// A document as JSON. What JSON has no type for becomes relaxed extended JSON.
pub(crate) fn object(found: Document) -> Map<String, Value> {
    found.into_iter().map(|(key, value)| (key, value.into_relaxed_extjson())).collect()
}

/// A JSON object as it is: a key such as `$date` is a key, since outputs are not extended JSON.
pub(crate) fn document(object: Map<String, Value>) -> Document {
    object.into_iter().map(|(key, value)| (key, bson(value))).collect()
}

/// What a tool or a plugin says about collected data, as [`object`] gives them to it: MongoDB's extended JSON stands for what
/// JSON has no type for, so that a date stays a date when a document is read, changed and saved.
pub(crate) fn collected(what: &'static str, object: Map<String, Value>) -> Result<Document, MongoError> {
    Document::try_from(object).map_err(|error| {
        let reason = error.message.unwrap_or_else(|| error.kind.to_string());
        MongoError::NoDocument { what, reason }
    })
}

fn bson(value: Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(flag) => Bson::Boolean(flag),
        Value::Number(number) => self::number(&number),
        Value::String(text) => Bson::String(text),
        Value::Array(items) => Bson::Array(items.into_iter().map(bson).collect()),
        Value::Object(object) => Bson::Document(document(object)),
    }
}

fn number(number: &Number) -> Bson {
    match number.as_i64() {
        Some(whole) => integer(whole),
        None => Bson::Double(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// The smaller type where it is large enough, as the replaced system's driver chose.
fn integer(number: i64) -> Bson {
    i32::try_from(number).map_or(Bson::Int64(number), Bson::Int32)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn json_survives_the_way_there_and_back() {
        let value = json!({"a": [1, -2, 2_147_483_648_i64, 1.5, null, true, {"$date": "no date"}], "b/x_1": {"k.v": "中"}, "e": {}});
        let document = document(map(value.clone()));
        assert_eq!(Value::Object(object(document.clone())), value);
        let numbers = document.get_array("a").unwrap();
        assert!(matches!((&numbers[0], &numbers[2]), (Bson::Int32(1), Bson::Int64(_))));
    }

    #[test]
    fn large_numbers_lose_precision_and_nothing_else() {
        let document = document(map(json!({"n": u64::MAX})));
        assert!(matches!(document.get("n"), Some(Bson::Double(number)) if *number > 1.8e19));
    }

    #[test]
    fn types_that_json_does_not_have_stay_readable() {
        let id = bson::oid::ObjectId::parse_str("0123456789abcdef01234567").unwrap();
        let found = object(doc! { "at": DateTime::from_millis(0), "id": id, "n": 5_i64 });
        assert_eq!(
            Value::Object(found),
            json!({"at": {"$date": "1970-01-01T00:00:00Z"}, "id": {"$oid": "0123456789abcdef01234567"}, "n": 5})
        );
    }

    #[test]
    fn collected_data_keep_their_types_on_the_way_there_and_back() {
        let id = bson::oid::ObjectId::parse_str("0123456789abcdef01234567").unwrap();
        let before = DateTime::from_millis(-1);
        let stored = doc! {
            "at": DateTime::from_millis(1_500), "before": before, "ids": [id], "n": 5_i32, "large": i64::MAX, "half": 0.5,
            "in": { "price in $": 3_i32, "none": Bson::Null },
        };
        assert_eq!(collected("document", object(stored.clone())).unwrap(), stored);
        let written = map(json!({"at": {"$date": {"$numberLong": "1500"}}}));
        assert_eq!(collected("document", written).unwrap(), doc! { "at": DateTime::from_millis(1_500) });
    }

    #[test]
    fn extended_json_that_is_none_is_told() {
        for (broken, names) in [
            (json!({"at": {"$date": "yesterday"}}), "yesterday"),
            (json!({"at": {"$date": "2024-01-01T00:00:00Z", "zone": "UTC"}}), "zone"),
            (json!({"a": [{"id": {"$oid": "1"}}]}), "1"),
        ] {
            let error = collected("filter", map(broken)).unwrap_err().to_string();
            assert!(error.contains("the filter is no document") && error.contains(names), "{error}");
        }
    }

    #[test]
    fn a_hidden_flag_is_understood_in_every_type() {
        for (flag, expected) in [
            (Bson::Int32(1), true),
            (Bson::Boolean(true), true),
            (Bson::String("1".into()), true),
            (Bson::Int64(0), false),
            (Bson::String("0".into()), false),
            (Bson::Null, false),
        ] {
            let found = doc! { "name": "A", "value": "x", "isHidden": flag.clone() };
            assert_eq!(env_value(&found).unwrap().1.is_hidden, expected, "{flag}");
        }
        assert_eq!(env_value(&doc! { "name": "A", "value": 5 }).unwrap().1.value, "5");
        assert!(env_value(&doc! { "name": "A" }).is_none() && env_value(&doc! { "value": "x" }).is_none());
    }
}

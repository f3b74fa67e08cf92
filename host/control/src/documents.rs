//! Searches in the collected data (`queryCollectDB`, `spec/job-socket.md` §9.1).

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::{Map, Value};

/// Most documents that a search gives.
pub const MAX_DOCUMENTS: usize = 10;

/// The executor's own collections: they hold values of other jobs (`spec/workdir.md` §5.6).
const OWN: [&str; 3] = ["_node_output", "_node_status", "_autoexec_env"];

/// Operators that run code in the database.
const CODE: [&str; 4] = ["$where", "$function", "$accumulator", "$expr"];

/// A search that was checked: whoever can write to the socket can send one (defect 93).
#[derive(Debug, Clone, PartialEq)]
pub struct DocumentQuery {
    collection: String,
    condition: Map<String, Value>,
    projection: Option<Map<String, Value>>,
}

impl DocumentQuery {
    /// Checks `queryParams`. The error says which member is wrong and how.
    pub(crate) fn new(mut params: Map<String, Value>) -> Result<Self, String> {
        let collection = match params.shift_remove("collection") {
            Some(Value::String(name)) if is_open(&name) => name,
            Some(Value::String(_)) => {
                return Err("`collection` is not one of collected data".to_owned());
            }
            _ => return Err("`collection` must be text".to_owned()),
        };
        let condition = filter(params.shift_remove("condition"), "condition")?.unwrap_or_default();
        let projection = filter(params.shift_remove("projection"), "projection")?;
        Ok(Self { collection, condition, projection })
    }

    /// The collection.
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// What the documents must match.
    pub fn condition(&self) -> &Map<String, Value> {
        &self.condition
    }

    /// Which members of the documents are wanted; all when absent. `_id` is never given.
    pub fn projection(&self) -> Option<&Map<String, Value>> {
        self.projection.as_ref()
    }
}

fn is_open(name: &str) -> bool {
    !name.is_empty() && !OWN.contains(&name) && !name.starts_with("system.") && !name.contains(['$', '\0'])
}

fn filter(value: Option<Value>, name: &str) -> Result<Option<Map<String, Value>>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value @ Value::Object(_)) if runs_code(&value) => {
            Err(format!("`{name}` uses an operator that runs code ({})", CODE.join(", ")))
        }
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => Err(format!("`{name}` must be an object")),
    }
}

/// The nesting is bounded by the JSON reader.
fn runs_code(value: &Value) -> bool {
    match value {
        Value::Object(object) => {
            object.iter().any(|(key, value)| CODE.contains(&key.as_str()) || runs_code(value))
        }
        Value::Array(items) => items.iter().any(runs_code),
        _ => false,
    }
}

/// Where collected data are kept.
#[async_trait]
pub trait Documents: Send + Sync {
    /// Finds at most [`MAX_DOCUMENTS`] documents, without their `_id`.
    ///
    /// # Errors
    /// A text for the plugin that asked.
    async fn find(&self, query: &DocumentQuery) -> Result<Vec<Map<String, Value>>, String>;
}

/// No store is connected.
#[derive(Debug)]
pub struct NoDocuments {
    config: PathBuf,
}

impl NoDocuments {
    /// `config` is the file in which a store would be configured.
    pub fn new(config: PathBuf) -> Self {
        Self { config }
    }
}

#[async_trait]
impl Documents for NoDocuments {
    async fn find(&self, _query: &DocumentQuery) -> Result<Vec<Map<String, Value>>, String> {
        Err(format!(
            "this run has no document store, so there are no collected data to search: they need MongoDB, see db.url, db.name, \
             db.username and db.password in section [autoexec] of {}",
            self.config.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn query(params: Value) -> Result<DocumentQuery, String> {
        match params {
            Value::Object(params) => DocumentQuery::new(params),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_plain_query_is_taken_as_it_is() {
        let query = query(
            json!({"collection": "COLLECT_OS", "condition": {"a": {"$gt": 5}}, "projection": {"a": 1}}),
        )
        .unwrap();
        assert_eq!((query.collection(), query.condition()["a"]["$gt"].as_i64()), ("COLLECT_OS", Some(5)));
        assert_eq!(query.projection().unwrap()["a"], 1);
    }

    #[test]
    fn condition_and_projection_may_be_left_out() {
        let query = query(json!({"collection": "C", "projection": null})).unwrap();
        assert!(query.condition().is_empty() && query.projection().is_none());
    }

    #[test]
    fn foreign_collections_and_code_are_refused() {
        for (params, member) in [
            (json!({}), "collection"),
            (json!({"collection": 5}), "collection"),
            (json!({"collection": ""}), "collection"),
            (json!({"collection": "_node_output"}), "collection"),
            (json!({"collection": "system.users"}), "collection"),
            (json!({"collection": "a$b"}), "collection"),
            (json!({"collection": "C", "condition": "x"}), "condition"),
            (
                json!({"collection": "C", "condition": {"$or": [{"a": 1}, {"$where": "sleep(9)"}]}}),
                "condition",
            ),
            (json!({"collection": "C", "projection": {"a": {"$function": {}}}}), "projection"),
        ] {
            let error = query(params.clone()).unwrap_err();
            assert!(error.contains(member), "{params}: {error}");
        }
    }
}

//! Collected data for tools.

use async_trait::async_trait;
use autoexec_sandbox::{DocumentError, DocumentsHost};
use autoexec_store_mongo::{Database, MongoError, MongoSettings};
use serde_json::{Map, Value};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use crate::config::DbConfig;
use crate::shared_store;

/// How many times longer than its JSON the binary form of a document may be: a list of digits is, with its positions as names.
const BINARY_TO_JSON: u64 = 8;

/// A database that the configuration names, and that nothing is connected to before it is needed.
pub(super) struct OwnDatabase(MongoSettings);

impl OwnDatabase {
    /// None when the configuration names none.
    pub(super) fn of(config: &DbConfig) -> Option<Self> {
        let named = !config.url.expose().trim().is_empty();
        named.then(|| Self(shared_store::configured(config)))
    }
}

/// The document store of a run.
pub(super) struct DatabaseDocuments {
    database: OnceCell<Database>,
    own: Option<OwnDatabase>,
    runtime: Handle,
}

impl DatabaseDocuments {
    /// The database of the run itself.
    pub(super) fn new(database: Database, runtime: Handle) -> Self {
        Self { database: OnceCell::new_with(Some(database)), own: None, runtime }
    }

    /// One that is connected to when a tool needs it.
    pub(super) fn on_first_use(own: OwnDatabase, runtime: Handle) -> Self {
        Self { database: OnceCell::new(), own: Some(own), runtime }
    }

    async fn database(&self) -> Result<&Database, DocumentError> {
        let connect = || async {
            let Some(OwnDatabase(settings)) = &self.own else { return Err(DocumentError::None) };
            let settings = settings.clone();
            let connecting = self.runtime.spawn(async move { Database::connect(settings).await });
            match connecting.await {
                Ok(connected) => connected.map_err(|error| DocumentError::Unavailable(error.to_string())),
                Err(error) => Err(DocumentError::Unavailable(error.to_string())),
            }
        };
        self.database.get_or_try_init(connect).await
    }
}

#[async_trait]
impl DocumentsHost for DatabaseDocuments {
    async fn find(
        &self,
        collection: &str,
        filter: Map<String, Value>,
        limit: u32,
        most: u64,
    ) -> Result<Vec<Value>, DocumentError> {
        let (database, filter) = (self.database().await?, plain(filter)?);
        let found = match limit {
            // The database takes this for "all".
            0 => Vec::new(),
            limit => {
                let read = most.saturating_mul(BINARY_TO_JSON);
                let found = database.find(collection, &filter, None, limit, read).await;
                found.map_err(|error| match error {
                    MongoError::TooLong { .. } => DocumentError::TooLong(most),
                    error => why(&error),
                })?
            }
        };
        Ok(found.into_iter().map(Value::Object).collect())
    }

    async fn save(
        &self,
        collection: &str,
        filter: Map<String, Value>,
        document: Map<String, Value>,
    ) -> Result<(), DocumentError> {
        let (database, filter) = (self.database().await?, plain(filter)?);
        if filter.is_empty() {
            return Err(DocumentError::Invalid("an empty filter would replace any document".to_owned()));
        }
        if let Some(name) = document.keys().find(|name| name.starts_with('$')) {
            return Err(DocumentError::Invalid(format!("a document can not have a field `{name}`")));
        }
        database.replace(collection, filter, document).await.map_err(|error| why(&error))
    }

    async fn remove(&self, collection: &str, filter: Map<String, Value>) -> Result<u32, DocumentError> {
        let (database, filter) = (self.database().await?, plain(filter)?);
        if filter.is_empty() {
            return Err(DocumentError::Invalid(
                "an empty filter would remove the whole collection".to_owned(),
            ));
        }
        let removed = database.remove(collection, filter).await.map_err(|error| why(&error))?;
        Ok(u32::try_from(removed).unwrap_or(u32::MAX))
    }
}

/// Types of values that JSON does not have, as extended JSON writes them. Patterns and code are not among them: in a filter
/// they would not be values.
const VALUES: [&str; 9] = [
    "$binary",
    "$date",
    "$numberDecimal",
    "$numberDouble",
    "$numberInt",
    "$numberLong",
    "$oid",
    "$timestamp",
    "$uuid",
];

/// Fields and their values, and no operator of the database: some of them run code.
fn plain(filter: Map<String, Value>) -> Result<Map<String, Value>, DocumentError> {
    match operator(&filter) {
        Some(name) => Err(DocumentError::Invalid(format!(
            "`{name}` is an operator of the database: a filter has fields and the values that they must have"
        ))),
        None => Ok(filter),
    }
}

/// The nesting is bounded by the JSON reader.
fn operator(object: &Map<String, Value>) -> Option<&str> {
    object
        .iter()
        .find_map(|(name, value)| if name.starts_with('$') { Some(name.as_str()) } else { within(value) })
}

fn within(value: &Value) -> Option<&str> {
    match value {
        Value::Object(object) if is_value(object) => None,
        Value::Object(object) => operator(object),
        Value::Array(items) => items.iter().find_map(within),
        _ => None,
    }
}

/// What is inside is read as that type or refused, and never sent as it is.
fn is_value(object: &Map<String, Value>) -> bool {
    object.len() == 1 && object.keys().all(|name| VALUES.contains(&name.as_str()))
}

fn why(error: &MongoError) -> DocumentError {
    match error {
        MongoError::Failed { .. } | MongoError::NoDocument { .. } => {
            DocumentError::Invalid(error.to_string())
        }
        error => DocumentError::Unavailable(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_filter_has_values_and_no_operators() {
        let check = |filter: Value| plain(filter.as_object().unwrap().clone());
        for good in [
            json!({}),
            json!({"a": 1, "b.c": {"d": [1, {"e": null}]}, "price in $": 3}),
            json!({"_id": {"$oid": "0123456789abcdef01234567"}, "at": {"$date": {"$numberLong": "1"}}}),
        ] {
            assert!(check(good.clone()).is_ok(), "{good}");
        }
        for bad in [
            json!({"$where": "1"}),
            json!({"a": {"$gt": 1}}),
            json!({"a": [{"b": {"$function": {}}}]}),
            json!({"$date": "2024-01-01T00:00:00Z"}),
            json!({"a": {"$gt": {"$date": "2024-01-01T00:00:00Z"}}}),
            json!({"a": {"$date": "2024-01-01T00:00:00Z", "$gt": 1}}),
            json!({"a": {"$regularExpression": {"pattern": ".", "options": ""}}}),
        ] {
            let error = check(bad.clone()).unwrap_err();
            assert!(matches!(&error, DocumentError::Invalid(text) if text.contains('$')), "{bad}: {error}");
        }
    }
}

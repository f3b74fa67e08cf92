//! Documents that steps of many jobs share: collected data. Needs the capability `documents` in `tool.toml`.
//!
//! What JSON has no type for stands in documents and filters as MongoDB's extended JSON: a date is found as
//! `{"$date": "2024-01-01T00:00:00Z"}`, and stays one when the document is saved again. A new one is made by [`date`]; a text that looks
//! like a date is a text, by which no document expires.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::documents as host;
pub use crate::bindings::autoexec::tool::documents::DocumentError;
use crate::failure::{HostError, reasons};
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::documents as host;

/// What the host could not do, and why.
pub type Error = HostError<DocumentError>;

reasons!(DocumentError {
    DocumentError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    DocumentError::None => crate::FailureKind::Other("unavailable".into()), "there is no document store here";
    DocumentError::Unavailable(why) => crate::FailureKind::Unreachable, said("the store can not be reached", why);
    DocumentError::Invalid(why) => crate::FailureKind::Other("invalid-data".into()), said("not taken", why);
});

/// Documents whose fields have these values; at most `limit`.
pub fn find(collection: &str, filter: &impl Serialize, limit: u32) -> Result<Vec<Value>, Error> {
    let doing = || format!("looking for documents in {collection}");
    let filter = text(filter, &doing)?;
    let found = host::find(collection, &filter, limit).map_err(|reason| HostError::new(reason, doing()))?;
    found.iter().map(|text| serde_json::from_str(text).map_err(|error| invalid(&error, &doing))).collect()
}

/// Replaces the document whose fields have these values, or adds it.
pub fn save(collection: &str, filter: &impl Serialize, document: &impl Serialize) -> Result<(), Error> {
    let doing = || format!("saving a document in {collection}");
    let (filter, document) = (text(filter, &doing)?, text(document, &doing)?);
    host::save(collection, &filter, &document).map_err(|reason| HostError::new(reason, doing()))
}

/// Removes the documents whose fields have these values; returns how many. An empty filter is invalid.
pub fn remove(collection: &str, filter: &impl Serialize) -> Result<u32, Error> {
    let doing = || format!("removing documents from {collection}");
    let filter = text(filter, &doing)?;
    host::remove(collection, &filter).map_err(|reason| HostError::new(reason, doing()))
}

/// A date in a document, to the millisecond, from the time since 1970: what [`crate::clock::since_epoch`] gives.
pub fn date(since_epoch: Duration) -> Value {
    json!({"$date": {"$numberLong": since_epoch.as_millis().to_string()}})
}

fn text(value: &impl Serialize, doing: &impl Fn() -> String) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|error| invalid(&error, doing))
}

fn invalid(error: &serde_json::Error, doing: &impl Fn() -> String) -> Error {
    HostError::new(DocumentError::Invalid(error.to_string()), doing())
}

//! Documents that steps of many jobs share.

use async_trait::async_trait;
use serde_json::{Map, Value};

/// The document store. Each use was permitted by collection and direction before.
#[async_trait]
pub trait DocumentsHost: Send + Sync {
    /// Documents whose fields have these values; at most `limit`, and as JSON at most `most` bytes together. Nothing much longer than
    /// that is read.
    async fn find(
        &self,
        collection: &str,
        filter: Map<String, Value>,
        limit: u32,
        most: u64,
    ) -> Result<Vec<Value>, DocumentError>;

    /// Replaces the document whose fields have these values, or adds it.
    async fn save(
        &self,
        collection: &str,
        filter: Map<String, Value>,
        document: Map<String, Value>,
    ) -> Result<(), DocumentError>;

    /// Removes the documents whose fields have these values, of which there is at least one field; returns how many.
    async fn remove(&self, collection: &str, filter: Map<String, Value>) -> Result<u32, DocumentError>;
}

/// Why it can not be done (`document-error` in the WIT).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Not allowed.
    #[error("{0}")]
    Denied(String),
    /// There is no document store here.
    #[error("there is no document store here")]
    None,
    /// It can not be reached now.
    #[error("{0}")]
    Unavailable(String),
    /// A filter or document it does not take.
    #[error("{0}")]
    Invalid(String),
    /// What was found is longer than it may be, in bytes.
    #[error(
        "the documents found are longer than {0} bytes; ask for fewer with a filter or limit, or raise `response-kib` under [[limits]] in the policy"
    )]
    TooLong(u64),
}

//! Requests to the database, each with a limit.

use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document, doc};
use mongodb::Database;
use mongodb::error::Error;

use crate::MongoError;
use crate::document::Collection;
use crate::queue::{Batch, Write};

/// Longest wait for one request, after which the connection is as good as gone. The driver itself has no limit for a
/// server that stays silent.
pub(crate) const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The database of the job's collections.
#[derive(Debug, Clone)]
pub(crate) struct Collections {
    database: Database,
    hosts: Arc<str>,
}

/// A document that the server refused to write.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Its place in the batch.
    pub(crate) index: usize,
    /// What the server said.
    pub(crate) reason: String,
}

impl Collections {
    pub(crate) fn new(database: Database, hosts: String) -> Self {
        Self { database, hosts: hosts.into() }
    }

    pub(crate) fn hosts(&self) -> &str {
        &self.hosts
    }

    /// Waits for a request of the driver.
    async fn within<T>(&self, request: impl IntoFuture<Output = Result<T, Error>>) -> Result<T, MongoError> {
        match tokio::time::timeout(REQUEST_LIMIT, request.into_future()).await {
            Ok(result) => result.map_err(|error| MongoError::of(&self.hosts, &error)),
            Err(_) => Err(MongoError::Timeout { hosts: self.hosts.to_string(), limit: REQUEST_LIMIT }),
        }
    }

    /// Documents that match, at most `limit` (0: all) and together at most `most` bytes. `fields` is a projection; `_id` is left out.
    pub(crate) async fn find(
        &self,
        collection: &str,
        filter: Document,
        mut fields: Document,
        limit: i64,
        most: u64,
    ) -> Result<Vec<Document>, MongoError> {
        fields.insert("_id", 0);
        let collection = self.database.collection::<Document>(collection);
        let find = collection.find(filter).projection(fields).limit(limit);
        let mut cursor = self.within(find).await?;
        let (mut found, mut left) = (Vec::new(), most);
        while self.within(cursor.advance()).await? {
            let length = cursor.current().as_bytes().len() as u64;
            left = left.checked_sub(length).ok_or(MongoError::TooLong { limit: most })?;
            let document = cursor.deserialize_current();
            found.push(document.map_err(|error| MongoError::of(&self.hosts, &error))?);
        }
        Ok(found)
    }

    /// The first document that matches.
    pub(crate) async fn find_one(
        &self,
        collection: Collection,
        filter: Document,
        fields: Document,
    ) -> Result<Option<Document>, MongoError> {
        Ok(self.find(collection.name(), filter, fields, 1, u64::MAX).await?.pop())
    }

    /// Deletes all documents that match; how many there were.
    pub(crate) async fn delete(&self, collection: &str, filter: Document) -> Result<u64, MongoError> {
        let collection = self.database.collection::<Document>(collection);
        self.within(collection.delete_many(filter)).await.map(|deleted| deleted.deleted_count)
    }

    /// Replaces the first document that matches, or adds it.
    pub(crate) async fn replace(
        &self,
        collection: &str,
        filter: Document,
        document: Document,
    ) -> Result<(), MongoError> {
        let collection = self.database.collection::<Document>(collection);
        self.within(collection.replace_one(filter, document).upsert(true)).await.map(drop)
    }

    /// Writes a batch. Gives the documents that the server will never take.
    ///
    /// Usually one request; where the server refuses it as a whole, one for each document, so that a document that
    /// cannot even be read there does not keep the others back.
    pub(crate) async fn write(&self, batch: &Batch) -> Result<Vec<Refused>, MongoError> {
        match self.request(batch.collection, &batch.writes).await {
            Err(MongoError::Failed { .. }) => {}
            result => return result,
        }
        let mut refused = Vec::new();
        for (index, write) in batch.writes.iter().enumerate() {
            match self.request(batch.collection, std::slice::from_ref(write)).await {
                Ok(found) => refused.extend(found.into_iter().map(|found| Refused { index, ..found })),
                Err(MongoError::Failed { reason, .. }) => refused.push(Refused { index, reason }),
                Err(error) => return Err(error),
            }
        }
        Ok(refused)
    }

    async fn request(&self, collection: Collection, writes: &[Write]) -> Result<Vec<Refused>, MongoError> {
        let updates = writes.iter().map(|Write { upsert, .. }| {
            let set = doc! { "$set": upsert.fields.clone() };
            Bson::Document(doc! { "q": upsert.filter.clone(), "u": set, "upsert": true })
        });
        let updates: Vec<Bson> = updates.collect();
        // Unordered: one refused document does not keep the others back. Each is in the batch once.
        let command = doc! { "update": collection.name(), "updates": updates, "ordered": false };
        let reply = self.within(self.database.run_command(command)).await?;
        if let Ok(concern) = reply.get_document("writeConcernError") {
            let reason = concern.get_str("errmsg").unwrap_or("the write was not confirmed by enough servers");
            return Err(MongoError::Unreachable { hosts: self.hosts.to_string(), reason: reason.to_owned() });
        }
        let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
        Ok(errors.iter().filter_map(Bson::as_document).filter_map(refused).collect())
    }
}

fn refused(error: &Document) -> Option<Refused> {
    let index = error.get_i32("index").ok().and_then(|index| usize::try_from(index).ok())?;
    let reason = error.get_str("errmsg").unwrap_or("no reason given").to_owned();
    Some(Refused { index, reason })
}

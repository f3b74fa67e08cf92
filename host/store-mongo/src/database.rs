//! The connection, and the thread that the driver runs on.

use std::future::Future;
use std::sync::{Arc, mpsc};

use bson::Document;
use mongodb::Client;
use serde_json::{Map, Value};
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use crate::collections::{Collections, REQUEST_LIMIT};
use crate::document::{Collection, collected, document, object};
use crate::{MongoError, MongoSettings};

/// A connected database. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Database {
    thread: Arc<DriverThread>,
    pub(crate) collections: Collections,
}

/// The driver's runtime: one thread, which ends with the last user of the database.
#[derive(Debug)]
struct DriverThread(Option<Runtime>);

impl DriverThread {
    fn start() -> Result<Self, MongoError> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("mongodb").enable_all().build();
        runtime.map(|runtime| Self(Some(runtime))).map_err(|error| {
            MongoError::failed("(not yet connected)", format!("cannot start a thread: {error}"))
        })
    }

    fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<tokio::task::JoinHandle<T>> {
        self.0.as_ref().map(|runtime| runtime.spawn(work))
    }
}

impl Drop for DriverThread {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // A plain drop waits, which is not allowed where the last user is itself a task.
            runtime.shutdown_background();
        }
    }
}

impl Database {
    /// Connects, and reads from the job's collections once: a database that cannot be used is an error now and not in
    /// the middle of a job.
    ///
    /// # Errors
    /// The setting, the host or the missing permission.
    pub async fn connect(settings: MongoSettings) -> Result<Self, MongoError> {
        let thread = DriverThread::start()?;
        let open = thread.spawn(open(settings)).ok_or_else(stopped)?;
        let collections = open.await.map_err(|error| MongoError::failed("(not yet connected)", error))??;
        Ok(Self { thread: Arc::new(thread), collections })
    }

    /// Host and port of all servers, for messages.
    pub fn hosts(&self) -> &str {
        self.collections.hosts()
    }

    /// At most `limit` documents of a collection that match `condition`, with the members that `projection` names and
    /// without `_id` (`queryCollectDB`, `spec/job-socket.md` §9.1). In conditions, documents to be saved and documents found
    /// MongoDB's extended JSON stands for what JSON has no type for: `{"$date": "2024-01-01T00:00:00Z"}`. `most` bounds what is
    /// read, in bytes of the documents' binary form.
    ///
    /// # Errors
    /// What is wrong with the condition, what the server said, or [`MongoError::TooLong`].
    pub async fn find(
        &self,
        collection: &str,
        condition: &Map<String, Value>,
        projection: Option<&Map<String, Value>>,
        limit: u32,
        most: u64,
    ) -> Result<Vec<Map<String, Value>>, MongoError> {
        let (collections, name) = (self.collections.clone(), collection.to_owned());
        let filter = collected("filter", condition.clone())?;
        let fields = projection.cloned().map(document).unwrap_or_default();
        let find = async move { collections.find(&name, filter, fields, i64::from(limit), most).await };
        let task = self.thread.spawn(find).ok_or_else(stopped)?;
        let found = task.await.map_err(|error| MongoError::failed(self.hosts(), error))??;
        Ok(found.into_iter().map(object).collect())
    }

    /// Replaces the first document of a collection that matches, or adds it.
    ///
    /// # Errors
    /// What is wrong with the condition or the replacement, or what the server said.
    pub async fn replace(
        &self,
        collection: &str,
        condition: Map<String, Value>,
        replacement: Map<String, Value>,
    ) -> Result<(), MongoError> {
        let (collections, name) = (self.collections.clone(), collection.to_owned());
        let (filter, new) = (collected("filter", condition)?, collected("document", replacement)?);
        let replace = async move { collections.replace(&name, filter, new).await };
        let task = self.thread.spawn(replace).ok_or_else(stopped)?;
        task.await.map_err(|error| MongoError::failed(self.hosts(), error))?
    }

    /// Removes all documents of a collection that match; how many there were.
    ///
    /// # Errors
    /// What is wrong with the condition, or what the server said.
    pub async fn remove(&self, collection: &str, condition: Map<String, Value>) -> Result<u64, MongoError> {
        let (collections, name) = (self.collections.clone(), collection.to_owned());
        let filter = collected("filter", condition)?;
        let task =
            self.thread.spawn(async move { collections.delete(&name, filter).await }).ok_or_else(stopped)?;
        task.await.map_err(|error| MongoError::failed(self.hosts(), error))?
    }

    /// Starts work on the driver's thread that nobody waits for.
    pub(crate) fn start(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Without a thread nothing is connected, and the work has nothing to do.
        let _ = self.thread.spawn(work);
    }

    /// Does work on the driver's thread and waits for it.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, MongoError>> + Send + 'static,
    ) -> Result<T, MongoError> {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.start(async move {
            // Whoever waited may have given up.
            let _ = sender.send(work.await);
        });
        // Every request ends by its own limit; this one is for a driver that does not.
        let limit = REQUEST_LIMIT * 2;
        blocking(|| receiver.recv_timeout(limit))
            .unwrap_or_else(|_| Err(MongoError::Timeout { hosts: self.hosts().to_owned(), limit }))
    }
}

fn stopped() -> MongoError {
    MongoError::failed("(not connected)", "its thread has ended")
}

async fn open(settings: MongoSettings) -> Result<Collections, MongoError> {
    let (options, name) = settings.options().await?;
    let hosts = options.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let client = Client::with_options(options).map_err(|error| MongoError::of(&hosts, &error))?;
    let collections = Collections::new(client.database(&name), hosts);
    collections.find_one(Collection::Env, Document::new(), Document::new()).await?;
    Ok(collections)
}

/// Waits without keeping the tasks of the caller's runtime from running.
pub(crate) fn blocking<T>(wait: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            tokio::task::block_in_place(wait)
        }
        _ => wait(),
    }
}

//! [`NodeRecords`] in files and MongoDB.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use autoexec_model::{JobId, PhaseName, ResourceId};
use autoexec_store::json::{self, Style};
use autoexec_store::{
    EnvValue, FileRecords, JobDir, JobEnv, Loaded, NodeIdentity, NodeOutput, NodeRecords, NodeState,
    StoreError,
};
use bson::{DateTime, Document, doc};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::document::{self, Collection, Key};
use crate::writer::{Warn, Writer};
use crate::{Database, MongoError};

/// After a request that found no server, others fail with it for this long instead of each waiting in turn.
const SHARED_TROUBLE: Duration = Duration::from_secs(5);

/// How long unwritten variables are waited for before those of other runners are read.
const ENV_WAIT: Duration = Duration::from_secs(5);

/// Statuses, outputs and variables of one job in its directory, shared through MongoDB.
///
/// A file wins over a document. What is not in a file, because another runner made it or the directory is new, is read
/// from the database. Outputs that are found there become files, since plugins read files. The local node belongs to
/// all runners of a job: of its outputs, those of operations that the file does not have are taken from the database.
pub struct MongoRecords {
    job: JobId,
    files: FileRecords,
    job_dir: JobDir,
    database: Database,
    writer: Writer,
    warn: Warn,
    known: Mutex<Known>,
    /// The last request that found no server, and when.
    trouble: Mutex<Option<(Instant, String)>>,
}

/// Which nodes have documents: asked once, so that the first run of ten thousand nodes does not ask for each.
#[derive(Default)]
struct Known {
    states: HashMap<PhaseName, HashSet<ResourceId>>,
    outputs: Option<HashSet<ResourceId>>,
    /// `createDate` of the local node's document when its outputs were last taken over.
    local: Option<DateTime>,
}

impl MongoRecords {
    /// Records of the job in `job_dir`. `warn` gets what went wrong in the background.
    pub fn new(job: JobId, job_dir: JobDir, database: Database, warn: Warn) -> Self {
        let writer = Writer::start(&database, job.clone(), Warn::clone(&warn));
        let files = FileRecords::new(job_dir.clone());
        Self {
            job,
            files,
            job_dir,
            database,
            writer,
            warn,
            known: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// Waits until everything that was saved so far is in the database. Gives the number of documents that are not,
    /// after `limit`; they are tried on.
    pub fn flush(&self, limit: Duration) -> usize {
        self.writer.flush(limit)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads from the database.
    fn ask<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, MongoError>> + Send + 'static,
    ) -> Result<T, MongoError> {
        let trouble = || self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, reason)) = &*trouble()
            && at.elapsed() < SHARED_TROUBLE
        {
            return Err(MongoError::Unreachable {
                hosts: self.database.hosts().to_owned(),
                reason: reason.clone(),
            });
        }
        let answer = self.database.wait(work);
        *trouble() = match &answer {
            Err(MongoError::Unreachable { reason, .. }) => Some((Instant::now(), reason.clone())),
            Err(error @ MongoError::Timeout { .. }) => Some((Instant::now(), error.to_string())),
            _ => None,
        };
        answer
    }

    fn find(
        &self,
        collection: Collection,
        filter: Document,
        fields: Document,
    ) -> Result<Vec<Document>, MongoError> {
        let collections = self.database.collections.clone();
        self.ask(async move { collections.find(collection.name(), filter, fields, 0, u64::MAX).await })
    }

    fn find_one(&self, key: &Key, fields: Document) -> Result<Option<Document>, MongoError> {
        let (collections, collection) = (self.database.collections.clone(), key.collection());
        let filter = key.filter(&self.job);
        self.ask(async move { collections.find_one(collection, filter, fields).await })
    }

    fn find_data(&self, key: &Key) -> Result<Option<Map<String, Value>>, MongoError> {
        Ok(self.find_one(key, doc! { "data": 1 })?.and_then(document::data))
    }

    fn resources(&self, collection: Collection, filter: Document) -> Result<HashSet<ResourceId>, MongoError> {
        let found = self.find(collection, filter, doc! { "resourceId": 1 })?;
        Ok(found.iter().filter_map(document::resource).collect())
    }

    fn has_state(&self, phase: &PhaseName, resource: ResourceId) -> Result<bool, MongoError> {
        let mut known = self.known();
        if let Some(resources) = known.states.get(phase) {
            return Ok(resources.contains(&resource));
        }
        let filter = doc! { "jobId": self.job.as_str(), "phase": phase.as_str() };
        let resources = self.resources(Collection::Status, filter)?;
        let has = resources.contains(&resource);
        known.states.insert(phase.clone(), resources);
        Ok(has)
    }

    /// The state that another runner, or this one before its files were lost, recorded. It is read anew even where it
    /// was known to be there: the server may have reset the node meanwhile.
    fn shared_state(
        &self,
        phase: &PhaseName,
        resource: ResourceId,
    ) -> Result<Option<Loaded<NodeState>>, MongoError> {
        if !self.has_state(phase, resource)? {
            return Ok(None);
        }
        let data = self.find_data(&Key::Status(phase.clone(), resource))?;
        Ok(data.map(|data| match NodeState::from_object(data) {
            Ok(state) => Loaded::Found(state),
            Err(reason) => Loaded::Broken { reason },
        }))
    }

    /// Writes outputs that are only in the database to the file.
    fn restore_output(&self, node: &NodeIdentity) -> Result<(), StoreError> {
        if node.resource == ResourceId::LOCAL {
            return self.merge_local(node);
        }
        let mut known = self.known();
        let read = |error| unreadable("read the outputs of the job's nodes", &error);
        if known.outputs.is_none() {
            let found = self.resources(Collection::Output, doc! { "jobId": self.job.as_str() });
            known.outputs = Some(found.map_err(read)?);
        }
        if !known.outputs.as_ref().is_some_and(|outputs| outputs.contains(&node.resource)) {
            return Ok(());
        }
        if let Some(data) = self.find_data(&Key::Output(node.resource)).map_err(read)? {
            let found = NodeOutput::from_object(data);
            self.files.update_output(node, &mut |output| output.clone_from(&found))?;
        }
        known.outputs.as_mut().map(|outputs| outputs.remove(&node.resource));
        Ok(())
    }

    /// Adds to the local node's file what operations on other runners left. Our own unwritten changes are newer than
    /// the document, and it is left alone until they are in it.
    fn merge_local(&self, node: &NodeIdentity) -> Result<(), StoreError> {
        let key = Key::Output(ResourceId::LOCAL);
        if self.writer.is_behind(&key) {
            return Ok(());
        }
        let read = |error| unreadable("read the outputs of the local node", &error);
        let date = self.find_one(&key, doc! { "createDate": 1 }).map_err(read)?;
        let date = date.and_then(|found| found.get_datetime("createDate").ok().copied());
        if date.is_none() || self.known().local == date {
            return Ok(());
        }
        let found = self.find_data(&key).map_err(read)?.map(NodeOutput::from_object);
        if let Some(shared) = found {
            self.take_over(node, &shared)?;
        }
        self.known().local = date;
        Ok(())
    }

    /// Adds outputs to the file of operations that it does not have.
    fn take_over(&self, node: &NodeIdentity, shared: &NodeOutput) -> Result<(), StoreError> {
        let own = self.files.load_output(node)?.found().unwrap_or_default();
        if shared.operations().all(|(operation, _)| own.operation(operation).is_some()) {
            return Ok(());
        }
        let mut add = |output: &mut NodeOutput| {
            for (operation, values) in shared.operations() {
                if output.operation(operation).is_none() {
                    output.set_operation(operation.clone(), values.clone());
                }
            }
        };
        self.files.update_output(node, &mut add).map(drop)
    }

    fn put_node(&self, key: Key, node: &NodeIdentity, data: &impl Serialize) -> Result<(), StoreError> {
        self.writer.put(key, document::node_fields(node, object_of(data)?));
        Ok(())
    }

    /// Variables of all runners; ours that could not be written yet are newer.
    fn shared_env(&self, env: &mut JobEnv) -> Result<(), MongoError> {
        self.writer.flush(ENV_WAIT);
        let found = self.find(Collection::Env, doc! { "jobId": self.job.as_str() }, Document::new())?;
        for (name, value) in found.iter().filter_map(document::env_value) {
            if !self.writer.is_behind(&Key::Env(name.clone())) {
                env.variables.insert(name, value);
            }
        }
        Ok(())
    }
}

fn unreadable(action: &'static str, error: &MongoError) -> StoreError {
    StoreError::Database { action, reason: error.to_string() }
}

/// A value of the store as the object that stands in its file.
fn object_of(value: &impl Serialize) -> Result<Map<String, Value>, StoreError> {
    let wrong = |reason| StoreError::Encode { path: PathBuf::from("MongoDB"), reason };
    // Through text: the values serialise as maps whose entries are not all fields.
    let text = json::to_text(value, Style::Compact).map_err(|error| wrong(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))
}

impl NodeRecords for MongoRecords {
    fn load_state(&self, phase: &PhaseName, node: &NodeIdentity) -> Result<Loaded<NodeState>, StoreError> {
        let file = self.files.load_state(phase, node)?;
        if matches!(file, Loaded::Found(_)) {
            return Ok(file);
        }
        let shared = self.shared_state(phase, node.resource);
        let shared = shared.map_err(|error| unreadable("read the status of a node", &error))?;
        Ok(shared.unwrap_or(file))
    }

    fn save_state(
        &self,
        phase: &PhaseName,
        node: &NodeIdentity,
        state: &NodeState,
    ) -> Result<(), StoreError> {
        self.files.save_state(phase, node, state)?;
        self.put_node(Key::Status(phase.clone(), node.resource), node, state)
    }

    fn clean_states(&self) -> Result<(), StoreError> {
        let (collections, filter) = (self.database.collections.clone(), doc! { "jobId": self.job.as_str() });
        self.database
            .wait(async move { collections.delete(Collection::Status.name(), filter).await.map(drop) })
            .map_err(|error| unreadable("delete the statuses of the job", &error))?;
        self.files.clean_states()
    }

    fn load_output(&self, node: &NodeIdentity) -> Result<Loaded<NodeOutput>, StoreError> {
        let file = self.files.load_output(node)?;
        let is_shared = node.resource == ResourceId::LOCAL;
        match (&file, is_shared) {
            (Loaded::Found(_), false) | (Loaded::Broken { .. }, _) => return Ok(file),
            (Loaded::Found(_), true) => {
                if let Err(error) = self.restore_output(node) {
                    (self.warn)(&format!("Outputs of other runners are not seen: {error}"));
                    return Ok(file);
                }
            }
            (Loaded::Missing, _) => self.restore_output(node)?,
        }
        self.files.load_output(node)
    }

    fn update_output(
        &self,
        node: &NodeIdentity,
        change: &mut dyn FnMut(&mut NodeOutput),
    ) -> Result<NodeOutput, StoreError> {
        // What is only in the database would be overwritten there.
        if node.resource == ResourceId::LOCAL || !self.job_dir.node_output(&node.key()).exists() {
            self.load_output(node)?;
        }
        let output = self.files.update_output(node, change)?;
        self.put_node(Key::Output(node.resource), node, &output)?;
        Ok(output)
    }

    fn load_env(&self) -> Result<Loaded<JobEnv>, StoreError> {
        let file = self.files.load_env()?;
        let mut env = match &file {
            Loaded::Found(env) => env.clone(),
            Loaded::Missing => JobEnv::default(),
            Loaded::Broken { .. } => return Ok(file),
        };
        if let Err(error) = self.shared_env(&mut env) {
            (self.warn)(&format!("Variables that other runners set are not seen: {error}"));
            return Ok(file);
        }
        Ok(if env.variables.is_empty() { file } else { Loaded::Found(env) })
    }

    fn set_env(&self, name: &str, value: EnvValue) -> Result<(), StoreError> {
        let fields = document::env_fields(&value);
        self.files.set_env(name, value)?;
        self.writer.put(Key::Env(name.to_owned()), fields);
        Ok(())
    }
}

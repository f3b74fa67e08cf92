//! Writes behind: the queue is emptied in the background, and again until it works.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use autoexec_model::JobId;
use bson::Document;
use tokio::sync::Notify;

use crate::MongoError;
use crate::collections::{Collections, Refused};
use crate::database::{Database, blocking};
use crate::document::Key;
use crate::queue::{Batch, Queue, Upsert};

/// Tells people about something that went wrong and does not end the run.
pub type Warn = Arc<dyn Fn(&str) + Send + Sync>;

/// Changes of this time are written together.
const LINGER: Duration = Duration::from_millis(20);

/// Pauses after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// The largest document that MongoDB takes (16 MiB) less what the other fields need.
const LARGEST: usize = (16 << 20) - 4096;

/// Takes changes and writes them later.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    job: JobId,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Something was taken from the queue for good.
    progress: Condvar,
    /// There is something to do.
    filled: Notify,
    /// Somebody waits: no pause now.
    hurry: Notify,
    warn: Warn,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends early when somebody waits for the queue.
    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.hurry.notified() => {}
        }
    }
}

impl Writer {
    /// Starts the background task; it ends with the database's thread.
    pub(crate) fn start(database: &Database, job: JobId, warn: Warn) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            progress: Condvar::new(),
            filled: Notify::new(),
            hurry: Notify::new(),
            warn,
        });
        database.start(write_behind(Arc::clone(&shared), database.collections.clone()));
        Self { shared, job }
    }

    /// Queues the state of a document. One that is too large is left to the file, with a warning.
    pub(crate) fn put(&self, key: Key, fields: Document) {
        let bytes = match fields.to_vec() {
            Ok(encoded) => encoded.len(),
            Err(error) => return self.leave(&key, &error.to_string()),
        };
        if bytes > LARGEST {
            return self.leave(&key, &format!("{bytes} bytes, and MongoDB takes at most 16 MiB"));
        }
        let filter = key.filter(&self.job);
        self.shared.queue().push(key, Upsert { filter, fields, bytes });
        self.shared.filled.notify_one();
    }

    fn leave(&self, key: &Key, reason: &str) {
        leave(&self.shared.warn, key, reason);
    }

    /// Whether a state of this document is not written yet.
    pub(crate) fn is_behind(&self, key: &Key) -> bool {
        self.shared.queue().holds(key)
    }

    /// Waits until everything queued so far is written. Gives how many documents are not, after `limit`.
    pub(crate) fn flush(&self, limit: Duration) -> usize {
        self.shared.hurry.notify_one();
        blocking(|| {
            let queue = self.shared.queue();
            let mark = queue.last_change();
            let waited =
                self.shared.progress.wait_timeout_while(queue, limit, |queue| queue.behind(mark) > 0);
            waited.unwrap_or_else(PoisonError::into_inner).0.behind(mark)
        })
    }
}

fn leave(warn: &Warn, key: &Key, reason: &str) {
    warn(&format!(
        "The {} can not be kept in MongoDB ({reason}): they are in the files of this runner only.",
        key.describe()
    ));
}

async fn write_behind(shared: Arc<Shared>, collections: Collections) {
    let mut trouble = Trouble::default();
    loop {
        if shared.queue().is_taken() {
            shared.filled.notified().await;
            shared.pause(LINGER).await;
        }
        let batches = shared.queue().take();
        match write_all(&shared, &collections, batches).await {
            Ok(()) => trouble.is_over(&shared),
            Err(error) => trouble.met(&shared, &error.to_string()),
        }
        shared.progress.notify_all();
        if let Some(pause) = trouble.pause {
            shared.pause(pause).await;
        }
    }
}

/// Writes what was taken; after a failure the rest waits again.
async fn write_all(
    shared: &Shared,
    collections: &Collections,
    batches: Vec<Batch>,
) -> Result<(), MongoError> {
    let mut batches = batches.into_iter();
    while let Some(batch) = batches.next() {
        match collections.write(&batch).await {
            Ok(refused) => {
                give_up(shared, &batch, &refused);
                shared.queue().done(&batch);
            }
            Err(error) => {
                let mut queue = shared.queue();
                std::iter::once(batch).chain(batches).for_each(|batch| queue.put_back(batch));
                return Err(error);
            }
        }
    }
    Ok(())
}

fn give_up(shared: &Shared, batch: &Batch, refused: &[Refused]) {
    for refused in refused {
        if let Some(write) = batch.writes.get(refused.index) {
            leave(&shared.warn, &write.key, &refused.reason);
        }
    }
}

/// A database that does not take anything: told once, tried less and less often.
#[derive(Default)]
struct Trouble {
    pause: Option<Duration>,
}

impl Trouble {
    fn met(&mut self, shared: &Shared, reason: &str) {
        if self.pause.is_none() {
            let waiting = shared.queue().behind(u64::MAX);
            (shared.warn)(&format!(
                "{waiting} change(s) of this job wait to be written, the files of this runner have them: {reason}"
            ));
        }
        self.pause = Some(self.pause.map_or(FIRST_PAUSE, |pause| (pause * 2).min(LONGEST_PAUSE)));
    }

    fn is_over(&mut self, shared: &Shared) {
        if self.pause.take().is_some() {
            (shared.warn)("MongoDB takes changes again.");
        }
    }
}

//! What is to be written: of each document only its latest state, oldest change first.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use bson::Document;

use crate::document::{Collection, Key};

/// Most documents in one request, and their bytes. A request is a document itself and no larger than one may be.
const BATCH_DOCUMENTS: usize = 1000;
const BATCH_BYTES: usize = 12 << 20;

/// The state of one document: what it is found by and the fields that are set.
#[derive(Debug, Clone)]
pub(crate) struct Upsert {
    pub(crate) filter: Document,
    pub(crate) fields: Document,
    /// Length of the fields in bytes.
    pub(crate) bytes: usize,
}

/// A document that is not written yet.
#[derive(Debug)]
struct Waiting {
    /// Number of the oldest change in it.
    since: u64,
    upsert: Upsert,
}

/// A document that is taken out of the queue to be written.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) key: Key,
    pub(crate) upsert: Upsert,
    since: u64,
}

/// Documents of one collection that are written in one request.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) collection: Collection,
    pub(crate) writes: Vec<Write>,
}

/// The queue. A document is in it at most once, and once more while an older state of it is being written.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    order: HashMap<Collection, VecDeque<Key>>,
    waiting: HashMap<Key, Waiting>,
    being_written: HashMap<Key, u64>,
    changes: u64,
}

impl Queue {
    /// Adds the latest state of a document; an older one that waits is forgotten.
    pub(crate) fn push(&mut self, key: Key, upsert: Upsert) {
        self.changes += 1;
        match self.waiting.entry(key) {
            Entry::Occupied(mut place) => place.get_mut().upsert = upsert,
            Entry::Vacant(place) => {
                let key = place.key().clone();
                self.order.entry(key.collection()).or_default().push_back(key);
                place.insert(Waiting { since: self.changes, upsert });
            }
        }
    }

    /// Takes what is written next. Statuses only go when the outputs before them are in the same round.
    pub(crate) fn take(&mut self) -> Vec<Batch> {
        let mut batches = Vec::new();
        for collection in Collection::ALL {
            let writes = self.take_of(collection);
            if !writes.is_empty() {
                self.being_written.extend(writes.iter().map(|write| (write.key.clone(), write.since)));
                batches.push(Batch { collection, writes });
            }
            if self.order.get(&collection).is_some_and(|order| !order.is_empty()) {
                break;
            }
        }
        batches
    }

    fn take_of(&mut self, collection: Collection) -> Vec<Write> {
        let (mut writes, mut bytes) = (Vec::new(), 0);
        let Some(order) = self.order.get_mut(&collection) else { return writes };
        while let Some(key) = order.front() {
            let next = self.waiting.get(key).map_or(0, |waiting| waiting.upsert.bytes);
            if writes.len() >= BATCH_DOCUMENTS || (!writes.is_empty() && bytes + next > BATCH_BYTES) {
                break;
            }
            bytes += next;
            let taken = order.pop_front().and_then(|key| self.waiting.remove_entry(&key));
            writes.extend(taken.map(|(key, Waiting { since, upsert })| Write { key, upsert, since }));
        }
        writes
    }

    /// What was taken is written, or given up.
    pub(crate) fn done(&mut self, batch: &Batch) {
        for write in &batch.writes {
            self.being_written.remove(&write.key);
        }
    }

    /// What was taken could not be written and waits again, in front, unless there is a newer state of it.
    pub(crate) fn put_back(&mut self, batch: Batch) {
        self.done(&batch);
        let order = self.order.entry(batch.collection).or_default();
        for Write { key, upsert, since } in batch.writes.into_iter().rev() {
            match self.waiting.entry(key) {
                // The newer state holds the older change too.
                Entry::Occupied(mut newer) => newer.get_mut().since = since,
                Entry::Vacant(place) => {
                    order.push_front(place.key().clone());
                    place.insert(Waiting { since, upsert });
                }
            }
        }
    }

    /// Whether a document waits or is being written.
    pub(crate) fn holds(&self, key: &Key) -> bool {
        self.waiting.contains_key(key) || self.being_written.contains_key(key)
    }

    /// Number of the last change.
    pub(crate) fn last_change(&self) -> u64 {
        self.changes
    }

    /// How many documents have a change up to that number that is not written.
    pub(crate) fn behind(&self, change: u64) -> usize {
        let waiting = self.waiting.values().map(|waiting| waiting.since);
        waiting.chain(self.being_written.values().copied()).filter(|since| *since <= change).count()
    }

    /// Whether nothing waits; something may be being written.
    pub(crate) fn is_taken(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use autoexec_model::{PhaseName, ResourceId};
    use bson::doc;

    use super::*;

    fn upsert(state: i32, bytes: usize) -> Upsert {
        Upsert { filter: Document::new(), fields: doc! { "n": state }, bytes }
    }

    fn output(node: i64) -> Key {
        Key::Output(ResourceId(node))
    }

    fn status(node: i64) -> Key {
        Key::Status(PhaseName::new("p").unwrap(), ResourceId(node))
    }

    fn written(batch: &Batch) -> Vec<(Key, i32)> {
        batch
            .writes
            .iter()
            .map(|write| (write.key.clone(), write.upsert.fields.get_i32("n").unwrap()))
            .collect()
    }

    #[test]
    fn the_latest_state_of_each_document_is_written_oldest_change_first() {
        let mut queue = Queue::default();
        for (key, state) in [(output(1), 1), (output(2), 1), (output(1), 2), (status(1), 7)] {
            queue.push(key, upsert(state, 10));
        }
        assert_eq!(queue.behind(u64::MAX), 3);
        let batches = queue.take();
        assert_eq!(batches.len(), 2, "outputs, then statuses");
        assert_eq!(written(&batches[0]), [(output(1), 2), (output(2), 1)]);
        assert_eq!(written(&batches[1]), [(status(1), 7)]);
        assert!(queue.is_taken() && queue.behind(u64::MAX) == 3 && queue.holds(&output(2)));
        for batch in &batches {
            queue.done(batch);
        }
        assert!(queue.behind(u64::MAX) == 0 && !queue.holds(&output(2)));
    }

    #[test]
    fn what_could_not_be_written_waits_in_front_unless_there_is_newer() {
        let mut queue = Queue::default();
        queue.push(output(1), upsert(1, 10));
        queue.push(output(2), upsert(1, 10));
        let batch = queue.take().remove(0);
        queue.push(output(3), upsert(1, 10));
        queue.push(output(2), upsert(2, 10));
        assert_eq!(queue.behind(u64::MAX), 4, "one state is being written, a newer one waits");
        queue.put_back(batch);
        assert_eq!(written(&queue.take()[0]), [(output(1), 1), (output(3), 1), (output(2), 2)]);
    }

    #[test]
    fn whoever_waits_waits_for_the_changes_before_and_for_no_later_one() {
        let mut queue = Queue::default();
        queue.push(output(1), upsert(1, 10));
        queue.push(output(2), upsert(1, 10));
        let mark = queue.last_change();
        queue.push(output(1), upsert(2, 10));
        queue.push(output(3), upsert(1, 10));
        assert_eq!(queue.behind(mark), 2);
        let batch = queue.take().remove(0);
        queue.push(output(2), upsert(2, 10));
        assert_eq!(queue.behind(mark), 2, "what is being written is not written");
        queue.put_back(batch);
        assert_eq!(queue.behind(mark), 2, "the newer state has the older change in it");
        let batch = queue.take().remove(0);
        queue.push(output(2), upsert(3, 10));
        queue.done(&batch);
        assert_eq!((queue.behind(mark), queue.behind(u64::MAX)), (0, 1));
    }

    #[test]
    fn requests_are_bounded_and_a_large_document_goes_alone() {
        let mut queue = Queue::default();
        queue.push(output(1), upsert(1, BATCH_BYTES - 5));
        queue.push(output(2), upsert(1, 10));
        queue.push(output(3), upsert(1, BATCH_BYTES * 2));
        queue.push(status(1), upsert(1, 1));
        for expected in [output(1), output(2), output(3)] {
            let batches = queue.take();
            assert_eq!(batches[0].writes[0].key, expected);
            assert_eq!(batches[0].writes.len(), 1);
            assert_eq!(
                batches.len() == 2,
                expected == output(3),
                "the status waits for all outputs before it"
            );
        }
        for node in 0..2500 {
            queue.push(status(node + 10), upsert(1, 1));
        }
        let sizes: Vec<usize> =
            std::iter::from_fn(|| queue.take().pop().map(|batch| batch.writes.len())).collect();
        assert_eq!(sizes, [1000, 1000, 500]);
    }
}

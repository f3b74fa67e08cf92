//! What is to be written: of each document only its latest state, oldest change first.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};

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

/// Documents of one collection that are written in one request.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) collection: Collection,
    pub(crate) writes: Vec<(Key, Upsert)>,
}

/// The queue. A document is in it at most once, and once more while an older state of it is being written.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    order: HashMap<Collection, VecDeque<Key>>,
    waiting: HashMap<Key, Upsert>,
    being_written: HashSet<Key>,
}

impl Queue {
    /// Adds the latest state of a document; an older one that waits is forgotten.
    pub(crate) fn push(&mut self, key: Key, upsert: Upsert) {
        if self.waiting.insert(key.clone(), upsert).is_none() {
            self.order.entry(key.collection()).or_default().push_back(key);
        }
    }

    /// Takes what is written next. Statuses only go when the outputs before them are in the same round.
    pub(crate) fn take(&mut self) -> Vec<Batch> {
        let mut batches = Vec::new();
        for collection in Collection::ALL {
            let writes = self.take_of(collection);
            if !writes.is_empty() {
                self.being_written.extend(writes.iter().map(|(key, _)| key.clone()));
                batches.push(Batch { collection, writes });
            }
            if self.order.get(&collection).is_some_and(|order| !order.is_empty()) {
                break;
            }
        }
        batches
    }

    fn take_of(&mut self, collection: Collection) -> Vec<(Key, Upsert)> {
        let (mut writes, mut bytes) = (Vec::new(), 0);
        let Some(order) = self.order.get_mut(&collection) else { return writes };
        while let Some(key) = order.front() {
            let next = self.waiting.get(key).map_or(0, |upsert| upsert.bytes);
            if writes.len() >= BATCH_DOCUMENTS || (!writes.is_empty() && bytes + next > BATCH_BYTES) {
                break;
            }
            bytes += next;
            let taken = order.pop_front().and_then(|key| self.waiting.remove_entry(&key));
            writes.extend(taken);
        }
        writes
    }

    /// What was taken is written, or given up.
    pub(crate) fn done(&mut self, batch: &Batch) {
        for (key, _) in &batch.writes {
            self.being_written.remove(key);
        }
    }

    /// What was taken could not be written and waits again, in front, unless there is a newer state of it.
    pub(crate) fn put_back(&mut self, batch: Batch) {
        self.done(&batch);
        let order = self.order.entry(batch.collection).or_default();
        for (key, upsert) in batch.writes.into_iter().rev() {
            if let Entry::Vacant(place) = self.waiting.entry(key) {
                order.push_front(place.key().clone());
                place.insert(upsert);
            }
        }
    }

    /// Whether a document waits or is being written.
    pub(crate) fn holds(&self, key: &Key) -> bool {
        self.waiting.contains_key(key) || self.being_written.contains(key)
    }

    /// How many documents wait or are being written.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + self.being_written.len()
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
        batch.writes.iter().map(|(key, upsert)| (key.clone(), upsert.fields.get_i32("n").unwrap())).collect()
    }

    #[test]
    fn the_latest_state_of_each_document_is_written_oldest_change_first() {
        let mut queue = Queue::default();
        for (key, state) in [(output(1), 1), (output(2), 1), (output(1), 2), (status(1), 7)] {
            queue.push(key, upsert(state, 10));
        }
        assert_eq!(queue.len(), 3);
        let batches = queue.take();
        assert_eq!(batches.len(), 2, "outputs, then statuses");
        assert_eq!(written(&batches[0]), [(output(1), 2), (output(2), 1)]);
        assert_eq!(written(&batches[1]), [(status(1), 7)]);
        assert!(queue.is_taken() && queue.len() == 3 && queue.holds(&output(2)));
        for batch in &batches {
            queue.done(batch);
        }
        assert!(queue.len() == 0 && !queue.holds(&output(2)));
    }

    #[test]
    fn what_could_not_be_written_waits_in_front_unless_there_is_newer() {
        let mut queue = Queue::default();
        queue.push(output(1), upsert(1, 10));
        queue.push(output(2), upsert(1, 10));
        let batch = queue.take().remove(0);
        queue.push(output(3), upsert(1, 10));
        queue.push(output(2), upsert(2, 10));
        assert_eq!(queue.len(), 4, "one state is being written, a newer one waits");
        queue.put_back(batch);
        assert_eq!(written(&queue.take()[0]), [(output(1), 1), (output(3), 1), (output(2), 2)]);
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
            assert_eq!(batches[0].writes[0].0, expected);
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

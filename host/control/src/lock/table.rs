//! Which locks are held, and who waits for which.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::LockId;
use super::request::Holder;

/// Notifications kept for waiters that are just about to wait.
const EARLY: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Table {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    held: HashMap<Holder, LockId>,
    waiters: Vec<(LockId, Arc<Notify>)>,
    /// The server may notify before we have read its answer "wait".
    early: VecDeque<LockId>,
}

impl Table {
    pub(super) fn held_by(&self, holder: &Holder) -> Option<LockId> {
        self.inner.lock().held.get(holder).cloned()
    }

    pub(super) fn is_held(&self, lock: &LockId) -> bool {
        self.inner.lock().held.values().any(|held| held == lock)
    }

    pub(super) fn take(&self, holder: Holder, lock: LockId) {
        self.inner.lock().held.insert(holder, lock);
    }

    pub(super) fn forget(&self, lock: &LockId) {
        self.inner.lock().held.retain(|_, held| held != lock);
    }

    /// Empties the table; each lock once, though several holders may share it.
    pub(super) fn drain(&self) -> Vec<LockId> {
        let mut locks: Vec<LockId> = self.inner.lock().held.drain().map(|(_, lock)| lock).collect();
        locks.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        locks.dedup();
        locks
    }

    pub(super) fn wait_for(&self, lock: &LockId) -> Waiter<'_> {
        let notify = Arc::new(Notify::new());
        let mut inner = self.inner.lock();
        if let Some(position) = inner.early.iter().position(|early| early == lock) {
            inner.early.remove(position);
            notify.notify_one();
        }
        inner.waiters.push((lock.clone(), Arc::clone(&notify)));
        Waiter { table: self, notify }
    }

    /// Wakes all waiters of the lock; one that is asking the server right now asks once more.
    pub(super) fn notify(&self, lock: &LockId) {
        let mut inner = self.inner.lock();
        let mut found = false;
        for (_, notify) in inner.waiters.iter().filter(|(waited, _)| waited == lock) {
            notify.notify_one();
            found = true;
        }
        if !found {
            inner.early.push_back(lock.clone());
            if inner.early.len() > EARLY {
                inner.early.pop_front();
            }
        }
    }
}

/// A place among the waiters; given up when dropped.
pub(super) struct Waiter<'a> {
    table: &'a Table,
    notify: Arc<Notify>,
}

impl Waiter<'_> {
    pub(super) async fn notified(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.table.inner.lock().waiters.retain(|(_, notify)| !Arc::ptr_eq(notify, &self.notify));
    }
}

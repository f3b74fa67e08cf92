//! What was put into a directory on a target, by digest, so that only what changed is sent again.
//!
//! Nothing is asked before: the request that leaves files out names the list of digests that stands beside them on the
//! target, and its script does nothing when one of them is not what it was. Only then there is a second request.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::digests::{Digests, FileDigest};
use super::kept::{Keeping, Stock, Stocks};
use crate::entry::{UploadEntry, UploadSource};

/// Files that are less than this together are sent again rather than looked after.
const WORTHWHILE: u64 = 8 * 1024;
/// Lists of digests on the target, with a number behind it.
const SUMS: &str = ".autoexec-sums.";
/// What names of files of ours on the target begin with that belong to a kept directory.
pub(super) const STORE: &str = ".autoexec-kept-";

/// What stands in one directory on a target. Clones are the same.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "State", into = "State")]
pub struct Inventory {
    digests: Digests,
    state: Arc<Mutex<State>>,
}

/// The state of an inventory, which goes to the process that sends the files and comes back changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    held: BTreeMap<String, Held>,
    /// What has arrived since the last list.
    fresh: HashSet<String>,
    /// What was found changed once: it is sent each time.
    fickle: HashSet<String>,
    /// What is held was just checked one by one; the list on the target has more than that.
    checked: bool,
    /// The target cannot check digests.
    off: bool,
    /// Number of the last list, and of the one that stands on the target.
    lists: u32,
    current: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Held {
    digest: FileDigest,
    mode: u32,
    length: u64,
}

/// A file that stands on the target under its digest, and the name it is to have.
pub(super) struct Brought {
    pub(super) digest: FileDigest,
    pub(super) dest: String,
    pub(super) mode: u32,
}

/// What one request sends.
#[derive(Default)]
pub(super) struct Plan {
    /// The files, with the new list of digests as the last one.
    pub(super) send: Vec<UploadEntry>,
    /// The list on the target that has to hold.
    pub(super) check: Option<String>,
    /// Files that are there under another name.
    pub(super) bring: Vec<Brought>,
    /// The list that comes with these files.
    pub(super) list: Option<String>,
    held: BTreeMap<String, Held>,
    number: u32,
}

impl Plan {
    /// Sends all.
    pub(super) fn all(entries: &[UploadEntry]) -> Self {
        Self { send: entries.to_vec(), ..Self::default() }
    }
}

impl From<State> for Inventory {
    fn from(state: State) -> Self {
        Self { digests: Digests::default(), state: Arc::new(Mutex::new(state)) }
    }
}

impl From<Inventory> for State {
    fn from(inventory: Inventory) -> Self {
        inventory.state()
    }
}

impl Inventory {
    pub(super) fn digests(&self) -> &Digests {
        &self.digests
    }

    /// As it is now.
    pub(super) fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Becomes what another process made of it.
    pub(super) fn restore(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// An empty directory.
    pub fn new(digests: &Digests) -> Self {
        Self { digests: digests.clone(), state: Arc::default() }
    }

    /// The digest of an entry that is a file here.
    pub(super) fn digest(&self, entry: &UploadEntry) -> Option<(FileDigest, u64)> {
        match &entry.source {
            UploadSource::File(path) => self.digests.of(path),
            UploadSource::Lent(lent) => lent.fact.and_then(|fact| Some((fact.digest?, fact.length))),
            UploadSource::Bytes(_) | UploadSource::Nothing => None,
        }
    }

    /// Leaves out what stands there already. Of several entries for one path the last one counts.
    pub(super) fn plan(&self, entries: &[UploadEntry]) -> Plan {
        let mut entries = last_of_each(entries);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.off || (state.held.is_empty() && !is_worthwhile(&entries)) {
            entries.retain(|entry| !state.fresh.contains(&entry.dest));
            return Plan { send: entries, ..Plan::default() };
        }
        let mut plan = Plan { held: state.held.clone(), ..Plan::default() };
        let (mut left_out, mut added) = (false, state.checked);
        for entry in entries {
            let found = is_listable(&entry.dest).then(|| self.digest(&entry)).flatten();
            let wanted = found.map(|(digest, length)| Held { digest, mode: entry.mode, length });
            if wanted.is_some() && state.held.get(&entry.dest) == wanted.as_ref() {
                // What has just arrived is in no list yet.
                let fresh = state.fresh.contains(&entry.dest);
                (left_out, added) = (left_out || !fresh, added || fresh);
                continue;
            }
            match wanted.filter(|_| !state.fickle.contains(&entry.dest)) {
                Some(held) => {
                    added = true;
                    plan.held.insert(entry.dest.clone(), held);
                    if plan.held.remove(&stored_name(&held.digest)).is_some() {
                        let UploadEntry { dest, mode, .. } = entry;
                        plan.bring.push(Brought { digest: held.digest, dest, mode });
                        left_out = true;
                        continue;
                    }
                }
                None => added |= plan.held.remove(&entry.dest).is_some(),
            }
            plan.send.push(entry);
        }
        plan.check = (left_out && !state.checked).then(|| list_name(state.current));
        if added {
            state.lists += 1;
            plan.number = state.lists;
            let dest = list_name(plan.number);
            let source = UploadSource::Bytes(list(&plan.held).into_bytes());
            plan.send.push(UploadEntry { source, dest: dest.clone(), mode: 0o600 });
            plan.list = Some(dest);
        }
        plan
    }

    /// The files of a plan have arrived.
    pub(super) fn delivered(&self, plan: Plan) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.fresh.clear();
        if plan.list.is_some() {
            state.current = plan.number;
            state.held = plan.held;
            state.checked = false;
        }
    }

    /// One file has arrived by itself; it is in the next list.
    pub(super) fn arrived(&self, entry: &UploadEntry, digest: FileDigest) {
        if is_listable(&entry.dest) {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let held = Held { digest, mode: entry.mode, length: local_length(entry) };
            state.held.insert(entry.dest.clone(), held);
            state.fresh.insert(entry.dest.clone());
        }
    }

    /// Whether a file stands there as it is here, or under its digest, as far as we know.
    pub(super) fn has(&self, entry: &UploadEntry, digest: &FileDigest) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.off && state.held.contains_key(&stored_name(digest)) {
            return true;
        }
        (!state.off || state.fresh.contains(&entry.dest))
            && state
                .held
                .get(&entry.dest)
                .is_some_and(|held| held.digest == *digest && held.mode == entry.mode)
    }

    /// A check did not hold: `said` is what the target's `sha256sum -c` found.
    pub(super) fn correct(&self, said: &[u8]) {
        let text = String::from_utf8_lossy(said);
        let good: HashSet<&str> = text.lines().filter_map(|line| line.strip_suffix(": OK")).collect();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.lines() {
            if let Some((name, _)) = line.rsplit_once(": FAILED") {
                state.fickle.insert(name.to_owned());
            }
        }
        let State { held, fresh, .. } = &mut *state;
        held.retain(|name, _| good.contains(name.as_str()) || fresh.contains(name));
        state.checked = true;
    }

    /// The target has no `sha256sum`: from now on everything is sent each time.
    pub(super) fn give_up(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { held, fresh, off, .. } = &mut *state;
        *off = true;
        held.retain(|name, _| fresh.contains(name));
    }

    /// Nothing of it is there: the directory is a new one.
    pub(super) fn forget(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { fickle, off, lists, .. } = std::mem::take(&mut *state);
        *state = State { fickle, off, lists, ..State::default() };
    }

    /// What is to be done to keep the files for later; `aside` are those that only one operation needed. None where that is not
    /// worth it, or where it is not known for certain what stands there.
    pub(super) fn keeping(&self, aside: &BTreeSet<String>) -> Option<Keeping> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let total: u64 = state.held.values().map(|held| held.length).sum();
        if state.off || state.checked || !state.fresh.is_empty() || state.current == 0 || total < WORTHWHILE {
            return None;
        }
        let aside: BTreeMap<String, FileDigest> = aside
            .iter()
            .filter_map(|name| state.held.get(name).map(|held| (name.clone(), held.digest)))
            .collect();
        let next = if aside.is_empty() { state.current } else { state.lists + 1 };
        Some(Keeping { list: state.current, next, aside })
    }

    /// Whether so much is known to stand there that sending it again would cost more than looking after it.
    pub fn is_worth_keeping(&self) -> bool {
        self.keeping(&BTreeSet::new()).is_some()
    }

    /// The directory was kept so: what stands in it.
    pub(super) fn stock(&self, keeping: &Keeping, stocks: &Stocks) -> Stock {
        let State { mut held, fickle, lists, .. } = self.state();
        for (name, digest) in &keeping.aside {
            if let Some(file) = held.remove(name) {
                held.insert(stored_name(digest), Held { mode: 0o600, ..file });
            }
        }
        Stock { held: stocks.shared(held), fickle, lists: lists.max(keeping.next), current: keeping.next }
    }

    /// What stands in a directory that was kept.
    pub fn of_stock(stock: &Stock, digests: &Digests) -> Self {
        let Stock { held, fickle, lists, current } = stock.clone();
        let state = State { held: (*held).clone(), fickle, lists, current, ..State::default() };
        Self { digests: digests.clone(), state: Arc::new(Mutex::new(state)) }
    }
}

/// The name of a file that is kept under its digest.
pub(super) fn stored_name(digest: &FileDigest) -> String {
    format!("{STORE}files/{}", hex::encode(digest))
}

pub(super) fn list_name(number: u32) -> String {
    format!("{SUMS}{number}")
}

fn list(held: &BTreeMap<String, Held>) -> String {
    let mut text = String::new();
    for (name, held) in held {
        let _ = writeln!(text, "{}  {name}", hex::encode(held.digest));
    }
    text
}

/// Names that `sha256sum` writes as they are.
fn is_listable(name: &str) -> bool {
    !name.contains(['\\', '\n', '\r'])
}

fn last_of_each(entries: &[UploadEntry]) -> Vec<UploadEntry> {
    let mut seen = HashSet::new();
    let mut kept: Vec<UploadEntry> =
        entries.iter().rev().filter(|entry| seen.insert(entry.dest.as_str())).cloned().collect();
    kept.reverse();
    kept
}

/// The files of at least `length` bytes.
pub(super) fn large(entries: &[UploadEntry], length: u64) -> Vec<UploadEntry> {
    let mut entries = last_of_each(entries);
    entries.retain(|entry| is_listable(&entry.dest) && local_length(entry) >= length);
    entries
}

fn local_length(entry: &UploadEntry) -> u64 {
    match &entry.source {
        UploadSource::Bytes(_) | UploadSource::Nothing => 0,
        UploadSource::File(_) | UploadSource::Lent(_) => entry.length().unwrap_or(0),
    }
}

fn is_worthwhile(entries: &[UploadEntry]) -> bool {
    let mut total = 0;
    entries.iter().any(|entry| {
        total += local_length(entry);
        total >= WORTHWHILE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Files(tempfile::TempDir);

    impl Files {
        fn entry(&self, name: &str, content: &[u8]) -> UploadEntry {
            let path = self.0.path().join(name);
            std::fs::write(&path, content).unwrap();
            UploadEntry { source: UploadSource::File(path), dest: format!("lib/{name}"), mode: 0o600 }
        }
    }

    fn names(plan: &Plan) -> Vec<&str> {
        plan.send.iter().map(|entry| entry.dest.as_str()).collect()
    }

    #[test]
    fn only_what_changed_is_sent_again() {
        let files = Files(tempfile::tempdir().unwrap());
        let inventory = Inventory::new(&Digests::default());
        let (a, b) = (files.entry("a", &[1; 9000]), files.entry("b", b"b"));
        let bytes = UploadEntry { source: UploadSource::Bytes(Vec::new()), dest: "out".into(), mode: 0o600 };
        let all = [a.clone(), b.clone(), bytes.clone()];
        let plan = inventory.plan(&all);
        assert_eq!(names(&plan), ["lib/a", "lib/b", "out", ".autoexec-sums.1"]);
        assert_eq!(plan.check, None, "nothing is there yet");
        inventory.delivered(plan);
        let plan = inventory.plan(&all);
        assert_eq!(names(&plan), ["out"]);
        assert_eq!((plan.check.as_deref(), plan.list.as_deref()), (Some(".autoexec-sums.1"), None));
        inventory.delivered(plan);
        let b = UploadEntry { mode: 0o700, ..files.entry("b", b"changed") };
        let plan = inventory.plan(&[a.clone(), b.clone()]);
        assert_eq!(names(&plan), ["lib/b", ".autoexec-sums.2"]);
        assert_eq!(plan.check.as_deref(), Some(".autoexec-sums.1"));
        // Not delivered: the next one is as this one was.
        assert_eq!(names(&inventory.plan(&[a, b])), ["lib/b", ".autoexec-sums.3"]);
    }

    #[test]
    fn what_the_target_changed_is_sent_each_time() {
        let files = Files(tempfile::tempdir().unwrap());
        let inventory = Inventory::new(&Digests::default());
        let all = [files.entry("a", &[1; 9000]), files.entry("b", b"b"), files.entry("c", b"c")];
        inventory.delivered(inventory.plan(&all));
        inventory.correct(b"lib/a: OK\nlib/b: FAILED open or read\n");
        let plan = inventory.plan(&all);
        assert_eq!(names(&plan), ["lib/b", "lib/c", ".autoexec-sums.2"]);
        assert_eq!(plan.check, None, "the list there still names what is changed");
        inventory.delivered(plan);
        let plan = inventory.plan(&all);
        assert_eq!(names(&plan), ["lib/b"], "it is in no list any more");
        assert_eq!(plan.check.as_deref(), Some(".autoexec-sums.2"));
        inventory.give_up();
        assert_eq!(names(&inventory.plan(&all)), ["lib/a", "lib/b", "lib/c"]);
    }

    #[test]
    fn little_is_not_looked_after_and_the_last_entry_of_a_path_counts() {
        let files = Files(tempfile::tempdir().unwrap());
        let inventory = Inventory::new(&Digests::default());
        let (old, new) = (files.entry("a", b"1"), UploadEntry { mode: 0o700, ..files.entry("a", b"2") });
        let plan = inventory.plan(&[old, new]);
        assert_eq!((names(&plan), plan.list.as_ref()), (vec!["lib/a"], None));
        assert_eq!(plan.send[0].mode, 0o700);
    }
}

//! What was put into a directory on a target, by digest, so that only what changed is sent again.
//!
//! Nothing is asked before: the request that leaves files out names the list of digests that stands beside them on the
//! target, and its script does nothing when one of them is not what it was. Only then there is a second request.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::entry::{FileFact, UploadEntry, UploadSource};
use crate::output::with_buffer;

/// Files that are less than this together are sent again rather than looked after.
const WORTHWHILE: u64 = 8 * 1024;
/// Lists of digests on the target, with a number behind it.
const SUMS: &str = ".autoexec-sums.";

pub(super) type FileDigest = [u8; 32];

/// Digests of local files, for all connections: a file is read once, and again when it has changed.
#[derive(Debug, Clone, Default)]
pub struct Digests {
    all: Arc<Mutex<HashMap<PathBuf, Arc<Known>>>>,
    /// Held while new files are read: whoever needs the same ones finds them afterwards.
    reading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Known {
    stamp: Stamp,
    digest: OnceLock<Option<FileDigest>>,
}

/// What changes with a file's content: size, time and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: (i64, i64),
    inode: u64,
}

/// Of a file that was never met, or has changed since.
struct HasToBeRead;

impl Stamp {
    /// That of a file which can be looked at.
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        let modified = (metadata.mtime(), metadata.mtime_nsec());
        Some(Self { length: metadata.len(), modified, inode: metadata.ino() })
    }
}

impl Digests {
    /// Digest and length of a file; none where it cannot be read, which its upload will say.
    pub(super) fn of(&self, path: &Path) -> Option<(FileDigest, u64)> {
        let stamp = Stamp::of(path)?;
        let known = {
            let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
            let known = all.entry(path.to_owned()).or_insert_with(|| Known::new(stamp));
            if known.stamp != stamp {
                *known = Known::new(stamp);
            }
            Arc::clone(known)
        };
        // Whoever wants the same file meanwhile waits for this one instead of reading it as well.
        let digest = known.digest.get_or_init(|| File::open(path).and_then(digest_of).ok());
        digest.map(|digest| (digest, stamp.length))
    }
}

impl Digests {
    /// Digest and length of each entry that is a file which can be read. Files that were never met, or have changed, are read
    /// first, by one caller at a time: whoever needs the same ones finds them afterwards.
    pub(super) async fn facts(&self, entries: &[UploadEntry]) -> Vec<Option<FileFact>> {
        let paths = paths(entries);
        // Where nothing is to be read, another thread costs more than the look.
        if let Ok(facts) = paths.iter().map(|path| self.known(path.as_deref())).collect() {
            return facts;
        }
        let turn = self.reading.lock().await;
        let digests = self.clone();
        let looking = tokio::task::spawn_blocking(move || {
            let fact = |path: PathBuf| {
                let (digest, length) = digests.of(&path)?;
                Some(FileFact { length, digest: Some(digest) })
            };
            paths.into_iter().map(|path| path.and_then(fact)).collect()
        });
        let facts = looking.await;
        drop(turn);
        // Without them each file says for itself what is wrong with it.
        facts.unwrap_or_else(|_| vec![None; entries.len()])
    }

    /// What is known of a file.
    fn known(&self, path: Option<&Path>) -> Result<Option<FileFact>, HasToBeRead> {
        let Some((path, stamp)) = path.and_then(|path| Some((path, Stamp::of(path)?))) else {
            return Ok(None);
        };
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(path).filter(|known| known.stamp == stamp);
        let digest = known.and_then(|known| known.digest.get()).ok_or(HasToBeRead)?;
        Ok(digest.map(|digest| FileFact { length: stamp.length, digest: Some(digest) }))
    }
}

/// The local file of each entry that is one.
pub(super) fn paths(entries: &[UploadEntry]) -> Vec<Option<PathBuf>> {
    let path = |entry: &UploadEntry| match &entry.source {
        UploadSource::File(path) => Some(path.clone()),
        UploadSource::Bytes(_) | UploadSource::Lent(_) => None,
    };
    entries.iter().map(path).collect()
}

/// The length of each entry that is a file which can be looked at.
pub(super) fn lengths(entries: &[UploadEntry]) -> Vec<Option<FileFact>> {
    let fact = |path: PathBuf| {
        let length = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?.len();
        Some(FileFact { length, digest: None })
    };
    paths(entries).into_iter().map(|path| path.and_then(fact)).collect()
}

impl Known {
    fn new(stamp: Stamp) -> Arc<Self> {
        Arc::new(Self { stamp, digest: OnceLock::new() })
    }
}

pub(super) fn digest_of(mut file: impl io::Read) -> io::Result<FileDigest> {
    let mut hasher = Sha256::new();
    with_buffer(|buffer| {
        loop {
            match file.read(buffer)? {
                0 => return Ok(hasher.finalize().into()),
                length => hasher.update(buffer.get(..length).unwrap_or_default()),
            }
        }
    })
}

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
struct Held {
    digest: FileDigest,
    mode: u32,
}

/// What one request sends.
#[derive(Default)]
pub(super) struct Plan {
    /// The files, with the new list of digests as the last one.
    pub(super) send: Vec<UploadEntry>,
    /// The list on the target that has to hold.
    pub(super) check: Option<String>,
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
            UploadSource::Bytes(_) => None,
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
            let wanted = found.map(|(digest, _)| Held { digest, mode: entry.mode });
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
            state.held.insert(entry.dest.clone(), Held { digest, mode: entry.mode });
            state.fresh.insert(entry.dest.clone());
        }
    }

    /// Whether a file stands there as it is here, as far as we know.
    pub(super) fn has(&self, entry: &UploadEntry, digest: &FileDigest) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
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
}

fn list_name(number: u32) -> String {
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
        UploadSource::Bytes(_) => 0,
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

//! Directories that stay on targets from one phase of a run to the next, so that a node gets its files once.
//!
//! The registry belongs to the run. A directory is in it from the end of one unit to the first operation of the node's next one,
//! and whoever takes it has it alone. What nobody took is removed at the end of the run. Each has a note in the job's
//! directory, written before the unit ends, from which a later run knows what a killed one left.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use autoexec_events::Level;
use autoexec_model::{JobId, Node, Protocol, ResourceId};
use autoexec_store::{JobDir, KeptDirectory, KeptNotes};
use autoexec_transport::StopToken;
use autoexec_transport::ssh::{RemoteDir, Stock, Stocks};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Session, SshSessions, target_of};
use crate::session::Sessions as _;
use crate::settings::Shared;

/// Directories that are removed at the same time at the end of a run.
const REMOVALS: usize = 32;

/// Directories of a run that no unit works in.
pub(crate) struct KeptDirectories {
    notes: KeptNotes,
    stocks: Stocks,
    state: Mutex<State>,
}

/// A login: what is kept for one is not looked for by another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Place {
    resource: ResourceId,
    host: String,
    port: u16,
    user: String,
}

#[derive(Default)]
struct State {
    ready: HashMap<Place, Vec<(Arc<Node>, RemoteDir, Stock)>>,
    /// Nobody will take them over.
    left: Vec<(Arc<Node>, RemoteDir)>,
    /// Of processes that died, until the run comes to their nodes.
    found: HashMap<Place, Vec<RemoteDir>>,
    problems: Vec<String>,
}

impl Place {
    fn of(node: &Node) -> Self {
        Self {
            resource: node.resource,
            host: node.host.clone(),
            port: node.protocol_port,
            user: node.user.clone(),
        }
    }
}

impl KeptDirectories {
    /// None yet, but for what earlier processes of the job left.
    pub(crate) fn new(job: &JobId, job_dir: &JobDir) -> Self {
        let (prefix, notes) = (format!("autoexec-{job}-"), KeptNotes::new(job_dir));
        let mut state = State::default();
        match notes.left() {
            Ok(left) => {
                state.problems.extend(left.broken.iter().map(ToString::to_string));
                for KeptDirectory { resource, host, port, user, directory } in left.found {
                    // Whoever could write the note could have us remove anything of the account.
                    if let Some(dir) = RemoteDir::noted(&directory, &prefix) {
                        let place = Place { resource, host, port, user };
                        state.found.entry(place).or_default().push(dir);
                    } else {
                        state.problems.push(format!("{directory:?} is no directory of this job"));
                    }
                }
            }
            Err(error) => state.problems.push(error.to_string()),
        }
        Self { notes, stocks: Stocks::default(), state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run has come to this node and knows its login: what a killed run left there can be removed.
    pub(crate) fn meet(&self, node: &Node) {
        let mut state = self.lock();
        if state.found.is_empty() || node.protocol != Protocol::Ssh {
            return;
        }
        if let Some(dirs) = state.found.remove(&Place::of(node)) {
            let node = Arc::new(node.clone());
            state.left.extend(dirs.into_iter().map(|dir| (Arc::clone(&node), dir)));
        }
    }

    /// The directory that was kept last for this login; from now on it is the caller's alone.
    pub(super) fn take(self: &Arc<Self>, node: &Arc<Node>) -> Option<TakenDirectory> {
        let mut state = self.lock();
        let (_, dir, stock) = state.ready.get_mut(&Place::of(node))?.pop()?;
        Some(TakenDirectory { all: Arc::clone(self), node: Arc::clone(node), dir, stock, gone: false })
    }

    fn note(&self, node: &Node, dir: &RemoteDir) -> Result<(), String> {
        let Place { resource, host, port, user } = Place::of(node);
        let kept = KeptDirectory { resource, host, port, user, directory: dir.path().to_owned() };
        self.notes.add(&kept).map_err(|error| error.to_string())
    }

    fn put(&self, node: &Arc<Node>, dir: RemoteDir, stock: Stock) {
        let mut state = self.lock();
        state.ready.entry(Place::of(node)).or_default().push((Arc::clone(node), dir, stock));
    }

    fn leave(&self, node: &Arc<Node>, dir: RemoteDir) {
        self.lock().left.push((Arc::clone(node), dir));
    }

    /// It is not there any more.
    fn forget(&self, dir: &RemoteDir) {
        if let Err(error) = self.notes.remove(dir.path()) {
            // The next run finds nothing to remove, and removes the note.
            tracing::warn!(%error, "a note of a directory that is gone stays");
        }
    }
}

/// A kept directory in the hands of one unit. Unless it is known to be gone, it is removed at the end of the run.
pub(super) struct TakenDirectory {
    all: Arc<KeptDirectories>,
    node: Arc<Node>,
    dir: RemoteDir,
    stock: Stock,
    gone: bool,
}

impl TakenDirectory {
    pub(super) fn dir(&self) -> &RemoteDir {
        &self.dir
    }

    pub(super) fn stock(&self) -> &Stock {
        &self.stock
    }

    /// There is no directory of ours under its name any more.
    pub(super) fn settle(mut self) {
        self.gone = true;
        self.all.forget(&self.dir);
    }
}

impl Drop for TakenDirectory {
    fn drop(&mut self) {
        if !self.gone {
            self.all.leave(&self.node, self.dir.clone());
        }
    }
}

impl SshSessions {
    /// Leaves the directory to a later phase, or removes it where that is not possible.
    pub(super) async fn keep(&self, session: &mut Session) -> Result<(), String> {
        let (all, node) = (&self.shared.kept, &self.unit.node);
        if let Err(problem) = all.note(node, &session.root) {
            tracing::warn!(problem, "a directory is not kept");
            return self.remove(session).await;
        }
        let Session { connection, inventory, inputs, root, .. } = session;
        match connection.keep_dir(root, inventory, inputs, &all.stocks, &StopToken::never()).await {
            Ok(Some(stock)) => all.put(node, root.clone(), stock),
            Ok(None) => all.forget(root),
            Err(error) => {
                all.leave(node, root.clone());
                return Err(format!("{error}. Its removal is tried once more at the end of the run."));
            }
        }
        Ok(())
    }
}

/// Removes the directories that nobody took over, and those that killed runs left on nodes this run came to.
pub(crate) async fn remove_kept(shared: &Arc<Shared>) -> Vec<(Level, String)> {
    let State { ready, mut left, found, problems } = std::mem::take(&mut *shared.kept.lock());
    left.extend(ready.into_values().flatten().map(|(node, dir, _)| (node, dir)));
    let mut messages: Vec<_> = problems
        .into_iter()
        .map(|problem| format!("Directories that an earlier run kept on targets: {problem}"))
        .collect();
    messages.extend(found.into_iter().flat_map(|(Place { host, user, .. }, dirs)| {
        dirs.into_iter().map(move |dir| {
            format!(
                "The directory {dir} that an earlier run kept is still on {user}@{host}: this run did not come to that node. A run of the job that does removes it."
            )
        })
    }));
    let permits = Arc::new(Semaphore::new(REMOVALS));
    let mut removals = JoinSet::new();
    for (node, dir) in left {
        let (shared, permits) = (Arc::clone(shared), Arc::clone(&permits));
        removals.spawn(async move {
            let _permit = permits.acquire_owned().await;
            let removed = remove(&shared, &node, &dir).await;
            removed.map_err(|problem| {
                format!(
                    "The directory {dir} may be left behind on node {}: {problem}. The next run of this job tries again.",
                    node.key()
                )
            })
        });
    }
    while let Some(removed) = removals.join_next().await {
        match removed {
            Ok(Ok(())) => {}
            Ok(Err(text)) => messages.push(text),
            Err(error) => messages.push(format!("The removal of a directory ended abnormally: {error}")),
        }
    }
    messages.into_iter().map(|text| (Level::Warn, text)).collect()
}

async fn remove(shared: &Shared, node: &Node, dir: &RemoteDir) -> Result<(), String> {
    let never = StopToken::never();
    let target = target_of(shared, node)?;
    let mut connection =
        shared.connector.connect(&target, &never).await.map_err(|error| error.to_string())?;
    connection.remove_dir(dir, &never).await.map_err(|error| error.to_string())?;
    shared.kept.forget(dir);
    Ok(())
}

//! Feeds the nodes of one phase to units, at most `width` at a time.

use std::sync::Arc;

use autoexec_events::Level;
use autoexec_model::{Node, RunnerId};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::{RunningPhase, Shared};
use crate::dispatcher::{Gate, SchedulerMessage};
use crate::unit;

pub(super) struct Feeder {
    shared: Arc<Shared>,
    phase: Arc<RunningPhase>,
    width: Arc<Semaphore>,
    units: JoinSet<()>,
    fed_any: bool,
    not_fed: u64,
}

impl Feeder {
    /// Starts the phase: the server hears `running` before any node.
    pub(super) fn start(shared: &Arc<Shared>, phase: RunningPhase, nodes: u64, width: u64) -> Self {
        let message = SchedulerMessage::PhaseStarted { position: phase.position.clone(), nodes, width };
        shared.tell(message);
        if let Err(error) = shared.settings.job_dir.remove_wait_input_marker(&phase.position.phase) {
            shared.message(Level::Warn, error.to_string());
        }
        let permits =
            usize::try_from(width).unwrap_or(Semaphore::MAX_PERMITS).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            shared: Arc::clone(shared),
            phase: Arc::new(phase),
            width: Arc::new(Semaphore::new(permits)),
            units: JoinSet::new(),
            fed_any: false,
            not_fed: 0,
        }
    }

    pub(super) fn phase(&self) -> &RunningPhase {
        &self.phase
    }

    /// Feeds one node, waiting for a free worker. After a stop or a known failure the node is only counted.
    pub(super) async fn feed(&mut self, node: Node) {
        if !self.fed_any {
            self.fed_any = true;
            self.shared.tell(SchedulerMessage::FirstNodeFed(self.phase.position.phase.clone()));
        }
        let Some(permit) = self.free_worker().await else {
            self.not_fed += 1;
            return;
        };
        while let Some(ended) = self.units.try_join_next() {
            self.check(ended);
        }
        let (shared, phase) = (Arc::clone(&self.shared), Arc::clone(&self.phase));
        self.units.spawn(async move {
            unit::run(shared, phase, node).await;
            drop(permit);
        });
    }

    /// Counts a node that will not be run.
    pub(super) fn skip(&mut self) {
        self.not_fed += 1;
    }

    async fn free_worker(&self) -> Option<tokio::sync::OwnedSemaphorePermit> {
        let mut gate = self.shared.gate.clone();
        if !gate.borrow_and_update().is_open() {
            return None;
        }
        tokio::select! {
            biased;
            _ = gate.wait_for(|gate| !Gate::is_open(*gate)) => None,
            permit = Arc::clone(&self.width).acquire_owned() => permit.ok(),
        }
    }

    /// Waits until all fed nodes are done and the gate says what came of them: a failure that is told is not known yet.
    pub(super) async fn settle(&mut self) {
        while let Some(ended) = self.units.join_next().await {
            self.check(ended);
        }
        let (reply, known) = oneshot::channel();
        self.shared.tell(SchedulerMessage::Settled(reply));
        // The dispatcher outlives the scheduler.
        let _ = known.await;
    }

    /// A panic in a unit is a defect of ours. The unit has told its failure; the reason is for whoever mends it.
    fn check(&self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended {
            let text = format!("Phase {}: a unit ended abnormally: {error}", self.phase.position.phase);
            self.shared.message(Level::Error, text);
        }
    }

    /// Waits for all nodes and ends the phase; the server hears its final status.
    pub(super) async fn finish(mut self) {
        self.settle().await;
        let phase = self.phase.position.phase.clone();
        if self.not_fed > 0 {
            self.shared.tell(SchedulerMessage::NotFed { phase: phase.clone(), nodes: self.not_fed });
        }
        let (reply, done) = oneshot::channel();
        self.shared.tell(SchedulerMessage::PhaseDone { phase, reply });
        // A phase that was broken off has been reported already and gets no answer.
        let _ = done.await;
    }
}

/// Takes the next node that belongs to `runner`; broken lines are reported and passed over.
pub(super) fn next_node(
    shared: &Shared,
    nodes: &mut dyn Iterator<Item = Result<Node, String>>,
) -> Option<Node> {
    loop {
        match nodes.next()? {
            Ok(node) => return Some(node),
            Err(text) => {
                shared.tell(SchedulerMessage::Message { level: Level::Error, text });
            }
        }
    }
}

/// Whether a node of the file is to be run by this process.
pub(super) fn is_mine(shared: &Shared, node: &Node) -> bool {
    let runner: RunnerId = shared.settings.runner;
    node.runner == Some(runner) && shared.settings.filter.takes_node(node.resource)
}

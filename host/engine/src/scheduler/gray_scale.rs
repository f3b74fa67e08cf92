//! A gray-scale group: nodes in rounds, the phases in turn within a round (`spec/execution.md` §6.5).

use std::sync::Arc;
use std::time::Duration;

use autoexec_events::Level;
use autoexec_model::{ExecRound, GroupNo, Node, PhaseName, RoundPlan};
use autoexec_plan::{PlannedGroup, PlannedPhase};
use tokio::sync::watch;
use tokio::time::Instant;

use super::feeder::{Feeder, is_mine, next_node};
use super::{RunningPhase, Shared, position};
use crate::dispatcher::{ReleasedRound, SchedulerMessage};
use crate::ports::{NodeList, NodeScope};

/// How often "round ended" is repeated until the server releases the round.
const ROUND_REPEAT: Duration = Duration::from_secs(10);

/// Runs the group; returns how many of its phases were started.
pub(super) async fn run(shared: &Arc<Shared>, group: PlannedGroup) -> u64 {
    if group.phases.is_empty() {
        return 0;
    }
    let number = group.number;
    let list = match shared.while_open(shared.nodes.open(&NodeScope::Group(number))).await {
        Some(Ok(list)) => list,
        None => return 0,
        Some(Err(text)) => {
            for phase in &group.phases {
                let position = position(number, phase);
                shared.tell(SchedulerMessage::PhaseBroken { position, text: text.clone() });
            }
            return 0;
        }
    };
    let nodes = shared.settings.filter.node_count(list.header.total_count);
    let rounds = RoundPlan::new(nodes, group.round_count);
    let Some(feeders) = start_phases(shared, &group, &list, nodes, rounds).await else { return 0 };
    let started = feeders.len() as u64;
    run_rounds(shared, number, list, rounds, feeders).await;
    started
}

/// All phases are started before the first round. One that cannot be prepared ends the group.
async fn start_phases(
    shared: &Arc<Shared>,
    group: &PlannedGroup,
    list: &NodeList,
    nodes: u64,
    rounds: RoundPlan,
) -> Option<Vec<Feeder>> {
    let mut feeders = Vec::new();
    for phase in &group.phases {
        let running = RunningPhase {
            position: position(group.number, phase),
            phase: Arc::new(phase.clone()),
            nodes_path: list.path.clone(),
            total_nodes: list.header.total_count,
        };
        let position = running.position.clone();
        let (nodes, width) = if phase.phase.kind.is_local() { (1, 1) } else { (nodes, rounds.width()) };
        feeders.push(Feeder::start(shared, running, nodes, width));
        if let Some(Err(text)) = shared.while_open(shared.runners.prepare(phase)).await {
            shared.tell(SchedulerMessage::PhaseBroken { position, text });
            for feeder in feeders {
                feeder.finish().await;
            }
            return None;
        }
    }
    Some(feeders)
}

async fn run_rounds(
    shared: &Arc<Shared>,
    group: GroupNo,
    mut list: NodeList,
    rounds: RoundPlan,
    mut feeders: Vec<Feeder>,
) {
    let is_local_runner = list.header.local_runner == shared.settings.runner;
    'rounds: for round in 1..=rounds.rounds() {
        let batch = take_round(shared, &mut list, rounds.size(round));
        for feeder in &mut feeders {
            let phase = Arc::clone(&feeder.phase().phase);
            feed_round(feeder, &phase, &batch, round, rounds, is_local_runner).await;
            feeder.settle().await;
            if !shared.gate().is_open() {
                break 'rounds;
            }
            let several_runners = list.header.runner_count() != 1;
            if several_runners && !wait_for_release(shared, group, &phase, round).await {
                break 'rounds;
            }
            let position = feeder.phase().position.clone();
            shared.tell(SchedulerMessage::RoundFinished { position, round, of: rounds.rounds() });
        }
    }
    count_rest(shared, &mut list, &mut feeders);
    for feeder in feeders {
        feeder.finish().await;
    }
}

/// The next nodes of the file regardless of runner, then those of this runner: so all runners cut alike.
fn take_round(shared: &Shared, list: &mut NodeList, size: u64) -> Vec<Node> {
    let mut batch = Vec::new();
    let mut taken = 0;
    while taken < size {
        let Some(node) = next_node(shared, &mut *list.nodes) else { break };
        if !shared.settings.filter.takes_node(node.resource) {
            continue;
        }
        taken += 1;
        if is_mine(shared, &node) {
            batch.push(node);
        }
    }
    batch
}

async fn feed_round(
    feeder: &mut Feeder,
    phase: &PlannedPhase,
    batch: &[Node],
    round: u64,
    rounds: RoundPlan,
    is_local_runner: bool,
) {
    if phase.phase.kind.is_local() {
        let due = match phase.phase.exec_round {
            ExecRound::First => 1,
            ExecRound::Middle => rounds.middle(),
            ExecRound::Last => rounds.rounds(),
        };
        if is_local_runner && round == due {
            feeder.feed(Node::local()).await;
        }
        return;
    }
    for node in batch {
        feeder.feed(node.clone()).await;
    }
}

/// Nodes of rounds that were never reached belong to every phase that runs targets.
fn count_rest(shared: &Shared, list: &mut NodeList, feeders: &mut [Feeder]) {
    while let Some(node) = next_node(shared, &mut *list.nodes) {
        if is_mine(shared, &node) {
            for feeder in feeders.iter_mut().filter(|f| !f.phase().phase.phase.kind.is_local()) {
                feeder.skip();
            }
        }
    }
}

/// Tells the server that the round ended here, again and again, until it releases the round over the job
/// socket. Returns whether the group goes on.
async fn wait_for_release(shared: &Shared, group: GroupNo, phase: &PlannedPhase, round: u64) -> bool {
    let name = &phase.phase.name;
    let deadline = Instant::now() + shared.settings.round_limit;
    let mut released = shared.released.clone();
    // What was released before this wait counts only if it names this very round.
    let early = released.borrow_and_update().clone();
    if early.is_some_and(|(phase, number)| phase == *name && number == round) {
        return true;
    }
    let mut gate = shared.gate.clone();
    loop {
        let Some(told) = shared.while_open(shared.services.round_ended(group, name, round)).await else {
            return false;
        };
        if let Err(text) = told {
            let text = format!("Can not tell the server that round {round} of {name} ended: {text}");
            shared.message(Level::Warn, text);
        }
        let repeat = (Instant::now() + ROUND_REPEAT).min(deadline);
        tokio::select! {
            biased;
            _ = gate.wait_for(|gate| !gate.is_open()) => return false,
            () = release_of(&mut released, name, round) => return true,
            () = tokio::time::sleep_until(repeat) => {}
        }
        if Instant::now() >= deadline {
            let text = format!(
                "Round {round} of phase {name} was not released by the server within {} s (job.maxExecSecs).",
                shared.settings.round_limit.as_secs()
            );
            shared.tell(SchedulerMessage::PhaseBroken { position: position(group, phase), text });
            return false;
        }
    }
}

/// Waits until the server releases `round`, or (number 0) whatever round the phase waits for.
async fn release_of(released: &mut watch::Receiver<ReleasedRound>, phase: &PhaseName, round: u64) {
    while released.changed().await.is_ok() {
        let last = released.borrow_and_update();
        if last.as_ref().is_some_and(|(name, number)| name == phase && (*number == 0 || *number == round)) {
            return;
        }
    }
    std::future::pending::<()>().await;
}

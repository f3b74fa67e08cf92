//! A one-shot group: all phases at the same time, each through all its nodes (`spec/execution.md` §6.2).

use std::collections::HashMap;
use std::sync::Arc;

use autoexec_events::Level;
use autoexec_model::{GroupNo, Node, one_shot_width};
use autoexec_plan::{PlannedGroup, PlannedPhase};
use tokio::task::JoinSet;

use super::feeder::{Feeder, is_mine, next_node};
use super::{RunningPhase, Shared, position};
use crate::dispatcher::SchedulerMessage;
use crate::ports::{NodeList, NodeScope};

/// Runs the group; returns how many of its phases were started.
pub(super) async fn run(shared: &Arc<Shared>, group: PlannedGroup) -> u64 {
    let mut phases = JoinSet::new();
    let mut positions = HashMap::new();
    let mut started = 0;
    for phase in group.phases {
        if !shared.gate().is_open() {
            break;
        }
        let scope = NodeScope::Phase(group.number, phase.phase.name.clone());
        let position = position(group.number, &phase);
        let Some(opened) = shared.while_open(shared.nodes.open(&scope)).await else { break };
        match opened {
            Ok(nodes) if nodes.header.total_count == 0 => {
                let text = format!("Phase {} has no nodes and is skipped.", position.phase);
                shared.message(Level::Info, text);
            }
            Ok(nodes) => {
                started += 1;
                let task = phases.spawn(run_phase(Arc::clone(shared), group.number, phase, nodes));
                positions.insert(task.id(), position);
            }
            Err(text) => shared.tell(SchedulerMessage::PhaseBroken { position, text }),
        }
    }
    while let Some(ended) = phases.join_next().await {
        // A panic is a defect of ours; without a word the next group would be fired over it.
        if let Err(error) = ended
            && let Some(position) = positions.remove(&error.id())
        {
            let text = format!("Phase {} ended abnormally: {error}", position.phase);
            shared.tell(SchedulerMessage::PhaseBroken { position, text });
        }
    }
    started
}

async fn run_phase(shared: Arc<Shared>, group: GroupNo, phase: PlannedPhase, list: NodeList) {
    let position = position(group, &phase);
    let total_nodes = shared.settings.filter.node_count(list.header.total_count);
    let width = if phase.phase.kind.is_local() { 1 } else { one_shot_width(total_nodes, phase.round_count) };
    let running = RunningPhase {
        position: position.clone(),
        phase: Arc::new(phase),
        nodes_path: list.path,
        total_nodes: list.header.total_count,
    };
    let fed = if running.phase.phase.kind.is_local() { 1 } else { total_nodes };
    let mut feeder = Feeder::start(&shared, running, fed, width);
    let planned = Arc::clone(&feeder.phase().phase);
    // After a stop the phase goes on to its end: its nodes are counted as not run.
    if let Some(Err(text)) = shared.while_open(shared.runners.prepare(&planned)).await {
        shared.tell(SchedulerMessage::PhaseBroken { position, text });
        return;
    }
    if planned.phase.kind.is_local() {
        if list.header.local_runner == shared.settings.runner {
            feeder.feed(Node::local()).await;
        }
    } else {
        feed_all(&shared, &mut feeder, list.nodes).await;
    }
    feeder.finish().await;
}

async fn feed_all(
    shared: &Shared,
    feeder: &mut Feeder,
    mut nodes: Box<dyn Iterator<Item = Result<Node, String>> + Send>,
) {
    while let Some(node) = next_node(shared, &mut *nodes) {
        if !is_mine(shared, &node) {
            continue;
        }
        if shared.gate().is_open() {
            feeder.feed(node).await;
        } else {
            feeder.skip();
        }
    }
}

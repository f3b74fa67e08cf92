//! `autoexec plan`: what a run would do, without doing it.

use autoexec_events::ExitCode;
use autoexec_model::{ExecStrategy, Node, NodeStatus, Operation, OperationBody, RoundPlan, one_shot_width};
use autoexec_plan::{JobPlan, NodeDecision, PlannedGroup, PlannedPhase, PriorNode, decide_node};
use autoexec_store::{JobDir, Loaded, NodeState};
use serde::Serialize;

use super::inventory::RUNNER;
use super::place::parse_id;
use super::setup::Setup;
use crate::CliError;
use crate::args::{Output, PlanArgs};

/// Nodes that are listed; further ones are counted.
const MAX_NODES: usize = 40;

#[derive(Debug, Serialize)]
struct Plan {
    job: String,
    groups: Vec<GroupPlan>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupPlan {
    group: i64,
    strategy: ExecStrategy,
    /// Of a gray-scale group.
    rounds: Option<u64>,
    phases: Vec<PhasePlan>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PhasePlan {
    phase: String,
    /// Nodes worked on at a time.
    width: u64,
    nodes: Vec<NodePlan>,
    operations: Vec<OperationPlan>,
}

#[derive(Debug, Serialize)]
struct NodePlan {
    node: String,
    name: String,
    /// How it is reached.
    protocol: String,
    runs: bool,
    /// Why it does not run, or what an earlier run left.
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct OperationPlan {
    id: String,
    place: &'static str,
    /// Nesting in conditions and loops.
    depth: usize,
    /// The condition or the items of a loop.
    detail: Option<String>,
}

/// `autoexec plan`.
pub(crate) fn plan(arguments: PlanArgs) -> Result<ExitCode, CliError> {
    let home = super::existing_home()?;
    let setup = Setup::read(&home, &arguments.job)?;
    let earlier = match arguments.job.id.as_deref() {
        None => None,
        Some(id) => Some(home.job(&parse_id(id)?)),
    };
    let planned = JobPlan::new(&setup.params, &setup.filter);
    let reader = Reader { setup: &setup, earlier, force: arguments.job.force };
    let groups = planned.groups.iter().filter(|group| !group.phases.is_empty());
    let plan = Plan {
        job: setup.name.clone(),
        groups: groups.map(|group| reader.group(group)).collect::<Result<_, _>>()?,
    };
    match arguments.output {
        Output::Json => super::print_json(&serde_json::to_value(&plan).unwrap_or_default())?,
        Output::Human => crate::print(&render(&plan))?,
    }
    Ok(ExitCode::Success)
}

struct Reader<'a> {
    setup: &'a Setup,
    /// Directory of an earlier run.
    earlier: Option<JobDir>,
    force: bool,
}

impl Reader<'_> {
    fn group(&self, group: &PlannedGroup) -> Result<GroupPlan, CliError> {
        let total = self.setup.inventory.nodes.len() as u64;
        let rounds = RoundPlan::new(self.setup.filter.node_count(total), group.round_count);
        let in_rounds = group.strategy == ExecStrategy::GrayScale;
        let phases = group.phases.iter().map(|phase| self.phase(phase, in_rounds.then(|| rounds.width())));
        Ok(GroupPlan {
            group: group.number.0,
            strategy: group.strategy,
            rounds: in_rounds.then(|| rounds.rounds()),
            phases: phases.collect::<Result<_, _>>()?,
        })
    }

    fn phase(&self, planned: &PlannedPhase, width: Option<u64>) -> Result<PhasePlan, CliError> {
        let phase = &planned.phase;
        let local = Node::local();
        let filter = &self.setup.filter;
        let all = self.setup.inventory.nodes.iter().map(|node| &node.node);
        let nodes: Vec<&Node> = if phase.kind.is_local() {
            vec![&local]
        } else {
            all.filter(|node| filter.takes_node(node.resource)).collect()
        };
        let count = nodes.len() as u64;
        let mut operations = Vec::new();
        list(&phase.operations, 0, &mut operations);
        Ok(PhasePlan {
            phase: phase.name.to_string(),
            width: if phase.kind.is_local() {
                1
            } else {
                width.unwrap_or_else(|| one_shot_width(count, planned.round_count))
            },
            nodes: nodes.into_iter().map(|node| self.node(planned, node)).collect::<Result<_, _>>()?,
            operations,
        })
    }

    fn node(&self, planned: &PlannedPhase, node: &Node) -> Result<NodePlan, CliError> {
        let state = self.earlier_state(planned, node)?;
        let prior = state.as_ref().map(|state| PriorNode {
            status: state.status,
            process_alive: state.is_run_by_another_process(RUNNER),
        });
        let (runs, reason) = match decide_node(prior, planned.phase.kind, self.force) {
            NodeDecision::Run => (true, state.as_ref().and_then(before)),
            NodeDecision::Skip(status) => (false, Some(format!("{status} before"))),
            NodeDecision::RunsElsewhere => (false, Some("another process is working on it".to_owned())),
        };
        let name = if node.is_local() { "this machine".to_owned() } else { node.name.clone() };
        let protocol = node.protocol.as_str().to_owned();
        Ok(NodePlan { node: node.key().to_string(), name, protocol, runs, reason })
    }

    fn earlier_state(&self, planned: &PlannedPhase, node: &Node) -> Result<Option<NodeState>, CliError> {
        let Some(dir) = &self.earlier else { return Ok(None) };
        match NodeState::load(&dir.node_status(&planned.phase.name, &node.key())).map_err(CliError::files)? {
            Loaded::Found(state) => Ok(Some(state)),
            // A run takes a broken one for pending.
            Loaded::Missing | Loaded::Broken { .. } => Ok(None),
        }
    }
}

/// What an earlier run got done of a node that runs again.
fn before(state: &NodeState) -> Option<String> {
    if state.status == NodeStatus::Pending {
        return None;
    }
    let done =
        state.operations.values().filter(|status| **status == autoexec_model::OpStatus::Succeed).count();
    Some(format!("{} before; {done} operation(s) that succeeded are skipped", state.status))
}

fn list(operations: &[Operation], depth: usize, into: &mut Vec<OperationPlan>) {
    for operation in operations {
        let detail = match &operation.body {
            OperationBody::Call(_) => None,
            OperationBody::If(block) => Some(format!("if {}", block.condition)),
            OperationBody::Loop(block) => Some(format!("for {} in {}", block.variable, block.items)),
        };
        into.push(OperationPlan {
            id: operation.id.to_string(),
            place: operation.place.as_str(),
            depth,
            detail,
        });
        match &operation.body {
            OperationBody::Call(_) => {}
            OperationBody::If(block) => {
                list(&block.then, depth + 1, into);
                list(&block.otherwise, depth + 1, into);
            }
            OperationBody::Loop(block) => list(&block.operations, depth + 1, into),
        }
    }
}

fn render(plan: &Plan) -> String {
    let mut lines = vec![plan.job.clone()];
    for group in &plan.groups {
        let how = match group.rounds {
            Some(rounds) => format!("gray_scale, {rounds} round(s)"),
            None => "one_shot".to_owned(),
        };
        lines.push(format!("group {}: {how}", group.group));
        lines.extend(group.phases.iter().flat_map(phase_lines));
    }
    lines.join("\n") + "\n"
}

fn phase_lines(phase: &PhasePlan) -> Vec<String> {
    let (all, run) = (phase.nodes.len(), phase.nodes.iter().filter(|node| node.runs).count());
    let mut lines =
        vec![format!("  phase {}: {run} of {all} node(s) to run, {} at a time", phase.phase, phase.width)];
    for operation in &phase.operations {
        let indent = "  ".repeat(operation.depth);
        let detail = operation.detail.as_deref().map(|detail| format!(": {detail}")).unwrap_or_default();
        lines.push(format!("    {indent}- {} ({}){detail}", operation.id, operation.place));
    }
    for node in phase.nodes.iter().take(MAX_NODES) {
        let what = if node.runs { "run" } else { "skip" };
        let reason = node.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        // What most nodes have needs no word.
        let over = match node.protocol.as_str() {
            "ssh" | "local" => String::new(),
            other => format!(" over {other}"),
        };
        lines.push(format!("    {what} {} {}{over}{reason}", node.node, node.name));
    }
    if all > MAX_NODES {
        lines.push(format!("    ... and {} more node(s)", all - MAX_NODES));
    }
    lines
}

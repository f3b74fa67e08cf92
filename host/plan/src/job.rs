//! Which groups and phases a process runs.

use std::collections::HashSet;

use autoexec_model::{ExecStrategy, Group, GroupNo, JobParams, Phase, PhaseName, ResourceId};

/// What the command line asks to run; an empty list means everything.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// `--phasegroups`.
    pub groups: Vec<GroupNo>,
    /// `--phases`.
    pub phases: Vec<PhaseName>,
    /// `--nodes`.
    pub nodes: Vec<ResourceId>,
}

impl Filter {
    /// Whether a real target is to be run. The local pseudo node ignores this filter.
    pub fn takes_node(&self, resource: ResourceId) -> bool {
        self.nodes.is_empty() || self.nodes.contains(&resource)
    }

    /// Number of targets the width is computed from: the listed ones, else all of the node file.
    pub fn node_count(&self, total: u64) -> u64 {
        if self.nodes.is_empty() { total } else { self.nodes.len() as u64 }
    }

    fn takes_group(&self, group: &Group) -> bool {
        self.groups.is_empty() || self.groups.contains(&group.number)
    }

    fn takes_phase(&self, phase: &Phase) -> bool {
        self.phases.is_empty() || self.phases.contains(&phase.name)
    }
}

/// The groups a process runs, in order.
#[derive(Debug, Clone)]
pub struct JobPlan {
    /// Groups with at least the phases the filter leaves.
    pub groups: Vec<PlannedGroup>,
    /// Names given with `--phases` that no group has. Worth a warning: the old executor ran nothing, silently.
    pub unknown_phases: Vec<PhaseName>,
    /// Numbers given with `--phasegroups` that the job does not have.
    pub unknown_groups: Vec<GroupNo>,
}

/// One group.
#[derive(Debug, Clone)]
pub struct PlannedGroup {
    /// Number in callbacks.
    pub number: GroupNo,
    /// How its phases are run; a single phase named on the command line is always one-shot.
    pub strategy: ExecStrategy,
    /// Round count of a gray-scale group: the group's, else the job's.
    pub round_count: i64,
    /// Phases to run.
    pub phases: Vec<PlannedPhase>,
}

/// One phase.
#[derive(Debug, Clone)]
pub struct PlannedPhase {
    /// The phase as parsed.
    pub phase: Phase,
    /// Position from 1, part of remote directory names: in its group for one-shot groups, among the phases
    /// that are run for gray-scale ones (`spec/plugin-contract.md` §8.5).
    pub index: usize,
    /// Round count of a one-shot phase: its own, else the group's, else the job's.
    pub round_count: i64,
    /// A phase that begins after this one has operations on targets: a later group's, or a later one of the same gray-scale
    /// group. Phases that run side by side do not follow each other.
    pub followed: bool,
}

impl JobPlan {
    /// Applies `filter` to `params`.
    pub fn new(params: &JobParams, filter: &Filter) -> Self {
        let groups = params.groups.iter().filter(|group| filter.takes_group(group));
        let mut groups: Vec<_> = groups.map(|group| plan_group(params, group, filter)).collect();
        look_ahead(&mut groups);
        let known_phases: HashSet<_> =
            params.groups.iter().flat_map(|group| &group.phases).map(|phase| &phase.name).collect();
        let known_groups: HashSet<_> = params.groups.iter().map(|group| group.number).collect();
        Self {
            groups,
            unknown_phases: filter
                .phases
                .iter()
                .filter(|name| !known_phases.contains(name))
                .cloned()
                .collect(),
            unknown_groups: filter.groups.iter().filter(|no| !known_groups.contains(no)).copied().collect(),
        }
    }
}

/// Tells each phase whether it is followed.
fn look_ahead(groups: &mut [PlannedGroup]) {
    let mut later = false;
    for group in groups.iter_mut().rev() {
        let after_the_group = later;
        for phase in group.phases.iter_mut().rev() {
            phase.followed = match group.strategy {
                ExecStrategy::OneShot => after_the_group,
                ExecStrategy::GrayScale => later,
            };
            later |= phase.phase.has_work_on_targets();
        }
    }
}

fn plan_group(params: &JobParams, group: &Group, filter: &Filter) -> PlannedGroup {
    let strategy = if filter.phases.len() == 1 { ExecStrategy::OneShot } else { group.strategy };
    let group_rounds = group.round_count.unwrap_or(params.round_count);
    let taken = group.phases.iter().enumerate().filter(|(_, phase)| filter.takes_phase(phase));
    let phases = taken
        .enumerate()
        .map(|(position_among_run, (position_in_group, phase))| PlannedPhase {
            phase: phase.clone(),
            index: 1 + match strategy {
                ExecStrategy::OneShot => position_in_group,
                ExecStrategy::GrayScale => position_among_run,
            },
            round_count: phase.round_count.unwrap_or(group_rounds),
            followed: false,
        })
        .collect();
    PlannedGroup { number: group.number, strategy, round_count: group_rounds, phases }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn params() -> JobParams {
        let phase = |name: &str, rounds: Option<i64>| json!({"phaseName": name, "phaseType": "target", "roundCount": rounds});
        JobParams::from_value(
            &json!({"roundCount": 5, "runFlow": [
                {"groupNo": 0, "phases": [phase("a", None), phase("b", Some(7))]},
                {"groupNo": 1, "execStrategy": "grayScale", "roundCount": 3, "phases": [phase("c", Some(9)), phase("d", None), phase("e", None)]}]}),
            "test",
        )
        .unwrap()
    }

    fn phase(name: &str) -> PhaseName {
        PhaseName::new(name).unwrap()
    }

    #[test]
    fn a_phase_knows_whether_another_one_comes_to_its_targets_after_it() {
        let op =
            |place: &str| json!({"opName": "a/b", "opId": "a/b_1", "opType": place, "interpreter": "sh"});
        let inside = json!({"opName": "native/IF-Block", "opId": "native/IF-Block_1", "opType": "native", "condition": "1 == 1",
            "if": [], "else": [op("target")]});
        let phase = |name: &str, operation: &Value| json!({"phaseName": name, "phaseType": "target", "operations": [operation]});
        let (there, here) = (op("target"), op("runner_target"));
        let params = JobParams::from_value(
            &json!({"runFlow": [
                {"groupNo": 0, "phases": [phase("a", &there), phase("b", &there)]},
                {"groupNo": 1, "execStrategy": "grayScale", "phases": [phase("c", &there), phase("d", &inside), phase("e", &here)]},
                {"groupNo": 2, "phases": [phase("f", &here)]}]}),
            "test",
        )
        .unwrap();
        let followed = |filter: &Filter| {
            let plan = JobPlan::new(&params, filter);
            let phases = plan.groups.iter().flat_map(|group| &group.phases);
            phases
                .filter(|phase| phase.followed)
                .map(|phase| phase.phase.name.as_str().to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(followed(&Filter::default()), ["a", "b", "c"]);
        let only = |names: &[&str]| Filter {
            phases: names.iter().map(|name| super::tests::phase(name)).collect(),
            ..Filter::default()
        };
        assert_eq!(followed(&only(&["a", "b", "e", "f"])), [""; 0]);
        assert_eq!(followed(&only(&["b", "d"])), ["b"]);
    }

    #[test]
    fn round_counts_come_from_phase_group_and_job_in_this_order() {
        let plan = JobPlan::new(&params(), &Filter::default());
        let counts: Vec<i64> = plan.groups.iter().flat_map(|g| &g.phases).map(|p| p.round_count).collect();
        assert_eq!(counts, [5, 7, 9, 3, 3]);
        assert_eq!(plan.groups[1].round_count, 3, "a gray-scale group ignores its phases' counts");
    }

    #[test]
    fn a_single_named_phase_is_always_one_shot() {
        let plan = JobPlan::new(&params(), &Filter { phases: vec![phase("e")], ..Filter::default() });
        assert_eq!(plan.groups[1].strategy, ExecStrategy::OneShot);
        assert_eq!(plan.groups[1].phases[0].index, 3);
        assert!(plan.groups[0].phases.is_empty());
        let two =
            JobPlan::new(&params(), &Filter { phases: vec![phase("d"), phase("e")], ..Filter::default() });
        assert_eq!(two.groups[1].strategy, ExecStrategy::GrayScale);
        let indexes: Vec<usize> = two.groups[1].phases.iter().map(|p| p.index).collect();
        assert_eq!(indexes, [1, 2], "counted among the phases that are run");
    }

    #[test]
    fn names_that_match_nothing_are_reported() {
        let filter =
            Filter { groups: vec![GroupNo(1), GroupNo(8)], phases: vec![phase("zz")], nodes: Vec::new() };
        let plan = JobPlan::new(&params(), &filter);
        assert_eq!((plan.groups.len(), plan.unknown_groups), (1, vec![GroupNo(8)]));
        assert_eq!(plan.unknown_phases, [phase("zz")]);
    }
}

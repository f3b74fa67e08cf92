//! Round counts: how many nodes run at once, and how a gray-scale group is cut (`spec/execution.md` §6.4).

/// Width of a one-shot phase: `ceil(nodes / rounds)`; a round count of 0 or less means one at a time.
///
/// Never 0, so that a phase without a usable header still runs.
pub fn one_shot_width(nodes: u64, rounds: i64) -> u64 {
    let Ok(rounds) = u64::try_from(rounds) else { return 1 };
    if rounds == 0 { 1 } else { nodes.div_ceil(rounds).max(1) }
}

/// The rounds of a gray-scale group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundPlan {
    nodes: u64,
    rounds: u64,
}

impl RoundPlan {
    /// Cuts `nodes` into rounds; `rounds` ≤ 0 means one node per round. There is always at least one round.
    pub fn new(nodes: u64, rounds: i64) -> Self {
        let wanted = u64::try_from(rounds).ok().filter(|r| *r > 0).unwrap_or(nodes);
        Self { nodes, rounds: wanted.min(nodes).max(1) }
    }

    /// Number of rounds, at least 1.
    pub fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Number of nodes in round `round`, counted from 1.
    pub fn size(&self, round: u64) -> u64 {
        self.nodes / self.rounds + u64::from(round <= self.nodes % self.rounds)
    }

    /// Workers of a phase of the group: the size of the largest round, at least 1.
    pub fn width(&self) -> u64 {
        self.size(1).max(1)
    }

    /// The round in which a local phase with `execRound` = `middle` runs: the first `i` with `i ≥ rounds / 2`.
    pub fn middle(&self) -> u64 {
        self.rounds.div_ceil(2).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_specification() {
        type Row = (u64, i64, u64, &'static [u64]);
        let table: &[Row] = &[
            (10, 0, 1, &[1; 10]),
            (10, 1, 10, &[10]),
            (10, 2, 5, &[5, 5]),
            (10, 3, 4, &[4, 3, 3]),
            (10, 4, 3, &[3, 3, 2, 2]),
            (10, 6, 2, &[2, 2, 2, 2, 1, 1]),
            (10, 25, 1, &[1; 10]),
            (7, 2, 4, &[4, 3]),
            (1, 3, 1, &[1]),
            (100, 3, 34, &[34, 33, 33]),
            (0, 3, 1, &[0]),
            (0, -1, 1, &[0]),
        ];
        for (nodes, rounds, width, sizes) in table {
            let plan = RoundPlan::new(*nodes, *rounds);
            let got: Vec<u64> = (1..=plan.rounds()).map(|round| plan.size(round)).collect();
            assert_eq!((&got[..], one_shot_width(*nodes, *rounds)), (*sizes, *width), "N={nodes} R={rounds}");
        }
    }
}

//! Which callbacks may be under way: the order rules as a queue of queues, without clock or network.
//!
//! Everything between two job-level callbacks is a *segment*; only the first segment is open. In a segment, everything
//! of one phase between two of its phase-level callbacks is a *stage*; only the first stage of each phase is open. In a
//! stage, each node has a queue of its own; only its head may go. Adding and finishing a callback touches one queue and
//! two counters, and opening a stage or segment touches each of its queues once, so the cost per callback does not grow
//! with their number.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use autoexec_model::{PhaseName, ResourceId};

use super::Seq;

/// Where a callback stands in the order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// After everything before, before everything after.
    Job,
    /// The same within a phase.
    Phase(PhaseName),
    /// In order with its like.
    Node(PhaseName, ResourceId),
    /// In order with its like.
    Variable(String),
}

/// What ends a segment or a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Nothing yet; more may be added.
    Open,
    /// A line drawn between processes.
    Drawn,
    /// A callback, which may go when all others are finished.
    Callback(Seq),
}

#[derive(Debug)]
struct Stage {
    nodes: HashMap<ResourceId, VecDeque<Seq>>,
    unfinished: usize,
    end: End,
}

#[derive(Debug)]
struct Segment {
    phases: HashMap<PhaseName, VecDeque<Stage>>,
    variables: HashMap<String, VecDeque<Seq>>,
    unfinished: usize,
    end: End,
}

/// The callbacks that are not finished.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    segments: VecDeque<Segment>,
    ready: BinaryHeap<Reverse<Seq>>,
}

impl Stage {
    fn new() -> Self {
        Self { nodes: HashMap::new(), unfinished: 0, end: End::Open }
    }

    /// What may go when the stage opens.
    fn heads(&self) -> impl Iterator<Item = Seq> {
        let end = match self.end {
            End::Callback(seq) if self.unfinished == 0 => Some(seq),
            _ => None,
        };
        self.nodes.values().filter_map(|queue| queue.front().copied()).chain(end)
    }
}

impl Segment {
    fn new() -> Self {
        Self { phases: HashMap::new(), variables: HashMap::new(), unfinished: 0, end: End::Open }
    }

    fn heads(&self) -> impl Iterator<Item = Seq> {
        let end = match self.end {
            End::Callback(seq) if self.unfinished == 0 => Some(seq),
            _ => None,
        };
        let phases = self.phases.values().filter_map(VecDeque::front).flat_map(Stage::heads);
        phases.chain(self.variables.values().filter_map(|queue| queue.front().copied())).chain(end)
    }

    /// Adds a callback below the job's level; gives whether it may go once the segment is open.
    fn add(&mut self, seq: Seq, lane: &Lane) -> bool {
        self.unfinished += 1;
        match lane {
            Lane::Job => false,
            Lane::Variable(name) => {
                let queue = self.variables.entry(name.clone()).or_default();
                queue.push_back(seq);
                queue.len() == 1
            }
            Lane::Node(phase, node) => {
                let (stage, is_first) = last_stage(self.phases.entry(phase.clone()).or_default());
                stage.unfinished += 1;
                let queue = stage.nodes.entry(*node).or_default();
                queue.push_back(seq);
                is_first && queue.len() == 1
            }
            Lane::Phase(phase) => {
                let (stage, is_first) = last_stage(self.phases.entry(phase.clone()).or_default());
                stage.end = End::Callback(seq);
                is_first && stage.unfinished == 0
            }
        }
    }

    /// Takes out a finished callback; gives what may go now.
    fn finish(&mut self, lane: &Lane) -> Vec<Seq> {
        self.unfinished = self.unfinished.saturating_sub(1);
        match lane {
            Lane::Job => Vec::new(),
            Lane::Variable(name) => advance(&mut self.variables, name).into_iter().collect(),
            Lane::Node(phase, node) => {
                let Some(stage) = self.phases.get_mut(phase).and_then(VecDeque::front_mut) else {
                    return Vec::new();
                };
                stage.unfinished = stage.unfinished.saturating_sub(1);
                let next = advance(&mut stage.nodes, node);
                match stage.end {
                    End::Callback(seq) if stage.unfinished == 0 => vec![seq],
                    _ => next.into_iter().collect(),
                }
            }
            Lane::Phase(phase) => self.next_stage(phase),
        }
    }

    fn next_stage(&mut self, phase: &PhaseName) -> Vec<Seq> {
        let Some(stages) = self.phases.get_mut(phase) else { return Vec::new() };
        stages.pop_front();
        let heads = stages.front().map(|stage| stage.heads().collect()).unwrap_or_default();
        if stages.is_empty() {
            self.phases.remove(phase);
        }
        heads
    }
}

/// The stage that takes what is added now, and whether it is the open one.
fn last_stage(stages: &mut VecDeque<Stage>) -> (&mut Stage, bool) {
    let last = match stages.pop_back() {
        Some(stage) if stage.end == End::Open => stage,
        Some(ended) => {
            stages.push_back(ended);
            Stage::new()
        }
        None => Stage::new(),
    };
    let is_first = stages.is_empty();
    (stages.push_back_mut(last), is_first)
}

/// Removes the head of a queue; gives the next one.
fn advance<K: std::hash::Hash + Eq>(queues: &mut HashMap<K, VecDeque<Seq>>, key: &K) -> Option<Seq> {
    let queue = queues.get_mut(key)?;
    queue.pop_front();
    let next = queue.front().copied();
    if next.is_none() {
        queues.remove(key);
    }
    next
}

impl Schedule {
    /// Adds a callback; they come in the order of their numbers.
    pub(super) fn add(&mut self, seq: Seq, lane: &Lane) {
        if self.segments.back().is_none_or(|segment| segment.end != End::Open) {
            self.segments.push_back(Segment::new());
        }
        let is_open = self.segments.len() == 1;
        let Some(segment) = self.segments.back_mut() else { return };
        let may_go = if *lane == Lane::Job {
            segment.end = End::Callback(seq);
            segment.unfinished == 0
        } else {
            segment.add(seq, lane)
        };
        if is_open && may_go {
            self.ready.push(Reverse(seq));
        }
    }

    /// Lets nothing that is added later go before all that was added so far is finished.
    pub(super) fn draw_line(&mut self) {
        let last = self.segments.back_mut();
        if let Some(segment) = last.filter(|last| last.end == End::Open && last.unfinished > 0) {
            segment.end = End::Drawn;
        }
    }

    /// The lowest number that may go; it is under way until it is finished or put back.
    pub(super) fn take(&mut self) -> Option<Seq> {
        self.ready.pop().map(|Reverse(seq)| seq)
    }

    /// Puts back what was taken.
    pub(super) fn put_back(&mut self, seq: Seq) {
        self.ready.push(Reverse(seq));
    }

    /// Whether something may go.
    pub(super) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes out a callback that was taken and is finished.
    pub(super) fn finish(&mut self, lane: &Lane) {
        let Some(segment) = self.segments.front_mut() else { return };
        let is_over = if *lane == Lane::Job {
            true
        } else {
            let next = segment.finish(lane);
            self.ready.extend(next.into_iter().map(Reverse));
            match segment.end {
                End::Callback(seq) if segment.unfinished == 0 => {
                    self.ready.push(Reverse(seq));
                    false
                }
                End::Drawn => segment.unfinished == 0,
                _ => false,
            }
        };
        if is_over {
            self.segments.pop_front();
            let heads = self.segments.front().into_iter().flat_map(Segment::heads);
            self.ready.extend(heads.map(Reverse));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn phase(index: u8) -> PhaseName {
        PhaseName::new(format!("P{index}")).unwrap()
    }

    fn lane() -> impl Strategy<Value = Lane> {
        prop_oneof![
            8 => (0..3_u8, 0..4_i64).prop_map(|(p, node)| Lane::Node(phase(p), ResourceId(node))),
            3 => (0..3_u8).prop_map(|p| Lane::Phase(phase(p))),
            1 => Just(Lane::Job),
            2 => (0..2_u8).prop_map(|name| Lane::Variable(name.to_string())),
        ]
    }

    /// The rules of the module, for one pair.
    fn precedes(earlier: &Lane, later: &Lane) -> bool {
        match (earlier, later) {
            (Lane::Job, _) | (_, Lane::Job) => true,
            (Lane::Phase(a), Lane::Node(b, _) | Lane::Phase(b)) | (Lane::Node(a, _), Lane::Phase(b)) => {
                a == b
            }
            _ => earlier == later,
        }
    }

    proptest! {
        /// Exactly those may go whose predecessors are all finished, whatever is added and finished when.
        #[test]
        fn what_may_go_is_what_the_rules_say(
            lanes in prop::collection::vec(lane(), 1..40),
            line in any::<prop::sample::Index>(),
            moves in prop::collection::vec(any::<prop::sample::Index>(), 200),
        ) {
            let line = line.index(lanes.len());
            let mut schedule = Schedule::default();
            let (mut added, mut finished, mut taken) = (0, BTreeSet::new(), BTreeSet::new());
            for choice in moves {
                while let Some(Seq(seq)) = schedule.take() {
                    prop_assert!(taken.insert(usize::try_from(seq).unwrap()), "{} is given twice", seq);
                }
                let may_go: BTreeSet<usize> = (0..added)
                    .filter(|this| !finished.contains(this))
                    .filter(|this| (0..*this).all(|earlier| {
                        let held = precedes(&lanes[earlier], &lanes[*this]) || (earlier < line && *this >= line);
                        !held || finished.contains(&earlier)
                    }))
                    .collect();
                prop_assert_eq!(&taken, &may_go);

                // Add the next one, or finish one that is under way.
                let options = taken.len() + usize::from(added < lanes.len());
                if options == 0 {
                    break;
                }
                let option = choice.index(options);
                if let Some(this) = taken.iter().nth(option).copied() {
                    taken.remove(&this);
                    finished.insert(this);
                    schedule.finish(&lanes[this]);
                } else {
                    if added == line {
                        schedule.draw_line();
                    }
                    schedule.add(Seq(added as u64), &lanes[added]);
                    added += 1;
                }
            }
        }
    }

    #[test]
    fn what_is_put_back_may_go_again_first() {
        let mut schedule = Schedule::default();
        for (seq, node) in [(1, 1), (2, 2), (3, 3)] {
            schedule.add(Seq(seq), &Lane::Node(phase(0), ResourceId(node)));
        }
        assert_eq!((schedule.take(), schedule.take()), (Some(Seq(1)), Some(Seq(2))));
        schedule.put_back(Seq(1));
        assert_eq!(
            (schedule.take(), schedule.take(), schedule.has_ready()),
            (Some(Seq(1)), Some(Seq(3)), false)
        );
    }

    /// With a scan of the queue per callback this would be billions of steps.
    #[test]
    fn a_hundred_thousand_in_every_shape() {
        type Shape = fn(u64) -> Lane;
        let shapes: [Shape; 5] = [
            |seq| Lane::Node(phase(0), ResourceId(i64::try_from(seq).unwrap())),
            |_| Lane::Node(phase(0), ResourceId(1)),
            |seq| if seq % 2 == 0 { Lane::Phase(phase(0)) } else { Lane::Node(phase(0), ResourceId(1)) },
            |_| Lane::Job,
            |seq| if seq == 99_999 { Lane::Job } else { Lane::Variable(seq.to_string()) },
        ];
        for shape in shapes {
            let mut schedule = Schedule::default();
            for seq in 0..100_000 {
                schedule.add(Seq(seq), &shape(seq));
            }
            let mut finished = 0;
            while let Some(seq) = schedule.take() {
                schedule.finish(&shape(seq.get()));
                finished += 1;
            }
            assert_eq!(finished, 100_000);
        }
    }
}

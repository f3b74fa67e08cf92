//! The state machine, driven without a runtime.

use autoexec_events::{CallbackPosition, NodeRef, RunEvent, StopReason};
use autoexec_model::{
    GroupNo, JobStatus, NodeKey, NodeStatus, PhaseCounts, PhaseName, PhaseStatus, ResourceId,
};
use serde_json::json;
use tokio::sync::oneshot;

use super::state::{Reaction, Reply, RunState};
use super::{
    Input, Permission, Request, SchedulerMessage, UnitEnd, UnitMessage, UnitMessageKind, UnitRequest,
};

struct Run {
    state: RunState,
    events: Vec<RunEvent>,
}

impl Run {
    fn new() -> Self {
        let mut run = Self { state: RunState::new(), events: Vec::new() };
        run.start_phase("A");
        run
    }

    fn handle(&mut self, input: Input) -> Option<Reply> {
        let Reaction { events, reply } = self.state.handle(input);
        self.events.extend(events);
        reply
    }

    fn start_phase(&mut self, phase: &str) {
        self.handle(Input::Scheduler(SchedulerMessage::PhaseStarted {
            position: position(phase),
            nodes: 3,
            width: 3,
        }));
    }

    fn unit(&mut self, phase: &str, resource: i64, kind: UnitMessageKind) -> Option<Reply> {
        self.handle(Input::Unit(UnitMessage { position: position(phase), node: node(resource), kind }))
    }

    fn start(&mut self, phase: &str, resource: i64) -> Option<Permission> {
        let (sender, _receiver) = oneshot::channel();
        match self.unit(phase, resource, UnitMessageKind::Start(sender)) {
            Some(Reply::Permission(_, permission)) => Some(permission),
            _ => None,
        }
    }

    fn end(&mut self, phase: &str, resource: i64, end: UnitEnd) {
        self.unit(phase, resource, UnitMessageKind::Finished { end, warnings: 1, millis: 5 });
    }

    fn finish_phase(&mut self, phase: &str) -> (PhaseStatus, PhaseCounts) {
        let (reply, _receiver) = oneshot::channel();
        let phase = PhaseName::new(phase).unwrap();
        match self.handle(Input::Scheduler(SchedulerMessage::PhaseDone { phase, reply })) {
            Some(Reply::Phase(_, status, counts)) => (status, counts),
            other => panic!("no answer: {other:?}"),
        }
    }

    fn request(&mut self, request: Request) {
        self.handle(Input::Request(request));
    }

    fn job_statuses(&self) -> Vec<JobStatus> {
        let statuses = self.events.iter().filter_map(|event| match event {
            RunEvent::JobStatusChanged { status } => Some(*status),
            _ => None,
        });
        statuses.collect()
    }
}

fn position(phase: &str) -> CallbackPosition {
    CallbackPosition { group: GroupNo(0), phase: PhaseName::new(phase).unwrap() }
}

fn node(resource: i64) -> NodeRef {
    let (host, port) = ("h".to_owned(), None);
    let key = NodeKey::new(&host, port, ResourceId(resource));
    NodeRef { resource: ResourceId(resource), host, port, name: String::new(), key }
}

#[test]
fn a_unit_is_reported_before_it_may_start() {
    let mut run = Run::new();
    let permission = run.start("A", 1);
    assert!(permission.is_some());
    assert!(matches!(run.events.last(), Some(RunEvent::NodeStarted { .. })));
}

#[test]
fn a_start_that_could_not_be_recorded_is_refused() {
    let mut run = Run::new();
    for (resource, recorded) in [(1, true), (2, false)] {
        let (sender, mut receiver) = oneshot::channel();
        let reply = run.unit("A", resource, UnitMessageKind::Start(sender)).unwrap();
        reply.send(recorded);
        assert_eq!(receiver.try_recv().is_ok(), recorded);
    }
}

#[test]
fn a_unit_that_dies_while_a_person_is_asked_lets_the_phase_run_on() {
    let mut run = Run::new();
    let _kept = (run.start("A", 1), run.start("A", 2));
    run.request(Request::WaitInput {
        phase: PhaseName::new("A").unwrap(),
        resource: ResourceId(1),
        interact: Some(json!({"title": "go on?"})),
    });
    run.end("A", 1, UnitEnd::Ran(NodeStatus::Succeed));
    let statuses = run.events.iter().filter_map(|event| match event {
        RunEvent::PhaseStatusChanged { status, .. } => Some(*status),
        _ => None,
    });
    let expected = [PhaseStatus::Running, PhaseStatus::WaitInput, PhaseStatus::Running];
    assert_eq!(statuses.collect::<Vec<_>>(), expected);
}

#[test]
fn after_a_failure_no_unit_of_any_phase_starts_and_the_others_end_as_paused() {
    let mut run = Run::new();
    run.start_phase("B");
    let _kept = run.start("A", 1);
    run.end("A", 1, UnitEnd::Ran(NodeStatus::Failed));
    assert!(run.start("A", 2).is_none() && run.start("B", 1).is_none());
    run.end("B", 1, UnitEnd::NotStarted);
    assert_eq!(run.finish_phase("A").0, PhaseStatus::Failed);
    let (status, counts) = run.finish_phase("B");
    assert_eq!((status, counts.paused), (PhaseStatus::Paused, 1));
    assert!(run.state.outcome().failed);
    assert!(run.job_statuses().is_empty(), "a failure is no stop");
}

#[test]
fn a_tolerated_failure_completes_the_phase() {
    let mut run = Run::new();
    let _kept = run.start("A", 1);
    run.end("A", 1, UnitEnd::Ran(NodeStatus::Ignored));
    let (status, counts) = run.finish_phase("A");
    assert_eq!((status, counts.ignored, counts.warnings), (PhaseStatus::Completed, 1, 1));
    assert!(!run.state.outcome().failed);
}

#[test]
fn a_pause_is_told_once_when_the_last_unit_has_ended() {
    let mut run = Run::new();
    let _kept = (run.start("A", 1), run.start("A", 2));
    for _ in 0..3 {
        run.request(Request::Stop(StopReason::Pause));
    }
    run.end("A", 1, UnitEnd::Ran(NodeStatus::Succeed));
    assert!(run.job_statuses().is_empty());
    run.end("A", 2, UnitEnd::Ran(NodeStatus::Paused));
    assert_eq!(run.job_statuses(), [JobStatus::Paused]);
    assert_eq!(run.finish_phase("A").0, PhaseStatus::Paused);
    assert!(!run.state.outcome().failed, "a pause without failure ends with 0");
}

#[test]
fn an_abort_is_told_after_the_nodes_and_before_the_phase() {
    let mut run = Run::new();
    let _kept = run.start("A", 1);
    run.request(Request::Stop(StopReason::Abort));
    run.end("A", 1, UnitEnd::Ran(NodeStatus::Aborted));
    assert_eq!(run.finish_phase("A").0, PhaseStatus::Aborted);
    let order: Vec<&str> = run
        .events
        .iter()
        .filter_map(|event| match event {
            RunEvent::NodeFinished { .. } => Some("node"),
            RunEvent::JobStatusChanged { .. } => Some("job"),
            RunEvent::PhaseStatusChanged { status: PhaseStatus::Aborted, .. } => Some("phase"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["node", "job", "phase"]);
}

#[test]
fn every_pair_of_stops_ends_with_the_harsher_one() {
    use StopReason::{Abort, Kill, Pause};
    for (first, second, expected) in [
        (Pause, Pause, Pause),
        (Pause, Abort, Abort),
        (Pause, Kill, Kill),
        (Abort, Pause, Abort),
        (Abort, Abort, Kill),
        (Abort, Kill, Kill),
        (Kill, Pause, Kill),
        (Kill, Abort, Kill),
    ] {
        let mut run = Run::new();
        run.request(Request::Stop(first));
        run.request(Request::Stop(second));
        assert_eq!(run.state.gate().stop, Some(expected), "{first:?} then {second:?}");
    }
}

#[test]
fn waiting_for_a_person_shows_in_the_phase_until_the_last_one_has_answered() {
    let mut run = Run::new();
    let mut first = run.start("A", 1).unwrap();
    let _second = run.start("A", 2).unwrap();
    let wait = |resource: i64, waits: bool| Request::WaitInput {
        phase: PhaseName::new("A").unwrap(),
        resource: ResourceId(resource),
        interact: waits.then(|| json!({"title": "go on?"})),
    };
    for (resource, waits) in [(1, true), (2, true), (1, false), (2, false), (9, true)] {
        run.request(wait(resource, waits));
    }
    let statuses: Vec<PhaseStatus> = run
        .events
        .iter()
        .filter_map(|event| match event {
            RunEvent::PhaseStatusChanged { status, .. } => Some(*status),
            _ => None,
        })
        .collect();
    let words = ["running", "waitInput", "waitInput", "waitInput", "running"];
    let statuses: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
    assert_eq!(statuses, words, "an unknown node is ignored");
    assert!(matches!(first.requests.try_recv(), Ok(UnitRequest::Interact(Some(_)))));
    assert!(matches!(first.requests.try_recv(), Ok(UnitRequest::Interact(None))));
}

#[test]
fn counts_add_up_to_the_nodes_that_were_fed() {
    let mut run = Run::new();
    let _kept = (run.start("A", 1), run.start("A", 2));
    run.end("A", 1, UnitEnd::Skipped(NodeStatus::Succeed));
    run.end("A", 2, UnitEnd::Ran(NodeStatus::Failed));
    run.end("A", 3, UnitEnd::NotStarted);
    run.handle(Input::Scheduler(SchedulerMessage::NotFed { phase: PhaseName::new("A").unwrap(), nodes: 4 }));
    let (_, counts) = run.finish_phase("A");
    let PhaseCounts { succeed, failed, ignored, paused, skipped, not_run, .. } = counts;
    assert_eq!((succeed, failed, ignored, paused, skipped, not_run), (0, 1, 0, 1, 1, 4));
}

#[test]
fn who_asks_learns_what_is_being_run() {
    let mut run = Run::new();
    let _units = [run.start("A", 71), run.start("A", 72)];
    let interact = Some(json!({"title": "t"}));
    let phase = PhaseName::new("A").unwrap();
    run.handle(Input::Request(Request::WaitInput { phase, resource: ResourceId(72), interact }));
    run.handle(Input::Request(Request::WhatRuns));
    let Some(RunEvent::Message { text, .. }) = run.events.last() else { panic!("{:?}", run.events) };
    assert_eq!(text, "At work:\nphase A, since 0 s: 2 node(s) at work: 71, 72 (waits for input)");
}

//! The order rules, as the server sees them, for random callbacks and random failures.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use autoexec_console::{Callback, Outbox};
use autoexec_test_support::server::{Call, FailMode};
use proptest::prelude::*;

use crate::setup::{SOON, hasty, job_paused, next_group, node, phase_end, server, shared_client, variable};

/// Where a callback stands; its number is its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Node(u8, u8),
    Phase(u8),
    NextGroup,
    JobStatus,
    Variable(u8),
}

impl Kind {
    fn callback(self, number: usize) -> Callback {
        #[expect(clippy::cast_precision_loss, reason = "a small number")]
        let time = number as f64;
        let phase = |index: u8| if index == 0 { "A" } else { "B" };
        match self {
            Self::Node(p, id) => node(phase(p), i64::from(id), time),
            Self::Phase(p) => phase_end(phase(p), time),
            Self::NextGroup => next_group(time),
            Self::JobStatus => job_paused(time),
            Self::Variable(name) => variable(&format!("V{name}"), "x", time),
        }
    }

    /// Whether `self`, put in earlier, must be finished before `later` is sent.
    fn precedes(self, later: Self) -> bool {
        let is_job = |kind| matches!(kind, Self::NextGroup | Self::JobStatus);
        let phase = |kind| match kind {
            Self::Node(p, _) | Self::Phase(p) => Some(p),
            _ => None,
        };
        let is_phase = |kind| matches!(kind, Self::Phase(_));
        is_job(self)
            || is_job(later)
            || self == later
            || ((is_phase(self) || is_phase(later)) && phase(self).is_some() && phase(self) == phase(later))
    }
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        10 => (0..2_u8, 0..4_u8).prop_map(|(phase, id)| Kind::Node(phase, id)),
        3 => (0..2_u8).prop_map(Kind::Phase),
        1 => Just(Kind::NextGroup),
        1 => Just(Kind::JobStatus),
        2 => (0..2_u8).prop_map(Kind::Variable),
    ]
}

fn failure() -> impl Strategy<Value = Option<FailMode>> {
    prop_oneof![
        5 => Just(None),
        1 => Just(Some(FailMode::Status(500))),
        1 => Just(Some(FailMode::Status(503))),
        1 => Just(Some(FailMode::CloseConnection)),
        1 => Just(Some(FailMode::NonJson502)),
        1 => Just(Some(FailMode::Refuse(530, "no".to_owned()))),
    ]
}

fn number(call: &Call) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number we made")]
    let number = call.json()["time"].as_f64().unwrap() as usize;
    number
}

/// `cut`: from where on a second process put them in. What was under way when the first one ended is sent again even if
/// the server has it, so only a single process sends everything once.
fn check(kinds: &[Kind], calls: &[Call], cut: usize) {
    let mut finished = HashSet::new();
    for call in calls {
        let this = number(call);
        let must_be_finished =
            |earlier: &usize| kinds[*earlier].precedes(kinds[this]) || (*earlier < cut && this >= cut);
        for earlier in (0..this).filter(must_be_finished) {
            assert!(
                finished.contains(&earlier),
                "{this} {:?} was sent before {earlier} {:?} was finished",
                kinds[this],
                kinds[earlier]
            );
        }
        if matches!(call.failure, None | Some(FailMode::Refuse(..))) {
            let is_new = finished.insert(this);
            assert!(is_new || this < cut, "{this} was sent again after it was finished");
        }
    }
    assert_eq!(finished.len(), kinds.len(), "all arrive");
}

/// Puts `kinds` in, the part from `cut` on by a second process, and gives what the server saw.
async fn deliver(kinds: &[Kind], failures: Vec<Option<FailMode>>, cut: usize) -> Vec<Call> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let server = server();
    let failures = Arc::new(Mutex::new(failures));
    server.fail_when(move |_| failures.lock().unwrap().pop().flatten());
    let (first, second) = kinds.split_at(cut);
    // The first process ends in the middle of its work.
    for (part, offset, limit) in [(first, 0, Duration::from_millis(2)), (second, cut, SOON)] {
        let (settings, _told) = hasty();
        let (outbox, _) = Outbox::open(&path, shared_client(&server), settings).unwrap();
        for (index, kind) in part.iter().enumerate() {
            outbox.enqueue(kind.callback(offset + index)).unwrap();
        }
        outbox.drain(tokio::time::Instant::now() + limit).await;
    }
    server.calls()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_server_sees_the_order(
        kinds in prop::collection::vec(kind(), 1..60),
        failures in prop::collection::vec(failure(), 0..60),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let cut = cut.map_or(0, |cut| cut.index(kinds.len()));
        let calls = runtime.block_on(deliver(&kinds, failures, cut));
        check(&kinds, &calls, cut);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn much_is_under_way_at_once() {
    // All of 8 nodes hang: 8 requests can only arrive when they are under way together.
    let dir = tempfile::tempdir().unwrap();
    let server = server();
    server.fail_when(|_| Some(FailMode::Hang));
    let (settings, _told) = hasty();
    let (outbox, _) = Outbox::open(&dir.path().join("outbox"), shared_client(&server), settings).unwrap();
    for id in 0..20 {
        outbox.enqueue(Kind::Node(0, id).callback(0)).unwrap();
    }
    server.wait_for(|calls| calls.len() == 8, SOON).unwrap();
}

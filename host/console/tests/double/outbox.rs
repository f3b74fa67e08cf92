//! The outbox: delivery, refusal, a server that is away, and what stays in the file.

use std::path::Path;
use std::time::{Duration, Instant};

use autoexec_console::{
    Callback, DrainReport, Outbox, OutboxError, OutboxEvent, OutboxHandle, OutboxReport, OutboxSettings,
};
use autoexec_test_support::server::{Call, CallName, FailMode};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::setup::{
    SOON, TOKEN, hasty, job_paused, next_group, node, phase, phase_end, server, shared_client, variable,
};

const ALL: DrainReport = DrainReport { undelivered: 0 };

fn soon() -> tokio::time::Instant {
    tokio::time::Instant::now() + SOON
}

fn times(calls: &[Call]) -> Vec<f64> {
    calls.iter().map(|call| call.json()["time"].as_f64().unwrap()).collect()
}

/// Opens again what another handle in this process has just let go.
async fn reopen(
    path: &Path,
    server: &autoexec_test_support::server::ConsoleDouble,
    settings: OutboxSettings,
) -> (OutboxHandle, OutboxReport) {
    let start = Instant::now();
    loop {
        match Outbox::open(path, shared_client(server), settings.clone()) {
            Err(OutboxError::InUse { .. }) if start.elapsed() < SOON => tokio::task::yield_now().await,
            outcome => return outcome.unwrap(),
        }
    }
}

fn all(mut told: UnboundedReceiver<OutboxEvent>) -> Vec<OutboxEvent> {
    let mut events = Vec::new();
    while let Ok(event) = told.try_recv() {
        events.push(event);
    }
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_delivered_with_the_pass_through_environment() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let server = server();
    let (settings, told) = hasty();
    let (outbox, report) = Outbox::open(&path, shared_client(&server), settings).unwrap();
    assert_eq!(report, OutboxReport::default());
    for callback in
        [node("A", 1, 1.0), phase_end("A", 2.0), variable("X", "v", 3.0), next_group(4.0), job_paused(5.0)]
    {
        outbox.enqueue(callback).unwrap();
    }
    assert_eq!(outbox.drain(soon()).await, ALL);
    let calls = server.calls();
    let names: std::collections::BTreeSet<_> = calls.iter().map(|call| call.name).collect();
    assert_eq!((calls.len(), names.len(), server.bad_signatures()), (5, 5, 0));
    for call in &calls {
        assert_eq!(call.json()["passThroughEnv"]["EXECUSER_TOKEN"], TOKEN);
        assert!(call.json().get("call").is_none(), "the file's own tag is not sent");
    }
    let delivered = all(told).iter().filter(|event| matches!(event, OutboxEvent::Delivered { .. })).count();
    assert_eq!(delivered, 5);
    assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1, "compacted");
    assert!(matches!(outbox.enqueue(next_group(6.0)), Err(OutboxError::Closed)));
    assert_eq!(outbox.drain(soon()).await, ALL, "a second drain is harmless");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_and_told_and_blocks_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let server = server();
    server.fail(CallName::NodeStatus, FailMode::Refuse(520, format!("no {TOKEN}")), Some(1));
    server.fail(CallName::NodeStatus, FailMode::Status(404), Some(1));
    let (settings, told) = hasty();
    let (outbox, _) = Outbox::open(&dir.path().join("outbox"), shared_client(&server), settings).unwrap();
    for time in [1.0, 2.0, 3.0] {
        outbox.enqueue(node("A", 71, time)).unwrap();
    }
    assert_eq!(outbox.drain(soon()).await, ALL);
    assert_eq!(times(&server.calls()), [1.0, 2.0, 3.0]);
    let rejected: Vec<_> = all(told)
        .into_iter()
        .filter_map(|event| match event {
            OutboxEvent::Rejected { seq, summary, message } => Some((seq.get(), summary, message)),
            _ => None,
        })
        .collect();
    assert_eq!(rejected.len(), 2);
    assert_eq!((rejected[0].0, rejected[0].1.as_str()), (1, "node 71 of phase A: running"));
    assert!(rejected[0].2.contains("(520): no ******"), "{rejected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_a_proxy_may_answer_is_repeated_until_it_works() {
    let dir = tempfile::tempdir().unwrap();
    let server = server();
    let modes = [
        FailMode::Status(500),
        FailMode::NonJson502,
        FailMode::Status(503),
        FailMode::RateLimit(0),
        FailMode::CloseConnection,
        FailMode::NonJson200,
        FailMode::Redirect("https://elsewhere.example/".to_owned()),
    ];
    for mode in &modes {
        server.fail(CallName::PhaseStatus, mode.clone(), Some(1));
    }
    let (settings, told) = hasty();
    let (outbox, _) = Outbox::open(&dir.path().join("outbox"), shared_client(&server), settings).unwrap();
    outbox.enqueue(phase_end("A", 1.0)).unwrap();
    server.wait_for(|calls| calls.len() > modes.len(), SOON).unwrap();
    assert_eq!(outbox.drain(soon()).await, ALL);
    let retries: Vec<_> = all(told)
        .into_iter()
        .filter_map(|event| match event {
            OutboxEvent::Retrying { attempt, summary, .. } => Some((attempt, summary)),
            _ => None,
        })
        .collect();
    let expected: Vec<_> = (1..=7).map(|attempt| (attempt, "phase A: succeed".to_owned())).collect();
    assert_eq!(retries, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_always_gets_500_is_given_up_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let server = server();
    server.fail_when(|call| (call.json()["resourceId"] == 13).then_some(FailMode::Status(500)));
    let (mut settings, told) = hasty();
    settings.server_error_limit = 5;
    let (outbox, _) = Outbox::open(&dir.path().join("outbox"), shared_client(&server), settings).unwrap();
    outbox.enqueue(node("A", 13, 1.0)).unwrap();
    outbox.enqueue(phase_end("A", 2.0)).unwrap();
    assert_eq!(outbox.drain(soon()).await, ALL, "the phase behind it gets through");
    let rejected = |event: &OutboxEvent| matches!(event, OutboxEvent::Rejected { message, .. } if message.contains("500"));
    assert_eq!(all(told).iter().filter(|event| rejected(event)).count(), 1);
    assert_eq!(server.calls_of(CallName::NodeStatus).len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_the_server_chokes_on_holds_back_only_its_own_lane() {
    let dir = tempfile::tempdir().unwrap();
    let server = server();
    server.fail_when(|call| (call.json()["resourceId"] == 13).then_some(FailMode::CloseConnection));
    let (settings, mut told) = hasty();
    let (outbox, _) = Outbox::open(&dir.path().join("outbox"), shared_client(&server), settings).unwrap();
    for id in 0..200 {
        outbox.enqueue(node("A", id, 1.0)).unwrap();
    }
    outbox.enqueue(phase_end("A", 2.0)).unwrap();
    let mut delivered = 0;
    while delivered < 199 {
        let event = tokio::time::timeout(SOON, told.recv()).await.unwrap().unwrap();
        delivered += usize::from(matches!(event, OutboxEvent::Delivered { .. }));
    }
    assert_eq!(outbox.undelivered(), 2, "the node and the phase that waits for it");
    server.heal();
    assert_eq!(outbox.drain(soon()).await, ALL);
    assert_eq!(server.calls().last().unwrap().name, CallName::PhaseStatus);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_elsewhere_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let server = server();
    server.set_failed_elsewhere("A");
    let (settings, told) = hasty();
    let (outbox, _) = Outbox::open(&dir.path().join("outbox"), shared_client(&server), settings).unwrap();
    outbox.enqueue(node("A", 1, 1.0)).unwrap();
    outbox.enqueue(node("B", 1, 1.0)).unwrap();
    outbox.drain(soon()).await;
    let failed: Vec<_> =
        all(told).into_iter().filter(|event| matches!(event, OutboxEvent::PeerFailed { .. })).collect();
    assert_eq!(failed, [OutboxEvent::PeerFailed { phase: phase("A") }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_leaves_is_sent_by_the_next_before_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let server = server();
    server.go_away().unwrap();
    let (settings, _told) = hasty();
    let (outbox, _) = Outbox::open(&path, shared_client(&server), settings.clone()).unwrap();
    for time in 1..=20 {
        outbox.enqueue(node("A", 7, f64::from(time))).unwrap();
    }
    drop(outbox);
    // As a kill in the middle of a write would leave it.
    let mut text = std::fs::read(&path).unwrap();
    text.extend_from_slice(br#"{"seq":21,"callback":{"call":"nodeSta"#);
    std::fs::write(&path, text).unwrap();

    let (outbox, report) = reopen(&path, &server, settings).await;
    assert_eq!(report, OutboxReport { left_over: 20, unreadable_lines: 1 });
    for id in 100..120 {
        outbox.enqueue(node("B", id, 1000.0)).unwrap();
    }
    server.come_back().unwrap();
    assert_eq!(outbox.drain(soon()).await, ALL);
    let expected: Vec<f64> = (1..=20).map(f64::from).chain([1000.0; 20]).collect();
    assert_eq!(times(&server.calls()), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_ends_at_its_deadline_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let server = server();
    server.fail(CallName::NextGroup, FailMode::Hang, None);
    let (settings, _told) = hasty();
    let (outbox, _) = Outbox::open(&path, shared_client(&server), settings.clone()).unwrap();
    outbox.enqueue(node("A", 1, 1.0)).unwrap();
    outbox.enqueue(next_group(2.0)).unwrap();
    outbox.enqueue(node("A", 1, 3.0)).unwrap();
    server.wait_for(|calls| calls.len() == 2, SOON).unwrap();
    let start = Instant::now();
    let report = outbox.drain(tokio::time::Instant::now() + Duration::from_millis(50)).await;
    assert_eq!(report, DrainReport { undelivered: 2 });
    assert!(start.elapsed() < SOON / 2);

    server.heal();
    // Drained: the file is free although the old handle lives.
    let (next, report) = Outbox::open(&path, shared_client(&server), settings).unwrap();
    assert_eq!(report.left_over, 2);
    assert_eq!(next.drain(soon()).await, ALL);
    assert_eq!(times(&server.calls()), [1.0, 2.0, 2.0, 3.0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_while_the_server_is_away() {
    const NODES: i64 = 5_000;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let server = server();
    server.go_away().unwrap();
    let (settings, _told) = hasty();
    let (outbox, _) = Outbox::open(&path, shared_client(&server), settings).unwrap();
    for time in [1.0, 2.0, 3.0, 4.0] {
        for id in 0..NODES {
            outbox.enqueue(node("A", id, time)).unwrap();
        }
    }
    assert_eq!(outbox.undelivered(), 20_000);
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(kept.lines().count(), 20_001);
    for secret in [TOKEN, "tok-4711", "passThroughEnv"] {
        assert!(!kept.contains(secret), "{secret} is in the file");
    }
    server.come_back().unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_mins(5);
    assert_eq!(outbox.drain(deadline).await, ALL);

    let calls = server.calls();
    assert_eq!((calls.len(), server.bad_signatures()), (20_000, 0));
    let mut last = std::collections::HashMap::new();
    for call in &calls {
        let body = call.json();
        let (id, time) = (body["resourceId"].as_i64().unwrap(), body["time"].as_f64().unwrap());
        let before = last.insert(id, time).unwrap_or(0.0);
        assert!((time - before - 1.0).abs() < f64::EPSILON, "node {id}: {time} after {before}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dev_mode_delivers_to_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let server = server();
    let mut client = crate::setup::settings(&server.base_url());
    client.dev_mode = true;
    let client = std::sync::Arc::new(autoexec_console::ConsoleClient::new(client).unwrap());
    let (settings, told) = hasty();
    let (outbox, _) = Outbox::open(&dir.path().join("outbox"), client, settings).unwrap();
    outbox.enqueue(next_group(1.0)).unwrap();
    assert_eq!(outbox.drain(soon()).await, ALL);
    assert_eq!((server.calls().len(), all(told).len()), (0, 1));
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let server = server();
    let (settings, _told) = hasty();
    let outcome = Outbox::open(&dir.path().join("outbox"), shared_client(&server), settings);
    assert!(matches!(outcome, Err(OutboxError::NoRuntime)));
}

#[test]
fn every_kind_survives_the_file() {
    for callback in [
        node("检查", 1, 1.5),
        phase_end("A", 2.0),
        variable("X", "v\n", 3.0),
        next_group(4.0),
        job_paused(5.0),
    ] {
        let text = serde_json::to_string(&callback).unwrap();
        assert_eq!(serde_json::from_str::<Callback>(&text).unwrap(), callback, "{text}");
    }
}

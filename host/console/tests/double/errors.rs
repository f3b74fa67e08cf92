//! Failures: what they become, how often they are repeated, and that they tell no secret.

use std::time::{Duration, Instant};

use autoexec_console::{Call, ConsoleClient, ConsoleError};
use autoexec_model::{NodeStatus, Secret};
use autoexec_test_support::server::{CallName, FailMode};
use serde_json::json;

use crate::setup::{TOKEN, client, node_update, server, settings};

const HTTP_KEY: &str = "tok-4711";

async fn fail(mode: FailMode) -> (ConsoleError, usize) {
    let server = server();
    server.fail(CallName::NodeStatus, mode, None);
    let mut settings = settings(&server.base_url());
    settings.total_timeout = Duration::from_millis(300);
    let client = ConsoleClient::new(settings).unwrap();
    let error = client.node_status(&node_update("A", 1, NodeStatus::Running, 1.0)).await.unwrap_err();
    (error, server.calls().len())
}

#[tokio::test]
async fn each_failure_has_its_variant_and_its_number_of_attempts() {
    type Expected = fn(&ConsoleError) -> bool;
    let leaky = format!("no {TOKEN} and {HTTP_KEY} \r\n please");
    let table: Vec<(FailMode, usize, Expected)> = vec![
        (FailMode::Status(500), 1, |e| matches!(e, ConsoleError::Http { code: 500, .. })),
        (FailMode::Status(503), 3, |e| matches!(e, ConsoleError::Http { code: 503, .. })),
        (FailMode::Status(504), 3, |e| matches!(e, ConsoleError::Http { code: 504, .. })),
        (FailMode::RateLimit(0), 3, |e| matches!(e, ConsoleError::Http { code: 429, .. })),
        (FailMode::Status(404), 1, |e| matches!(e, ConsoleError::Http { code: 404, .. })),
        (
            FailMode::NonJson502,
            3,
            |e| matches!(e, ConsoleError::Http { code: 502, message, .. } if message.contains("502 Bad Gateway")),
        ),
        (FailMode::NonJson200, 1, |e| matches!(e, ConsoleError::BadReply { .. })),
        (
            FailMode::Refuse(520, leaky.clone()),
            1,
            |e| matches!(e, ConsoleError::Rejected { code: 520, message, .. } if message == "no ****** and ****** please"),
        ),
        (FailMode::Refuse(550, leaky.clone()), 1, |e| matches!(e, ConsoleError::Rejected { code: 550, .. })),
        (FailMode::NotOk(leaky.clone()), 1, |e| matches!(e, ConsoleError::Rejected { code: 200, .. })),
        (FailMode::Refuse(522, leaky), 1, |e| matches!(e, ConsoleError::AuthenticationFailed { .. })),
        (
            FailMode::Redirect("https://sso.example/?x=1".to_owned()),
            1,
            |e| matches!(e, ConsoleError::Redirected { location, .. } if location == "https://sso.example"),
        ),
        (FailMode::CloseConnection, 3, |e| matches!(e, ConsoleError::Unreachable { sent: true, .. })),
        (FailMode::Hang, 3, |e| matches!(e, ConsoleError::Timeout { sent: true, .. })),
        (FailMode::SlowBody, 3, |e| matches!(e, ConsoleError::Timeout { .. })),
    ];
    for (mode, attempts, expected) in table {
        let (error, calls) = fail(mode.clone()).await;
        assert!(expected(&error), "{mode:?}: {error:?}");
        assert_eq!(calls, attempts, "{mode:?}");
        let text = format!("{error} {error:?}");
        assert!(!text.contains(TOKEN) && !text.contains(HTTP_KEY) && !text.contains("Hmac"), "{text}");
        assert!(text.contains("http://127.0.0.1:") && text.contains("/phase/node/status/update"), "{text}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_authentication() {
    let server = server();
    let mut settings = settings(&server.base_url());
    settings.key = Secret::new("wrong-key");
    let error = ConsoleClient::new(settings).unwrap().clean_up_tools(1).await.unwrap_err();
    assert!(matches!(error, ConsoleError::AuthenticationFailed { code: 522, .. }), "{error}");
    assert!(error.to_string().contains("server.password"), "{error}");
    assert_eq!((server.bad_signatures(), server.calls().len()), (1, 0));
}

#[tokio::test]
async fn a_server_that_recovers_in_time_is_not_noticed() {
    let server = server();
    server.fail(CallName::NodeStatus, FailMode::CloseConnection, Some(1));
    server.fail(CallName::NodeStatus, FailMode::Status(503), Some(1));
    client(&server).node_status(&node_update("A", 1, NodeStatus::Running, 1.0)).await.unwrap();
    assert_eq!(server.calls().len(), 3);
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let server = server();
    server.fail(CallName::CleanUp, FailMode::RateLimit(1), Some(1));
    let start = Instant::now();
    client(&server).clean_up_tools(1).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn nobody_listens() {
    let server = server();
    let client = client(&server);
    server.go_away().unwrap();
    let error = client.clean_up_tools(1).await.unwrap_err();
    assert!(matches!(error, ConsoleError::Unreachable { sent: false, .. }), "{error:?}");
    assert!(error.to_string().contains("refused") && error.is_transient() && error.is_unsent(), "{error}");
    server.come_back().unwrap();
    client.clean_up_tools(1).await.unwrap();
}

#[tokio::test]
async fn a_lock_is_repeated_only_when_it_did_not_arrive() {
    let server = server();
    server.set_lock_reply("lock", json!({"lockId": 1}));
    let lock = json!({"action": "lock"}).as_object().unwrap().clone();
    let client = client(&server);
    for (mode, calls) in
        [(FailMode::CloseConnection, 1), (FailMode::Status(503), 1), (FailMode::RateLimit(0), 2)]
    {
        let before = server.calls().len();
        server.fail(CallName::GlobalLock, mode.clone(), Some(1));
        let outcome = client.global_lock(lock.clone()).await;
        assert_eq!(server.calls().len() - before, calls, "{mode:?}");
        assert_eq!(outcome.is_ok(), calls == 2, "{mode:?}");
    }
}

#[tokio::test]
async fn the_endpoint_names_the_call_and_never_the_query() {
    let server = server();
    let dir = tempfile::tempdir().unwrap();
    server.go_away().unwrap();
    let query = autoexec_console::NodesQuery {
        job: crate::setup::job(),
        runner: autoexec_model::RunnerId(1),
        scope: autoexec_console::NodesScope::Job,
    };
    let error = client(&server).nodes(&query, &dir.path().join("nodes.json")).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("get nodes") && !text.contains(TOKEN) && !text.contains("jobId"), "{text}");
    let ConsoleError::Unreachable { endpoint, .. } = error else { panic!("{error:?}") };
    assert_eq!(endpoint.call(), Call::Nodes);
}

//! Against a real HTTP double of the server.

use std::sync::Arc;

use autoexec_console::{ConsoleClient, ConsoleSettings, RetryPolicy};
use autoexec_model::{JobId, RunnerId, Secret};
use autoexec_test_support::server::{Call, CallName, Config, ConsoleDouble, FailMode};

use super::*;

const SOON: Duration = Duration::from_secs(20);
const MILLIS: Duration = Duration::from_millis(20);

fn settings() -> LockSettings {
    LockSettings {
        // Long enough that only a notification can end it within a test.
        first_wait: Duration::from_mins(10),
        next_wait: MILLIS,
        longest_wait: Duration::from_hours(1),
        unlock_pause: MILLIS,
        unlock_attempts: 3,
        release_limit: Duration::from_secs(2),
    }
}

fn locks(double: &ConsoleDouble, settings: LockSettings) -> Arc<GlobalLocks> {
    let config = double.config();
    let retry = RetryPolicy { attempts: 1, ..RetryPolicy::default() };
    let console = ConsoleSettings {
        tenant: "demo".to_owned(),
        retry,
        ..ConsoleSettings::new(double.base_url(), config.user.clone(), Secret::new(config.key.clone()))
    };
    let server = LockServer::Console(Arc::new(ConsoleClient::new(console).unwrap()));
    let identity =
        LockIdentity { job: JobId::new("77").unwrap(), runner: RunnerId(3), instance: "900".to_owned() };
    Arc::new(GlobalLocks::new(server, identity, settings))
}

fn double() -> ConsoleDouble {
    ConsoleDouble::start(Config::default()).unwrap()
}

fn request(action: &str, more: Value) -> LockRequest {
    let mut params = json!({"action": action, "jobId": "1", "pid": "5120", "lockOwner": "11/22", "lockTarget": "workspace", "lockMode": "write", "wait": 1});
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    LockRequest::new(params.as_object().unwrap().clone()).unwrap()
}

fn actions(calls: &[Call]) -> Vec<String> {
    let locks = calls.iter().filter(|call| call.name == CallName::GlobalLock);
    locks.map(|call| call.json()["action"].as_str().unwrap_or_default().to_owned()).collect()
}

fn asked(double: &ConsoleDouble) -> Vec<String> {
    actions(&double.calls())
}

fn wait_until_asked(double: &ConsoleDouble, action: &str) {
    double.wait_for(|calls| actions(calls).iter().any(|asked| asked == action), SOON).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_free_lock_is_held_once_and_given_back() {
    let double = double();
    double.set_lock_reply("lock", json!({"lockId": 9001, "wait": 0}));
    double.set_lock_reply("unlock", json!({}));
    let locks = locks(&double, settings());
    let first = locks.handle(request("lock", json!({}))).await;
    assert_eq!((&first.reply["lockId"], first.granted.is_some()), (&json!(9001), true));
    let again = locks.handle(request("lock", json!({}))).await;
    assert_eq!((&again.reply["lockId"], again.granted), (&json!(9001), None));
    let body = double.calls_of(CallName::GlobalLock)[0].json();
    assert_eq!(
        (&body["jobId"], &body["runnerId"], &body["execId"]),
        (&json!("77"), &json!("3"), &json!("900"))
    );
    let unlocked = locks.handle(request("unlock", json!({"lockId": 9001}))).await;
    assert_eq!(unlocked.reply["lockId"], 9001);
    assert_eq!(locks.release_all().await, Vec::<String>::new());
    assert_eq!(asked(&double), ["lock", "unlock"], "nothing was left to release");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_leads_to_a_retry_and_only_its_answer_is_the_lock() {
    let double = double();
    double.set_lock_reply("lock", json!({"lockId": 9001, "wait": 1}));
    double.set_lock_reply("retry", json!({"lockId": 9001, "wait": 1}));
    let locks = locks(&double, LockSettings { next_wait: Duration::from_mins(10), ..settings() });
    let waiting = tokio::spawn({
        let locks = Arc::clone(&locks);
        async move { locks.handle(request("lock", json!({}))).await }
    });
    wait_until_asked(&double, "lock");
    let id = LockId::from_member(Some(&json!("9001"))).unwrap();
    locks.notify(&LockId::from_member(Some(&json!(1))).unwrap());
    locks.notify(&id);
    wait_until_asked(&double, "retry");
    assert!(!waiting.is_finished(), "the server still says wait");
    double.set_lock_reply("retry", json!({"lockId": 9001, "wait": 0}));
    locks.notify(&id);
    let answer = waiting.await.unwrap();
    assert_eq!((&answer.reply["lockId"], &answer.reply["wait"]), (&json!(9001), &json!(0)));
    assert_eq!(asked(&double), ["lock", "retry", "retry"]);
    let retry = double.calls_of(CallName::GlobalLock)[1].json();
    assert_eq!((&retry["lockId"], &retry["lockTarget"]), (&json!(9001), &json!("workspace")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_before_the_answer_is_not_lost() {
    let double = double();
    double.set_lock_reply("lock", json!({"lockId": 5, "wait": 1}));
    double.set_lock_reply("retry", json!({"lockId": 5, "wait": 0}));
    let locks = locks(&double, settings());
    locks.notify(&LockId::from_member(Some(&json!(5))).unwrap());
    let answer = tokio::time::timeout(SOON, locks.handle(request("lock", json!({})))).await.unwrap();
    assert_eq!(answer.reply["lockId"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notification_the_server_is_asked_again_also_while_it_is_away() {
    let double = double();
    double.set_lock_reply("lock", json!({"lockId": 5, "wait": 1}));
    double.set_lock_reply("retry", json!({"lockId": 5, "wait": 0}));
    // Lets `lock` through, then fails two retries.
    let mut failures = 2;
    double.fail_when(move |call| {
        let fails = call.json()["action"] == "retry" && failures > 0;
        failures -= usize::from(fails);
        fails.then_some(FailMode::NonJson502)
    });
    let locks = locks(&double, LockSettings { first_wait: MILLIS, ..settings() });
    let answer = tokio::time::timeout(SOON, locks.handle(request("lock", json!({})))).await.unwrap();
    assert_eq!(answer.reply["lockId"], 5);
    assert_eq!(asked(&double), ["lock", "retry", "retry", "retry"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_too_long_is_cancelled_and_fails() {
    let double = double();
    double.set_lock_reply("lock", json!({"lockId": 5, "wait": 1}));
    double.set_lock_reply("retry", json!({"lockId": 5, "wait": 1}));
    double.set_lock_reply("cancel", json!({"lockId": 5}));
    let limits = LockSettings { first_wait: MILLIS, longest_wait: MILLIS * 10, ..settings() };
    let answer = locks(&double, limits).handle(request("lock", json!({}))).await;
    assert!(answer.reply["lockId"].is_null() && answer.granted.is_none());
    assert!(answer.reply["message"].as_str().unwrap().contains("did not become free"), "{answer:?}");
    assert_eq!(asked(&double).last().map(String::as_str), Some("cancel"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_an_answer_without_id_that_fits_a_plugins_buffer() {
    let double = double();
    double.set_lock_reply("lock", json!({"lockId": null, "message": "the version is frozen"}));
    let locks = locks(&double, settings());
    let answer = locks.handle(request("lock", json!({}))).await;
    assert_eq!(Value::Object(answer.reply), json!({"lockId": null, "message": "the version is frozen"}));
    double.fail(CallName::GlobalLock, FailMode::Refuse(520, "锁".repeat(2000)), Some(1));
    let long = locks.handle(request("lock", json!({}))).await;
    let text = Value::Object(long.reply).to_string();
    assert!(text.contains("锁") && text.len() <= 1024, "{} bytes", text.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlock_is_repeated_while_the_server_is_away_and_not_when_it_refuses() {
    let double = double();
    double.set_lock_reply("unlock", json!({"lockId": 5}));
    double.fail(CallName::GlobalLock, FailMode::NonJson502, Some(2));
    let locks = locks(&double, settings());
    let answer = locks.handle(request("unlock", json!({"lockId": 5}))).await;
    assert_eq!((&answer.reply["lockId"], asked(&double).len()), (&json!(5), 3));
    double.fail(CallName::GlobalLock, FailMode::Refuse(520, "no such lock".to_owned()), Some(1));
    let refused = locks.handle(request("unlock", json!({"lockId": 5}))).await;
    assert!(refused.reply["message"].as_str().unwrap().contains("no such lock"));
    assert_eq!(asked(&double).len(), 4);
    double.fail(CallName::GlobalLock, FailMode::NonJson502, None);
    let given_up = locks.handle(request("cancel", json!({"lockId": 5}))).await;
    assert!(given_up.reply["lockId"].is_null());
    assert_eq!(asked(&double).len(), 4 + 3, "bounded");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_cancels_the_waiting_and_releases_the_held() {
    let double = double();
    double.set_lock_reply("lock", json!({"lockId": 1, "wait": 0}));
    double.set_lock_reply("unlock", json!({"lockId": 1}));
    double.set_lock_reply("cancel", json!({"lockId": 2}));
    let locks = locks(&double, settings());
    locks.handle(request("lock", json!({}))).await;
    double.set_lock_reply("lock", json!({"lockId": 2, "wait": 1}));
    let waiting = tokio::spawn({
        let locks = Arc::clone(&locks);
        async move { locks.handle(request("lock", json!({"pid": "6"}))).await }
    });
    double.wait_for(|calls| calls.len() == 2, SOON).unwrap();
    assert_eq!(locks.release_all().await, Vec::<String>::new());
    assert!(waiting.await.unwrap().reply["lockId"].is_null());
    assert_eq!(asked(&double), ["lock", "lock", "cancel", "unlock"]);
    let late = locks.handle(request("lock", json!({}))).await;
    assert!(late.reply["lockId"].is_null(), "no lock is given any more");
    assert_eq!(asked(&double).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_is_bounded_when_the_server_is_away() {
    let double = double();
    double.set_lock_reply("lock", json!({"lockId": 1, "wait": 0}));
    let locks = locks(&double, LockSettings { release_limit: MILLIS * 5, ..settings() });
    locks.handle(request("lock", json!({}))).await;
    double.go_away().unwrap();
    let problems = tokio::time::timeout(SOON, locks.release_all()).await.unwrap();
    assert!(problems.len() == 1 && problems[0].contains("lock 1 could not be given back"), "{problems:?}");
}

#[tokio::test]
async fn devmode_grants_everything_and_asks_nobody() {
    let identity =
        LockIdentity { job: JobId::new("77").unwrap(), runner: RunnerId(3), instance: "900".to_owned() };
    let locks = GlobalLocks::new(LockServer::DevMode, identity, settings());
    for action in ["lock", "unlock", "cancel"] {
        let answer = locks.handle(request(action, json!({}))).await;
        assert_eq!(Value::Object(answer.reply), json!({"lockId": 0}), "{action}");
    }
    assert_eq!(locks.release_all().await, Vec::<String>::new());
}

fn tool_locks(double: &ConsoleDouble, settings: LockSettings) -> (Arc<GlobalLocks>, ToolLocks) {
    let locks = locks(double, settings);
    (Arc::clone(&locks), ToolLocks::new(locks))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tools_lock_is_given_back_when_it_is_dropped() {
    let double = double();
    double.set_lock_reply("lock", json!({"lockId": 9001, "wait": 0}));
    double.set_lock_reply("unlock", json!({"lockId": 9001}));
    let (locks, tools) = tool_locks(&double, settings());
    let held = tools.acquire("11/22/workspace", LockMode::Write, SOON).await.unwrap();
    let body = double.calls_of(CallName::GlobalLock)[0].json();
    assert_eq!(
        (&body["lockOwner"], &body["lockTarget"], &body["lockMode"], &body["jobId"], &body["execId"]),
        (&json!("11/22"), &json!("workspace"), &json!("write"), &json!("77"), &json!("900"))
    );
    drop(held);
    wait_until_asked(&double, "unlock");
    assert_eq!(locks.release_all().await, Vec::<String>::new());
    assert_eq!(asked(&double), ["lock", "unlock"], "once");
    let late = tools.acquire("x", LockMode::Read, SOON).await;
    assert!(matches!(late, Err(NoLock::Ending)), "{late:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_calls_of_one_process_are_two_holders() {
    let double = double();
    double.set_lock_reply("lock", json!({"lockId": 9001, "wait": 0}));
    double.set_lock_reply("unlock", json!({"lockId": 9001}));
    let (_locks, tools) = tool_locks(&double, settings());
    let _one = tools.acquire("build-a", LockMode::Write, SOON).await.unwrap();
    let _other = tools.acquire("build-a", LockMode::Write, SOON).await.unwrap();
    let bodies: Vec<Value> = double.calls_of(CallName::GlobalLock).iter().map(Call::json).collect();
    assert_eq!(bodies.len(), 2, "the server is asked for each");
    assert_ne!(bodies[0]["pid"], bodies[1]["pid"]);
    assert_eq!((&bodies[0]["lockOwner"], &bodies[0]["lockTarget"]), (&json!("autoexec"), &json!("build-a")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_does_not_wait_any_longer_is_taken_out_of_the_queue() {
    let double = double();
    double.set_lock_reply("lock", json!({"lockId": 9001, "wait": 1}));
    double.set_lock_reply("cancel", json!({}));
    let (_locks, tools) = tool_locks(&double, settings());
    let late = tools.acquire("x", LockMode::Write, MILLIS).await;
    assert!(matches!(late, Err(NoLock::TimedOut(_))), "{late:?}");
    assert_eq!(asked(&double), ["lock", "cancel"]);

    let waiting = tokio::spawn(async move { tools.acquire("x", LockMode::Write, SOON).await.map(drop) });
    double.wait_for(|calls| actions(calls).len() == 3, SOON).unwrap();
    waiting.abort();
    double.wait_for(|calls| actions(calls).len() == 4, SOON).unwrap();
    assert_eq!(asked(&double)[2..], ["lock", "cancel"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tools_lock_that_is_still_held_goes_back_at_the_end_of_the_run() {
    let double = double();
    double.set_lock_reply("lock", json!({"lockId": 9001, "wait": 0}));
    double.set_lock_reply("unlock", json!({"lockId": 9001}));
    let (locks, tools) = tool_locks(&double, settings());
    let held = tools.acquire("x", LockMode::Write, SOON).await.unwrap();
    assert_eq!(locks.release_all().await, Vec::<String>::new());
    drop(held);
    assert_eq!(asked(&double), ["lock", "unlock"]);
}

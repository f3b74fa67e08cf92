//! One bad deed per test, and that the limit meant for it binds.

use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use autoexec_sandbox::{
    FailureKind, InvokeError, LimitName, LimitReached, Limits, Sandbox, SandboxSettings, Tool, ToolFailure,
    ToolOutcome,
};
use serde_json::json;

use crate::support::{Recorder, call, load, run, run_until, sandbox, small_sandbox};

const FINE: Result<ToolOutcome, InvokeError> = Ok(ToolOutcome::Succeeded { message: None });

/// A sandbox with one slot, so that a guest that is not really gone blocks the next call.
struct OneSlot {
    sandbox: Sandbox,
    tool: Arc<Tool>,
    host: Arc<Recorder>,
}

impl OneSlot {
    fn new() -> Self {
        let sandbox = sandbox(SandboxSettings { slots: 1, ..SandboxSettings::default() });
        let tool = load(&sandbox, "fixture/hostile");
        Self { sandbox, tool, host: Recorder::new() }
    }

    async fn run(&self, deed: &str, limits: Limits) -> Result<ToolOutcome, InvokeError> {
        let call = call(&json!({"deed": deed}));
        let ended = run_until(&self.sandbox, &self.tool, call, &self.host, limits, pending());
        tokio::time::timeout(Duration::from_mins(1), ended).await.expect("the limit did not bind")
    }

    /// Runs the deed, then a call that behaves: the sandbox must be as good as new.
    async fn survive(&self, deed: &str, limits: Limits) -> InvokeError {
        let ended = self.run(deed, limits).await.unwrap_err();
        assert_eq!(self.run("behave", Limits::default()).await, FINE, "after {deed}");
        ended
    }
}

#[tokio::test]
async fn computing_for_ever_is_ended_in_time() {
    let limit = Duration::from_millis(200);
    let begin = Instant::now();
    let ended = OneSlot::new().survive("spin", Limits { time: limit, ..Limits::default() }).await;
    assert_eq!(ended, InvokeError::TimedOut { limit });
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn waiting_in_the_host_is_ended_in_time() {
    let limit = Duration::from_millis(200);
    let ended = OneSlot::new().survive("wait", Limits { time: limit, ..Limits::default() }).await;
    assert_eq!(ended, InvokeError::TimedOut { limit });
}

#[tokio::test]
async fn eating_memory_is_named_with_the_limit() {
    let limit = 8 << 20;
    let ended = OneSlot::new().survive("eat-memory", Limits { memory: limit, ..Limits::default() }).await;
    assert_eq!(ended, InvokeError::OutOfMemory { limit });
    assert!(ended.to_string().contains("8 MiB") && ended.to_string().contains("memory-mib"), "{ended}");
}

#[tokio::test]
async fn no_limit_is_above_the_cap_of_the_sandbox() {
    let ended = OneSlot::new().survive("eat-memory", Limits { memory: u64::MAX, ..Limits::default() }).await;
    assert_eq!(ended, InvokeError::OutOfMemory { limit: 64 << 20 });
}

#[tokio::test]
async fn memory_that_is_refused_and_done_without_is_no_failure() {
    let slot = OneSlot::new();
    assert_eq!(slot.run("ask-for-memory", Limits::default()).await, FINE);
    assert_eq!(slot.host.outputs(), json!({"refused": true}));
}

#[tokio::test]
async fn deep_recursion_is_a_crash_of_the_tool_only() {
    let ended = OneSlot::new().survive("recurse", Limits::default()).await;
    assert!(matches!(ended, InvokeError::Trap { .. } | InvokeError::StackOverflow), "{ended}");
}

#[tokio::test]
async fn a_flood_of_lines_ends_at_the_limit() {
    let slot = OneSlot::new();
    let limit = 64 << 10;
    let ended = slot.survive("flood-log", Limits { log: limit, ..Limits::default() }).await;
    assert_eq!(ended, InvokeError::LogLimit { limit });
    let logged = slot.host.log_text().len() as u64;
    assert!(logged <= limit && logged > limit - 100, "{logged}");
}

#[tokio::test]
async fn empty_lines_are_not_free() {
    let slot = OneSlot::new();
    let ended = slot.survive("flood-empty-lines", Limits { log: 1000, ..Limits::default() }).await;
    assert_eq!(ended, InvokeError::LogLimit { limit: 1000 });
    assert_eq!(slot.host.log_lines(), 1000);
}

#[tokio::test]
async fn a_flood_of_outputs_ends_at_the_limit() {
    let ended = OneSlot::new().survive("flood-output", Limits { output: 10_000, ..Limits::default() }).await;
    let reached = LimitReached { name: LimitName::Output, value: 10_000 };
    assert_eq!(ended, InvokeError::Limit(reached));
    assert!(
        ended.to_string().contains("10000 bytes of outputs") && ended.to_string().contains("`output-kib`"),
        "{ended}"
    );
}

#[tokio::test]
async fn handles_are_limited() {
    let ended = OneSlot::new().survive("flood-handles", Limits { handles: 50, ..Limits::default() }).await;
    assert_eq!(ended, InvokeError::Limit(LimitReached { name: LimitName::Handles, value: 50 }));
    assert!(ended.to_string().contains("`handles`"), "{ended}");
}

#[tokio::test]
async fn processor_time_is_limited_apart_from_the_time_on_the_wall() {
    let cpu = Duration::from_millis(100);
    let slot = OneSlot::new();
    let ended = slot.survive("spin", Limits { cpu, ..Limits::default() }).await;
    assert_eq!(ended, InvokeError::Limit(LimitReached { name: LimitName::Cpu, value: 100 }));
    assert!(
        ended.to_string().contains("100ms of processor time") && ended.to_string().contains("`cpu-seconds`")
    );
    // Waiting costs none.
    let time = Duration::from_millis(300);
    let ended = slot.survive("wait", Limits { cpu, time, ..Limits::default() }).await;
    assert_eq!(ended, InvokeError::TimedOut { limit: time });
}

#[tokio::test]
async fn one_piece_has_a_limit_in_both_directions_of_a_call() {
    let slot = OneSlot::new();
    let too_much = InvokeError::Limit(LimitReached { name: LimitName::HostCall, value: 8 << 20 });
    assert_eq!(slot.survive("log-huge-line", Limits { log: u64::MAX, ..Limits::default() }).await, too_much);
    assert_eq!(slot.survive("answer-huge", Limits::default()).await, too_much);
    assert!(matches!(slot.survive("huge-random", Limits::default()).await, InvokeError::Trap { .. }));
}

#[tokio::test]
async fn a_panics_words_are_in_the_log() {
    let slot = OneSlot::new();
    let ended = slot.survive("panic", Limits::default()).await;
    assert!(matches!(ended, InvokeError::Trap { .. }), "{ended}");
    let log = slot.host.log_text();
    assert!(
        log.starts_with("ERROR: ") && log.contains("the guest's own words") && log.contains("lib.rs"),
        "{log}"
    );
}

#[tokio::test]
async fn a_trap_is_a_trap() {
    let ended = OneSlot::new().survive("trap", Limits::default()).await;
    let InvokeError::Trap { message } = &ended else { panic!("{ended}") };
    assert!(message.contains("unreachable"), "{message}");
}

#[tokio::test]
async fn failures_of_the_tool_come_through_and_never_look_like_success() {
    let slot = OneSlot::new();
    let failure = |kind, message: &str, exit_code| {
        Ok(ToolOutcome::Failed(ToolFailure { kind, message: message.into(), exit_code }))
    };
    assert_eq!(slot.run("fail-with-zero", Limits::default()).await, failure(FailureKind::Denied, "no", 1));
    let own = FailureKind::Other("own-kind".into());
    assert_eq!(slot.run("fail-other", Limits::default()).await, failure(own, "words", 42));
}

#[tokio::test]
async fn wrong_options_are_the_tools_failure() {
    let slot = OneSlot::new();
    let Ok(ToolOutcome::Failed(failure)) = slot.run("no-such-deed", Limits::default()).await else {
        panic!()
    };
    assert_eq!(failure.exit_code, 2);
    assert!(failure.message.contains("no-such-deed"), "{failure}");
}

#[tokio::test]
async fn what_std_does_on_this_target_needs_no_import() {
    let slot = OneSlot::new();
    assert_eq!(slot.run("use-hash-map", Limits::default()).await, FINE);
    assert_eq!(slot.host.outputs(), json!({"a": 1}));
}

#[tokio::test]
async fn stop_ends_a_busy_loop_at_once() {
    let slot = OneSlot::new();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = run_until(
        &slot.sandbox,
        &slot.tool,
        call(&json!({"deed": "log-and-spin"})),
        &slot.host,
        Limits::default(),
        async {
            let _sent = stopped.await;
        },
    );
    let stopping = async {
        slot.host.wait_for_lines(1).await;
        let begin = Instant::now();
        stop.send(()).unwrap();
        begin
    };
    let (ended, begin) = tokio::join!(running, stopping);
    assert_eq!(ended, Err(InvokeError::Stopped));
    assert!(begin.elapsed() < Duration::from_millis(100), "{:?}", begin.elapsed());
    // One slot: this runs only when the stopped guest is gone.
    assert_eq!(slot.run("behave", Limits::default()).await, FINE);
}

#[tokio::test]
async fn a_dropped_call_gives_its_slot_back() {
    let slot = OneSlot::new();
    let running = run(&slot.sandbox, &slot.tool, call(&json!({"deed": "log-and-spin"})), &slot.host);
    tokio::select! {
        ended = running => panic!("{ended:?}"),
        () = slot.host.wait_for_lines(1) => {}
    }
    assert_eq!(slot.run("behave", Limits::default()).await, FINE);
}

#[tokio::test]
async fn a_stop_while_waiting_for_a_slot_is_heard() {
    let slot = OneSlot::new();
    let busy = run(&slot.sandbox, &slot.tool, call(&json!({"deed": "log-and-spin"})), &slot.host);
    let waiting = async {
        slot.host.wait_for_lines(1).await;
        let call = call(&json!({"deed": "behave"}));
        run_until(&slot.sandbox, &slot.tool, call, &slot.host, Limits::default(), std::future::ready(()))
            .await
    };
    tokio::select! {
        ended = busy => panic!("{ended:?}"),
        ended = waiting => assert_eq!(ended, Err(InvokeError::Stopped)),
    }
}

#[tokio::test]
async fn the_sandbox_can_be_dropped_inside_a_runtime() {
    let sandbox = small_sandbox();
    let tool = load(&sandbox, "fixture/hostile");
    assert_eq!(run(&sandbox, &tool, call(&json!({"deed": "behave"})), &Recorder::new()).await, FINE);
    drop(sandbox);
}

//! Many calls at once, and how a busy guest affects the rest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use autoexec_sandbox::{Limits, SandboxSettings, ToolOutcome};
use serde_json::json;

use crate::support::{Recorder, call, load, run, run_until, sandbox};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_wait_for_a_few_slots() {
    let slots = 8;
    let sandbox = Arc::new(sandbox(SandboxSettings { slots, ..SandboxSettings::default() }));
    let tool = load(&sandbox, "fixture/hostile");
    let host = Recorder::new();
    let calls: Vec<_> = (0..1000)
        .map(|_| {
            let (sandbox, tool, host) = (Arc::clone(&sandbox), Arc::clone(&tool), Arc::clone(&host));
            tokio::spawn(
                async move { run(&sandbox, &tool, call(&json!({"deed": "begin-and-end"})), &host).await },
            )
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(ToolOutcome::Succeeded { message: None }));
    }
    let log = host.log_text();
    assert_eq!(log.lines().count(), 2000);
    let mut running = 0_u32;
    let mut most = 0;
    for line in log.lines() {
        running = if line == "begin" { running + 1 } else { running - 1 };
        most = most.max(running);
    }
    assert!(most <= slots, "{most} at once");
    assert!(most > 1, "nothing ran at the same time");
}

#[tokio::test(flavor = "current_thread")]
async fn busy_guests_do_not_hold_up_the_callers_runtime() {
    let sandbox = sandbox(SandboxSettings { slots: 8, guest_threads: 1, ..SandboxSettings::default() });
    let tool = load(&sandbox, "fixture/hostile");
    let host = Recorder::new();
    let limits = Limits { time: Duration::from_secs(30), ..Limits::default() };
    let spin = || {
        run_until(
            &sandbox,
            &tool,
            call(&json!({"deed": "log-and-spin"})),
            &host,
            limits,
            std::future::pending(),
        )
    };
    let timers = async {
        host.wait_for_lines(3).await;
        let begin = Instant::now();
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begin.elapsed()
    };
    tokio::select! {
        ended = spin() => panic!("{ended:?}"),
        ended = spin() => panic!("{ended:?}"),
        ended = spin() => panic!("{ended:?}"),
        // 100 ms of timers. On the guests' own thread each would wait for three turns of 10 ms or more.
        taken = timers => assert!(taken < Duration::from_millis(500), "{taken:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_of_one_tool_at_the_same_time_are_limited() {
    for (concurrent, most_allowed) in [(1, 1), (3, 3)] {
        let sandbox = Arc::new(sandbox(SandboxSettings { slots: 8, ..SandboxSettings::default() }));
        let tool = load(&sandbox, "fixture/hostile");
        let host = Recorder::new();
        let limits = Limits { concurrent, ..Limits::default() };
        let calls: Vec<_> = (0..12)
            .map(|_| {
                let (sandbox, tool, host) = (Arc::clone(&sandbox), Arc::clone(&tool), Arc::clone(&host));
                tokio::spawn(async move {
                    let call = call(&json!({"deed": "begin-and-end"}));
                    run_until(&sandbox, &tool, call, &host, limits, std::future::pending()).await
                })
            })
            .collect();
        for call in calls {
            assert_eq!(call.await.unwrap(), Ok(ToolOutcome::Succeeded { message: None }));
        }
        let mut running = 0_u32;
        let mut most = 0;
        for line in host.log_text().lines() {
            running = if line == "begin" { running + 1 } else { running - 1 };
            most = most.max(running);
        }
        assert!(most <= most_allowed, "{most} at once with a limit of {concurrent}");
    }
}

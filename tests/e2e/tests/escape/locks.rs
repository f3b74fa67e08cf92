//! Global locks: those of others, and those that are never given back.

use autoexec_e2e::build::with_option;
use autoexec_e2e::guests::guest;
use autoexec_test_support::server::{Call, CallName};
use serde_json::{Value, json};

use crate::suite::{ALL_INTERFACES, Fate, Row, Stage, changed, step, using};

const TWO_WAYS: &str = "has parts that can be read in two ways";

macro_rules! lock {
    ($trick:literal, $fate:ident, $says:expr, $what:literal, $name:expr) => {
        Row { trick: $trick, fate: Fate::$fate, says: $says, step: |()| using($what, $name) }
    };
}

pub(crate) const ROWS: &[Row<()>] = &[
    lock!("the lock of another job's workspace", Refused, "no rule allows it", "raw-lock", "11/22/workspace"),
    lock!("a name that begins like a granted one", Refused, "no rule allows it", "raw-lock", "oursandmore/x"),
    lock!("a granted name in upper case", Refused, "no rule allows it", "raw-lock", "OURS/x"),
    lock!(
        "a lock that is denied within the granted ones",
        Refused,
        "a rule denies it",
        "raw-lock",
        "ours/keep/x"
    ),
    lock!("a NUL byte that cuts the name of a lock", Refused, TWO_WAYS, "raw-lock", "ours/x\0/y"),
    lock!("a line break in the name", Refused, TWO_WAYS, "raw-lock", "ours/x\r\ny"),
    lock!("a lock without a name", Refused, TWO_WAYS, "raw-lock", ""),
    Row {
        trick: "a lock with a name of 100,000 characters",
        fate: Fate::Refused,
        says: TWO_WAYS,
        step: |()| using("raw-lock", &format!("ours/{}", "x".repeat(100_000))),
    },
    lock!("`..` in the name: it is a name and no path", Harmless, "", "raw-lock", "ours/../11/22/workspace"),
    lock!("a lock that is never given back", Harmless, "", "raw-lock-keep", "ours/kept"),
    Row {
        trick: "thousands of locks held at once",
        fate: Fate::Ended,
        says: "`handles`",
        step: |()| with_option(using("raw-lock-many", "ours/"), "port", "text", "5000"),
    },
];

/// With a server where somebody else has the lock.
pub(crate) const WAITING: &[Row<()>] = &[Row {
    trick: "wait for a lock longer than the call may last",
    fate: Fate::Ended,
    says: "did not end within its limit of 2s",
    step: |()| step("fixture/waiting", &[("what", "raw-lock-for-ever"), ("subject", "ours/taken")]),
}];

fn of_action(stage: &Stage, action: &str) -> Vec<Value> {
    let calls = stage.job.server.calls_of(CallName::GlobalLock);
    calls.iter().map(Call::json).filter(|body| body["action"] == action).collect()
}

#[test]
fn locks_are_ones_own_and_are_given_back() {
    let waiting = changed("fixture/everything", |manifest| {
        manifest.name = "fixture/waiting".to_owned().try_into().unwrap();
        manifest.limits.time_seconds = Some(2);
    });
    let tools = [("fixture/everything", guest("fixture/everything").unwrap()), ("fixture/waiting", waiting)];
    let policy = format!(
        "{ALL_INTERFACES}
[[grant]]
tools = [\"fixture/*\"]
lock = {{ names = [\"ours/*\"], deny = [\"ours/keep/*\"] }}

[[limits]]
tools = [\"fixture/everything\"]
handles = 20
"
    );
    let stage = Stage::new(&tools, &policy);
    stage.job.server.set_lock_reply("lock", json!({"wait": 0}));
    stage.job.server.set_lock_reply("unlock", json!({}));
    stage.run_rows(ROWS, &());
    let taken = of_action(&stage, "lock");
    assert!(
        taken.iter().all(|body| body["lockOwner"].as_str().is_some_and(|owner| owner.starts_with("ours")))
    );
    let named = taken.iter().find(|body| body["lockOwner"] == "ours/../11/22").unwrap();
    assert_eq!(named["lockTarget"], "workspace");
    // Two names, and as many as one call may hold.
    assert!((3..=2 + 21).contains(&taken.len()), "{}", taken.len());
    assert_eq!(of_action(&stage, "unlock").len(), taken.len(), "each is given back");

    stage.job.server.set_lock_reply("lock", json!({"lockId": 9002, "wait": 1}));
    stage.job.server.set_lock_reply("cancel", json!({}));
    stage.run_rows(WAITING, &());
    assert_eq!(of_action(&stage, "cancel").len(), 1, "the request is taken back");
}

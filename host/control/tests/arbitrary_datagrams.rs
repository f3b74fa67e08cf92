//! Whatever arrives on the job socket: a meaning or a short complaint. The same function is a fuzz target of `tests/fuzz`.

#[path = "../../../tests/fuzz/invariants/socket.rs"]
mod invariants;

use proptest::prelude::*;
use serde_json::{Value, json};

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(&["A", "lock", "unlock", "1", "", "../x", "LD_PRELOAD"])
            .prop_map(Value::from),
        "(?s).{0,600}".prop_map(Value::from),
        ".{0,6}".prop_map(|name| json!({name: "v"})),
        Just(json!({"action": "lock", "pid": 7})),
        Just(json!({"collection": "C", "condition": {"$where": "1"}, "projection": []})),
        Just(json!(["x"])),
    ]
}

fn datagrams() -> impl Strategy<Value = Vec<u8>> {
    let actions = [
        "informNodeWaitInput",
        "informRoundContinue",
        "setEnv",
        "globalLock",
        "globalLockNotify",
        "queryCollectDB",
        "exit",
        "reboot",
    ];
    let names = [
        "phaseName",
        "resourceId",
        "interact",
        "clean",
        "roundNo",
        "groupNo",
        "items",
        "onlyInProcess",
        "lockParams",
        "lockId",
        "queryParams",
    ];
    let members = proptest::collection::vec((proptest::sample::select(names.to_vec()), values()), 0..6);
    (proptest::sample::select(actions.to_vec()), members).prop_map(|(action, members)| {
        let mut object = serde_json::Map::from_iter([("action".to_owned(), Value::from(action))]);
        object.extend(members.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(object).to_string().into_bytes()
    })
}

proptest! {
    #[test]
    fn objects_with_our_keys(bytes in datagrams()) {
        invariants::datagram(&bytes);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        invariants::datagram(&bytes);
    }

    #[test]
    fn texts_that_are_no_object(text in "(?s).{0,80}") {
        invariants::datagram(text.as_bytes());
    }
}

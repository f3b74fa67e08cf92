//! Whatever stands in a file of ours: an answer or an error, and what was read survives. The same function is a fuzz target
//! of `tests/fuzz`.

#![expect(clippy::unwrap_used, reason = "a test fails where its surroundings do")]

#[path = "../../../tests/fuzz/invariants/store_files.rs"]
mod invariants;

use proptest::prelude::*;
use serde_json::{Value, json};

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // The last digit of other numbers may change: nothing of ours is one.
        any::<i16>().prop_map(|number| Value::from(f64::from(number) / 4.0)),
        proptest::sample::select(&["succeed", "running", "unknown", "1", "", "x", "../y", "a#1"])
            .prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        Just(json!(["m"])),
        Just(json!({"a": 1})),
        Just(json!({"L_1": ["m", "n"]})),
    ]
}

fn objects() -> impl Strategy<Value = Vec<u8>> {
    let keys = [
        "pid",
        "pidStart",
        "runnerId",
        "interact",
        "status",
        "warnCount",
        "currenOp",
        "opPid",
        "loopItems",
        "basic/x_1",
        "basic/x_1#2",
        "nodeEnv",
        "hiddenNodeEnv",
        "other",
        "format",
        "version",
    ];
    let member = (proptest::sample::select(keys.to_vec()), values());
    proptest::collection::vec(member, 0..9).prop_map(|members| {
        let object: serde_json::Map<String, Value> =
            members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        Value::Object(object).to_string().into_bytes()
    })
}

fn check(bytes: &[u8]) {
    let directory = tempfile::tempdir().unwrap();
    invariants::files(bytes, directory.path());
}

proptest! {
    #[test]
    fn objects_with_our_keys(bytes in objects()) {
        check(&bytes);
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn a_journal_with_noise(noise in proptest::collection::vec(any::<u8>(), 0..60), cut in 0..120_usize) {
        let mut bytes = b"{\"format\":\"autoexec-journal\",\"version\":1,\"pid\":1}\n{\"seq\":1}\n".to_vec();
        bytes.truncate(cut.max(1));
        bytes.extend(noise);
        check(&bytes);
    }
}

#[test]
fn a_process_of_an_unknown_operation_survives() {
    check(br#"{"opPid":"1"}"#);
}

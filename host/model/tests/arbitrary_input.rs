//! Whatever stands in a file or comes from the server: no panic, and what was read is what was meant. The same
//! functions are the fuzz targets of `tests/fuzz`.

#[path = "../../../tests/fuzz/invariants/model.rs"]
#[expect(clippy::panic, reason = "a broken invariant is a failed test")]
mod invariants;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Texts made of the pieces that the readers look for.
fn pieces(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => proptest::sample::select(pieces).prop_map(str::to_owned), 1 => ".{0,3}"];
    proptest::collection::vec(piece, 0..25).prop_map(|pieces| pieces.concat())
}

fn conditions() -> impl Strategy<Value = String> {
    pieces(&[
        "$A",
        "${N}",
        "$S",
        "$x",
        "5",
        "-5",
        "1.5",
        ".",
        "\"a\"",
        "'$A'",
        "(",
        ")",
        " ",
        " ",
        "==",
        "=",
        "!=",
        "<",
        ">=",
        "+",
        "-",
        "*",
        "/",
        " and ",
        "or",
        "not ",
        " contains ",
        " startswith ",
        "-f ",
        "-e",
    ])
}

fn references() -> impl Strategy<Value = String> {
    pieces(&["$", "{", "}", "${", "A", "a", ".", "_", " ", "#{", "${p.op_1.key}", "${A}", "$a", "\\", "\n"])
}

/// A value for any member, mostly of a kind that the readers want.
fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        references().prop_map(Value::from),
        conditions().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2..70_000_i64).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!([1, "2", "file/x", null])),
        Just(json!({"ssh": 22, "k": "${A}"})),
    ]
}

fn members(names: &'static [&'static str]) -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::vec((proptest::sample::select(names), values()), 0..8)
        .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn node_lines() -> impl Strategy<Value = String> {
    const TEXTS: &[&str] = &["password", "username", "nodeName", "nodeType", "jobRunnerIds", "servicePorts"];
    const NUMBERS: &[&str] = &["totalCount", "localRunnerId", "port", "protocolPort", "runnerId"];
    let number = prop_oneof![9 => (0..65_536_i64).prop_map(Value::from), 1 => values()];
    let numbers = proptest::collection::vec((proptest::sample::select(NUMBERS), number), 0..4);
    let object = (members(TEXTS), numbers).prop_map(|(mut object, numbers)| {
        object.extend(numbers.into_iter().map(|(name, value)| (name.to_owned(), value)));
        object
    });
    (object, any::<bool>(), "[a-z./\\\\ ]{1,8}", "ssh|tagent(\\.[0-9]{0,6})?|mysql").prop_map(
        |(mut object, is_node, host, protocol)| {
            if is_node {
                object.insert("resourceId".to_owned(), json!(71));
                object.insert("host".to_owned(), json!(host));
                object.insert("protocol".to_owned(), json!(protocol));
            }
            Value::from(object).to_string()
        },
    )
}

fn operations() -> impl Strategy<Value = Value> {
    const OPTIONS: &[&str] =
        &["name", "value", "scope", "hidden", "selector", "outputkey", "k", "dbaccount", "a b"];
    const TYPES: &[&str] =
        &["text", "password", "account", "file", "filepath", "textarea", "node", "json", "switch"];
    const TOOLS: &[&str] = &[
        "b/tool",
        "native/setenv",
        "native/echo",
        "native/failkeys",
        "native/export",
        "native/extractoutval",
        "native/getvalfromjson",
        "native/maintainwindow",
        "native/extractprestepstatus",
        "native/IF-Block",
        "native/LOOP-Block",
    ];
    const INTERPRETERS: &[&str] = &["bash", "cmd", "vbscript", "powershell", "python", ""];
    let types = proptest::collection::vec(proptest::sample::select(TYPES), OPTIONS.len());
    (
        proptest::sample::select(TOOLS),
        proptest::sample::select(INTERPRETERS),
        members(OPTIONS),
        types,
        proptest::collection::vec((proptest::sample::select(TYPES), values()), 0..4),
        conditions(),
    )
        .prop_map(|(name, interpreter, options, types, arguments, condition)| {
            let desc: Map<String, Value> =
                OPTIONS.iter().zip(types).map(|(name, kind)| ((*name).to_owned(), kind.into())).collect();
            let arguments: Vec<Value> =
                arguments.iter().map(|(kind, value)| json!({"type": kind, "value": value})).collect();
            json!({"opId": format!("{name}_1"), "opName": name, "opType": "target", "interpreter": interpreter,
                "opt": options, "desc": desc, "arg": arguments, "output": {},
                "condition": condition, "loopItems": "a,${A}", "loopItemVar": "I"})
        })
}

fn jobs() -> impl Strategy<Value = Vec<u8>> {
    (operations(), members(&["A", "dbpw", "PATH", "packs", "S"])).prop_map(|(operation, options)| {
        let phase = json!({"phaseName": "p", "phaseType": "target", "operations": [operation]});
        json!({"opt": options, "runFlow": [{"groupNo": 0, "phases": [phase]}]}).to_string().into_bytes()
    })
}

proptest! {
    #[test]
    fn any_condition_text(text in prop_oneof![conditions(), any::<String>()]) {
        invariants::condition(&text);
    }

    #[test]
    fn any_value_with_references(text in prop_oneof![references(), any::<String>()]) {
        invariants::reference(&text);
    }

    #[test]
    fn any_line_of_a_node_file(text in prop_oneof![4 => node_lines(), 1 => any::<String>()]) {
        invariants::node_line(&text);
    }

    #[test]
    fn any_parameters(bytes in prop_oneof![4 => jobs(), 1 => any::<Vec<u8>>()]) {
        invariants::params(&bytes);
    }
}

#[test]
fn the_generated_jobs_and_nodes_are_mostly_readable() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut sample = |count: usize, good: &mut dyn FnMut(&mut proptest::test_runner::TestRunner) -> bool| {
        (0..count).filter(|_| good(&mut runner)).count()
    };
    let jobs = sample(200, &mut |runner| {
        let bytes = jobs().new_tree(runner).expect("a job").current();
        autoexec_model::JobParams::parse(&bytes, "params.json").is_ok()
    });
    let nodes = sample(200, &mut |runner| {
        let line = node_lines().new_tree(runner).expect("a line").current();
        autoexec_model::NodeLine::parse(&line).is_ok()
    });
    assert!(jobs > 150 && nodes > 50, "{jobs} jobs and {nodes} lines of 200 each");
}

//! Tools that compute their outputs, each as a step of one real job: what two nodes have put out is collected, joined, named and
//! checked by steps on the runner.

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{node, one_shot, op, params, phase, with_argument, with_option, with_output};
use autoexec_e2e::guests::guest;
use serde_json::{Value, json};

/// What the two nodes put out.
const TEXT: &str = "this is the text out value";

/// A step: the tool, its options, its arguments, and what it has to put out.
type Row = (&'static str, Vec<(&'static str, String)>, Vec<&'static str>, Vec<(&'static str, Value)>);

fn rows() -> Vec<Row> {
    let of = |name: &str| vec![("outputkey", format!("A.demo/localremote_1.{name}"))];
    let addresses =
        json!({"10.1.0.1": [{"ip": "10.1.0.1"}], "10.1.0.2": [{"ip": "10.2.0.9"}, {"ip": "10.1.0.2"}]});
    let row = |n: u32| json!({"key1": format!("value{n}1"), "key2": {"inner": format!("value{n}2")}});
    vec![
        (
            "basic/aggoutput",
            of("outtext"),
            vec![],
            vec![("aggData", json!({"10.1.0.1": TEXT, "10.1.0.2": TEXT}))],
        ),
        (
            "basic/concatoutput",
            [of("outtext"), vec![("delimiter", ";".to_owned())]].concat(),
            vec![],
            vec![("aggTxtData", json!(format!("{TEXT};{TEXT}")))],
        ),
        (
            "basic/mergeoutput",
            of("outjsonlist"),
            vec![],
            vec![("mergedData", json!([row(1), row(2), row(1), row(2)]))],
        ),
        (
            "basic/convout2local",
            vec![],
            vec!["A.demo/localremote_1.outtext", "A.demo/localremote_1.outjsonobj"],
            vec![(
                "dataConverted",
                json!({"demo/localremote_1": {"outtext": TEXT, "outjsonobj": {"list": [row(1)]}}}),
            )],
        ),
        (
            "basic/hostsconfbynet",
            vec![
                ("nodesipinfo", addresses.to_string()),
                ("net", "10.1.0.0/24".to_owned()),
                ("nameprefix", "db".to_owned()),
            ],
            vec![],
            vec![("ip2HostName", json!({"10.1.0.1": "db1", "10.1.0.2": "db2"}))],
        ),
        (
            "basic/hostsconfbynode",
            vec![
                ("nodes", json!([{"ip": "10.1.0.2"}, {"ip": "10.1.0.1"}]).to_string()),
                ("nameprefix", "web".to_owned()),
            ],
            vec![],
            vec![("hostsConfTxt", json!("10.1.0.1\tweb1\n10.1.0.2\tweb2\n"))],
        ),
        (
            "basic/jsondatacheck",
            vec![
                ("data", json!([{"name": "a", "size": 3}, {"name": "\u{e4}", "size": 30}]).to_string()),
                ("filter", "[size] > 10".to_owned()),
                ("chkdsl", "[name] =~ /^\u{e4}$/".to_owned()),
            ],
            vec![],
            vec![],
        ),
        (
            "demo/local",
            vec![("tinput", "a".to_owned()), ("tjson", "{}".to_owned())],
            vec!["one"],
            vec![("outtext", json!(TEXT))],
        ),
        ("demo/nodefacts", vec![("pausems", "5".to_owned())], vec![], vec![]),
    ]
}

/// The step of one row.
fn step(kind: &str, number: u32, (tool, options, arguments, outputs): &Row) -> Value {
    let step = op(tool, kind, number);
    let step = options.iter().fold(step, |step, (name, value)| with_option(step, name, "text", value));
    let step = arguments.iter().fold(step, |step, argument| with_argument(step, "text", argument));
    outputs.iter().fold(with_output(step, "any", "text"), |step, (name, _)| with_output(step, name, "json"))
}

#[test]
fn what_two_nodes_have_put_out_is_collected_joined_and_checked() {
    let first: Row = (
        "demo/localremote",
        vec![("tinput", "a".to_owned()), ("tjson", "{\"b\": 1}".to_owned())],
        vec!["one"],
        vec![("outtext", json!(TEXT)), ("outjsonlist", Value::Null), ("outjsonobj", Value::Null)],
    );
    let rows = rows();
    let steps = rows.iter().zip(2..).map(|(row, number)| step("runner", number, row));
    let phases = [
        one_shot([phase("A", "runner_target", [step("runner_target", 1, &first)])]),
        one_shot([phase("B", "runner", steps)]),
    ];
    let job = TestJob::new(params(phases), &[node(71), node(72)]).unwrap();
    for (tool, ..) in rows.iter().chain([&first]) {
        job.install_component(tool, &guest(tool).unwrap()).unwrap();
    }
    job.home
        .write("conf/policy/site.toml", "[[grant]]\ntools = [\"basic/*\"]\nstep-outputs = true\n")
        .unwrap();
    for group in ["0", "1"] {
        if let Err(error) = job.expect(0, &["--firstfire", "--phasegroups", group]) {
            panic!("{error:#}\n{}\n{}", job.node_log("A", "10.1.0.1--71"), job.node_log("B", "local-0-0"));
        }
    }
    let outputs: Value = serde_json::from_str(&job.file("output/local-0-0.json")).unwrap();
    for ((tool, .., expected), number) in rows.iter().zip(2..) {
        for (name, value) in expected {
            assert_eq!(&outputs[format!("{tool}_{number}")][name], value, "{tool}: {name}");
        }
    }
    let log = job.node_log("B", "local-0-0");
    assert!(
        log.contains("FINE: \u{e4}\t30") && !log.contains("a\t3\n"),
        "the rows that were checked:\n{log}"
    );
    assert!(log.contains("argument:one") && log.contains("More than one remote node output found"), "{log}");
}

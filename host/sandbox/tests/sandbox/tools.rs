//! The tools of plugins-wasm, run as the runner would.

use std::sync::Arc;

use autoexec_sandbox::{FailureKind, Limits, NodeFacts, NodeValue, OutputName, ToolCall, ToolOutcome};
use serde_json::{Value, json};

use crate::support::{Recorder, call, load, run, small_sandbox};

/// Runs a tool and gives the outcome with what reached the host.
async fn run_tool(name: &str, call: ToolCall, mut host: Recorder) -> (ToolOutcome, Arc<Recorder>) {
    host.allowed.push("StepOutputs*".into());
    let sandbox = small_sandbox();
    let tool = load(&sandbox, name);
    let host = Arc::new(host);
    let ended = run(&sandbox, &tool, call, &host).await.unwrap_or_else(|error| panic!("{name}: {error}"));
    (ended, host)
}

fn succeeded(message: &str) -> ToolOutcome {
    ToolOutcome::Succeeded { message: Some(message.into()) }
}

fn arguments(arguments: &[&str]) -> ToolCall {
    ToolCall { arguments: arguments.iter().map(|text| json!(text)).collect(), ..ToolCall::default() }
}

fn exit_of(outcome: &ToolOutcome) -> u8 {
    match outcome {
        ToolOutcome::Succeeded { .. } => 0,
        ToolOutcome::Failed(failure) => failure.exit_code,
    }
}

#[tokio::test]
async fn hello_greets() {
    let options = json!({"who": "Zoë", "times": "2", "language": "german"});
    let (ended, host) = run_tool("demo/hello", call(&options), Recorder::default()).await;
    assert_eq!(ended, succeeded("greeted 2 time(s)"));
    assert_eq!(host.log_text(), "Hallo, Zoë!\nHallo, Zoë!\n");
    let said_by = json!({"job": "4711", "phase": "p1", "user": "alice"});
    assert_eq!(host.outputs(), json!({"greeting": "Hallo, Zoë!", "length": 11, "saidBy": said_by}));
}

#[tokio::test]
async fn nodefacts_knows_its_node_and_the_time() {
    let node = NodeFacts {
        resource_id: 7,
        host: "10.1.0.7".into(),
        port: Some(3306),
        name: "db-7".into(),
        node_type: "MySQL".into(),
        protocol: "ssh".into(),
        protocol_port: Some(22),
        username: "app".into(),
    };
    let host = Recorder { node, variables: vec![("A".into(), "1".into())], ..Recorder::default() };
    let (ended, host) = run_tool("demo/nodefacts", call(&json!({"pausems": 30})), host).await;
    assert_eq!(exit_of(&ended), 0);
    let outputs = host.outputs();
    assert_eq!(outputs["facts"]["resourceId"], 7);
    assert_eq!(outputs["facts"]["protocolPort"], 22);
    assert_eq!(outputs["variableNames"], json!(["A"]));
    assert!(outputs["elapsedMs"].as_u64().is_some_and(|ms| (30..30_000).contains(&ms)), "{outputs}");
    assert_eq!(host.log_text(), "INFO: node 10.1.0.7 is a MySQL reached by ssh\n");
}

fn facts_of_two_nodes() -> Recorder {
    let name =
        OutputName { phase: "p1".into(), operation_id: "demo/nodefacts_2".into(), name: "facts".into() };
    let value = |host: &str, port, value| NodeValue { resource_id: 1, host: host.into(), port, value };
    let values = vec![
        value("a", Some(22), json!({"os": "Linux"})),
        value("b", None, json!({"os": "AIX"})),
        value("local", None, json!({"os": "runner"})),
    ];
    Recorder { step_outputs: vec![(name, values)], ..Recorder::default() }
}

#[tokio::test]
async fn summary_makes_one_table_of_many_nodes() {
    let mut call = call(&json!({"title": "Hosts", "data": "{\"c\": {\"os\": \"HP-UX\"}}"}));
    call.arguments = vec![json!("#{p1.demo/nodefacts_2.facts}"), json!("#{p1.demo/nodefacts_2.none}")];
    let (ended, host) = run_tool("demo/summary", call, facts_of_two_nodes()).await;
    assert_eq!(ended, succeeded("4 row(s)"));
    let table = "## Hosts\n\n| node | os |\n| --- | --- |\n| c | HP-UX |\n| a:22 | Linux |\n| b | AIX |\n| local | runner |\n";
    assert_eq!(host.outputs()["table"], table);
    let expected = format!("WARN: Can not find any output for:#{{p1.demo/nodefacts_2.none}}.\n{table}");
    assert_eq!(host.log_text(), expected);
}

#[tokio::test]
async fn aggoutput_maps_addresses_to_values() {
    let key = |key: &str| call(&json!({"outputkey": key}));
    let (ended, host) =
        run_tool("basic/aggoutput", key("#{p1.demo/nodefacts_2.facts}"), facts_of_two_nodes()).await;
    assert_eq!(exit_of(&ended), 0);
    assert_eq!(host.outputs(), json!({"aggData": {"a:22": {"os": "Linux"}, "b": {"os": "AIX"}}}));
    let log = "INFO: Try to query output for operation id:demo/nodefacts_2 output:facts.\n\
               FINE: Aggregate output for:#{p1.demo/nodefacts_2.facts} success.\n";
    assert_eq!(host.log_text(), log);
    let (ended, host) = run_tool("basic/aggoutput", key("p1.x.y"), Recorder::default()).await;
    assert_eq!((exit_of(&ended), host.outputs()), (0, json!({"aggData": {}})));
    assert!(host.log_text().ends_with("WARN: Can not find any output for:p1.x.y.\n"));
    let (ended, _) = run_tool("basic/aggoutput", key("nonsense"), Recorder::default()).await;
    assert_eq!(exit_of(&ended), 3);
    let (ended, _) = run_tool("basic/aggoutput", ToolCall::default(), Recorder::default()).await;
    assert_eq!(exit_of(&ended), 2);
}

#[tokio::test]
async fn getvalfromjson_has_the_old_lines_and_statuses() {
    let options = |text: Value, selector: &str| call(&json!({"jsontxt": text, "selector": selector}));
    let tool = "native/getvalfromjson";
    let (ended, host) =
        run_tool(tool, options(json!({"key": ["v"]}), "data[key][0]"), Recorder::default()).await;
    assert_eq!((exit_of(&ended), host.outputs()), (0, json!({"extractTxtVal": "v"})));
    assert_eq!(host.log_text(), "Extract->key->0 = v\n");
    let (ended, host) = run_tool(tool, options(json!("{}"), "data[nope]"), Recorder::default()).await;
    let ToolOutcome::Failed(failure) = ended else { panic!() };
    assert_eq!((failure.exit_code, failure.message.as_str()), (2, "There is no data key:nope"));
    assert_eq!((host.log_text().as_str(), host.outputs()), ("Extract->nope = null\n", json!({})));
    let (ended, _) = run_tool(tool, options(json!("{"), "data[x]"), Recorder::default()).await;
    assert_eq!(exit_of(&ended), 3);
}

#[tokio::test]
async fn getvalfromtxt_takes_the_first_match() {
    let options = |selector: &str| call(&json!({"txtval": "a\nVersion 1.2\n", "selector": selector}));
    let tool = "native/getvalfromtxt";
    let (ended, host) = run_tool(tool, options(r"(?<=^version )\d.\d$"), Recorder::default()).await;
    assert_eq!((exit_of(&ended), host.outputs()), (0, json!({"extractTxtVal": "1.2"})));
    assert_eq!(exit_of(&run_tool(tool, options("nothing"), Recorder::default()).await.0), 2);
    assert_eq!(exit_of(&run_tool(tool, options("("), Recorder::default()).await.0), 3);
}

#[tokio::test]
async fn maintainwindow_knows_the_runners_local_time() {
    let tool = "native/maintainwindow";
    let always = "nonsense\\nWeekDay 9 00:00-01:00\\n00:00-23:59";
    let (ended, host) = run_tool(tool, arguments(&[always]), Recorder::default()).await;
    assert_eq!(exit_of(&ended), 0);
    let log = host.log_text();
    assert_eq!(log.lines().filter(|line| line.starts_with("WARN: ")).count(), 2, "{log}");
    assert!(log.ends_with("FINE: TimeWindow:00:00-23:59 is matched.\n"), "{log}");

    // The date that this process sees as local is the tool's date, too. Around midnight one of the two is right.
    let today = || jiff::Zoned::now().strftime("Date %Y-%m-%d 00:00-23:59").to_string();
    let before = today();
    let (ended, _) = run_tool(tool, arguments(&[&before]), Recorder::default()).await;
    assert!(exit_of(&ended) == 0 || before != today(), "{ended:?}");

    let (ended, _) = run_tool(tool, arguments(&["Date 2001-01-01 00:00-23:59"]), Recorder::default()).await;
    let ToolOutcome::Failed(failure) = ended else { panic!() };
    assert_eq!((failure.exit_code, failure.kind), (255, FailureKind::CheckFailed));
    assert!(
        failure.message.ends_with("is not in defined time window.\n->Date 2001-01-01 00:00-23:59"),
        "{}",
        failure.message
    );
}

#[test]
fn limits_come_from_the_manifest_below_a_ceiling() {
    let tool = load(&small_sandbox(), "demo/hello");
    let ceiling = Limits { memory: 8 << 20, ..Limits::default() };
    let limits = Limits::for_tool(tool.manifest(), &ceiling);
    assert_eq!(limits.memory, 8 << 20);
    assert_eq!(limits.time, std::time::Duration::from_secs(30));
    assert_eq!(limits.log, ceiling.log);
}

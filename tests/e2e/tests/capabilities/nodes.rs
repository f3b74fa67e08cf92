//! `job-nodes`: the lists that the phases run on.

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{key, node, node_file, one_shot, op, params, phase, with_option, with_output};
use autoexec_e2e::guests::guest;
use autoexec_test_support::server::Scope;
use serde_json::{Value, json};

const GETNODES: &str = "basic/getnodes";

fn get(number: u32, phase: &str) -> Value {
    let step = with_output(op(GETNODES, "runner_target", number), "nodes", "text");
    with_option(step, "phasename", "text", phase)
}

/// Asks for the nodes of its own phase, of a later one with a list of its own, and of none.
fn job(steps: Vec<Value>) -> TestJob {
    let phases = [phase("A", "runner_target", steps), phase("B", "runner_target", [get(9, "B")])];
    let job = TestJob::new(
        params([one_shot([phases[0].clone()]), one_shot([phases[1].clone()])]),
        &[node(71), node(72)],
    )
    .unwrap();
    job.set_nodes(Scope::Phase("B".to_owned()), &node_file(&(73..1600).map(node_of).collect::<Vec<_>>()));
    job.install_component(GETNODES, &guest(GETNODES).unwrap()).unwrap();
    job
}

/// Nodes whose host is a name: there are more than a byte counts.
fn node_of(id: u32) -> Value {
    let mut node = node(71);
    node["resourceId"] = json!(id);
    node["host"] = json!(format!("h{id}"));
    node["password"] = json!("s3cret-of-a-node");
    node
}

fn outputs(job: &TestJob, number: u32) -> Value {
    let outputs: Value = serde_json::from_str(&job.file(&format!("output/{}.json", key(71)))).unwrap();
    outputs[format!("{GETNODES}_{number}")]["nodes"].clone()
}

#[test]
fn the_nodes_of_every_phase_are_listed_without_their_passwords() {
    let job = job(vec![get(1, "A"), get(2, "B")]);
    job.home.write("conf/policy/site.toml", "[[grant]]\ntools = [\"basic/*\"]\njob-nodes = true\n").unwrap();
    job.expect(0, &["--firstfire", "--phasegroups", "0"]).unwrap();
    let own = outputs(&job, 1);
    assert_eq!((own.as_array().unwrap().len(), &own[1]["host"]), (2, &json!("10.1.0.2")));
    let later = outputs(&job, 2);
    let hosts: Vec<&str> =
        later.as_array().unwrap().iter().map(|node| node["host"].as_str().unwrap()).collect();
    let expected: Vec<String> = (73..1600).map(|id| format!("h{id}")).collect();
    assert_eq!(hosts, expected, "all of them, in the order of the job");
    let text = job.file(&format!("output/{}.json", key(71)));
    assert!(!text.contains("s3cret-of-a-node") && !text.contains("password"), "{text}");
}

#[test]
fn a_phase_that_is_not_there_is_said_so_and_so_is_a_policy_that_gives_no_lists() {
    let unknown = job(vec![get(1, "C")]);
    unknown
        .home
        .write("conf/policy/site.toml", "[[grant]]\ntools = [\"basic/*\"]\njob-nodes = true\n")
        .unwrap();
    unknown.expect(1, &["--firstfire", "--phasegroups", "0"]).unwrap();
    let log = unknown.node_log("A", &key(71));
    assert!(log.contains("ERROR:") && log.contains("phase"), "{log}");

    // The built-in policy does not give them.
    let denied = job(vec![get(1, "A")]);
    denied.expect(1, &["--firstfire", "--phasegroups", "0"]).unwrap();
    let log = denied.node_log("A", &key(71));
    assert!(log.contains("job-nodes@1.0.0` is not granted") && log.contains("job-nodes = true"), "{log}");
}

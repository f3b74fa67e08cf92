//! Rounds of a gray-scale group: sizes, order of the phases within a round, callbacks (`spec/execution.md` §6.5).

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{node, op, params, phase};
use serde_json::{Value, json};

/// Says what it does in a file that all of them share; appending a short line is atomic.
const TOOL: &str = "#!/bin/sh\necho \"$AUTOEXEC_PHASE_NAME ${NODE_NAME:-local} start\" >> \"$AUTOEXEC_HOME/trace\"\n\
                    sleep 0.05\necho \"$AUTOEXEC_PHASE_NAME ${NODE_NAME:-local} end\" >> \"$AUTOEXEC_HOME/trace\"\n";

fn job(phases: Vec<Value>) -> TestJob {
    let group = json!({"execStrategy": "grayScale", "roundCount": 3, "phases": phases});
    let nodes: Vec<Value> = (71..=80).map(node).collect();
    let job = TestJob::new(params([group]), &nodes).unwrap();
    job.home.write_local_plugin("basic", "trace", TOOL).unwrap();
    job
}

fn targets(name: &str, number: u32) -> Value {
    phase(name, "runner_target", [op("basic/trace", "runner_target", number)])
}

fn local(name: &str, number: u32, round: &str) -> Value {
    let mut phase = phase(name, "runner", [op("basic/trace", "runner", number)]);
    phase["execRound"] = json!(round);
    phase
}

/// `(phase, node)` of every start, each after the ends of what has to be over.
fn trace(job: &TestJob) -> Vec<String> {
    let text = std::fs::read_to_string(job.home.path().join("trace")).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The trace cut into stretches of one phase; each stretch sorted.
fn stretches(trace: &[String]) -> Vec<Vec<String>> {
    let phase = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
    let mut stretches: Vec<Vec<String>> =
        trace.chunk_by(|a, b| phase(a) == phase(b)).map(<[_]>::to_vec).collect();
    for stretch in &mut stretches {
        stretch.sort();
    }
    stretches
}

fn round(phase: &str, nodes: impl IntoIterator<Item = u32>) -> Vec<String> {
    let lines = nodes.into_iter().flat_map(|id| ["end", "start"].map(|what| format!("{phase} n{id} {what}")));
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

#[test]
fn ten_nodes_in_three_rounds_of_two_phases() {
    let job = job(vec![targets("A", 1), targets("B", 2)]);
    job.expect(0, &["--firstfire"]).unwrap();
    let rounds = [71..=74, 75..=77, 78..=80];
    let expected: Vec<_> =
        rounds.into_iter().flat_map(|nodes| ["A", "B"].map(|phase| round(phase, nodes.clone()))).collect();
    assert_eq!(stretches(&trace(&job)), expected, "within a round the phases run one after the other");

    let calls = job.call_lines();
    let of = |phase: &str, word: &str| {
        calls.iter().filter(|line| line.contains(&format!("phase={phase} ")) && line.contains(word)).count()
    };
    for phase in ["A", "B"] {
        assert_eq!(of(phase, "phase-status groupNo=0"), 3, "running, running, succeed: {calls:#?}");
        assert_eq!(of(phase, "status=succeed failIgnore=0"), 10);
        assert_eq!(of(phase, "status=succeed failNodeCount=0 sucNodeCount=10"), 1);
    }
    assert_eq!(calls.iter().filter(|line| line.starts_with("get-nodes nodeFrom=group groupNo=0")).count(), 1);
    assert_eq!(
        calls.iter().filter(|line| line.starts_with("round-ended")).count(),
        0,
        "one runner needs no gate"
    );
    assert_eq!(calls.last().map(String::as_str), Some("next-group runnerId=1 groupNo=0"));
}

#[test]
fn local_phases_run_once_in_the_round_they_name() {
    let job = job(vec![
        local("first", 1, "first"),
        targets("T", 2),
        local("middle", 3, "middle"),
        local("last", 4, "last"),
    ]);
    job.expect(0, &["--firstfire"]).unwrap();
    let expected = [
        vec!["first local end".to_owned(), "first local start".to_owned()],
        round("T", 71..=74),
        round("T", 75..=77),
        vec!["middle local end".to_owned(), "middle local start".to_owned()],
        round("T", 78..=80),
        vec!["last local end".to_owned(), "last local start".to_owned()],
    ];
    // The first two rounds of T touch each other, since nothing runs between them.
    let mut expected = expected.to_vec();
    let second = expected.remove(2);
    expected[1].extend(second);
    expected[1].sort();
    assert_eq!(stretches(&trace(&job)), expected);
}

#[test]
fn a_failure_ends_the_group_after_its_round() {
    let job = job(vec![targets("A", 1), targets("B", 2)]);
    let failing = format!("{TOOL}[ \"$AUTOEXEC_PHASE_NAME\" != A ] || [ \"$NODE_NAME\" != n73 ] || exit 1\n");
    job.home.write_local_plugin("basic", "trace", &failing).unwrap();
    job.expect(1, &["--firstfire"]).unwrap();
    assert_eq!(stretches(&trace(&job)), [round("A", 71..=74)], "{}", job.console());
    let calls = job.call_lines();
    let finals: Vec<&str> = calls
        .iter()
        .filter(|line| line.starts_with("phase-status") && !line.contains("status=running"))
        .map(|line| line.split(" skipNodeCount").next().unwrap_or_default())
        .collect();
    assert_eq!(
        finals,
        [
            "phase-status groupNo=0 phase=A status=failed failNodeCount=1 sucNodeCount=3",
            "phase-status groupNo=0 phase=B status=paused failNodeCount=0 sucNodeCount=0",
        ]
    );
    assert!(!calls.iter().any(|line| line.starts_with("next-group")));
}

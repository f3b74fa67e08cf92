//! What tools in the sandbox reach through the runner: each capability once allowed, with the real thing behind it, and
//! once denied, with a message that names the fix.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

mod author;
mod documents;
mod effects;
mod locks;
mod nodes;
mod person;
mod program;
mod secrets;
mod server;
mod tls;

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{node, one_shot, op, params, phase, with_option, with_output};
use autoexec_e2e::guests::guest;
use serde_json::Value;

/// A fixture that uses one function of every capability and puts the answer out.
const EVERYTHING: &str = "fixture/everything";

/// A little of every capability: [`EVERYTHING`] imports all of them, and what is not granted is not linked.
const A_LITTLE_OF_ALL: &str = r#"
[[grant]]
tools = ["fixture/everything"]
http = { hosts = ["unused.example"] }
sockets = { hosts = ["unused.example"] }
snmp = { hosts = ["unused.example"] }
net-probe = { hosts = ["unused.example"] }
step-outputs = true
job-nodes = true
interact = true
target = { commands = ["unused"] }
filesystem = { read = ["/srv/unused"] }
server = { calls = ["rest/unused"] }
documents = { read = ["UNUSED"] }
lock = { names = ["unused"] }
program = { unused = "/usr/bin/true" }
secret = { "option:unused" = { target = true } }

[[grant]]
tools = ["fixture/everything"]
"#;

/// A job with one phase on the node 71.
fn job(operations: Vec<Value>, policy: &str) -> TestJob {
    let names: Vec<String> = operations.iter().map(|op| op["opName"].as_str().unwrap().to_owned()).collect();
    let params = params([one_shot([phase("A", "runner_target", operations)])]);
    let job = TestJob::new(params, &[node(71)]).unwrap();
    for name in names {
        job.install_component(&name, &guest(&name).unwrap()).unwrap();
    }
    job.home.write("conf/policy/site.toml", policy).unwrap();
    job
}

/// A step of [`EVERYTHING`].
fn uses(number: u32, options: &[(&str, &str)]) -> Value {
    let step = with_output(op(EVERYTHING, "runner_target", number), "answer", "text");
    options.iter().fold(step, |step, (name, value)| with_option(step, name, "text", value))
}

/// A job of [`EVERYTHING`] under a policy with these lines in a grant of its own.
fn everything(steps: Vec<Value>, grant: &str) -> TestJob {
    job(steps, &format!("{A_LITTLE_OF_ALL}{grant}"))
}

/// What a step put out.
fn answer(job: &TestJob, number: u32) -> Value {
    let outputs: Value = serde_json::from_str(&job.file("output/10.1.0.1--71.json")).unwrap();
    outputs[format!("{EVERYTHING}_{number}")]["answer"].clone()
}

fn log(job: &TestJob) -> String {
    job.node_log("A", "10.1.0.1--71")
}

/// The log refuses a use, and says in which file which line allows it.
fn assert_denied(job: &TestJob, capability: &str, line: &str) {
    let log = log(job);
    assert!(log.contains("Policy denies") && log.contains(&format!("`{capability}`")), "{log}");
    assert!(log.contains("To allow it, add to") && log.contains("conf/policy/site.toml"), "{log}");
    assert!(log.contains(line), "no `{line}` in:\n{log}");
}

//! `server`: jobs that start other jobs and wait for them.

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{op, with_option, with_output};
use autoexec_test_support::server::CallName;
use serde_json::{Value, json};

use super::{assert_denied, everything, job, log, uses};

const CREATE: &str = "rest/autoexec/job/from/combop/create/public";
const STATUS: &str = "rest/autoexec/job/status/get";

fn create() -> Value {
    let step = with_output(op("basic/createjob", "runner_target", 1), "createdJobId", "text");
    let step = with_option(step, "combopName", "text", "patch");
    with_option(step, "name", "text", "patch the web servers")
}

fn wait(jobs: &str) -> Value {
    with_option(op("basic/waitjob", "runner_target", 2), "jobids", "text", jobs)
}

fn granted(calls: &[&str]) -> String {
    format!(
        "[[grant]]\ntools = [\"basic/createjob\", \"basic/waitjob\"]\nserver = {{ calls = {calls:?} }}\nstep-outputs = true\n"
    )
}

fn tool_calls(job: &TestJob) -> Vec<(String, Value)> {
    let calls = job.server.calls_of(CallName::Unknown).into_iter();
    calls.map(|call| (call.path.trim_start_matches("/neatlogic/api/").to_owned(), call.json())).collect()
}

#[test]
fn a_job_starts_another_one_and_waits_for_it() {
    let job = job(vec![create(), wait("620099")], &granted(&[CREATE, STATUS]));
    job.server.set_reply(CREATE, json!({"jobId": 620_099}));
    job.server.set_reply(STATUS, json!({"status": "completed"}));
    job.expect(0, &["--firstfire"]).unwrap();
    let calls = tool_calls(&job);
    assert_eq!(calls.len(), 2, "{calls:?}");
    assert_eq!((calls[0].0.as_str(), &calls[0].1["combopName"]), (CREATE, &json!("patch")));
    assert_eq!(calls[0].1["parentId"], 620_011_223_344_u64);
    assert_eq!(calls[1], (STATUS.to_owned(), json!({"jobId": "620099"})));
    assert_eq!(job.server.bad_signatures(), 0);
    assert!(log(&job).contains("Created job 620099."), "{}", log(&job));
}

#[test]
fn a_call_that_is_not_granted_never_reaches_the_server() {
    let job = job(vec![create()], &granted(&[STATUS]));
    job.expect(1, &["--firstfire"]).unwrap();
    assert_eq!(tool_calls(&job), []);
    assert_denied(&job, "server", &format!("server = {{ calls = [\"{CREATE}\"] }}"));
}

#[test]
fn a_refusal_of_the_server_is_told_in_its_own_words() {
    let job = job(vec![create()], &granted(&["rest/autoexec/*"]));
    job.server.fail(
        CallName::Unknown,
        autoexec_test_support::server::FailMode::Refuse(520, "no composite tool patch".to_owned()),
        None,
    );
    job.expect(1, &["--firstfire"]).unwrap();
    assert!(log(&job).contains("no composite tool patch"), "{}", log(&job));
    assert_eq!(tool_calls(&job).len(), 1, "a refusal is not repeated");
}

#[test]
fn no_call_leaves_the_servers_api() {
    for name in ["rest/../../../admin", "rest/x?y=1", "rest/%2e%2e/x"] {
        let job = everything(
            vec![uses(1, &[("what", "server"), ("subject", name)])],
            "server = { calls = [\"rest/*\"] }\n",
        );
        job.expect(1, &["--firstfire"]).unwrap();
        assert_eq!(tool_calls(&job), [], "{name}");
        assert!(log(&job).contains("ERROR:"), "{}", log(&job));
    }
}

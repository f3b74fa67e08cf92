//! `--register` (`spec/tool-descriptor.md`, Registration).

use autoexec_e2e::TestJob;
use autoexec_test_support::server::{CallName, FailMode};
use serde_json::json;

use crate::{code, mode, text};

fn home() -> TestJob {
    let job = TestJob::empty("0").unwrap();
    for (path, description) in [
        ("local/native/failkeys.json", json!({"opType": "native", "x": 1})),
        ("local/db/dbexec.json", json!({"opType": "localremote"})),
        ("local/db/dbold.json", json!({"opType": "local", "enabled": 0})),
        ("remote/os/osinfo.json", json!({"opType": "local", "importTime": "x"})),
    ] {
        job.home.write(&format!("plugins/{path}"), description.to_string()).unwrap();
    }
    job
}

fn registered(job: &TestJob) -> Vec<(String, String)> {
    let calls = job.server.calls_of(CallName::Register);
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    calls.iter().map(|call| (word(&call.json()["opName"]), word(&call.json()["opType"]))).collect()
}

#[test]
fn every_enabled_tool_is_registered_and_the_others_are_cleaned_up() {
    let job = home();
    let output = mode(&job, &["--register", "acme"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let expected = [("db/dbexec", "runner_target"), ("native/failkeys", "native"), ("os/osinfo", "target")];
    assert_eq!(registered(&job), expected.map(|(name, kind)| (name.to_owned(), kind.to_owned())));
    let calls = job.server.calls();
    assert!(calls.iter().all(|call| call.headers["tenant"] == "acme"));
    let clean_up = calls.last().unwrap();
    assert_eq!(clean_up.name, CallName::CleanUp);
    let time = clean_up.json()["importTime"].as_i64().unwrap();
    assert!(calls.iter().all(|call| call.json()["importTime"] == time) && time > 1_700_000_000);
    let printed = text(&output.stdout);
    assert!(
        printed.contains(
            "INFO: Begin to register tool:local db/dbexec...\nINFO: Register tool:local db/dbexec success.\n"
        ),
        "{printed}"
    );
    assert!(printed.ends_with("INFO: Clean discarded tools success.\n"), "{printed}");
}

#[test]
fn one_bad_tool_makes_the_code_1_and_does_not_stop_the_others() {
    let job = home();
    job.home.write("plugins/local/db/dbbad.json", "{").unwrap();
    job.server.fail(CallName::Register, FailMode::Refuse(520, "unknown category".to_owned()), Some(1));
    let output = mode(&job, &["--register", "acme"]);
    assert_eq!(code(&output), 1);
    let errors = text(&output.stderr);
    assert!(
        errors.contains("ERROR: Register tool:local db/dbbad failed") && errors.contains("dbbad.json"),
        "{errors}"
    );
    assert!(
        errors.contains("ERROR: Register tool:local db/dbexec failed") && errors.contains("unknown category"),
        "{errors}"
    );
    assert_eq!(registered(&job).len(), 3);
    assert_eq!(job.server.calls_of(CallName::CleanUp).len(), 1);
}

#[test]
fn a_server_that_does_not_know_us_ends_it_without_a_clean_up() {
    let job = home();
    job.server.fail(CallName::Register, FailMode::Refuse(522, "who are you".to_owned()), None);
    let output = mode(&job, &["--register", "acme"]);
    assert_eq!(code(&output), 69, "{}", text(&output.stderr));
    assert_eq!(job.server.calls_of(CallName::CleanUp).len(), 0);
}

#[test]
fn an_empty_home_deletes_nothing_at_the_server() {
    let job = TestJob::empty("0").unwrap();
    let output = mode(&job, &["--register", "acme"]);
    assert_eq!(code(&output), 65);
    assert!(text(&output.stderr).contains("no tool under"), "{}", text(&output.stderr));
    assert_eq!(job.server.calls().len(), 0);
}

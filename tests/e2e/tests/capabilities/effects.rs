//! `probe` and `check` of components: whether a step took effect, and what it would change.

use autoexec_e2e::TestJob;
use autoexec_e2e::build::key;
use autoexec_test_support::home::TestHome;
use serde_json::{Value, json};

use super::{A_LITTLE_OF_ALL, EVERYTHING, answer, everything, log, uses};
use autoexec_e2e::guests::guest;

/// A job whose step was running when its process died; `state` is what the tool finds when it is asked.
fn interrupted(state: &str) -> TestJob {
    let job = everything(vec![uses(1, &[("text", state)])], "job-nodes = true\n");
    let operation = format!("{EVERYTHING}_1");
    let status = json!({"pid": 999_999_999, "interact": null, "status": "running", "warnCount": 0,
        (operation.as_str()): "running", "currenOp": operation, "opPid": null});
    let path = job.dir().join(format!("status/A/{}.json", key(71)));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, status.to_string()).unwrap();
    job
}

const ASKED: &str =
    "An earlier run did not see how fixture/everything_1 ended; its tool is asked whether it took effect.";

#[test]
fn a_step_that_took_effect_is_not_run_again_and_keeps_what_the_probe_put_out() {
    let job = interrupted("done");
    job.expect(0, &[]).unwrap();
    let log = log(&job);
    assert!(log.contains(ASKED) && log.contains("took effect then and is not run again"), "{log}");
    assert_eq!(answer(&job, 1), json!("it was done before"));
}

#[test]
fn a_step_that_did_not_take_effect_runs() {
    let job = interrupted("not done");
    // `what` is empty: to run is to fail with a message of the tool's own, which only a run can give.
    job.expect(1, &[]).unwrap();
    let log = log(&job);
    assert!(log.contains(ASKED) && log.contains("did not take effect then"), "{log}");
    assert_eq!(log.matches("INFO: Execute -> fixture/everything").count(), 2, "asked, then run:\n{log}");
}

#[test]
fn a_tool_that_can_not_tell_leaves_the_step_to_a_person() {
    let job = interrupted("who knows");
    job.expect(1, &[]).unwrap();
    let log = log(&job);
    assert!(log.contains(ASKED) && log.contains("can not tell"), "{log}");
    assert!(log.contains("must not run twice"), "{log}");
    assert_eq!(log.matches("INFO: Execute -> fixture/everything").count(), 1, "only asked:\n{log}");
}

#[test]
fn a_dry_run_lists_what_a_component_would_change() {
    let home = TestHome::new("http://127.0.0.1:1", "nobody", "none").unwrap();
    std::fs::remove_file(home.path().join("conf/config.ini")).unwrap();
    home.write("conf/policy/site.toml", format!("{A_LITTLE_OF_ALL}job-nodes = true\n")).unwrap();
    let component = home.path().join(format!("plugins/wasm/{EVERYTHING}.wasm"));
    std::fs::create_dir_all(component.parent().unwrap()).unwrap();
    std::fs::write(component, guest(EVERYTHING).unwrap()).unwrap();
    let text = "name: change\nphases:\n  - name: work\n    on: runner\n    steps:\n      \
                - {tool: fixture/everything, id: e, with: {what: a new line, subject: /etc/motd}}\n";
    home.write("job.yaml", text).unwrap();

    let output = home.autoexec(["run", "job.yaml", "--check"]).unwrap().output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("fixture/everything would change /etc/motd: (none) -> a new line")
            && text.contains("Dry run: 1 change(s) would be made"),
        "{text}"
    );

    let output = home.autoexec(["run", "job.yaml", "--check", "--output", "json"]).unwrap().output().unwrap();
    let events = String::from_utf8(output.stdout).unwrap();
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let checked = events.iter().find(|event| event["event"] == "operation-checked").unwrap();
    assert_eq!(checked["changes"], json!([{"subject": "/etc/motd", "before": null, "after": "a new line"}]));
}

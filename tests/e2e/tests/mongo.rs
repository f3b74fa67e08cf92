//! Runs that share statuses, outputs and variables through MongoDB (`spec/workdir.md` §5.6).

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{one_shot, op, params, phase, with_output};
use autoexec_test_support::home::TestHome;
use autoexec_test_support::mongo::{MongoDouble, MongoUser};
use autoexec_test_support::server::CallName;
use bson::doc;
use serde_json::{Value, json};

const NODE_KEY: &str = "10.1.0.1--71";

fn user() -> MongoUser {
    MongoUser { name: "autoexec".to_owned(), password: "m0ngo-Pa55".to_owned() }
}

/// One phase with one tool for one node; the server announces the database.
fn job(mongo: &MongoDouble) -> TestJob {
    let operations = [with_output(op("basic/say", "runner_target", 501), "word", "text")];
    let node = json!({"resourceId": 71, "nodeName": "n71", "host": "10.1.0.1", "protocol": "ssh", "username": "u",
        "password": "x", "runnerId": 1});
    let job = TestJob::new(params([one_shot([phase("A", "runner_target", operations)])]), &[node]).unwrap();
    write_tool(&job);
    job.server.set_mongo(mongo.announcement());
    job
}

fn write_tool(job: &TestJob) {
    let tool = "#!/bin/sh\necho said\necho '{\"word\": \"hello\"}' > \"$OUTPUT_PATH\"\n";
    job.home.write_local_plugin("basic", "say", tool).unwrap();
}

/// Adds lines to section `[autoexec]`, which is the last one.
fn configure(job: &TestJob, lines: &str) {
    let path = job.home.path().join("conf/config.ini");
    let config = std::fs::read_to_string(path).unwrap().replace("db.url =\n", "");
    job.home.write("conf/config.ini", config + lines).unwrap();
}

fn names(job: &TestJob) -> Vec<CallName> {
    job.server.calls().iter().map(|call| call.name).collect()
}

#[test]
fn a_job_that_moves_to_another_runner_finds_its_statuses_and_outputs() {
    let mongo = MongoDouble::start(Some(user())).unwrap();
    let mut job = job(&mongo);
    job.expect(0, &["--firstfire"]).unwrap();
    assert_eq!(
        names(&job)[..4],
        [CallName::Parameters, CallName::Nodes, CallName::MongoSettings, CallName::Nodes],
        "the order of spec/execution.md §6.9"
    );
    let status = mongo.documents("_node_status").remove(0);
    assert_eq!(status.get_document("data").unwrap().get_str("status").unwrap(), "succeed");
    let output = mongo.documents("_node_output").remove(0);
    let data = output.get_document("data").unwrap();
    assert_eq!(data.get_document("basic/say_501").unwrap(), &doc! { "word": "hello" });

    // Another machine: nothing of the job is there but what the server and MongoDB have.
    let config = job.server.config().clone();
    job.home = TestHome::new(&job.server.base_url(), &config.user, &config.key).unwrap();
    write_tool(&job);
    job.expect(0, &[]).unwrap();
    let node_calls = job.server.calls_of(CallName::NodeStatus);
    assert_eq!(node_calls.last().unwrap().json()["status"], "succeed", "skipped, and said so again");
    assert_eq!(node_calls.len(), 3, "running, succeed; and the skip");
    assert!(job.node_log("A", NODE_KEY).is_empty(), "it did not run again");

    // Its statuses are forgotten in the database too, and it runs again.
    job.expect(0, &["--cleanstatus"]).unwrap();
    assert!(mongo.documents("_node_status").is_empty());
    job.expect(0, &[]).unwrap();
    assert!(job.node_log("A", NODE_KEY).contains("said"));
}

#[test]
fn the_configuration_wins_over_the_server_and_its_password_is_hidden() {
    let mongo = MongoDouble::start(Some(user())).unwrap();
    let job = job(&mongo);
    configure(
        &job,
        &format!(
            "db.url = {}\ndb.name = jobs\ndb.username = autoexec\ndb.password = m0ngo-Pa55\n",
            mongo.url()
        ),
    );
    for flags in [&["--firstfire"][..], &["--force"]] {
        job.expect(0, flags).unwrap();
        assert_eq!(mongo.documents("_node_status").len(), 1);
    }
    assert!(!names(&job).contains(&CallName::MongoSettings));
    let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
    assert!(config.contains("db.password = {ENCRYPTED}") && !config.contains("m0ngo"), "{config}");
}

#[test]
fn a_database_that_is_away_is_an_error_at_the_start_and_devmode_goes_on() {
    let mongo = MongoDouble::start(Some(user())).unwrap();
    let job = job(&mongo);
    mongo.go_away();
    let finished = job.run(&["--firstfire"]).unwrap();
    let console = job.console();
    assert!(!matches!(finished.code, Some(0..=2) | None), "{finished:?}");
    let at = format!("MongoDB at {} cannot be reached", mongo.address());
    assert!(console.contains(&at) && !console.contains("m0ngo"), "{console}");
    assert!(job.server.calls_of(CallName::PhaseStatus).is_empty(), "nothing was started");

    configure(&job, &format!("db.url = {}\ndb.name = jobs\n", mongo.url()));
    job.expect(0, &["--firstfire", "--devmode"]).unwrap();
    assert!(
        job.console().contains("WARN: Files are the only store of this run: MongoDB at"),
        "{}",
        job.console()
    );
    assert_eq!(job.status("A", NODE_KEY)["status"], "succeed");
}

#[test]
fn a_wrong_password_is_told_without_it() {
    let mongo = MongoDouble::start(Some(user())).unwrap();
    let job = job(&mongo);
    job.server.set_mongo(
        json!({"host": mongo.address().to_string(), "database": "autoexec", "username": "autoexec",
        "passwordPlain": "hunter2"}),
    );
    let finished = job.run(&["--firstfire"]).unwrap();
    assert!(!matches!(finished.code, Some(0..=2) | None), "{finished:?}");
    let console = job.console();
    assert!(console.contains("refuses user or access") && !console.contains("hunter2"), "{console}");
}

#[test]
fn without_an_announced_database_files_are_enough_and_only_several_runners_hear_of_it() {
    let mongo = MongoDouble::start(None).unwrap();
    let job = job(&mongo);
    job.server.set_mongo(Value::Null);
    job.expect(0, &["--firstfire"]).unwrap();
    assert!(!job.console().contains("MongoDB"), "{}", job.console());
    let nodes = "{\"totalCount\": 1, \"localRunnerId\": 1, \"jobRunnerIds\": [1, 2]}\n\
        {\"resourceId\": 71, \"host\": \"10.1.0.1\", \"runnerId\": 1, \"password\": \"x\"}\n";
    job.server.set_nodes(autoexec_test_support::server::Scope::Job, nodes, 2_000_000_000.0);
    job.expect(0, &["--firstfire", "--force"]).unwrap();
    assert!(
        job.console().contains("several runners, and the server announces no MongoDB"),
        "{}",
        job.console()
    );
}

#[test]
fn tools_search_collected_data_over_the_job_socket() {
    let mongo = MongoDouble::start(Some(user())).unwrap();
    let job = job(&mongo);
    for number in 0..20 {
        mongo.insert("COLLECT_OS", doc! { "host": format!("h{number}"), "os": "Linux", "cpu": number });
    }
    let tool = r#"#!/usr/bin/python3
import json, os, socket
mine = os.path.join(os.environ["AUTOEXEC_WORK_PATH"], "client%d.sock" % os.getpid())
client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
client.bind(mine)
client.settimeout(20)
query = {"collection": "COLLECT_OS", "condition": {"os": "Linux"}, "projection": {"host": 1}}
client.sendto(json.dumps({"action": "queryCollectDB", "queryParams": query}).encode(), os.environ["AUTOEXEC_JOB_SOCK"])
reply = json.loads(client.recv(65536))
os.unlink(mine)
print("error", reply["error"], "count", len(reply["result"]), "first", json.dumps(reply["result"][0]))
open(os.environ["OUTPUT_PATH"], "w").write("{}")
"#;
    job.home.write_local_plugin("basic", "say", tool).unwrap();
    job.expect(0, &["--firstfire"]).unwrap();
    let log = job.node_log("A", NODE_KEY);
    assert!(log.contains(r#"error None count 10 first {"host": "h0"}"#), "{log}");
}

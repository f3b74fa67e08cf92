//! Records in MongoDB, through the real driver over the wire to the double of tests/support.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use autoexec_model::{JobId, NodeStatus, OpId, PhaseName, ResourceId, Secret};
use autoexec_store::{EnvValue, JobDir, Loaded, NodeIdentity, NodeOutput, NodeRecords, NodeState};
use autoexec_store_mongo::{Database, MongoError, MongoRecords, MongoSettings};
use autoexec_test_support::mongo::{MongoDouble, MongoUser, Refusal};
use bson::{Bson, Document, doc};
use serde_json::{Map, Value, json};

const SOON: Duration = Duration::from_secs(20);

/// A runner with a job directory of its own.
struct Runner {
    dir: tempfile::TempDir,
    records: MongoRecords,
    warnings: Arc<Mutex<Vec<String>>>,
}

fn settings(server: &MongoDouble) -> MongoSettings {
    let mut settings = MongoSettings::new(server.url(), "autoexec");
    settings.patience = Duration::from_secs(2);
    settings
}

impl Runner {
    async fn start(server: &MongoDouble) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let database = Database::connect(settings(server)).await.unwrap();
        let warnings: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&warnings);
        let job_dir = JobDir::at(dir.path());
        job_dir.create().unwrap();
        let warn = Arc::new(move |text: &str| heard.lock().unwrap().push(text.to_owned()));
        let records = MongoRecords::new(JobId::new("620011").unwrap(), job_dir, database, warn);
        Self { dir, records, warnings }
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.lock().unwrap().clone()
    }

    fn prepare(&self, node: &NodeIdentity) {
        JobDir::at(self.dir.path()).prepare_unit(&phase(), &node.key()).unwrap();
    }

    fn save(&self, node: &NodeIdentity, status: NodeStatus) {
        self.prepare(node);
        self.records.save_state(&phase(), node, &state(status)).unwrap();
    }

    fn put_output(&self, node: &NodeIdentity, operation: &str, values: &Value) {
        self.prepare(node);
        let values: Map<String, Value> = values.as_object().unwrap().clone();
        let mut change = |output: &mut NodeOutput| output.set_operation(op(operation), values.clone());
        self.records.update_output(node, &mut change).unwrap();
    }

    fn state(&self, node: &NodeIdentity) -> Loaded<NodeStatus> {
        match self.records.load_state(&phase(), node).unwrap() {
            Loaded::Found(state) => Loaded::Found(state.status),
            Loaded::Missing => Loaded::Missing,
            Loaded::Broken { reason } => Loaded::Broken { reason },
        }
    }

    fn operations(&self, node: &NodeIdentity) -> Vec<String> {
        let output = self.records.load_output(node).unwrap().found().unwrap_or_default();
        output.operations().map(|(operation, _)| operation.to_string()).collect()
    }
}

fn phase() -> PhaseName {
    PhaseName::new("检查").unwrap()
}

fn op(text: &str) -> OpId {
    OpId::new(text).unwrap()
}

fn node(resource: i64) -> NodeIdentity {
    NodeIdentity { resource: ResourceId(resource), host: format!("10.1.0.{resource}"), port: Some(8080) }
}

fn state(status: NodeStatus) -> NodeState {
    NodeState { status, warn_count: 2, ..NodeState::default() }
}

fn without_changing_parts(mut document: Document) -> Document {
    assert!(document.get_object_id("_id").is_ok());
    let date = document.get_datetime("createDate").unwrap().to_system_time();
    assert!(date.elapsed().unwrap() < Duration::from_mins(5), "a present date, in UTC");
    document.remove("_id");
    document.remove("createDate");
    document
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_have_the_shapes_of_the_contract() {
    let server = MongoDouble::start(None).unwrap();
    let runner = Runner::start(&server).await;
    runner.save(&node(72), NodeStatus::Succeed);
    let no_port = NodeIdentity { port: None, ..node(3_000_000_071) };
    runner.put_output(&no_port, "basic/free_501", &json!({"mb": 5, "list": ["中"], "a.b": null}));
    runner.records.set_env("A", EnvValue { value: "s3cret".to_owned(), is_hidden: true }).unwrap();
    assert_eq!(runner.records.flush(SOON), 0);

    let only = |collection: &str| {
        let found: [Document; 1] = server.documents(collection).try_into().unwrap();
        let [document] = found;
        without_changing_parts(document)
    };
    assert_eq!(
        only("_node_status"),
        doc! { "jobId": "620011", "phase": "检查", "resourceId": 72, "host": "10.1.0.72", "port": 8080,
        "data": { "pid": null, "interact": null, "status": "succeed", "warnCount": 2 } }
    );
    assert_eq!(
        only("_node_output"),
        doc! { "jobId": "620011", "resourceId": 3_000_000_071_i64, "host": "10.1.0.3000000071", "port": null,
        "data": { "nodeEnv": {}, "hiddenNodeEnv": {},
            "basic/free_501": { "mb": 5, "list": ["中"], "a.b": null } } }
    );
    assert_eq!(
        only("_autoexec_env"),
        doc! { "jobId": "620011", "name": "A", "value": "s3cret", "isHidden": 1 }
    );
    // The files have the same.
    let files = JobDir::at(runner.dir.path());
    assert!(
        files.node_status(&phase(), &node(72).key()).is_file() && files.node_output(&no_port.key()).is_file()
    );
    assert!(runner.warnings().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_become_few_requests_with_the_last_state() {
    let server = MongoDouble::start(None).unwrap();
    let runner = Runner::start(&server).await;
    // The first request waits for its answer until all changes are made, whatever the machine does meanwhile.
    server.hold_updates(true);
    for resource in 1..=300 {
        for status in [NodeStatus::Running, NodeStatus::Failed, NodeStatus::Running, NodeStatus::Succeed] {
            runner.save(&node(resource), status);
        }
    }
    server.hold_updates(false);
    assert_eq!(runner.records.flush(SOON), 0);
    let stored = server.documents("_node_status");
    assert_eq!(stored.len(), 300);
    assert!(
        stored
            .iter()
            .all(|found| found.get_document("data").unwrap().get_str("status").unwrap() == "succeed")
    );
    let requests = server.commands_of("update");
    let sizes: Vec<usize> =
        requests.iter().map(|command| command.body.get_array("updates").unwrap().len()).collect();
    // 1200 changes: what was there when the first request went out, and all the rest.
    assert!(sizes.len() <= 2 && sizes.iter().any(|size| *size > 10), "{sizes:?}");
    assert!(sizes.iter().sum::<usize>() <= 600, "of a document only its last state is written: {sizes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_runner_goes_on_where_the_first_stopped() {
    let server = MongoDouble::start(None).unwrap();
    let first = Runner::start(&server).await;
    for resource in 1..=250 {
        first.save(&node(resource), NodeStatus::Succeed);
    }
    first.put_output(&node(7), "b/x_1", &json!({"k": "v"}));
    assert_eq!(first.records.flush(SOON), 0);

    let second = Runner::start(&server).await;
    let asked = |name| server.commands_of(name).len();
    let before = asked("find");
    for resource in 251..=450 {
        assert_eq!(second.state(&node(resource)), Loaded::Missing);
    }
    assert_eq!(asked("find") - before, 1, "nodes without a document cost no request each");
    assert!(asked("getMore") > 0, "more documents than one reply holds");
    for resource in [1, 7, 250] {
        assert_eq!(second.state(&node(resource)), Loaded::Found(NodeStatus::Succeed));
    }
    second.prepare(&node(7));
    assert_eq!(second.operations(&node(7)), ["b/x_1"]);
    let file = JobDir::at(second.dir.path()).node_output(&node(7).key());
    assert!(std::fs::read_to_string(file).unwrap().contains("b/x_1"), "plugins read the file");
    // A change keeps what came from the database.
    second.put_output(&node(7), "b/y_2", &json!({}));
    assert_eq!(second.records.flush(SOON), 0);
    let data = server.documents("_node_output").remove(0);
    assert!(data.get_document("data").unwrap().contains_key("b/x_1"));
    assert!(data.get_document("data").unwrap().contains_key("b/y_2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_during_the_run_is_seen_and_a_file_wins_over_a_document() {
    let server = MongoDouble::start(None).unwrap();
    let first = Runner::start(&server).await;
    for resource in [1, 2] {
        first.save(&node(resource), NodeStatus::Succeed);
    }
    assert_eq!(first.records.flush(SOON), 0);
    let second = Runner::start(&server).await;
    assert_eq!(second.state(&node(1)), Loaded::Found(NodeStatus::Succeed));
    // The runner resets node 2: it deletes file and document.
    server.remove("_node_status", |found| found.get("resourceId") == Some(&Bson::Int32(2)));
    assert_eq!(second.state(&node(2)), Loaded::Missing);
    // Some program changes the document only (defect 39).
    server.remove("_node_status", |_| true);
    server.insert(
        "_node_status",
        doc! { "jobId": "620011", "phase": "检查", "resourceId": 1_i64, "data": { "status": "failed" } },
    );
    assert_eq!(first.state(&node(1)), Loaded::Found(NodeStatus::Succeed), "its file says so");
    assert_eq!(Runner::start(&server).await.state(&node(1)), Loaded::Found(NodeStatus::Failed));
    server.insert(
        "_node_status",
        doc! { "jobId": "620011", "phase": "检查", "resourceId": 5, "data": { "status": 9 } },
    );
    assert!(matches!(Runner::start(&server).await.state(&node(5)), Loaded::Broken { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_local_node_is_shared_by_all_runners() {
    let server = MongoDouble::start(None).unwrap();
    let (first, second) = (Runner::start(&server).await, Runner::start(&server).await);
    let local = NodeIdentity::local();
    first.put_output(&local, "b/one_1", &json!({"k": 1}));
    assert_eq!(first.records.flush(SOON), 0);
    second.put_output(&local, "b/two_2", &json!({"k": 2}));
    assert_eq!(second.records.flush(SOON), 0);
    assert_eq!(
        second.operations(&local),
        ["b/two_2", "b/one_1"].map(String::from).into_iter().rev().collect::<Vec<_>>()
    );
    // The first runner has a file and sees the new one's outputs all the same.
    assert_eq!(first.operations(&local), ["b/one_1", "b/two_2"]);
    // What failed is dropped and does not come back out of the document before that is written.
    first.records.update_output(&local, &mut |output| output.remove_operation(&op("b/one_1"))).unwrap();
    assert_eq!(first.operations(&local), ["b/two_2"]);
    assert_eq!(first.records.flush(SOON), 0);
    assert_eq!(first.operations(&local), ["b/two_2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_are_shared() {
    let server = MongoDouble::start(None).unwrap();
    let (first, second) = (Runner::start(&server).await, Runner::start(&server).await);
    let value = |text: &str, is_hidden| EnvValue { value: text.to_owned(), is_hidden };
    assert_eq!(first.records.load_env().unwrap(), Loaded::Missing);
    first.records.set_env("A", value("1", false)).unwrap();
    first.records.set_env("B", value("1", true)).unwrap();
    first.records.load_env().unwrap();
    second.records.set_env("A", value("2", false)).unwrap();
    let env = second.records.load_env().unwrap().found().unwrap();
    assert_eq!((&env.variables["A"], &env.variables["B"]), (&value("2", false), &value("1", true)));
    let env = first.records.load_env().unwrap().found().unwrap();
    assert_eq!(env.variables["A"], value("2", false), "the later one, though the file has the earlier");

    server.go_away();
    first.records.set_env("A", value("3", false)).unwrap();
    let env = first.records.load_env().unwrap().found().unwrap();
    assert_eq!(env.variables["A"], value("3", false));
    assert!(
        first.warnings().iter().any(|text| text.contains("Variables that other runners set are not seen"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_waited_out_and_told_once() {
    let server = MongoDouble::start(None).unwrap();
    let runner = Runner::start(&server).await;
    runner.save(&node(1), NodeStatus::Running);
    assert_eq!(runner.records.flush(SOON), 0);
    server.go_away();
    let started = Instant::now();
    for resource in 1..=20 {
        runner.save(&node(resource), NodeStatus::Succeed);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "saving waits for nobody: {:?}", started.elapsed());
    assert_eq!(runner.state(&node(1)), Loaded::Found(NodeStatus::Succeed));
    assert_eq!(runner.records.flush(Duration::from_secs(3)), 20);
    server.come_back().unwrap();
    assert_eq!(runner.records.flush(SOON), 0);
    let stored = server.documents("_node_status");
    assert_eq!(stored.len(), 20);
    assert!(
        stored
            .iter()
            .all(|found| found.get_document("data").unwrap().get_str("status").unwrap() == "succeed")
    );
    let warnings = runner.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].contains("wait to be written") && warnings[0].contains(&server.address().to_string())
    );
    assert!(warnings[1].contains("takes changes again"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_cannot_be_read_is_an_error_at_once_for_all_who_ask() {
    let server = MongoDouble::start(None).unwrap();
    let runner = Runner::start(&server).await;
    server.go_away();
    let started = Instant::now();
    for resource in 1..=50 {
        let error = runner.records.load_state(&phase(), &node(resource)).unwrap_err().to_string();
        assert!(error.contains("cannot read the status of a node: MongoDB at 127.0.0.1:"), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "they do not wait in turn: {:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_not_taken_is_left_to_its_file_and_the_others_go() {
    let server = MongoDouble::start(None).unwrap();
    let runner = Runner::start(&server).await;
    runner.put_output(&node(1), "b/x_1", &json!({"text": "x".repeat(17 << 20)}));
    runner.put_output(&node(2), "b/x_1", &json!({"$key": 1}));
    runner.put_output(&node(3), "b/x_1", &json!({"text": "good"}));
    assert_eq!(runner.records.flush(SOON), 0);
    let stored: Vec<i32> =
        server.documents("_node_output").iter().map(|found| found.get_i32("resourceId").unwrap()).collect();
    assert_eq!(stored, [3]);
    let warnings = runner.warnings();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(warnings[0].contains("outputs of node 1") && warnings[0].contains("at most 16 MiB"));
    assert!(warnings[1].contains("outputs of node 2") && warnings[1].contains("'$key'"));
    assert_eq!(runner.operations(&node(1)), ["b/x_1"]);

    // A request refused as a whole is tried document by document; what is refused again is given up.
    server.refuse_writes(Some(Refusal { code: 15, message: "nested too deeply".to_owned() }));
    runner.save(&node(1), NodeStatus::Succeed);
    runner.save(&node(2), NodeStatus::Succeed);
    assert_eq!(runner.records.flush(SOON), 0);
    assert!(
        runner.warnings().iter().any(|text| text.contains("status of node 2 in phase 检查 can not be kept"))
    );
    // A server that is going down is waited for.
    server.refuse_writes(Some(Refusal { code: 91, message: "shutting down".to_owned() }));
    runner.save(&node(1), NodeStatus::Failed);
    assert_eq!(runner.records.flush(Duration::from_millis(700)), 1);
    server.refuse_writes(None);
    assert_eq!(runner.records.flush(SOON), 0);
    assert_eq!(server.documents("_node_status").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn cleaning_forgets_documents_of_the_job_and_files() {
    let server = MongoDouble::start(None).unwrap();
    let runner = Runner::start(&server).await;
    runner.save(&node(1), NodeStatus::Succeed);
    assert_eq!(runner.records.flush(SOON), 0);
    server.insert("_node_status", doc! { "jobId": "9", "phase": "检查", "resourceId": 1 });
    runner.records.clean_states().unwrap();
    assert_eq!(server.documents("_node_status").len(), 1, "another job's");
    assert!(!JobDir::at(runner.dir.path()).statuses().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_user_gets_in() {
    let user = MongoUser { name: "app@corp:1".to_owned(), password: "pä/ss@1".to_owned() };
    let server = MongoDouble::start(Some(user)).unwrap();
    let with = |name: &str, password: &str| {
        let mut settings = settings(&server);
        settings.username = name.to_owned();
        settings.password = Secret::new(password);
        settings
    };
    let database = Database::connect(with("app@corp:1", "pä/ss@1")).await.unwrap();
    assert!(database.find("COLLECT_OS", &Map::new(), None, 10, u64::MAX).await.unwrap().is_empty());
    for (name, password) in [("app@corp:1", "hunter2"), ("other", "hunter2"), ("", "")] {
        let error = Database::connect(with(name, password)).await.unwrap_err();
        assert!(matches!(error, MongoError::Denied { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(&server.address().to_string()) && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_or_silent_is_named_in_time() {
    let server = MongoDouble::start(None).unwrap();
    server.go_away();
    let away = Database::connect(settings(&server)).await.unwrap_err();
    server.come_back().unwrap();
    server.fall_silent();
    let started = Instant::now();
    let silent = Database::connect(settings(&server)).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(15));
    for error in [away, silent] {
        assert!(matches!(error, MongoError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains(&format!("MongoDB at {}", server.address())), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn collected_data_are_found_by_condition_and_projection() {
    let server = MongoDouble::start(None).unwrap();
    for number in 0..30 {
        server.insert("COLLECT_OS", doc! { "host": format!("h{number}"), "os": { "name": if number < 20 { "Linux" } else { "AIX" } }, "cpu": number });
    }
    let database = Database::connect(settings(&server)).await.unwrap();
    let object = |value: Value| value.as_object().unwrap().clone();
    let condition = object(json!({"os.name": "Linux", "cpu": {"$gt": 3}}));
    let projection = object(json!({"host": 1}));
    let found = database.find("COLLECT_OS", &condition, Some(&projection), 10, u64::MAX).await.unwrap();
    assert_eq!(found.len(), 10);
    assert_eq!(Value::Object(found[0].clone()), json!({"host": "h4"}));
    let all = database.find("COLLECT_OS", &object(json!({"host": "h1"})), None, 10, u64::MAX).await.unwrap();
    assert_eq!(
        Value::Object(all[0].clone()),
        json!({"host": "h1", "os": {"name": "Linux"}, "cpu": 1}),
        "no _id"
    );
    // Nothing is read beyond what is asked for.
    let everything = database.find("COLLECT_OS", &Map::new(), None, 30, 200).await.unwrap_err();
    assert!(matches!(everything, MongoError::TooLong { limit: 200 }), "{everything}");
    let operator = object(json!({"a": {"$foo": 1}}));
    let error = database.find("COLLECT_OS", &operator, None, 10, u64::MAX).await.unwrap_err();
    assert!(error.to_string().contains("$foo"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_and_ids_of_collected_data_go_both_ways() {
    let server = MongoDouble::start(None).unwrap();
    let (id, date) = (bson::oid::ObjectId::new(), bson::DateTime::from_millis(1_500));
    server.insert("COLLECT_OS", doc! { "asset": id, "at": date, "host": "h1" });
    server.insert("COLLECT_OS", doc! { "asset": id, "at": "1970-01-01T00:00:01.5Z", "host": "h2" });
    let database = Database::connect(settings(&server)).await.unwrap();
    let object = |value: Value| value.as_object().unwrap().clone();
    let by_date = object(json!({"at": {"$date": {"$numberLong": "1500"}}}));
    let mut found = database.find("COLLECT_OS", &by_date, None, 10, u64::MAX).await.unwrap();
    assert_eq!(found.len(), 1, "a text is no date: {found:?}");
    let mut changed = found.remove(0);
    assert_eq!(changed["at"], json!({"$date": "1970-01-01T00:00:01.5Z"}));
    changed.insert("host".to_owned(), "h3".into());
    let by_id = object(json!({"asset": {"$oid": id.to_hex()}, "host": "h1"}));
    database.replace("COLLECT_OS", by_id, changed).await.unwrap();
    let mut stored = server.documents("COLLECT_OS").remove(0);
    assert!(stored.remove("_id").is_some());
    assert_eq!(stored, doc! { "asset": id, "at": date, "host": "h3" });

    let broken = object(json!({"at": {"$date": "yesterday"}}));
    let before = server.commands().len();
    let error = database.replace("COLLECT_OS", by_date.clone(), broken).await.unwrap_err();
    assert!(matches!(error, MongoError::NoDocument { .. }), "{error}");
    assert_eq!(server.commands().len(), before, "nothing was sent");
    assert_eq!(database.remove("COLLECT_OS", by_date).await.unwrap(), 1);
}

#[test]
fn records_work_without_a_runtime_of_the_caller() {
    let server = MongoDouble::start(None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let runner = runtime.block_on(Runner::start(&server));
    drop(runtime);
    runner.save(&node(1), NodeStatus::Succeed);
    assert_eq!(runner.records.flush(SOON), 0);
    let other = tokio::runtime::Builder::new_current_thread().build().unwrap();
    other.block_on(async { drop(runner) });
    assert_eq!(server.documents("_node_status").len(), 1);
}

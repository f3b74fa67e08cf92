//! `documents`: collected data in MongoDB.

use autoexec_e2e::guests::guest;
use autoexec_test_support::mongo::{MongoDouble, MongoUser};
use bson::doc;
use serde_json::{Value, json};

use super::{answer, assert_denied, everything, log, uses};

const GRANT: &str = "documents = { read = [\"COLLECT_*\"], write = [\"COLLECT_OS\"] }\n";

fn steps() -> Vec<Value> {
    let step = |number, what, text| {
        uses(number, &[("what", what), ("subject", "COLLECT_OS"), ("text", text), ("port", "443")])
    };
    vec![
        step(1, "save", "a"),
        step(2, "save", "b"),
        step(3, "save", "a"),
        step(4, "documents", ""),
        step(5, "forget", "b"),
    ]
}

fn user() -> MongoUser {
    MongoUser { name: "autoexec".to_owned(), password: "m0ngo-Pa55".to_owned() }
}

#[test]
fn documents_are_saved_found_and_removed() {
    let mongo = MongoDouble::start(Some(user())).unwrap();
    mongo.insert("COLLECT_OS", doc! { "key": "a", "old": true });
    let job = everything(steps(), GRANT);
    job.server.set_mongo(mongo.announcement());
    job.expect(0, &["--firstfire"]).unwrap();
    let saved = |key: &str| json!({"key": key, "port": 443});
    assert_eq!(answer(&job, 4), json!([saved("a"), saved("b")]), "replaced as a whole, and added");
    assert_eq!(answer(&job, 5), 1);
    let left = mongo.documents("COLLECT_OS");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].get_str("key").unwrap(), "a");
}

#[test]
fn without_a_store_the_log_says_how_to_configure_one() {
    let job = everything(steps(), GRANT);
    job.expect(1, &["--firstfire"]).unwrap();
    let log = log(&job);
    for words in ["has no document store", "db.url", "conf/config.ini", "there is no document store here"] {
        assert!(log.contains(words), "no `{words}` in:\n{log}");
    }
}

#[test]
fn a_run_from_files_uses_the_database_of_the_configuration() {
    let mongo = MongoDouble::start(None).unwrap();
    let job = everything(Vec::new(), GRANT);
    job.install_component(super::EVERYTHING, &guest(super::EVERYTHING).unwrap()).unwrap();
    job.home
        .write("conf/config.ini", format!("[autoexec]\ndb.url = {}\ndb.name = collected\n", mongo.url()))
        .unwrap();
    let step = "{tool: fixture/everything, id: s, with: {what: save, subject: COLLECT_OS, text: a}}";
    job.home
        .write("job.yaml", format!("name: j\nphases:\n- {{name: p, on: runner, steps: [{step}]}}\n"))
        .unwrap();
    let output = job.home.autoexec(["run", "job.yaml"]).unwrap().output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_eq!(mongo.documents("COLLECT_OS").len(), 1);
    assert!(mongo.documents("_node_status").is_empty(), "its records stay in files");
}

#[test]
fn a_collection_that_is_not_granted_is_not_touched() {
    let mongo = MongoDouble::start(Some(user())).unwrap();
    let job = everything(steps(), "documents = { read = [\"COLLECT_*\"] }\n");
    job.server.set_mongo(mongo.announcement());
    job.expect(1, &["--firstfire"]).unwrap();
    assert!(mongo.documents("COLLECT_OS").is_empty());
    assert_denied(&job, "documents", "documents = { write = [\"COLLECT_OS\"] }");
}

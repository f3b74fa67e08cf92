//! Collected data from a real SNMP agent into the store and back: `cmdbcollect/savedata`, `inspect/genreport` and
//! `inspect/setoutputdesc` with the driver that an installation uses, over MongoDB's wire protocol.

use std::net::TcpListener;

use autoexec_e2e::build::with_argument;
use autoexec_test_support::mongo::{MongoDouble, MongoUser};
use autoexec_test_support::server::CallName;
use autoexec_test_support::snmpd::Snmpd;
use bson::{Bson, DateTime, Document, doc, oid::ObjectId};
use serde_json::{Value, json};

use crate::{Bench, operation};

const AGENT: &str = "rocommunity s3cret 127.0.0.1\nsysName core-1\nsysDescr H3C Comware Platform Software\n";

/// What the tools need of the store.
const DOCUMENTS: &str = "documents = { read = [\"COLLECT_*\", \"_inspectdef\"], \
                         write = [\"COLLECT_*\", \"RELATION_*\", \"INSPECT_REPORTS*\", \"_job_output_desc\"] }\n";

struct Site {
    agent: Snmpd,
    /// Listens where the agent does, for the check of availability.
    _service: TcpListener,
    mongo: MongoDouble,
}

impl Site {
    fn new() -> Self {
        let user = MongoUser { name: "autoexec".to_owned(), password: "m0ngo-Pa55".to_owned() };
        let agent = Snmpd::start(AGENT).unwrap();
        let service = TcpListener::bind(("127.0.0.1", agent.port())).unwrap();
        Self { agent, _service: service, mongo: MongoDouble::start(Some(user)).unwrap() }
    }

    /// Collects, checks, saves, reports, and declares an output.
    fn bench(&self, documents: &str) -> Bench {
        let port = self.agent.port();
        let node =
            json!({"protocol": "snmp", "protocolPort": port, "username": "none", "password": "s3cret"});
        let declare = operation("inspect/setoutputdesc", 5, &[]);
        let steps = vec![
            operation("cmdbcollect/switchcollector", 1, &[("timeout", "5")]),
            operation("inspect/tcpcheck", 2, &[]),
            operation("cmdbcollect/savedata", 3, &[]),
            operation("inspect/genreport", 4, &[]),
            with_argument(declare, "text", "A.cmdbcollect/switchcollector_1.DATA"),
        ];
        let policy = format!(
            "snmp = {{ hosts = [\"127.0.0.1:{port}\"] }}\nnet-probe = {{ hosts = [\"127.0.0.1:{port}\"] }}\n\
             filesystem = {{ read = [\"${{job.dir}}/output-op\"] }}\n{documents}\
             server = {{ calls = [\"rest/cmdb/cientity/updateinspectstatus\"] }}\n\
             secret = {{ node = {{ snmp = [\"127.0.0.1:{port}\"] }}, \"option:*\" = {{ snmp = [\"127.0.0.1:{port}\"] }} }}\n"
        );
        let bench = Bench::new(&node, steps, &policy);
        bench.job.server.set_mongo(self.mongo.announcement());
        bench.job.server.set_reply("rest/cmdb/cientity/updateinspectstatus", json!({}));
        bench
    }

    fn only(&self, collection: &str) -> Document {
        let mut documents = self.mongo.documents(collection);
        assert_eq!(documents.len(), 1, "{collection}: {documents:?}");
        documents.remove(0)
    }
}

fn is_recent(value: Option<&Bson>) -> bool {
    let Some(Bson::DateTime(date)) = value else { panic!("{value:?} is no date") };
    let age = DateTime::now().timestamp_millis() - date.timestamp_millis();
    (0..120_000).contains(&age)
}

/// A document that the replaced system has left there.
fn older(asset: ObjectId) -> Document {
    doc! {
        "MGMT_IP": "127.0.0.1", "SN": Bson::Null, "DEV_NAME": "old name", "OWNER": "net team", "ASSET": asset,
        "BOUGHT": DateTime::from_millis(1_500_000_000_000), "_renewtime": DateTime::from_millis(1_600_000_000_000),
    }
}

fn definition() -> Document {
    doc! {
        "collection": "COLLECT_SWITCH", "filter": { "_OBJ_TYPE": "Switch" }, "name": "Switch", "label": "Switches",
        "fields": [{ "name": "DEV_NAME", "selected": 1 }, { "name": "PORTS_COUNT", "selected": 0 }],
        "thresholds": [{ "ruleUuid": "u", "name": "ports that work", "level": "WARN",
            "rule": "$.PORTS.OPER_STATUS = \"up\"" }],
    }
}

#[test]
fn a_device_is_collected_saved_and_reported_on() {
    let site = Site::new();
    let (asset, id) = (ObjectId::new(), ObjectId::new());
    let mut old = older(asset);
    old.insert("_id", id);
    site.mongo.insert("COLLECT_SWITCH", old);
    site.mongo.insert("_inspectdef", definition());
    let bench = site.bench(DOCUMENTS);
    let log = bench.run(0);

    let switch = site.only("COLLECT_SWITCH");
    assert_eq!(switch.get_str("DEV_NAME").unwrap(), "core-1");
    assert!(switch.get("MAC_TABLE").is_none() && switch.get_str("STATE").unwrap() == "InUse", "{switch}");
    assert!(is_recent(switch.get("_renewtime")) && is_recent(switch.get("_updatetime")));
    // What the collector does not know stays, with its type.
    assert_eq!((switch.get_object_id("_id").unwrap(), switch.get_str("OWNER").unwrap()), (id, "net team"));
    assert_eq!(switch.get("ASSET"), Some(&Bson::ObjectId(asset)));
    assert_eq!(switch.get("BOUGHT"), Some(&Bson::DateTime(DateTime::from_millis(1_500_000_000_000))));
    assert!(is_recent(site.only("RELATION_NET_MACTABLE").get("_renewtime")));

    let report = site.only("INSPECT_REPORTS");
    let history = site.only("INSPECT_REPORTS_HIS");
    assert!(is_recent(report.get("_report_time")) && is_recent(history.get("_report_time")));
    assert_eq!((report.get_str("DEV_NAME").unwrap(), report.get("PORTS_COUNT")), ("core-1", None));
    let result = report.get_document("_inspect_result").unwrap();
    assert_eq!((result.get_str("status").unwrap(), result.get_str("label").unwrap()), ("WARN", "Switches"));
    let path = result.get_array("alerts").unwrap()[0].as_document().unwrap().get_str("jsonPath").unwrap();
    assert!(path.starts_with("$.PORTS["), "{path}");
    let told = bench.job.server.calls_of(CallName::Unknown).pop().unwrap().json();
    assert_eq!((&told["inspectStatus"], &told["ciEntityId"]), (&json!("WARN"), &json!(71)));

    let declared = site.only("_job_output_desc");
    assert_eq!(declared.get_array("field").unwrap(), &vec![Bson::from("DATA")]);
    assert!(is_recent(declared.get("_updatetime")), "{log}");
    // Not every type of the store is one of JSON: the output has the time as text.
    let time: &Value = &bench.outputs()["inspect/genreport_4"]["report"]["_report_time"];
    assert!(time.as_str().is_some_and(|text| text.ends_with('Z')), "{time}");
}

#[test]
fn what_the_policy_does_not_give_out_is_not_written() {
    let site = Site::new();
    let log = site.bench(&DOCUMENTS.replace("\"COLLECT_*\", \"RELATION_*\", ", "")).run(1);
    assert!(log.contains("Policy denies") && log.contains("`documents`"), "{log}");
    assert!(
        log.contains("documents = { write = [\"COLLECT_SWITCH\"] }") || log.contains("RELATION_NET_MACTABLE"),
        "{log}"
    );
    let written =
        site.mongo.commands_of("update").into_iter().filter(|update| !update.collection.starts_with('_'));
    assert_eq!(written.count(), 0);
}

use super::*;
use autoexec_sdk::testing::Host;

const DIRECTORY: &str = "/data/job/1/output-op/10.0.0.7--7";

fn host() -> Host {
    let host = Host::new();
    host.set_node(|node| {
        node.host = "10.0.0.7".into();
        node.port = None;
        node.resource_id = 7;
        node.name = "app-7".into();
        node.node_type = "OS".into();
    });
    host.set_context(|context| context.job_id = "620011".into());
    host.set_variable("AUTOEXEC_WORK_PATH", "/data/job/1");
    host.filesystem().readable("/data/job/1/output-op");
    host
}

fn output(host: &Host, step: &str, data: Value) {
    host.filesystem().file(&format!("{DIRECTORY}/{step}.json"), json!({"DATA": data}).to_string());
}

fn available(host: &Host) {
    output(
        host,
        "inspect/pingcheck_1",
        json!({"AVAILABILITY": 1, "RESPONSE_TIME": 0.0012, "ERROR_MESSAGE": ""}),
    );
}

fn os() -> Value {
    json!({"_OBJ_CATEGORY": "OS", "_OBJ_TYPE": "Linux", "MGMT_IP": "10.0.0.7", "CPU_USAGE": 95, "SECRET": "x", "NTP_ENABLE": 0,
        "MOUNT_POINTS": [{"NAME": "/", "FS_TYPE": "ext4", "USED_PCT": 91}, {"NAME": "/n", "FS_TYPE": "nfs", "USED_PCT": 99}]})
}

fn threshold(uuid: &str, level: &str, rule: &str) -> Value {
    json!({"ruleUuid": uuid, "name": format!("rule {uuid}"), "level": level, "rule": rule})
}

fn definition(thresholds: &[Value]) -> Value {
    json!({"collection": "COLLECT_OS", "filter": {"_OBJ_TYPE": "Linux"}, "name": "Linux", "label": "Linux systems",
        "fields": [{"name": "CPU_USAGE", "selected": 1}, {"name": "SECRET", "selected": 0}, {"name": "MOUNT_POINTS", "selected": 1}],
        "thresholds": thresholds})
}

fn defined(host: &Host, thresholds: &[Value]) {
    let other = json!({"collection": "COLLECT_OS", "filter": {"_OBJ_TYPE": "AIX"}, "name": "AIX"});
    let found = vec![other, json!({"collection": "COLLECT_OS", "name": "any OS"}), definition(thresholds)];
    host.documents().find("_inspectdef", json!({"collection": "COLLECT_OS"})).answers(Ok(found));
}

/// Expects that the report is stored and told; `which` are the statuses.
fn stored(host: &Host, which: &[&'static str], status: &'static str, alerts: usize) {
    host.documents().save(REPORTS, json!({"RESOURCE_ID": 7})).answers_with(|(_, _, document)| {
        assert_eq!(document["_report_time"], json!({"$date": {"$numberLong": "1704067200000"}}));
        Ok(())
    });
    host.documents().save(HISTORY, json!({"RESOURCE_ID": 7, "_jobid": 620_011})).answers(Ok(()));
    for which in which {
        let mut parameters = json!({"jobId": 620_011, "ciType": "OS", "ciEntityId": 7, "alertCount": alerts});
        parameters[format!("{which}Status")] = status.into();
        parameters[format!("{which}Time")] = json!(1_704_067_200_000_u64);
        host.server()
            .call(&format!("rest/cmdb/cientity/update{which}status"), parameters)
            .answers(Ok(Value::Null));
    }
}

#[test]
fn a_report_has_alerts_of_all_rules_and_the_selected_fields() {
    let host = host();
    available(&host);
    output(
        &host,
        "cmdbcollect/oscollector_2",
        json!([{"_OBJ_CATEGORY": "HOST", "MGMT_IP": "10.0.0.7"}, os()]),
    );
    defined(
        &host,
        &[
            threshold("a", "WARN", r#"$.MOUNT_POINTS[FS_TYPE != "nfs"].USED_PCT > 80"#),
            threshold("b", "CRITICAL", "$.MOUNT_POINTS.USED_PCT > 90"),
            threshold("c", "FATAL", "$.CPU_USAGE > 99"),
            threshold("d", "WARN", "not $.NTP_ENABLE == 1"),
        ],
    );
    stored(&host, &["inspect"], "CRITICAL", 4);
    let outcome = host.run::<GenReport>(json!({})).unwrap();
    assert_eq!(outcome.message.as_deref(), Some("The status is CRITICAL, with 4 alert(s)."));

    let report = host.output("report").unwrap();
    assert_eq!(
        (&report["RESOURCE_ID"], &report["MGMT_IP"], &report["_jobid"]),
        (&json!(7), &json!("10.0.0.7"), &json!(620_011))
    );
    assert_eq!(
        (&report["CPU_USAGE"], report.get("SECRET"), &report["RESPONSE_TIME"]),
        (&json!(95), None, &json!(0.0012))
    );
    assert_eq!(
        (&report["_report_time"], &report["_execuser"]),
        (&json!("2024-01-01T00:00:00Z"), &json!("tester"))
    );
    let result = &report["_inspect_result"];
    assert_eq!(
        result["alerts"][0],
        json!({"jsonPath": "$.MOUNT_POINTS[0].USED_PCT", "ruleLevel": "WARN", "ruleAppId": null, "ruleSeq": "#1",
            "ruleName": "rule a", "fieldValue": 91})
    );
    assert_eq!(
        (&result["alerts"][3]["jsonPath"], &result["alerts"][3]["fieldValue"]),
        (&json!(""), &Value::Null)
    );
    assert_eq!(result["alertOutline"], json!({"CRITICAL": 2, "WARN": 2}));
    assert_eq!(
        result["alertFields"],
        json!([{"alertField": "MOUNT_POINTS.USED_PCT", "alertLevel": "CRITICAL", "ruleSeqs": ["#1", "#2"],
            "ruleNames": ["rule a", "rule b"]}])
    );
    assert_eq!(result["thresholds"]["#4"], json!("not $.NTP_ENABLE == 1"));
    assert!(result["thresholds"].get("#3").is_none(), "only of rules that are true");
    assert_eq!(
        (&result["name"], &result["hasAlert"], &result["totalCount"]),
        (&json!("Linux"), &json!(1), &json!(4))
    );
    assert_eq!(
        host.log_lines(),
        [
            "INFO: Data matched OS/10.0.0.7:/.",
            "INFO: Save report data success.",
            "INFO: Save report history data success.",
            "INFO: Update inspect status for node success.",
        ]
    );
}

#[test]
fn a_node_that_is_not_available_is_critical() {
    let host = host();
    output(&host, "inspect/tcpcheck_1", json!({"AVAILABILITY": 0, "ERROR_MESSAGE": "refused"}));
    stored(&host, &["inspect", "monitor"], "CRITICAL", 2);
    host.run::<GenReport>(json!({"statustarget": "both"})).unwrap();
    let report = host.output("report").unwrap();
    let alerts = &report["_inspect_result"]["alerts"];
    assert_eq!((&alerts[0]["jsonPath"], &alerts[0]["ruleSeq"]), (&json!("$.AVAILABILITY"), &json!("#01")));
    assert_eq!(
        (&alerts[1]["jsonPath"], &alerts[1]["fieldValue"]),
        (&json!("$.ERROR_MESSAGE"), &json!("refused"))
    );
}

#[test]
fn nobody_has_looked() {
    let host = host();
    stored(&host, &["inspect"], "CRITICAL", 2);
    host.run::<GenReport>(json!({})).unwrap();
    let report = host.output("report").unwrap();
    assert!(report["ERROR_MESSAGE"].as_str().unwrap().contains("inspect/pingcheck"), "{report}");
}

#[test]
fn rules_of_an_application_take_the_place_of_general_ones() {
    let host = host();
    available(&host);
    output(&host, "cmdbcollect/oscollector_2", json!([os()]));
    defined(&host, &[threshold("a", "FATAL", "$.CPU_USAGE > 90")]);
    let of_application = json!({"name": "Linux", "appSystemId": 5,
        "thresholds": [threshold("a", "WARN", "$.CPU_USAGE > 94"), threshold("z", "WARN", "$.CPU_USAGE > 99")]});
    let filter = json!({"appSystemId": 5, "name": "Linux"});
    host.documents().find("_inspectdef_app", filter).answers(Ok(vec![of_application]));
    stored(&host, &["monitor"], "WARN", 1);
    host.run::<GenReport>(json!({"appsystemid": "5", "statustarget": "monitor"})).unwrap();
    let report = host.output("report").unwrap();
    assert_eq!(report["_inspect_result"]["alerts"][0]["ruleAppId"], json!(5));
}

#[test]
fn a_broken_rule_is_named_after_the_others_were_applied() {
    let host = host();
    available(&host);
    output(&host, "cmdbcollect/oscollector_2", json!([os()]));
    defined(&host, &[threshold("a", "WARN", "$.CPU_USAGE >"), threshold("b", "FATAL", "$.CPU_USAGE > 90")]);
    stored(&host, &["inspect"], "FATAL", 1);
    let failure = host.run::<GenReport>(json!({})).unwrap_err();
    assert_eq!(failure.exit_code(), 255);
    assert!(failure.message().contains("rule a `$.CPU_USAGE >`: at the end: a number"), "{failure}");
}

#[test]
fn records_of_a_service_are_completed_and_matched_by_port_and_name() {
    let host = host();
    host.set_node(|node| node.port = Some(80));
    let path = "/data/job/1/output-op/10.0.0.7-80-7/svcinspect/nginx_1.json";
    let data = json!([{"_OBJ_CATEGORY": "INS", "_OBJ_TYPE": "Nginx", "MGMT_IP": "10.0.0.7", "PORT": "80", "AVAILABILITY": 1, "LOAD": 3}]);
    host.filesystem().file(path, json!({"DATA": data}).to_string());
    let key = json!({"_OBJ_TYPE": "Nginx", "MGMT_IP": "10.0.0.7", "PORT": "80"});
    let known = json!({"LOAD": 1, "VERSION": "1.22"});
    host.documents().find("COLLECT_INS", key).answers(Ok(vec![known]));
    let definition = json!({"name": "Nginx", "fields": [{"name": "VERSION", "selected": true}],
        "thresholds": [threshold("a", "WARN", "$.LOAD > 2"), threshold("b", "WARN", r#"$.VERSION startswith "1.22""#)]});
    stored(&host, &["inspect"], "WARN", 2);
    host.run::<GenReport>(json!({"definition": definition})).unwrap();
    assert_eq!(host.output("report").unwrap()["VERSION"], json!("1.22"));
    assert_eq!(host.log_lines()[0], "INFO: Data matched INS/10.0.0.7:80/.");
}

#[test]
fn without_store_and_server_the_report_is_in_the_output() {
    let host = host();
    available(&host);
    output(&host, "cmdbcollect/oscollector_2", json!([os()]));
    host.documents().save(REPORTS, json!({"RESOURCE_ID": 7})).answers(Err(DocumentError::None));
    let parameters = json!({"jobId": 620_011, "ciType": "OS", "ciEntityId": 7, "alertCount": 1, "inspectStatus": "WARN",
        "inspectTime": 1_704_067_200_000_u64});
    host.server().call("rest/cmdb/cientity/updateinspectstatus", parameters).answers(Err(ServerError::None));
    let definition = definition(&[threshold("a", "odd", "$.CPU_USAGE > 90")]);
    host.run::<GenReport>(json!({"definition": definition.to_string()})).unwrap();
    assert_eq!(host.output("report").unwrap()["_inspect_result"]["status"], json!("WARN"));
}

#[test]
fn a_check_stores_and_tells_nothing() {
    let host = host();
    available(&host);
    output(&host, "cmdbcollect/oscollector_2", json!([os()]));
    let definition = definition(&[threshold("a", "FATAL", "$.CPU_USAGE > 90")]);
    let changes = host.check::<GenReport>(json!({"definition": definition})).unwrap();
    assert_eq!(changes[0].after.as_deref(), Some("FATAL, 1 alert(s)"));
}

#[test]
fn outputs_that_are_no_json_are_left_out_with_a_warning() {
    let host = host();
    host.filesystem().file(&format!("{DIRECTORY}/inspect/pingcheck_1.json"), "{");
    host.check::<GenReport>(json!({})).unwrap();
    assert!(host.log_lines()[0].starts_with("WARN: The outputs of inspect/pingcheck_1.json are left out"));
}

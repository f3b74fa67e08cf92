use autoexec_sdk::documents::DocumentError;
use autoexec_sdk::testing::Host;

use super::*;

const DIRECTORY: &str = "/job/output-op/10.0.0.1--7";

fn host(files: &[(&str, Value)]) -> Host {
    let host = Host::new();
    host.set_node(|node| {
        node.host = "10.0.0.1".into();
        node.port = None;
        node.resource_id = 7;
    });
    host.set_context(|context| {
        context.operation_id = "cmdbcollect/savedata_9".into();
        context.exec_user = "me".into();
    });
    host.set_time(946_684_800, 0);
    host.set_variable("AUTOEXEC_WORK_PATH", "/job");
    host.filesystem().readable("/job/output-op");
    for (step, data) in files {
        let content = json!({"DATA": data}).to_string();
        host.filesystem().file(&format!("{DIRECTORY}/{step}.json"), content);
    }
    host
}

fn system() -> Value {
    json!({"_OBJ_CATEGORY": "OS", "_OBJ_TYPE": "Linux", "MGMT_IP": "10.0.0.1", "HOSTNAME": "a"})
}

#[test]
fn records_of_all_collectors_are_merged_into_what_is_stored() {
    let switch = json!([{"_OBJ_CATEGORY": "SWITCH", "MGMT_IP": "10.0.0.9", "SN": "s", "MAC_TABLE": []}]);
    let host =
        host(&[("cmdbcollect/oscollector_1", json!([system()])), ("cmdbcollect/switchcollector_2", switch)]);
    let key = json!({"MGMT_IP": "10.0.0.1"});
    let stored = json!({"_id": {"$oid": "x"}, "MGMT_IP": "10.0.0.1", "HOSTNAME": "old", "OWNER": "team"});
    host.documents().find("COLLECT_OS", key.clone()).answers(Ok(vec![stored]));
    host.documents().save("COLLECT_OS", key).answers_with(|(_, _, document)| {
        let now = json!({"$date": {"$numberLong": "946684800000"}});
        assert_eq!(
            *document,
            json!({"MGMT_IP": "10.0.0.1", "HOSTNAME": "a", "OWNER": "team", "_OBJ_CATEGORY": "OS", "_OBJ_TYPE": "Linux",
                "_updatetime": now, "_renewtime": now, "STATE": "InUse", "_execuser": "me"})
        );
        Ok(())
    });
    let key = json!({"MGMT_IP": "10.0.0.9", "SN": "s"});
    host.documents().save("RELATION_NET_MACTABLE", key.clone()).answers(Ok(()));
    host.documents().find("COLLECT_SWITCH", key.clone()).answers(Ok(vec![]));
    host.documents().save("COLLECT_SWITCH", key).answers_with(|(_, _, document)| {
        assert_eq!(document.get("MAC_TABLE"), None);
        Ok(())
    });
    let outcome = host.run::<SaveData>(json!({})).unwrap();
    assert_eq!(outcome.message.as_deref(), Some("2 record(s) saved."));
    assert_eq!(host.lines()[0], "Try to validate data PID: OBJ_TYPE:Linux IP:10.0.0.1 PORT:");
}

#[test]
fn a_record_without_a_place_is_left_out_and_told() {
    let records =
        json!([{"MGMT_IP": "x"}, {"_OBJ_CATEGORY": "INS", "MGMT_IP": "x"}, {"_OBJ_CATEGORY": "VM"}]);
    let host = host(&[("svcinspect/nginx_1", records)]);
    host.run::<SaveData>(json!({})).unwrap();
    let warnings = host.log_lines().into_iter().filter(|line| line.starts_with("WARN")).collect::<Vec<_>>();
    assert_eq!(warnings.len(), 3);
    assert!(warnings[1].contains("lacks its key attribute PORT"), "{warnings:?}");
}

#[test]
fn a_record_that_is_not_taken_fails_the_step_after_the_others() {
    let two = json!([system(), {"_OBJ_CATEGORY": "OS", "MGMT_IP": "10.0.0.2"}]);
    let host = host(&[("other/tool_3", two)]);
    let (first, second) = (json!({"MGMT_IP": "10.0.0.1"}), json!({"MGMT_IP": "10.0.0.2"}));
    host.documents().find("COLLECT_OS", first).answers(Err(DocumentError::Invalid("too long".into())));
    host.documents().find("COLLECT_OS", second.clone()).answers(Ok(vec![]));
    host.documents().save("COLLECT_OS", second).answers(Ok(()));
    let failure = host.run_with_arguments::<SaveData>(json!({}), [json!("other/tool_3")]).unwrap_err();
    assert_eq!(failure.message(), "1 of 2 record(s) could not be saved");
}

#[test]
fn nothing_to_save_and_no_store_are_failures() {
    let nothing = host(&[]);
    let failure = nothing.run::<SaveData>(json!({})).unwrap_err();
    assert_eq!((failure.message(), failure.exit_code()), ("Can not find any cmdb collect data.", 255));
    drop(nothing);
    let away = host(&[("cmdbcollect/oscollector_1", json!([system(), system()]))]);
    away.documents().find("COLLECT_OS", json!({"MGMT_IP": "10.0.0.1"})).answers(Err(DocumentError::None));
    assert!(away.run::<SaveData>(json!({})).unwrap_err().message().contains("no document store"));
    assert!(away.run_with_arguments::<SaveData>(json!({}), [json!("../x")]).is_err());
}

#[test]
fn a_check_says_what_would_be_new() {
    let host = host(&[("cmdbcollect/oscollector_1", json!([system()]))]);
    host.documents().find("COLLECT_OS", json!({"MGMT_IP": "10.0.0.1"})).answers(Ok(vec![]));
    let changes = host.check::<SaveData>(json!({})).unwrap();
    assert_eq!(changes[0].before, None);
    assert!(changes[0].subject.starts_with("COLLECT_OS {\"MGMT_IP\""), "{}", changes[0].subject);
}

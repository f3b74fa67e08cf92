//! Every call: path, headers, golden body, reply.

use autoexec_console::{
    AccountQuery, ApiPath, ConsoleClient, ConsoleError, DeployNames, ExportedVariable, GlobalParameter,
    JobStatusUpdate, NextGroup, PeerState, Registration, RoundEnded,
};
use autoexec_model::{GroupNo, JobStatus, NodeStatus, PhaseStatus, ResourceId, RunnerId};
use autoexec_test_support::server::{Call, CallName, ConsoleDouble, FailMode};
use serde_json::{Value, json};

use crate::setup::{TOKEN, at, client, job, node_update, phase, phase_update, server, settings};

/// The only request so far, with what all have in common checked.
fn only(server: &ConsoleDouble, name: CallName) -> Call {
    let calls = server.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    let call = calls.into_iter().next().unwrap();
    assert_eq!(call.name, name);
    assert_eq!(call.headers["tenant"], "demo");
    assert_eq!(call.headers["authtype"], "hmac");
    assert_eq!(call.headers["x-access-key"], "autoexec");
    assert_eq!(server.bad_signatures(), 0);
    call
}

/// The only request was a POST of `body`, `ENV` standing for the pass-through environment.
fn posted(server: &ConsoleDouble, name: CallName, body: &str) {
    let call = only(server, name);
    assert_eq!(call.method, "POST");
    assert_eq!(call.query, "");
    assert_eq!(call.headers["content-type"], "application/json; charset=utf-8");
    assert_eq!(call.body, body.replace("ENV", &format!(r#"{{"runnerId":1,"EXECUSER_TOKEN":"{TOKEN}"}}"#)));
}

#[tokio::test]
async fn node_status() {
    let server = server();
    let mut update = node_update("检查 é", 71, NodeStatus::Failed, 1_700_000_000.25);
    (update.fail_ignore, update.warn_count) = (true, 2);
    assert_eq!(client(&server).node_status(&update).await.unwrap(), PeerState::NothingKnown);
    posted(
        &server,
        CallName::NodeStatus,
        r#"{"jobId":"620011223344","groupNo":0,"phase":"检查 é","resourceId":71,"host":"10.1.0.1","port":null,"status":"failed","failIgnore":1,"warnCount":2,"time":1700000000.25,"passThroughEnv":ENV}"#,
    );
}

#[tokio::test]
async fn an_old_server_tells_of_failures_elsewhere() {
    let server = server();
    server.set_failed_elsewhere("A");
    let client = client(&server);
    let update = node_update("A", 1, NodeStatus::Running, 1.0);
    assert_eq!(client.node_status(&update).await.unwrap(), PeerState::NodeFailed);
    let update = node_update("B", 1, NodeStatus::Running, 1.0);
    assert_eq!(client.node_status(&update).await.unwrap(), PeerState::NothingKnown);
}

#[tokio::test]
async fn phase_status() {
    let server = server();
    client(&server).phase_status(&phase_update("A", PhaseStatus::Completed, 5.0)).await.unwrap();
    posted(
        &server,
        CallName::PhaseStatus,
        r#"{"jobId":"620011223344","groupNo":0,"phase":"A","status":"completed","failNodeCount":1,"sucNodeCount":2,"skipNodeCount":3,"ignoreFailNodeCount":4,"warnCount":5,"time":5.0,"passThroughEnv":ENV}"#,
    );
}

#[tokio::test]
async fn next_group() {
    let server = server();
    let update = NextGroup { job: job(), runner: RunnerId(3), group: GroupNo(2), time: at(5.5) };
    client(&server).next_group(&update).await.unwrap();
    posted(
        &server,
        CallName::NextGroup,
        r#"{"jobId":"620011223344","runnerId":3,"groupNo":2,"time":5.5,"passThroughEnv":ENV}"#,
    );
}

#[tokio::test]
async fn round_ended() {
    let server = server();
    let update = RoundEnded {
        job: job(),
        runner: RunnerId(3),
        group: GroupNo(2),
        phase: phase("A"),
        round_no: 4,
        time: at(5.5),
        pid: "812345678901234".to_owned(),
    };
    client(&server).round_ended(&update).await.unwrap();
    posted(
        &server,
        CallName::RoundEnded,
        r#"{"jobId":"620011223344","runnerId":3,"groupNo":2,"phase":"A","roundNo":4,"time":5.5,"pid":"812345678901234","passThroughEnv":ENV}"#,
    );
}

#[tokio::test]
async fn job_status() {
    let server = server();
    let update = JobStatusUpdate { job: job(), time: at(5.5), status: JobStatus::Aborted };
    client(&server).job_status(&update).await.unwrap();
    posted(
        &server,
        CallName::JobStatus,
        r#"{"jobId":"620011223344","time":5.5,"status":"aborted","passThroughEnv":ENV}"#,
    );
}

#[tokio::test]
async fn export_variable() {
    let server = server();
    let variable = ExportedVariable {
        job: job(),
        env_name: "BUILD".to_owned(),
        env_value: "a\"7".to_owned(),
        is_hidden: true,
        time: at(5.5),
    };
    client(&server).export_variable(&variable).await.unwrap();
    posted(
        &server,
        CallName::ExportVariable,
        r#"{"jobId":"620011223344","envName":"BUILD","envValue":"a\"7","isHidden":1,"time":5.5,"passThroughEnv":ENV}"#,
    );
    assert!(!format!("{variable:?}").contains("a\\\"7"), "a hidden value is not shown");
}

#[tokio::test]
async fn global_parameter() {
    let server = server();
    server.set_global_parameters(&["known"]);
    let parameter = |key: &str| GlobalParameter {
        job: job(),
        key: key.to_owned(),
        default_value: "v".to_owned(),
        time: at(5.5),
    };
    let client = client(&server);
    client.set_global_parameter(&parameter("known")).await.unwrap();
    posted(
        &server,
        CallName::GlobalParameter,
        r#"{"jobId":"620011223344","key":"known","defaultValue":"v","time":5.5,"passThroughEnv":ENV}"#,
    );
    let error = client.set_global_parameter(&parameter("other")).await.unwrap_err();
    assert!(error.to_string().contains("(520): global parameter other does not exist"), "{error}");
}

#[tokio::test]
async fn parameters_come_as_the_server_wrote_them() {
    let server = server();
    server.set_params(json!({"jobId": 620_011_223_344_i64, "z": 1.50, "a": {"名": "值"}}));
    let client = client(&server);
    let text = client.job_parameters(&job(), None).await.unwrap();
    assert_eq!(text, r#"{"jobId":620011223344,"z":1.5,"a":{"名":"值"}}"#);
    posted(&server, CallName::Parameters, r#"{"jobId":"620011223344","lastModified":0}"#);

    client.job_parameters(&job(), Some(at(1_700_000_000.125))).await.unwrap();
    let second = server.calls_of(CallName::Parameters).pop().unwrap();
    assert_eq!(second.body, r#"{"jobId":"620011223344","lastModified":1700000000.125}"#);
}

#[tokio::test]
async fn a_job_the_server_does_not_know() {
    let error = client(&server()).job_parameters(&job(), None).await.unwrap_err();
    assert!(error.to_string().contains("(520): the job does not exist"), "{error}");
}

#[tokio::test]
async fn mongo_settings() {
    let server = server();
    server.set_mongo(json!({
        "host": "10.0.0.1:27017,10.0.0.2:27017", "database": "autoexec", "username": "auto",
        "passwordPlain": "pw", "option": "authSource=admin"
    }));
    let found = client(&server).mongo_settings().await.unwrap().unwrap();
    let call = only(&server, CallName::MongoSettings);
    assert_eq!((call.method.as_str(), call.query.as_str(), call.body.as_str()), ("GET", "", ""));
    assert_eq!(found.url(), "mongodb://10.0.0.1:27017,10.0.0.2:27017/?authSource=admin");
    assert_eq!((found.database.as_str(), found.username.as_str()), ("autoexec", "auto"));
    assert_eq!(found.password.expose(), "pw");
    assert!(!format!("{found:?}").contains("pw\""));

    server.set_mongo(json!({"host": "h:1", "database": "d", "username": null}));
    let bare = client(&server).mongo_settings().await.unwrap().unwrap();
    assert_eq!(bare.url(), "mongodb://h:1/");
}

fn account(id: &str) -> AccountQuery {
    AccountQuery {
        job: job(),
        resource: ResourceId(71),
        host: "10.1.0.1".to_owned(),
        port: Some(8080),
        username: "root".to_owned(),
        account_id: id.to_owned(),
        protocol: "ssh".to_owned(),
    }
}

#[tokio::test]
async fn get_account() {
    let server = server();
    server.set_account("55", "{ENCRYPTED}d94c");
    let found = client(&server).account(&account("55")).await.unwrap().unwrap();
    assert_eq!(found.password().expose(), "{ENCRYPTED}d94c");
    assert!(!format!("{found:?}").contains("d94c"));
    posted(
        &server,
        CallName::Account,
        r#"{"jobId":"620011223344","resourceId":71,"host":"10.1.0.1","port":8080,"username":"root","accountId":"55","protocol":"ssh"}"#,
    );
}

fn object(value: Value) -> serde_json::Map<String, Value> {
    value.as_object().unwrap().clone()
}

#[tokio::test]
async fn global_lock() {
    let server = server();
    server.set_lock_reply("lock", json!({"lockId": 9001, "wait": 0}));
    let request = json!({"action": "lock", "jobId": "1", "zeta": 1, "alpha": {"b": 1, "a": 2}});
    let reply = client(&server).global_lock(object(request)).await.unwrap();
    assert_eq!(Value::Object(reply), json!({"lockId": 9001, "wait": 0}));
    posted(&server, CallName::GlobalLock, r#"{"action":"lock","jobId":"1","zeta":1,"alpha":{"b":1,"a":2}}"#);
}

#[tokio::test]
async fn deploy_ids_and_runner_group() {
    let server = server();
    server.set_deploy_ids(json!({"sysId": 11, "moduleId": "22", "envId": 33}));
    server.set_runner_group(json!({"7": "10.0.0.7", "1": "10.0.0.1"}));
    let client = client(&server);
    let mut names = DeployNames {
        sys_name: "shop".to_owned(),
        module_name: "cart".to_owned(),
        env_name: Some("UAT".to_owned()),
    };
    let ids = client.deploy_ids(&names).await.unwrap();
    assert_eq!((ids.sys_id, ids.module_id, ids.env_id), (11, 22, Some(33)));
    posted(
        &server,
        CallName::DeployIds,
        r#"{"sysName":"shop","moduleName":"cart","envName":"UAT","tenant":"demo"}"#,
    );

    let group = client.runner_group(&ids).await.unwrap();
    assert_eq!(Value::Object(group).to_string(), r#"{"7":"10.0.0.7","1":"10.0.0.1"}"#);
    let call = server.calls_of(CallName::RunnerGroup).pop().unwrap();
    assert_eq!(call.body, r#"{"sysId":11,"moduleId":22,"envId":33,"tenant":"demo"}"#);

    names.env_name = None;
    server.set_deploy_ids(json!({"sysId": 11, "moduleId": 22, "envId": null}));
    assert_eq!(client.deploy_ids(&names).await.unwrap().env_id, None);
    let call = server.calls_of(CallName::DeployIds).pop().unwrap();
    assert_eq!(call.body, r#"{"sysName":"shop","moduleName":"cart","tenant":"demo"}"#);
}

#[tokio::test]
async fn register_and_clean_up() {
    let server = server();
    let client = client(&server);
    let description = object(json!({"opName": "stale", "typeName": "BASIC", "option": [], "help": "帮助"}));
    let tool = Registration {
        description,
        op_name: "basic/hello".to_owned(),
        import_time: 1_700_000_000,
        op_type: "runner".to_owned(),
    };
    client.register_tool(tool).await.unwrap();
    posted(
        &server,
        CallName::Register,
        r#"{"typeName":"BASIC","option":[],"help":"帮助","opName":"basic/hello","importTime":1700000000,"opType":"runner"}"#,
    );
    client.clean_up_tools(1_700_000_000).await.unwrap();
    let call = server.calls_of(CallName::CleanUp).pop().unwrap();
    assert_eq!(call.body, r#"{"importTime":1700000000}"#);
}

#[tokio::test]
async fn the_tenant_changes_for_later_calls() {
    let server = server();
    let client = client(&server);
    client.clean_up_tools(1).await.unwrap();
    client.set_tenant("acme").unwrap();
    client.clean_up_tools(1).await.unwrap();
    let tenants: Vec<_> = server.calls().iter().map(|call| call.headers["tenant"].clone()).collect();
    assert_eq!(tenants, ["demo", "acme"]);
    assert!(client.set_tenant("a\nb").unwrap_err().to_string().contains("`tenant`"));
}

#[tokio::test]
async fn dev_mode_sends_nothing_of_column_d_and_all_of_the_rest() {
    let server = server();
    server.set_params(json!({}));
    server.set_lock_reply("lock", json!({"lockId": 1}));
    server.set_deploy_ids(json!({"sysId": 1, "moduleId": 2, "envId": 3}));
    let mut settings = settings(&server.base_url());
    settings.dev_mode = true;
    let client = ConsoleClient::new(settings).unwrap();

    let update = node_update("A", 1, NodeStatus::Running, 1.0);
    assert_eq!(client.node_status(&update).await.unwrap(), PeerState::NothingKnown);
    client.phase_status(&phase_update("A", PhaseStatus::Running, 1.0)).await.unwrap();
    let group = NextGroup { job: job(), runner: RunnerId(1), group: GroupNo(0), time: at(1.0) };
    client.next_group(&group).await.unwrap();
    let round = RoundEnded {
        job: job(),
        runner: RunnerId(1),
        group: GroupNo(0),
        phase: phase("A"),
        round_no: 1,
        time: at(1.0),
        pid: "1".to_owned(),
    };
    client.round_ended(&round).await.unwrap();
    let paused = JobStatusUpdate { job: job(), time: at(1.0), status: JobStatus::Paused };
    client.job_status(&paused).await.unwrap();
    let hidden = ExportedVariable {
        job: job(),
        env_name: "A".to_owned(),
        env_value: String::new(),
        is_hidden: false,
        time: at(1.0),
    };
    client.export_variable(&hidden).await.unwrap();
    let parameter =
        GlobalParameter { job: job(), key: "k".to_owned(), default_value: String::new(), time: at(1.0) };
    client.set_global_parameter(&parameter).await.unwrap();
    assert!(client.account(&account("1")).await.unwrap().is_none());
    assert!(client.mongo_settings().await.unwrap().is_none());
    assert_eq!(server.calls().len(), 0);

    client.job_parameters(&job(), None).await.unwrap();
    client.global_lock(object(json!({"action": "lock"}))).await.unwrap();
    let names = DeployNames { sys_name: "s".to_owned(), module_name: "m".to_owned(), env_name: None };
    client.deploy_ids(&names).await.unwrap();
    client.clean_up_tools(1).await.unwrap();
    assert_eq!(server.calls().len(), 4);
}

#[tokio::test]
async fn a_call_of_a_tool_goes_to_its_path_and_its_data_come_back() {
    let server = server();
    let path = ApiPath::new("rest/autoexec/job/status/get").unwrap();
    server.set_reply(path.as_str(), json!({"status": "completed"}));
    let parameters = json!({"jobId": "5", "名": "é"}).as_object().unwrap().clone();
    let data = client(&server).call_of_tool(&path, parameters).await.unwrap();
    assert_eq!(data, json!({"status": "completed"}));
    let call = only(&server, CallName::Unknown);
    assert_eq!(
        (call.method.as_str(), call.path.as_str()),
        ("POST", "/neatlogic/api/rest/autoexec/job/status/get")
    );
    assert_eq!(call.body, r#"{"jobId":"5","名":"é"}"#, "as the tool gave it, without passThroughEnv");
}

#[tokio::test]
async fn a_call_of_a_tool_is_not_repeated_once_it_may_have_arrived() {
    let server = server();
    let path = ApiPath::new("rest/a/b").unwrap();
    server.set_reply(path.as_str(), Value::Null);
    server.fail(CallName::Unknown, FailMode::CloseConnection, Some(1));
    let client = client(&server);
    let error = client.call_of_tool(&path, serde_json::Map::new()).await.unwrap_err();
    assert!(matches!(error, ConsoleError::Unreachable { sent: true, .. }), "{error:?}");
    assert!(error.to_string().contains("/neatlogic/api/rest/a/b"), "{error}");
    assert_eq!(server.calls().len(), 1);
    assert_eq!(client.call_of_tool(&path, serde_json::Map::new()).await.unwrap(), Value::Null);
}

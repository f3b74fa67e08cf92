//! Node lists, files and scripts.

use std::path::Path;
use std::time::Duration;

use autoexec_console::{
    ConsoleClient, ConsoleError, Freshness, Nodes, NodesQuery, NodesScope, Script, ScriptQuery,
};
use autoexec_model::{GroupNo, OpId, RunnerId};
use autoexec_test_support::server::{self as double, CallName, FailMode, Scope};

use crate::setup::{at, client, job, phase, server, settings};

const LIST: &str = "{\"totalCount\":1,\"localRunnerId\":1,\"jobRunnerIds\":[1]}\n{\"resourceId\":71}\n";

fn query(scope: NodesScope) -> NodesQuery {
    NodesQuery { job: job(), runner: RunnerId(2), scope }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn age(path: &Path, time: f64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs_f64(time)).unwrap();
}

#[tokio::test]
async fn nodes_of_each_scope() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nodes.json");
    let server = server();
    let client = client(&server);
    for (scope, of, middle) in [
        (NodesScope::Job, Scope::Job, "phase=&nodeFrom=job"),
        (NodesScope::Group(GroupNo(3)), Scope::Group(3), "phase=&nodeFrom=group&groupNo=3"),
        (
            NodesScope::Phase { phase: phase("检查 1"), group: Some(GroupNo(0)) },
            Scope::Phase("检查 1".to_owned()),
            "phase=%E6%A3%80%E6%9F%A5%201&nodeFrom=phase&groupNo=0",
        ),
    ] {
        server.set_nodes(of, format!("{LIST}\n{middle}"), 100.0);
        assert_eq!(client.nodes(&query(scope.clone()), &path).await.unwrap(), Nodes::New);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{LIST}\n{middle}"));
        let call = server.calls_of(CallName::Nodes).pop().unwrap();
        let env = "%7B%22runnerId%22%3A1%2C%22EXECUSER_TOKEN%22%3A%22tok-of-the-person%22%7D";
        assert_eq!(
            call.query,
            format!("jobId=620011223344&runnerId=2&passThroughEnv={env}&{middle}&lastModified=0")
        );
        std::fs::remove_file(&path).unwrap();
    }
    assert_eq!((server.bad_signatures(), names(dir.path())), (0, Vec::new()));
}

#[tokio::test]
async fn nodes_that_did_not_change_leave_the_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nodes.json");
    let server = server();
    let client = client(&server);
    server.set_nodes(Scope::Job, LIST, 1_600_000_000.0);
    std::fs::write(&path, "old").unwrap();
    age(&path, 1_700_000_000.25);
    assert_eq!(client.nodes(&query(NodesScope::Job), &path).await.unwrap(), Nodes::NotModified);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
    let call = server.calls_of(CallName::Nodes).pop().unwrap();
    assert_eq!(call.query_value("lastModified").unwrap(), "1700000000.25");

    age(&path, 1_500_000_000.0);
    assert_eq!(client.nodes(&query(NodesScope::Job), &path).await.unwrap(), Nodes::New);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), LIST);
    assert_eq!(client.nodes(&query(NodesScope::Group(GroupNo(9))), &path).await.unwrap(), Nodes::NotModified);
}

#[tokio::test]
async fn a_download_has_no_total_limit_but_an_idle_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nodes.json");
    std::fs::write(&path, "old").unwrap();
    age(&path, 1.0);
    let server = server();
    // Too much for any clock tick: with the total limit it could not arrive.
    let list = format!("{LIST}{}", " \n".repeat(8 << 20));
    server.set_nodes(Scope::Job, list.clone(), 100.0);
    server.fail(CallName::CleanUp, FailMode::Hang, None);
    let mut settings = settings(&server.base_url());
    settings.total_timeout = Duration::from_nanos(1);
    let client = ConsoleClient::new(settings.clone()).unwrap();
    assert!(matches!(client.clean_up_tools(1).await, Err(ConsoleError::Timeout { .. })));
    assert_eq!(client.nodes(&query(NodesScope::Job), &path).await.unwrap(), Nodes::New);

    settings.idle_timeout = Duration::from_millis(300);
    let client = ConsoleClient::new(settings).unwrap();
    age(&path, 1.0);
    server.fail(CallName::Nodes, FailMode::SlowBody, None);
    let error = client.nodes(&query(NodesScope::Job), &path).await.unwrap_err();
    assert!(matches!(error, ConsoleError::Timeout { .. }), "{error}");
    assert!(std::fs::read_to_string(&path).unwrap() == list, "the old file is whole");
    assert_eq!(names(dir.path()), ["nodes.json"], "nothing is left behind");
}

#[tokio::test]
async fn a_broken_download_is_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nodes.json");
    let server = server();
    server.set_nodes(Scope::Job, LIST, 100.0);
    server.fail(CallName::Nodes, FailMode::CloseConnection, Some(1));
    server.fail(CallName::Nodes, FailMode::NonJson502, Some(1));
    assert_eq!(client(&server).nodes(&query(NodesScope::Job), &path).await.unwrap(), Nodes::New);
    assert_eq!(server.calls().len(), 3);
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_named() {
    let server = server();
    server.set_nodes(Scope::Job, LIST, 100.0);
    let path = Path::new("/nonexistent/nodes.json");
    let error = client(&server).nodes(&query(NodesScope::Job), path).await.unwrap_err();
    assert!(matches!(error, ConsoleError::File { .. }), "{error}");
    assert!(error.to_string().contains("/nonexistent/nodes.json"), "{error}");
    assert_eq!(server.calls().len(), 1, "not repeated");
}

#[tokio::test]
async fn files_are_cached_by_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("99");
    let server = server();
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    server.set_file(
        "99",
        double::File {
            disposition: "attachment; filename=\"%E9%85%8D%E7%BD%AE.tar.gz\"".to_owned(),
            content: content.clone(),
            modified: 1_600_000_000.0,
        },
    );
    let client = client(&server);
    let first = client.download_file("99", &path).await.unwrap();
    assert_eq!((first.name.as_deref(), first.freshness), (Some("配置.tar.gz"), Freshness::New));
    assert!(std::fs::read(&path).unwrap() == content);
    assert_eq!(server.calls()[0].query, "id=99&lastModified=0");

    let second = client.download_file("99", &path).await.unwrap();
    assert_eq!((second.name.as_deref(), second.freshness), (Some("配置.tar.gz"), Freshness::NotModified));
    let missing = client.download_file("98", &path).await.unwrap_err();
    assert!(missing.to_string().contains("the file does not exist"), "{missing}");
}

#[tokio::test]
async fn a_file_name_is_its_last_part_and_one_that_is_none_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let server = server();
    server.set_file(
        "1",
        double::File {
            disposition: "attachment; filename=\"..%2F..%2Fetc%2Fcron.d%2F..\"".to_owned(),
            content: b"evil".to_vec(),
            modified: 1.0,
        },
    );
    let error = client(&server).download_file("1", &dir.path().join("1")).await.unwrap_err();
    assert!(error.to_string().contains("not a plain file name"), "{error}");
    assert_eq!(names(dir.path()), Vec::<String>::new());
    let disposition = "attachment; filename=\"..%2F..%2Fetc%2Fcron.d%2Fx\"".to_owned();
    server.set_file("2", double::File { disposition, content: b"plain".to_vec(), modified: 1.0 });
    let reply = client(&server).download_file("2", &dir.path().join("2")).await.unwrap();
    assert_eq!(reply.name.as_deref(), Some("x"));
}

#[tokio::test]
async fn not_modified_without_a_copy_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let server = server();
    server.fail(CallName::File, FailMode::Status(205), Some(1));
    server.fail(CallName::Script, FailMode::Status(205), Some(1));
    let client = client(&server);
    let error = client.download_file("1", &dir.path().join("1")).await.unwrap_err();
    assert!(error.to_string().contains("no local copy"), "{error}");
    let error = client.script(&script(None)).await.unwrap_err();
    assert!(error.to_string().contains("no local copy"), "{error}");
}

fn script(local: Option<f64>) -> ScriptQuery {
    ScriptQuery {
        job: job(),
        operation: Some(OpId::new("脚本_501").unwrap()),
        script_id: 7,
        version_id: Some(8),
        local: local.map(at),
    }
}

fn stored(as_json: bool) -> double::Script {
    let headers = [
        ("ScriptId", "7"),
        ("ScriptVersionId", "8"),
        ("ScriptName", "%E8%84%9A%E6%9C%AC.py"),
        ("ScriptCatalog", "/a/b"),
        ("ScriptInterpreter", "python"),
        ("ScriptIsLib", "1"),
        ("ScriptUseLibs", "[9, \"10\"]"),
    ];
    double::Script {
        content: "print('é')\n".as_bytes().to_vec(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        as_json,
        modified: 1_600_000_000.0,
    }
}

#[tokio::test]
async fn scripts_come_raw_or_as_json() {
    for as_json in [false, true] {
        let server = server();
        server.set_script(7, stored(as_json));
        let Script::New { headers, content } = client(&server).script(&script(None)).await.unwrap() else {
            panic!("there was no copy")
        };
        assert_eq!(content, "print('é')\n".as_bytes());
        assert_eq!((headers.script_id, headers.version_id), (Some(7), Some(8)));
        assert_eq!(headers.name.as_deref(), Some("脚本.py"));
        assert_eq!(headers.catalog.as_deref(), Some("/a/b"));
        assert_eq!(headers.interpreter.as_deref(), Some("python"));
        assert_eq!((headers.is_library, headers.libraries), (true, vec![9, 10]));
        assert_eq!(
            server.calls()[0].query,
            "jobId=620011223344&operationId=%E8%84%9A%E6%9C%AC_501&scriptId=7&scriptVersionId=8&acceptStream=True&lastModified=0"
        );
    }
}

#[tokio::test]
async fn a_library_that_did_not_change() {
    let server = server();
    server.set_script(7, stored(false));
    let query =
        ScriptQuery { operation: None, version_id: None, local: Some(at(1_700_000_000.0)), ..script(None) };
    let Script::NotModified { headers } = client(&server).script(&query).await.unwrap() else {
        panic!("the copy is newer")
    };
    assert_eq!(headers.libraries, [9, 10], "headers are there nevertheless");
    assert_eq!(
        server.calls()[0].query,
        "jobId=620011223344&operationId=None&scriptId=7&acceptStream=True&lastModified=1700000000.0"
    );
}

#[tokio::test]
async fn a_header_that_makes_no_sense_is_named() {
    for (name, value) in [("ScriptId", "x"), ("ScriptUseLibs", "9,10"), ("ScriptUseLibs", "[{}]")] {
        let server = server();
        let headers = vec![(name.to_owned(), value.to_owned())];
        server.set_script(7, double::Script { headers, modified: 1.0, ..double::Script::default() });
        let error = client(&server).script(&script(None)).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

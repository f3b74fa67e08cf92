//! Components made of JavaScript, Python, and Rust with the library of WASI: they run under the same grants.

use std::fs;
use std::sync::Arc;

use autoexec_sandbox::{
    Capability, DataDirection, GrantedDirectory, Grants, Limits, Sandbox, Tool, ToolOutcome,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::servers::{self, ok};
use crate::support::{Recorder, call, guest, is_built, load, run, small_sandbox};

async fn ask(sandbox: &Sandbox, tool: &Tool, host: Recorder, options: Value) -> (Value, Arc<Recorder>) {
    let host = Arc::new(host);
    let ended = run(sandbox, tool, call(&options), &host).await;
    let ended =
        ended.unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&host.raw.lock())));
    assert!(matches!(ended, ToolOutcome::Succeeded { .. }), "{ended:?}");
    (host.outputs()["answer"].clone(), host)
}

fn allowed(rules: &[&str]) -> Recorder {
    Recorder { allowed: rules.iter().map(|&rule| rule.to_owned()).collect(), ..Recorder::default() }
}

#[tokio::test]
async fn javascript_fetches_what_the_policy_lets_it() {
    let server = servers::http(|_, out| out.write_all(ok("hello").as_bytes()).unwrap());
    let sandbox = small_sandbox();
    let tool = load(&sandbox, "foreign/javascript");
    let options = json!({"url": server.url("/")});
    let (answer, host) = ask(&sandbox, &tool, allowed(&["GET http://127.0.0.1*"]), options.clone()).await;
    assert_eq!(answer, "200 hello");
    assert!(host.log_text().starts_with("INFO: asked for http://127.0.0.1"), "{}", host.log_text());
    assert_eq!(String::from_utf8_lossy(&host.raw.lock()), "from the console\n");
    let (answer, _) = ask(&sandbox, &tool, allowed(&[]), options).await;
    assert!(answer.as_str().unwrap().starts_with("failed: "), "{answer}");
    assert_eq!(server.heads().len(), 1);
}

#[tokio::test]
async fn python_reads_granted_files_and_connects_where_it_may() {
    let sandbox = small_sandbox();
    let tool = load(&sandbox, "foreign/python");
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a");
    fs::write(&file, "content").unwrap();
    let read = json!({"what": "read", "path": file});
    let directories = vec![GrantedDirectory { path: dir.path().to_owned(), direction: DataDirection::Read }];
    let (answer, host) =
        ask(&sandbox, &tool, Recorder { directories, ..Recorder::default() }, read.clone()).await;
    assert_eq!(answer, "content");
    assert_eq!(String::from_utf8_lossy(&host.raw.lock()), "from standard output\n");
    let (answer, _) = ask(&sandbox, &tool, Recorder::default(), read).await;
    assert!(answer.as_str().unwrap().starts_with("failed: "), "{answer}");

    let port = servers::echo_line();
    let connect = json!({"what": "connect", "host": "127.0.0.1", "port": port});
    let (answer, _) = ask(&sandbox, &tool, allowed(&["socket 127.0.0.1*"]), connect.clone()).await;
    assert_eq!(answer, "hello");
    let (answer, _) = ask(&sandbox, &tool, allowed(&[]), connect).await;
    assert!(answer.as_str().unwrap().starts_with("failed: "), "{answer}");

    let (answer, _) = ask(&sandbox, &tool, Recorder::default(), json!({"what": "environment"})).await;
    assert_eq!(answer, "0 variables");
    // What it imports without asking is there, and empty; what it asks for must be granted.
    let refused =
        sandbox.load(&guest("foreign/python"), &[Capability::Sockets].into_iter().collect::<Grants>());
    assert!(refused.unwrap_err().to_string().contains("allow `filesystem` for this tool in the policy"));
    assert!(Limits::default().memory >= 64 << 20);
}

#[tokio::test]
async fn rust_of_wasi_reads_writes_and_connects_where_it_may() {
    if !is_built("foreign/rust") {
        eprintln!(
            "NOT RUN: there is no foreign/rust, because rustup has no wasm32-wasip2 here (`cargo xtask guests` says why)"
        );
        return;
    }
    let sandbox = small_sandbox();
    let tool = load(&sandbox, "foreign/rust");
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("a");
    fs::write(&file, "content").unwrap();
    let granted = |direction| Recorder {
        directories: vec![GrantedDirectory { path: dir.path().to_owned(), direction }],
        ..Recorder::default()
    };
    let read = json!({"what": "read", "path": file});
    let list = json!({"what": "list", "path": dir.path()});
    let write = json!({"what": "write", "path": dir.path().join("b"), "text": "new"});

    let (answer, host) = ask(&sandbox, &tool, granted(DataDirection::Read), read.clone()).await;
    assert_eq!(answer, "content");
    assert_eq!(String::from_utf8_lossy(&host.raw.lock()), "from standard output\n");
    assert!(host.log_text().starts_with("INFO: asked to read"), "{}", host.log_text());
    assert_eq!(ask(&sandbox, &tool, granted(DataDirection::Read), list.clone()).await.0, "a");
    for (host, options) in [
        (Recorder::default(), read),
        (Recorder::default(), list),
        (Recorder::default(), write.clone()),
        (granted(DataDirection::Read), write.clone()),
        (granted(DataDirection::Read), json!({"what": "read", "path": "/etc/passwd"})),
        (granted(DataDirection::Read), json!({"what": "read", "path": dir.path().join("../../etc/passwd")})),
    ] {
        let (answer, _) = ask(&sandbox, &tool, host, options.clone()).await;
        assert!(answer.as_str().unwrap().starts_with("failed: "), "{options}: {answer}");
    }
    assert!(!dir.path().join("b").exists());
    assert_eq!(ask(&sandbox, &tool, granted(DataDirection::Write), write).await.0, "written");
    assert_eq!(fs::read_to_string(dir.path().join("b")).unwrap(), "new");

    let port = servers::echo_line();
    let connect = json!({"what": "connect", "host": "127.0.0.1", "port": port});
    assert_eq!(ask(&sandbox, &tool, allowed(&["socket 127.0.0.1*"]), connect.clone()).await.0, "hello");
    let (answer, _) = ask(&sandbox, &tool, allowed(&[]), connect).await;
    assert!(answer.as_str().unwrap().starts_with("failed: "), "{answer}");

    let (answer, _) = ask(&sandbox, &tool, Recorder::default(), json!({"what": "surroundings"})).await;
    assert_eq!(answer, "0 variables, 0 arguments, 0 bytes of input, a clock that goes");
    for lacking in [Capability::Sockets, Capability::Filesystem] {
        let others = [Capability::Sockets, Capability::Filesystem].into_iter().filter(|one| *one != lacking);
        let refused = sandbox.load(&guest("foreign/rust"), &others.collect::<Grants>()).unwrap_err();
        assert!(refused.to_string().contains(&format!("allow `{lacking}` for this tool")), "{refused}");
    }
}

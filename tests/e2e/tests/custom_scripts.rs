//! Custom scripts that the server keeps, run here and on targets (`spec/plugin-contract.md` §8.6).

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{one_shot, op, params, phase};
use autoexec_test_support::server::{CallName, Script};
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::{Value, json};

/// A custom script of the server: id, version, name, interpreter and the libraries it uses.
fn keep(job: &TestJob, id: i64, name: &str, interpreter: &str, uses: &[i64], content: &[u8]) {
    let headers = [
        ("ScriptId", id.to_string()),
        ("ScriptVersionId", (id + 1000).to_string()),
        ("ScriptName", name.to_owned()),
        ("ScriptInterpreter", interpreter.to_owned()),
        ("ScriptUseLibs", json!(uses).to_string()),
    ];
    let headers = headers.map(|(name, value)| (name.to_owned(), value)).to_vec();
    job.server
        .set_script(id, Script { content: content.to_vec(), headers, as_json: false, modified: 1000.0 });
}

fn script(name: &str, kind: &str, number: u32, id: i64, interpreter: &str) -> Value {
    let mut operation = op(name, kind, number);
    operation["isScript"] = json!(1);
    operation["scriptId"] = json!(id);
    operation["interpreter"] = json!(interpreter);
    operation
}

fn keep_all(job: &TestJob) {
    keep(
        job,
        77,
        "main",
        "python",
        &[81, 82],
        b"import helper, tools.inner\nprint(helper.text + tools.inner.text)\n",
    );
    keep(job, 81, "helper", "python", &[], b"text = 'from the library, '\n");
    let mut package = tar::Builder::new(Vec::new());
    for (name, content) in [("tools/__init__.py", ""), ("tools/inner.py", "text = 'from the package'\n")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        package.append_data(&mut header, name, content.as_bytes()).unwrap();
    }
    keep(job, 82, "tools", "package", &[], &package.into_inner().unwrap());
}

#[test]
fn a_script_without_interpreter_line_runs_here_with_its_libraries_and_package() {
    // `python` is the word of the server; machines have python3.
    let operations = [script("main", "runner", 501, 77, "python"), script("again", "runner", 502, 78, "sh")];
    let job = TestJob::new(params([one_shot([phase("L", "runner", operations)])]), &[]).unwrap();
    job.server.set_nodes(
        autoexec_test_support::server::Scope::Job,
        "{\"totalCount\": 1, \"localRunnerId\": 1, \"jobRunnerIds\": [1]}\n{\"resourceId\": 71, \"host\": \"h\", \"runnerId\": 1}\n",
        1000.0,
    );
    keep_all(&job);
    keep(&job, 78, "again", "sh", &[], b"echo \"in $(pwd -P)\"\n");
    let bin = job.home.path().join("python-bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink("/usr/bin/python3", bin.join("python")).unwrap();
    let mut command = job.command(&["--firstfire"]).unwrap();
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    let finished = job.start_command(command).unwrap().wait().unwrap();
    let log = job.node_log("L", "local-0-0");
    assert_eq!(finished.code, Some(0), "{log}\n{}", job.console());
    assert!(log.contains("from the library, from the package"), "{log}");
    assert!(log.contains(&format!("in {}", job.dir().canonicalize().unwrap().display())), "{log}");
    let asked: Vec<String> = job
        .server
        .calls_of(CallName::Script)
        .iter()
        .map(|call| call.query_value("operationId").unwrap_or_default())
        .collect();
    assert_eq!(asked, ["main_501", "None", "None", "again_502"]);
}

#[test]
fn a_target_gets_the_script_its_libraries_and_the_members_of_its_package() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    let node = json!({"resourceId": 71, "nodeName": "n71", "nodeType": "Linux", "host": "127.0.0.1", "protocol": "ssh",
        "protocolPort": sshd.port(), "username": sshd.user(), "password": sshd.password(), "runnerId": 1});
    let operations = [script("磁盘", "target", 501, 77, "sh")];
    let job = TestJob::new(params([one_shot([phase("T", "target", operations)])]), &[node]).unwrap();
    if sshd.password().is_empty() {
        let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
        let identity = format!("ssh.identity = {}\n", sshd.key_path().display());
        job.home.write("conf/config.ini", config + &identity).unwrap();
    }
    keep_all(&job);
    keep(&job, 77, "main", "sh", &[81, 82], b"basename \"$0\"; ls -1 . tools; exec python3 -c 'import helper, tools.inner; print(helper.text + tools.inner.text)'\n");
    job.expect(0, &["--firstfire"]).unwrap();
    let log = job.node_log("T", "127.0.0.1--71");
    assert!(log.contains("from the library, from the package"), "{log}");
    assert!(log.contains(" 501.sh\n"), "a name that is not ASCII becomes a number: {log}");
    assert!(!log.contains("tools.tar"), "the archive itself stays here: {log}");
}

#[test]
fn a_script_that_cannot_be_fetched_aborts_its_phase() {
    let operations = [script("main", "runner", 501, 99, "sh")];
    let job = TestJob::new(
        params([one_shot([phase("L", "runner", operations)])]),
        &[json!({"resourceId": 71, "host": "h", "runnerId": 1})],
    )
    .unwrap();
    job.expect(1, &["--firstfire"]).unwrap();
    let console = job.console();
    assert!(console.contains("cannot fetch script 99 of operation `main_501`"), "{console}");
    let statuses: Vec<Value> =
        job.server.calls_of(CallName::PhaseStatus).iter().map(|call| call.json()["status"].clone()).collect();
    assert_eq!(statuses.last(), Some(&json!("aborted")), "{statuses:?}");
}

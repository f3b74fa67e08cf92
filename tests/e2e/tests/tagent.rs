//! Targets behind an agent, against a double that is written from the specification of its protocol alone.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::os::unix::fs::PermissionsExt as _;

use autoexec_e2e::build::{node_file, one_shot, op, params, phase, with_argument, with_option, with_output};
use autoexec_e2e::wait::{LONG, until};
use autoexec_e2e::{Running, TestJob};
use autoexec_test_support::agent::{AgentDouble, AgentOptions, Fault, Moment};
use autoexec_test_support::home::TestHome;
use autoexec_test_support::server::{CallName, File, Scope};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const CREDENTIAL: &str = "demo-Secret-01";

fn agent() -> AgentDouble {
    AgentDouble::start(AgentOptions::default()).unwrap()
}

fn windows() -> AgentDouble {
    let options =
        AgentOptions { os: "windows".to_owned(), charset: "cp936".to_owned(), ..AgentOptions::default() };
    AgentDouble::start(options).unwrap()
}

/// The service port of the node is another's (defect 55): what counts is the port of the protocol.
fn target(agent: &AgentDouble, id: u32, credential: &str) -> Value {
    json!({"resourceId": id, "nodeName": format!("n{id}"), "nodeType": "Linux", "host": "127.0.0.1", "port": 1,
        "protocol": format!("tagent.{}", agent.port()), "protocolPort": 2, "username": "none", "password": credential,
        "runnerId": 1})
}

fn key(id: u32) -> String {
    format!("127.0.0.1-1-{id}")
}

/// A job whose operations are remote tools; all nodes at once.
fn job(operations: Vec<Value>, nodes: &[Value]) -> TestJob {
    let mut params = params([one_shot([phase("T", "target", operations)])]);
    params["roundCount"] = json!(1);
    TestJob::new(params, nodes).unwrap()
}

fn outputs(job: &TestJob, id: u32) -> Value {
    serde_json::from_str(&job.file(&format!("output/{}.json", key(id)))).unwrap()
}

#[test]
fn two_nodes_and_two_operations_in_both_variants() {
    let plain = agent();
    let encrypted = AgentDouble::start(AgentOptions { encrypted: true, ..AgentOptions::default() }).unwrap();
    let nodes = [target(&plain, 71, CREDENTIAL), target(&encrypted, 72, CREDENTIAL)];
    let operations = (1..=2)
        .map(|number| {
            let operation = with_output(op("basic/say", "target", number), "name", "text");
            with_argument(
                with_option(operation, "pass", "password", "s3cret-Pa55"),
                "text",
                "it's $(id); `id`",
            )
        })
        .collect();
    let job = job(operations, &nodes);
    let script = "echo \"op of $NODE_NAME in $(pwd): $#, $3\"\n. ../lib/shared.sh\n\
                  printf '{\"name\": \"%s %s\"}' \"$NODE_NAME\" \"$(printf %s \"$AUTOEXEC_NODE\" | grep -c demo-Secret)\" > output.json\n";
    job.home.write_remote_plugin("basic", "say", script).unwrap();
    job.home.write_remote_plugin("lib", "shared.sh", "echo from the library\n").unwrap();
    job.expect(0, &["--firstfire"]).unwrap();
    for (id, agent) in [(71, &plain), (72, &encrypted)] {
        let log = job.node_log("T", &key(id));
        let said = format!("op of n{id} in {}/autoexec-620011223344-{id}-1.", agent.tmp().display());
        assert_eq!(log.matches(&said).count(), 2, "{log}");
        assert!(log.contains("/basic: 3, it's $(id); `id`\n"), "{log}");
        assert_eq!(log.matches(" from the library\n").count(), 2, "{log}");
        assert!(!log.contains("s3cret-Pa55") && !log.contains(CREDENTIAL), "{log}");
        for number in 1..=2 {
            assert_eq!(outputs(&job, id)[&format!("basic/say_{number}")]["name"], format!("n{id} 0"));
        }
        assert!(agent.left().is_empty(), "the directory is removed: {:?}", agent.left());
        // A directory, and for each operation its files, the command and its output; then the directory goes.
        let operation = ["upload", "execmd", "download"];
        assert_eq!(agent.verbs(), [&["execmd"][..], &operation, &operation, &["execmd"]].concat());
        let requests = agent.requests();
        let commands: Vec<String> = requests.iter().map(|request| request.text(0)).collect();
        assert!(commands.iter().all(|text| !text.contains("s3cret")), "agents log commands: {commands:?}");
        let environment: Value = serde_json::from_slice(&requests[2].fields[2]).unwrap();
        assert_eq!(
            (&environment["AUTOEXEC_JOBID"], &environment["NODE_PORT"]),
            (&json!("620011223344"), &json!("1"))
        );
        assert_eq!(environment["HISTSIZE"], "0");
    }
}

#[test]
fn a_wrong_credential_fails_the_node_and_stands_nowhere() {
    let agent = agent();
    let job = job(vec![op("basic/say", "target", 1)], &[target(&agent, 71, "wr0ng-Pa55")]);
    job.home.write_remote_plugin("basic", "say", "echo never\n").unwrap();
    job.expect(1, &["--firstfire"]).unwrap();
    let log = job.node_log("T", &key(71));
    assert!(log.contains("the agent has another credential"), "{log}");
    assert!(log.contains(&format!("none@127.0.0.1:{}", agent.port())), "it names the target: {log}");
    assert_eq!(job.status("T", &key(71))["status"], "failed");
    assert!(!log.contains("wr0ng") && !job.console().contains("wr0ng"), "{log}");
    assert!(agent.requests().is_empty());
}

#[test]
fn a_node_without_credential_says_what_it_needs() {
    let agent = agent();
    let job = job(vec![op("basic/say", "target", 1)], &[target(&agent, 71, "")]);
    job.home.write_remote_plugin("basic", "say", "echo never\n").unwrap();
    job.expect(1, &["--firstfire"]).unwrap();
    let log = job.node_log("T", &key(71));
    assert!(log.contains("its agent needs the agent's credential as the password of the node"), "{log}");
}

#[test]
fn files_are_sent_and_brought_back_whatever_they_are_called() {
    let agent = agent();
    let mut operation = with_option(op("pack/take", "target", 1), "list", "filepath", "given/list.txt");
    operation["opt"]["files"] = json!([41]);
    operation["desc"]["files"] = json!("file");
    let operation = with_output(with_output(operation, "copy", "filepath"), "size", "text");
    let job = job(vec![operation], &[target(&agent, 71, CREDENTIAL)]);
    let name = "attachment; filename=\"data.bin\"".to_owned();
    let content: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    job.server.set_file("41", File { disposition: name, content: content.clone(), modified: 1.0 });
    job.home.write_job_file(job.id(), "given/list.txt", "one\ntwo\n").unwrap();
    let script = "echo \"words: $*\"\ncat file/list.txt\nmkdir sub && cp file/data.bin 'sub/back $x [1]*.bin'\n\
                  printf '{\"copy\": \"sub/back $x [1]*.bin\", \"size\": \"%s\"}' \"$(wc -c < file/data.bin)\" > output.json\n";
    job.home.write_remote_plugin("pack", "take", script).unwrap();
    job.expect(0, &["--firstfire"]).unwrap();
    let log = job.node_log("T", &key(71));
    assert!(log.contains("words: --list file/list.txt --files file/data.bin"), "{log}");
    assert!(log.contains(" one\n") && log.contains(" two\n"), "{log}");
    let outputs = outputs(&job, 71);
    let brought = outputs["pack/take_1"]["copy"].as_str().unwrap();
    assert_eq!(brought, format!("output-op/{}/pack/take_1/back $x [1]*.bin", key(71)));
    assert_eq!(std::fs::read(job.dir().join(brought)).unwrap(), content);
    assert_eq!(outputs["pack/take_1"]["size"], "300000");
    assert!(agent.left().is_empty(), "{:?}", agent.left());
}

#[test]
fn a_declared_file_that_is_not_there_fails_the_operation_and_the_directory_may_stay() {
    let agent = agent();
    let operation = with_output(op("pack/lie", "target", 1), "report", "filepath");
    let job = job(vec![operation], &[target(&agent, 71, CREDENTIAL)]);
    let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
    job.home.write("conf/config.ini", config + "rexec.fail.reservedir = 1\n").unwrap();
    job.home
        .write_remote_plugin("pack", "lie", "echo '{\"report\": \"no/such.txt\"}' > output.json\n")
        .unwrap();
    job.expect(1, &["--firstfire"]).unwrap();
    let log = job.node_log("T", &key(71));
    assert!(log.contains("ERROR: ") && log.contains("no/such.txt"), "{log}");
    assert_eq!(agent.left().len(), 1, "it is kept to be looked at");
}

#[test]
fn exit_codes_are_the_scripts_own() {
    let agent = agent();
    let job = job(vec![op("basic/fail", "target", 1)], &[target(&agent, 71, CREDENTIAL)]);
    job.home.write_remote_plugin("basic", "fail", "echo about to fail\nexit 42\n").unwrap();
    job.expect(1, &["--firstfire"]).unwrap();
    let log = job.node_log("T", &key(71));
    assert!(log.contains(" about to fail\n") && log.contains("42"), "{log}");
    assert!(agent.left().is_empty(), "{:?}", agent.left());
}

#[test]
fn an_agent_that_drops_every_connection_fails_its_node_and_says_where() {
    for (fault, words) in [
        (Fault::Close(Moment::Answer, "upload"), "the connection was lost in waiting for an answer"),
        (Fault::Close(Moment::Data, "upload"), "the connection was lost in an upload"),
        (Fault::DiskFull("No space left on device"), "the agent says `No space left on device`"),
        (Fault::Greets(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), "not an agent (it says `SSH-2.0-OpenSSH_9.2`)"),
    ] {
        let agent = AgentDouble::start(AgentOptions { fault, ..AgentOptions::default() }).unwrap();
        let job = job(vec![op("basic/say", "target", 1)], &[target(&agent, 71, CREDENTIAL)]);
        job.home.write_remote_plugin("basic", "say", "echo never\n").unwrap();
        job.expect(1, &["--firstfire"]).unwrap();
        let log = job.node_log("T", &key(71));
        assert!(log.contains("ERROR: ") && log.contains(words), "{log}");
        assert_eq!(job.status("T", &key(71))["status"], "failed");
    }
}

#[test]
fn a_target_that_goes_away_in_the_middle_fails_its_node_only() {
    let (agent, other) = (agent(), agent());
    let job = job(vec![op("basic/hold", "target", 1)], &[target(&agent, 71, CREDENTIAL)]);
    let both = [target(&agent, 71, CREDENTIAL), target(&other, 72, CREDENTIAL)];
    job.set_nodes(Scope::Job, &node_file(&both));
    // The second node waits until the first one's connection is gone.
    let gate = job.home.path().join("gate");
    let script = format!(
        "echo holding\nif [ \"$NODE_NAME\" = n71 ]; then exec sleep 600; fi\nuntil [ -e {} ]; do sleep 0.05; done\n",
        gate.display()
    );
    job.home.write_remote_plugin("basic", "hold", &script).unwrap();
    std::fs::set_permissions(job.home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let running = job.start(&["--firstfire"]).unwrap();
    until("both scripts", LONG, || {
        [71, 72].iter().all(|id| job.node_log("T", &key(*id)).contains(" holding\n")).then_some(())
    })
    .unwrap();
    agent.cut_connections();
    let is_failed = |call: &autoexec_test_support::server::Call| {
        call.name == CallName::NodeStatus && call.json()["status"] == "failed"
    };
    job.server.wait_for(|calls| calls.iter().any(is_failed), LONG).unwrap();
    std::fs::write(&gate, "").unwrap();
    assert_eq!(running.wait().unwrap().code, Some(1), "{}", job.console());
    let log = job.node_log("T", &key(71));
    assert!(log.contains("ERROR: ") && log.contains("how far it got is not known"), "{log}");
    assert_eq!(job.status("T", &key(72))["status"], "succeed", "{}", job.node_log("T", &key(72)));
}

/// A job that holds until the test says so, and has another operation after that.
fn holding(agent: &AgentDouble) -> (TestJob, Running) {
    let job = job(
        vec![op("basic/hold", "target", 1), op("basic/after", "target", 2)],
        &[target(agent, 71, CREDENTIAL)],
    );
    let gate = job.home.path().join("gate");
    let script = format!(
        "trap '' HUP\necho holding\n(trap '' TERM; until [ -e {gate} ]; do sleep 0.05; done) & wait\n",
        gate = gate.display()
    );
    job.home.write_remote_plugin("basic", "hold", &script).unwrap();
    job.home.write_remote_plugin("basic", "after", "echo after\n").unwrap();
    std::fs::set_permissions(job.home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let running = job.start(&["--firstfire"]).unwrap();
    until("the script", LONG, || job.node_log("T", &key(71)).contains(" holding\n").then_some(())).unwrap();
    (job, running)
}

#[test]
fn an_abort_ends_the_whole_tree_and_the_log_says_that_it_is_proved() {
    let agent = agent();
    let (job, running) = holding(&agent);
    assert_eq!(agent.live_sessions(), 1);
    running.signal(Signal::SIGTERM).unwrap();
    assert_eq!(running.wait().unwrap().code, Some(1), "{}", job.console());
    let log = job.node_log("T", &key(71));
    assert!(log.contains("The operation was stopped; none of its processes is left."), "{log}");
    assert_eq!(agent.live_sessions(), 0);
    assert_eq!(job.status("T", &key(71))["status"], "aborted");
    assert!(agent.left().is_empty(), "{:?}", agent.left());
}

#[test]
fn an_abort_that_can_not_reach_the_agent_says_that_nothing_is_proved() {
    let agent = agent();
    let (job, running) = holding(&agent);
    agent.set_fault(Fault::Close(Moment::Greeting, ""));
    running.signal(Signal::SIGTERM).unwrap();
    assert_eq!(running.wait().unwrap().code, Some(1), "{}", job.console());
    let log = job.node_log("T", &key(71));
    assert!(log.contains("it is not proved that all of its processes are gone"), "{log}");
}

#[test]
fn a_pause_lets_the_operation_end() {
    let agent = agent();
    let (job, running) = holding(&agent);
    running.signal(Signal::SIGUSR1).unwrap();
    until("the pause", LONG, || job.console().contains("Pause requested").then_some(())).unwrap();
    std::fs::write(job.home.path().join("gate"), "").unwrap();
    assert_eq!(running.wait().unwrap().code, Some(0), "a pause is no failure: {}", job.console());
    let status = job.status("T", &key(71));
    assert_eq!(
        (&status["status"], &status["basic/hold_1"]),
        (&"paused".into(), &"succeed".into()),
        "{status}"
    );
    assert!(!job.node_log("T", &key(71)).contains(" after\n"));
    job.expect(0, &[]).unwrap();
    assert!(job.node_log("T", &key(71)).contains(" after\n"));
}

/// An inline script.
fn script(number: u32, interpreter: &str, text: &str) -> Value {
    let mut operation = op(&format!("script{number}"), "target", number);
    operation["isScript"] = json!(1);
    operation["interpreter"] = json!(interpreter);
    operation["scriptContent"] = json!(text);
    operation
}

#[test]
fn scripts_and_outputs_cross_the_border_of_a_gbk_agent() {
    let agent =
        AgentDouble::start(AgentOptions { charset: "cp936".to_owned(), ..AgentOptions::default() }).unwrap();
    // The script sees its own text in GBK and writes GBK: 中 is d6 d0.
    let text = "echo 中文\nprintf %s 中 | od -An -tx1\nprintf '{\"word\": \"中\"}' > output.json\n";
    let mut operation = with_output(script(1, "sh", text), "word", "text");
    operation["opName"] = json!("script1");
    let job = job(vec![operation], &[target(&agent, 71, CREDENTIAL)]);
    job.expect(0, &["--firstfire"]).unwrap();
    let log = job.node_log("T", &key(71));
    assert!(log.contains(" 中文\n") && log.contains(" d6 d0\n"), "{log}");
    assert_eq!(outputs(&job, 71)["script1_1"]["word"], "中");
}

#[test]
fn windows_targets_get_the_command_forms_of_the_contract() {
    let agent = windows();
    let with_words = |operation: Value| {
        let operation = with_option(operation, "path", "text", r"C:\a b\");
        with_argument(with_argument(operation, "text", "x & y|z"), "text", "")
    };
    // All of them are run by `sh` here.
    let show = "echo \"[$1][$2][$3][$4] $NODE_NAME\"\n";
    let operations = vec![
        with_words(script(1, "powershell", show)),
        with_words(script(2, "vbscript", show)),
        with_words(script(3, "javascript", show)),
        with_words(script(4, "cmd", "echo 中文 %1\nprintf '{\"word\": \"\\326\\320\"}' > output.json\n")),
        with_argument(script(5, "python", show), "text", r#"say "hi" & go"#),
        op("tools/list", "target", 6),
    ];
    let mut operations = operations;
    operations[3] = with_output(operations[3].clone(), "word", "text");
    operations[5]["interpreter"] = json!("powershell");
    let job = job(operations, &[target(&agent, 71, CREDENTIAL)]);
    job.home.write_remote_plugin("tools", "list", "echo \"tool in $(basename \"$(pwd)\")\"\n").unwrap();
    job.expect(0, &["--firstfire"]).unwrap();
    let log = job.node_log("T", &key(71));
    assert_eq!(
        agent.started(),
        [
            &["powershell", "script1.ps1", "-path", r"C:\a b\", "x & y|z", ""][..],
            &["cscript", "script2.vbs", r"/path:C:\a b\", "x & y|z", ""],
            &["node", "script3.js", "--path", r"C:\a b\", "x & y|z", ""],
            &["cmd", "script4.bat", r"/path:C:\a b\", "x & y|z", ""],
            &["python", "script5.py", r#"say "hi" & go"#],
            &["powershell", "list.ps1"],
        ]
    );
    assert!(log.contains(r"Job directory:C:\tagent\tmp\autoexec-620011223344-71-1."), "{log}");
    assert!(log.contains(" 中文 %1\n"), "{log}");
    assert!(log.contains(" tool in tools\n"), "{log}");
    assert_eq!(outputs(&job, 71)["script4_4"]["word"], "中");
    assert!(agent.left().is_empty(), "{:?}", agent.left());
}

#[test]
fn an_abort_ends_processes_of_a_windows_target() {
    let agent = windows();
    let job = job(
        vec![script(1, "powershell", "echo holding\nsleep 600 & sleep 600\n")],
        &[target(&agent, 71, CREDENTIAL)],
    );
    let running = job.start(&["--firstfire"]).unwrap();
    until("the script", LONG, || job.node_log("T", &key(71)).contains(" holding\n").then_some(())).unwrap();
    running.signal(Signal::SIGTERM).unwrap();
    assert_eq!(running.wait().unwrap().code, Some(1), "{}", job.console());
    let log = job.node_log("T", &key(71));
    assert!(log.contains("none of its processes is left"), "{log}");
    assert_eq!(agent.live_sessions(), 0);
}

#[test]
fn a_job_from_two_files_runs_behind_an_agent() {
    let agent = agent();
    let home = TestHome::new("http://127.0.0.1:1", "nobody", "none").unwrap();
    std::fs::remove_file(home.path().join("conf/config.ini")).unwrap();
    let job = "name: over an agent\nphases:\n  - name: look\n    on: target\n    steps:\n      - script: |\n          echo \"{\\\"who\\\": \\\"$NODE_NAME\\\"}\" > output.json\n        outputs: {who: text}\n        report: true\n";
    home.write("job.yaml", job).unwrap();
    let hosts = format!(
        "nodes:\n  - {{host: 127.0.0.1, name: behind, protocol: tagent, protocol_port: {}, user: none, password: {{env: CREDENTIAL}}}}\n",
        agent.port()
    );
    home.write("hosts.yaml", hosts).unwrap();
    let run = |words: &[&str]| {
        let mut command = home.autoexec(words).unwrap();
        let output = command.env("CREDENTIAL", CREDENTIAL).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{text}{}", String::from_utf8_lossy(&output.stderr));
        text
    };
    let planned = run(&["plan", "job.yaml", "-i", "hosts.yaml"]);
    assert!(planned.contains("run 127.0.0.1--1 behind over tagent\n"), "{planned}");
    let ran = run(&["run", "job.yaml", "-i", "hosts.yaml"]);
    assert!(ran.contains("behind"), "{ran}");
    assert!(agent.left().is_empty(), "{:?}", agent.left());
}

//! Targets over SSH, against Debian's own sshd.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{node_file, one_shot, op, params, phase, with_option, with_output};
use autoexec_e2e::wait::{LONG, until};
use autoexec_test_support::process::lives;
use autoexec_test_support::server::{CallName, File, Scope};
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::{Value, json};

fn sshd() -> Sshd {
    Sshd::start(SshdOptions::default()).unwrap()
}

fn target(sshd: &Sshd, id: u32, password: &str) -> Value {
    json!({"resourceId": id, "nodeName": format!("n{id}"), "nodeType": "Linux", "host": "127.0.0.1", "protocol": "ssh",
        "protocolPort": sshd.port(), "username": sshd.user(), "password": password, "runnerId": 1})
}

fn key(id: u32) -> String {
    format!("127.0.0.1--{id}")
}

/// A job whose operations are remote tools; all nodes at once.
fn job(operations: Vec<Value>, nodes: &[Value]) -> TestJob {
    let mut params = params([one_shot([phase("T", "target", operations)])]);
    params["roundCount"] = json!(1);
    TestJob::new(params, nodes).unwrap()
}

/// Without root only the key can log in, and then a password cannot be tested.
fn set_identity(job: &TestJob, sshd: &Sshd) {
    if sshd.password().is_empty() {
        let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
        let identity = format!("ssh.identity = {}\n", sshd.key_path().display());
        job.home.write("conf/config.ini", config + &identity).unwrap();
    }
}

fn logins(sshd: &Sshd) -> usize {
    sshd.log().lines().filter(|line| line.starts_with("Accepted ")).count()
}

/// The directories on the target that a node's log names.
fn directories(log: &str) -> Vec<&str> {
    log.lines()
        .filter_map(|line| line.split_once("INFO: Job directory:"))
        .map(|(_, directory)| directory)
        .collect()
}

#[test]
fn output_of_any_encoding_is_whole_however_the_target_cuts_it() {
    let sshd = sshd();
    let job = job(vec![op("basic/say", "target", 1)], &[target(&sshd, 71, sshd.password())]);
    set_identity(&job, &sshd);
    // The pauses put the bytes of a character into packets of their own: UTF-8, GBK, what is neither.
    let script = r#"
        slow() { for byte; do printf "$byte"; sleep 0.3; done; }
        slow 'utf \344' '\270' '\255 end\n'
        slow 'gbk \326' '\320' '\316\304 end\n'
        slow 'neither caf\351' ' end\n'
        slow '\036' 'mark \360\237' '\230\200\n'
        i=0; while [ $i -lt 3000 ]; do printf 'many \344\270\255\346\226\207\n'; i=$((i+1)); done
    "#;
    job.home.write_remote_plugin("basic", "say", script).unwrap();
    job.expect(0, &["--firstfire"]).unwrap();
    let log = job.node_log("T", &key(71));
    for line in ["utf 中 end", "gbk 中文 end", "neither caf\u{fffd} end"] {
        assert!(log.lines().any(|seen| seen.ends_with(&format!(" {line}"))), "{line}: {log}");
    }
    assert!(log.contains("mark 😀\n"), "{log}");
    assert_eq!(log.lines().filter(|line| line.ends_with(" many 中文")).count(), 3000);
}

#[test]
fn three_nodes_and_three_operations_are_three_logins() {
    let sshd = sshd();
    let nodes = [71, 72, 73].map(|id| target(&sshd, id, sshd.password()));
    let operations =
        (1..=3).map(|number| with_output(op("basic/say", "target", number), "name", "text")).collect();
    let job = job(operations, &nodes);
    set_identity(&job, &sshd);
    let script =
        "echo \"op of $NODE_NAME in $(pwd)\"\nprintf '{\"name\": \"%s\"}' \"$NODE_NAME\" > output.json\n";
    job.home.write_remote_plugin("basic", "say", script).unwrap();
    job.expect(0, &["--firstfire"]).unwrap();
    for id in [71, 72, 73] {
        let log = job.node_log("T", &key(id));
        assert_eq!(log.matches(&format!("op of n{id} in /tmp/autoexec-")).count(), 3, "{log}");
        let directories = directories(&log);
        assert_eq!(directories.len(), 3, "{log}");
        assert!(
            !directories.iter().any(|directory| Path::new(directory).exists()),
            "they are removed: {log}"
        );
        let outputs: Value = serde_json::from_str(&job.file(&format!("output/{}.json", key(id)))).unwrap();
        for number in 1..=3 {
            assert_eq!(outputs[&format!("basic/say_{number}")]["name"], format!("n{id}"));
        }
    }
    assert_eq!(logins(&sshd), 3, "{}", sshd.log());
}

#[test]
fn what_an_operation_leaves_is_there_for_the_others_and_goes_with_the_last() {
    let sshd = sshd();
    let say = |number| op("basic/say", "target", number);
    let twice = json!({"opId": "native/LOOP-Block_4", "opName": "native/LOOP-Block", "opType": "native", "loopItems": "a,b",
        "loopItemVar": "ITEM", "operations": [say(3)]});
    for (operations, count) in [(vec![say(1), say(2)], 2), (vec![say(1), say(2), twice], 4)] {
        let job = job(operations, &[target(&sshd, 71, sshd.password())]);
        set_identity(&job, &sshd);
        let script = "echo x >>count; echo \"number $(wc -l <count) of them\"\n";
        job.home.write_remote_plugin("basic", "say", script).unwrap();
        job.expect(0, &["--firstfire"]).unwrap();
        let log = job.node_log("T", &key(71));
        for number in 1..=count {
            assert_eq!(log.matches(&format!("number {number} of them")).count(), 1, "{log}");
        }
        let directories = directories(&log);
        assert_eq!(directories.len(), count, "{log}");
        assert!(!directories.iter().any(|directory| Path::new(directory).exists()), "{log}");
    }
}

#[test]
fn a_wrong_password_fails_the_node_and_stands_nowhere() {
    let sshd = sshd();
    if sshd.password().is_empty() {
        // Not root: sshd has no password login here; the transport's own tests cover the refusal of keys.
        return;
    }
    let job = job(vec![op("basic/say", "target", 1)], &[target(&sshd, 71, "wr0ng-Pa55")]);
    job.home.write_remote_plugin("basic", "say", "echo never\n").unwrap();
    job.expect(1, &["--firstfire"]).unwrap();
    let log = job.node_log("T", &key(71));
    assert!(log.contains("login refused; tried password"), "{log}");
    assert!(log.contains(&format!("{}@127.0.0.1", sshd.user())), "it names the target: {log}");
    assert_eq!(job.status("T", &key(71))["status"], "failed");
    assert!(!log.contains("wr0ng") && !job.console().contains("wr0ng"), "{log}");
}

#[test]
fn a_changed_host_key_fails_the_node_and_names_file_and_line() {
    let mut sshd = sshd();
    let job = job(vec![op("basic/say", "target", 1)], &[target(&sshd, 71, sshd.password())]);
    set_identity(&job, &sshd);
    job.home.write_remote_plugin("basic", "say", "echo hello\n").unwrap();
    job.home.write("conf/known_hosts", "# keys of our hosts\n").unwrap();
    job.expect(0, &["--firstfire"]).unwrap();
    let known = job.home.path().join("conf/known_hosts");
    let recorded = std::fs::read_to_string(&known).unwrap();
    assert_eq!(recorded.lines().count(), 2, "{recorded}");

    sshd.rotate_host_key().unwrap();
    let before = logins(&sshd);
    job.expect(1, &["--force", "--nofirenext"]).unwrap();
    let log = job.node_log("T", &key(71));
    assert!(log.contains("THE HOST KEY HAS CHANGED"), "{log}");
    assert!(log.contains(&format!("{} line 2", known.display())), "{log}");
    assert_eq!(job.status("T", &key(71))["status"], "failed");
    assert_eq!(logins(&sshd), before, "nobody logs in to a host that may be another");
    assert_eq!(std::fs::read_to_string(&known).unwrap(), recorded, "the old key stays recorded");
}

#[test]
fn files_are_sent_and_brought_back() {
    let sshd = sshd();
    let mut operation = with_option(op("pack/take", "target", 1), "list", "filepath", "given/list.txt");
    operation["opt"]["files"] = json!([41]);
    operation["desc"]["files"] = json!("file");
    let operation = with_output(with_output(operation, "copy", "filepath"), "size", "text");
    let job = job(vec![operation], &[target(&sshd, 71, sshd.password())]);
    set_identity(&job, &sshd);
    let name = "attachment; filename=\"data.bin\"".to_owned();
    let content: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    job.server.set_file("41", File { disposition: name, content: content.clone(), modified: 1.0 });
    job.home.write_job_file(job.id(), "given/list.txt", "one\ntwo\n").unwrap();
    let script = "echo \"words: $*\"\ncat file/list.txt\nmkdir sub && cp file/data.bin sub/back.bin\n\
                  printf '{\"copy\": \"sub/back.bin\", \"size\": \"%s\"}' \"$(wc -c < file/data.bin)\" > output.json\n";
    job.home.write_remote_plugin("pack", "take", script).unwrap();
    job.expect(0, &["--firstfire"]).unwrap();
    let log = job.node_log("T", &key(71));
    assert!(log.contains("words: --list file/list.txt --files file/data.bin"), "{log}");
    assert!(log.contains(" one\n") && log.contains(" two\n"), "{log}");
    let outputs: Value = serde_json::from_str(&job.file(&format!("output/{}.json", key(71)))).unwrap();
    let brought = outputs["pack/take_1"]["copy"].as_str().unwrap();
    assert_eq!(brought, format!("output-op/{}/pack/take_1/back.bin", key(71)));
    assert_eq!(std::fs::read(job.dir().join(brought)).unwrap(), content);
    assert_eq!(outputs["pack/take_1"]["size"], "300000");
    assert!(job.dir().join("file/data.bin").is_symlink());
}

#[test]
fn a_declared_file_that_is_not_there_fails_the_operation() {
    let sshd = sshd();
    let operation = with_output(op("pack/lie", "target", 1), "report", "filepath");
    let job = job(vec![operation], &[target(&sshd, 71, sshd.password())]);
    set_identity(&job, &sshd);
    job.home
        .write_remote_plugin("pack", "lie", "echo '{\"report\": \"no/such.txt\"}' > output.json\n")
        .unwrap();
    job.expect(1, &["--firstfire"]).unwrap();
    let log = job.node_log("T", &key(71));
    assert!(log.contains("ERROR: ") && log.contains("no/such.txt"), "{log}");
    assert!(!Path::new(&job.dir()).join(format!("output/{}.json", key(71))).exists());
}

#[test]
fn a_target_that_goes_away_in_the_middle_fails_its_node_only() {
    let (sshd, other) = (sshd(), sshd());
    let job = job(vec![op("basic/hold", "target", 1)], &[target(&sshd, 71, sshd.password())]);
    set_identity(&job, &sshd);
    let both = [target(&sshd, 71, sshd.password()), target(&other, 72, other.password())];
    job.set_nodes(Scope::Job, &node_file(&both));
    // The second node waits until the first one's connection is gone.
    let gate = job.home.path().join("gate");
    let script = format!(
        "echo holding\nif [ \"$NODE_NAME\" = n71 ]; then exec sleep 600; fi\nuntil [ -e {} ]; do sleep 0.05; done\n",
        gate.display()
    );
    job.home.write_remote_plugin("basic", "hold", &script).unwrap();
    // The account has to see the gate.
    std::fs::set_permissions(job.home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let running = job.start(&["--firstfire"]).unwrap();
    until("both scripts", LONG, || {
        [71, 72].iter().all(|id| job.node_log("T", &key(*id)).contains(" holding\n")).then_some(())
    })
    .unwrap();
    sshd.kill_sessions();
    let is_failed = |call: &autoexec_test_support::server::Call| {
        call.name == CallName::NodeStatus && call.json()["status"] == "failed"
    };
    job.server.wait_for(|calls| calls.iter().any(is_failed), LONG).unwrap();
    std::fs::write(&gate, "").unwrap();
    let finished = running.wait().unwrap();
    assert_eq!(finished.code, Some(1), "{}", job.console());
    let log = job.node_log("T", &key(71));
    assert!(log.contains("ERROR: ") && log.contains("the connection was lost"), "{log}");
    assert_eq!(job.status("T", &key(72))["status"], "succeed", "{}", job.node_log("T", &key(72)));
}

/// The processes that hold the SSH connections of a run.
fn ssh_processes(run: nix::unistd::Pid) -> Vec<i32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_one = |pid: &i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.starts_with("Name:\tautoexec-ssh\n") && status.contains(&format!("\nPPid:\t{run}\n"))
    };
    pids.filter(is_one).collect()
}

#[test]
fn a_crash_of_an_ssh_process_costs_its_connections_and_not_the_job() {
    let sshd = sshd();
    let job = job(
        vec![op("basic/hold", "target", 1), op("basic/after", "target", 2)],
        &[target(&sshd, 71, sshd.password())],
    );
    set_identity(&job, &sshd);
    // Under another name the second one has another rule.
    let mut other = target(&sshd, 72, sshd.password());
    other["host"] = json!("localhost");
    job.set_nodes(Scope::Job, &node_file(&[target(&sshd, 71, sshd.password()), other]));
    job.home.write("conf/ssh.toml", "[[hosts]]\nmatch = [\"localhost\"]\ndetached = true\n").unwrap();
    let gate = job.home.path().join("gate");
    let script = format!("echo holding\nuntil [ -e {} ]; do sleep 0.05; done\necho held\n", gate.display());
    job.home.write_remote_plugin("basic", "hold", &script).unwrap();
    job.home.write_remote_plugin("basic", "after", "echo afterwards\n").unwrap();
    std::fs::set_permissions(job.home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let running = job.start(&["--firstfire"]).unwrap();
    let logs = [key(71), "localhost--72".to_owned()];
    until("both scripts", LONG, || {
        logs.iter().all(|key| job.node_log("T", key).contains(" holding\n")).then_some(())
    })
    .unwrap();
    let processes = ssh_processes(running.pid());
    assert_eq!(processes.len(), 1, "two direct connections are in one process");
    // More than once: the first one is taken by Rust's own handler, which expects the fault to come again.
    let pid = nix::unistd::Pid::from_raw(processes[0]);
    let crash = || nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSEGV).is_err();
    until("the crash", LONG, || (crash() || !lives(pid)).then_some(())).unwrap();
    let again = || job.node_log("T", &logs[1]).contains("Connected again.").then_some(());
    until("a new connection", LONG, again).unwrap();
    std::fs::write(&gate, "").unwrap();
    let finished = running.wait().unwrap();
    assert_eq!(finished.code, Some(1), "{}", job.console());
    let [lost, kept] = logs.each_ref().map(|key| job.node_log("T", key));
    assert!(lost.contains("ended by signal 11 (SIGSEGV), with one more connection in it"), "{lost}");
    assert_eq!(job.status("T", &logs[0])["status"], "failed", "{lost}");
    assert_eq!(job.status("T", &logs[1])["status"], "succeed", "{kept}");
    for (text, times) in [(" holding\n", 1), (" held\n", 1), (" afterwards\n", 1)] {
        assert_eq!(kept.matches(text).count(), times, "{text}: {kept}");
    }
    let log = std::fs::read_to_string(job.home.path().join("logs/autoexec.log")).unwrap();
    let told = log.lines().find(|line| line.contains("an SSH process ended with connections in it")).unwrap();
    assert!(told.contains("@127.0.0.1:") && told.contains("@localhost:"), "{told}");
}

#[test]
fn what_may_run_only_once_is_not_run_again_when_its_ssh_process_has_ended() {
    let sshd = sshd();
    let job = job(vec![op("basic/hold", "target", 1)], &[target(&sshd, 71, sshd.password())]);
    set_identity(&job, &sshd);
    let (gate, ledger) = (job.home.path().join("gate"), job.home.path().join("ledger"));
    let script = format!(
        "echo run >> {}\necho holding\nuntil [ -e {} ]; do sleep 0.05; done\n",
        ledger.display(),
        gate.display()
    );
    job.home.write_remote_plugin("basic", "hold", &script).unwrap();
    job.home.write("plugins/remote/basic/hold.json", r#"{"opType": "target", "rerun": "once"}"#).unwrap();
    for (path, mode) in [(job.home.path(), 0o711), (&ledger, 0o666)] {
        if !path.is_dir() {
            std::fs::write(path, "").unwrap();
        }
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let running = job.start(&["--firstfire"]).unwrap();
    let log = || job.node_log("T", &key(71));
    until("the script", LONG, || log().contains(" holding\n").then_some(())).unwrap();
    let processes = ssh_processes(running.pid());
    let [process] = processes[..] else { panic!("{processes:?}") };
    let pid = nix::unistd::Pid::from_raw(process);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let finished = running.wait().unwrap();
    assert_eq!(finished.code, Some(1), "{}", job.console());
    assert!(log().contains("the process that served it ended by signal 9 (SIGKILL)"), "{}", log());
    assert_eq!(job.status("T", &key(71))["basic/hold_1"], "unknown");
    // It may have taken effect, and it has: a person decides.
    job.expect(1, &[]).unwrap();
    assert!(log().contains("its tool must not run twice. Find out whether it took effect"), "{}", log());
    assert_eq!(std::fs::read_to_string(&ledger).unwrap(), "run\n");
    std::fs::write(&gate, "").unwrap();
}

/// An agent with a key in it. It ends with this.
struct KeyAgent {
    child: std::process::Child,
    socket: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

impl KeyAgent {
    fn with(key: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        let child = std::process::Command::new("ssh-agent")
            .args(["-D", "-a"])
            .arg(&socket)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let agent = Self { child, socket, _dir: dir };
        until("the agent listens", LONG, || agent.socket.exists().then_some(())).unwrap();
        let added = std::process::Command::new("ssh-add")
            .arg("-q")
            .arg(key)
            .env("SSH_AUTH_SOCK", &agent.socket)
            .status()
            .unwrap();
        assert!(added.success());
        agent
    }
}

impl Drop for KeyAgent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_keys_of_an_agent_log_in_to_nodes_without_a_password() {
    let sshd = sshd();
    let agent = KeyAgent::with(&sshd.key_path());
    let job = job(vec![op("basic/say", "target", 1)], &[target(&sshd, 71, "")]);
    job.home.write_remote_plugin("basic", "say", "echo said it\n").unwrap();
    let start = || {
        let mut command = job.command(&["--firstfire"]).unwrap();
        command.env("SSH_AUTH_SOCK", &agent.socket);
        job.start_command(command).unwrap().wait().unwrap()
    };
    assert_ne!(start().code, Some(0), "it is used only where that is configured");
    let log = job.node_log("T", &key(71));
    assert!(log.contains("no key is configured (ssh.identity or ssh.agent in conf/config.ini)"), "{log}");
    let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
    job.home.write("conf/config.ini", config + "ssh.agent = 1\n").unwrap();
    let finished = start();
    let log = job.node_log("T", &key(71));
    assert_eq!(finished.code, Some(0), "{log}");
    assert!(log.contains("said it"), "{log}");
}

//! Operations on targets as another user, and operations that go on without their connection (`conf/ssh.toml`).

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use autoexec_e2e::build::{fail_ignored, one_shot, op, params, phase, with_output};
use autoexec_e2e::wait::{LONG, until};
use autoexec_e2e::{TestJob, files_below};
use autoexec_test_support::scratch::Scratch;
use autoexec_test_support::skip::skipped;
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use autoexec_test_support::sudoers::Sudoers;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const KEY: &str = "127.0.0.1--71";

fn job(sshd: &Sshd, operations: Vec<Value>) -> TestJob {
    let node = json!({"resourceId": 71, "nodeName": "n71", "nodeType": "Linux", "host": "127.0.0.1", "protocol": "ssh",
        "protocolPort": sshd.port(), "username": sshd.user(), "password": sshd.password(), "runnerId": 1});
    let job = TestJob::new(params([one_shot([phase("T", "target", operations)])]), &[node]).unwrap();
    if sshd.password().is_empty() {
        let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
        let identity = format!("ssh.identity = {}\n", sshd.key_path().display());
        job.home.write("conf/config.ini", config + &identity).unwrap();
    }
    // The account has to see the gate.
    std::fs::set_permissions(job.home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    job
}

/// Says that it runs, waits for the gate, leaves an output.
fn holding(gate: &Path) -> String {
    format!(
        "echo begun\nuntil [ -e {} ]; do sleep 0.05; done\necho ended\nprintf '{{\"name\": \"x\"}}' > output.json\nexit 0\n",
        gate.display()
    )
}

fn directories_of(log: &str) -> impl Iterator<Item = &Path> {
    log.lines().filter_map(|line| line.split_once("INFO: Job directory:")).map(|(_, path)| Path::new(path))
}

fn directory_of(log: &str) -> &Path {
    directories_of(log).next().unwrap()
}

#[test]
fn a_detached_operation_outlives_its_connection() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    let operations = vec![
        with_output(op("basic/hold", "target", 1), "name", "text"),
        with_output(op("basic/after", "target", 2), "name", "text"),
    ];
    let job = job(&sshd, operations);
    job.home.write("conf/ssh.toml", "[[operations]]\nmatch = [\"basic/hold\"]\ndetached = true\n").unwrap();
    let gate = job.home.path().join("gate");
    job.home.write_remote_plugin("basic", "hold", &holding(&gate)).unwrap();
    job.home.write_remote_plugin("basic", "after", "printf '{\"name\": \"y\"}' > output.json\n").unwrap();
    let running = job.start(&["--firstfire"]).unwrap();
    until("the script", LONG, || job.node_log("T", KEY).contains(" begun\n").then_some(())).unwrap();
    sshd.kill_sessions();
    until("a new connection", LONG, || job.node_log("T", KEY).contains("Connected again.").then_some(()))
        .unwrap();
    std::fs::write(&gate, "").unwrap();
    let finished = running.wait().unwrap();
    let log = job.node_log("T", KEY);
    assert_eq!(finished.code, Some(0), "{log}\n{}", job.console());
    for (text, times) in [(" begun\n", 1), (" ended\n", 1), ("The operation goes on on the target", 1)] {
        assert_eq!(log.matches(text).count(), times, "{text}: {log}");
    }
    let outputs: Value = serde_json::from_str(&job.file(&format!("output/{KEY}.json"))).unwrap();
    assert_eq!(
        (&outputs["basic/hold_1"]["name"], &outputs["basic/after_2"]["name"]),
        (&json!("x"), &json!("y"))
    );
    assert!(!directory_of(&log).exists(), "{log}");
}

#[test]
fn a_detached_operation_that_cannot_be_reached_again_says_where_it_is() {
    let mut sshd = Sshd::start(SshdOptions::default()).unwrap();
    let job = job(&sshd, vec![op("basic/hold", "target", 1)]);
    let rules = "[limits]\nreconnect = 1\n[[hosts]]\nmatch = [\"127.*\"]\ndetached = true\n";
    job.home.write("conf/ssh.toml", rules).unwrap();
    let gate = job.home.path().join("gate");
    job.home.write_remote_plugin("basic", "hold", &holding(&gate)).unwrap();
    let running = job.start(&["--firstfire"]).unwrap();
    until("the script", LONG, || job.node_log("T", KEY).contains(" begun\n").then_some(())).unwrap();
    sshd.kill_sessions();
    sshd.stop();
    let finished = running.wait().unwrap();
    let log = job.node_log("T", KEY);
    assert_eq!(finished.code, Some(1), "{log}");
    let directory = directory_of(&log);
    assert!(log.contains("may still be running on the target as process group "), "{log}");
    assert!(log.contains(&format!("its directory {} was left there", directory.display())), "{log}");
    assert!(directory.join("detached1/pid").exists(), "{log}");
    std::fs::write(&gate, "").unwrap();
    until("its end", LONG, || directory.join("detached1/exit").exists().then_some(())).unwrap();
    std::fs::remove_dir_all(directory).unwrap();
}

/// One that logs in, and one that it may become.
fn accounts() -> Option<(Sshd, Sshd, Sudoers)> {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    // An account goes with its shell; this one is another.
    let other =
        Sshd::start(SshdOptions { shell: PathBuf::from("/bin/bash"), ..SshdOptions::default() }).unwrap();
    let Some(rule) = Sudoers::allow(sshd.user(), other.user()).unwrap() else {
        skipped("root, sudo and setfacl");
        return None;
    };
    Some((sshd, other, rule))
}

#[test]
fn an_operation_runs_as_another_user() {
    let Some((sshd, other, _rule)) = accounts() else { return };
    let operations = vec![
        with_output(op("basic/who", "target", 1), "name", "text"),
        with_output(op("basic/su", "target", 2), "name", "text"),
        with_output(op("basic/self", "target", 3), "name", "text"),
    ];
    let job = job(&sshd, operations);
    job.home.write("conf/secret", format!("{}\n", other.password())).unwrap();
    std::fs::set_permissions(job.home.path().join("conf/secret"), std::fs::Permissions::from_mode(0o600))
        .unwrap();
    let user = other.user();
    let rules = format!(
        "[[hosts]]\nmatch = [\"127.0.0.1\"]\nbecome = {{ user = \"{user}\", node_password = true }}\n\
         [[operations]]\nmatch = [\"basic/su\"]\nbecome = {{ user = \"{user}\", method = \"su\", password = {{ file = \"secret\" }} }}\n\
         [[operations]]\nmatch = [\"basic/self\"]\nbecome = \"none\"\n"
    );
    job.home.write("conf/ssh.toml", rules).unwrap();
    for tool in ["who", "su", "self"] {
        let script = "printf '{\"name\": \"%s %s\"}' \"$(id -un)\" \"$NODE_NAME\" > output.json\n: > \"made_by_$(id -un)\"\n";
        job.home.write_remote_plugin("basic", tool, script).unwrap();
    }
    job.expect(0, &["--firstfire"]).unwrap();
    let log = job.node_log("T", KEY);
    let outputs: Value = serde_json::from_str(&job.file(&format!("output/{KEY}.json"))).unwrap();
    for (operation, user) in [("who_1", user), ("su_2", user), ("self_3", sshd.user())] {
        assert_eq!(outputs[&format!("basic/{operation}")]["name"], format!("{user} n71"), "{log}");
    }
    let directories: Vec<_> = directories_of(&log).collect();
    assert_eq!(directories.len(), 3, "{log}");
    assert!(directories.iter().all(|directory| !directory.exists()), "{log}");
    for password in [sshd.password(), other.password()] {
        assert!(!log.contains(password) && !job.console().contains(password));
    }
}

#[test]
fn links_of_the_other_user_lead_the_login_account_nowhere() {
    let Some((sshd, other, _rule)) = accounts() else { return };
    let operations = vec![
        with_output(op("basic/plant", "target", 1), "found", "filepath"),
        with_output(op("basic/next", "target", 2), "name", "text"),
    ];
    let operations = operations.into_iter().map(fail_ignored).collect();
    let job = job(&sshd, operations);
    let rules = format!(
        "[[operations]]\nmatch = [\"basic/plant\"]\nbecome = {{ user = \"{}\", node_password = true }}\n",
        other.user()
    );
    job.home.write("conf/ssh.toml", rules).unwrap();
    let victim = sshd.dir().join("victim");
    std::fs::write(&victim, "of who logs in\n").unwrap();
    std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&victim, Some(sshd.uid()), None).unwrap();
    // In the place of what the next operation is sent, and of what this one leaves.
    let plant = format!(
        "for d in . ..; do for f in next output.json found; do rm -rf $d/$f; ln -s {0} $d/$f; done; done\n\
         rm -f output.json; printf '{{\"found\": \"found\"}}' >output.json\n",
        victim.display()
    );
    job.home.write_remote_plugin("basic", "plant", &plant).unwrap();
    job.home
        .write_remote_plugin("basic", "next", "printf '{\"name\": \"%s\"}' \"$(id -un)\" > output.json\n")
        .unwrap();
    job.expect(0, &["--firstfire"]).unwrap();
    let log = job.node_log("T", KEY);
    let outputs: Value = serde_json::from_str(&job.file(&format!("output/{KEY}.json"))).unwrap();
    assert_eq!(outputs["basic/next_2"]["name"], sshd.user(), "{log}");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "of who logs in\n", "{log}");
    assert_eq!(std::fs::metadata(&victim).unwrap().permissions().mode() & 0o777, 0o600);
    for file in files_below(&job.dir()).unwrap() {
        let text = std::fs::read(&file).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains("of who logs in"), "{}: {log}", file.display());
    }
    let directories: Vec<_> = directories_of(&log).collect();
    assert_eq!(directories.len(), 2, "{log}");
    assert!(directories.iter().all(|directory| !directory.exists()), "{log}");
}

#[test]
fn a_lost_connection_and_a_stop_that_does_not_get_through_say_what_may_still_run() {
    for stopped in [false, true] {
        let mut sshd = Sshd::start(SshdOptions::default()).unwrap();
        let job = job(&sshd, vec![op("basic/hold", "target", 1)]);
        let gate = job.home.path().join("gate");
        job.home.write_remote_plugin("basic", "hold", &holding(&gate)).unwrap();
        let running = job.start(&["--firstfire"]).unwrap();
        until("the script", LONG, || job.node_log("T", KEY).contains(" begun\n").then_some(())).unwrap();
        if stopped {
            sshd.stop();
            running.signal(Signal::SIGTERM).unwrap();
        }
        sshd.kill_sessions();
        if stopped {
            let again = || job.node_log("T", KEY).contains("Connecting again to stop").then_some(());
            until("the second try", LONG, again).unwrap();
            // Whoever says it again does not wait for the host.
            running.signal(Signal::SIGTERM).unwrap();
        }
        let finished = running.wait().unwrap();
        let log = job.node_log("T", KEY);
        assert_ne!(finished.code, Some(0), "{log}");
        assert!(log.contains("may still be running on the target as process group "), "{log}");
        let directory = directory_of(&log);
        assert!(log.contains(&format!("its directory {} was left there", directory.display())), "{log}");
        assert_eq!(log.contains("it is not proved that all of its processes are gone"), stopped, "{log}");
        std::fs::write(&gate, "").unwrap();
        std::fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn a_wrong_password_of_the_other_user_fails_the_node_and_stands_nowhere() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    if sshd.password().is_empty() {
        skipped("root for accounts with passwords");
        return;
    }
    let job = job(&sshd, vec![op("basic/who", "target", 1)]);
    let rules = "[[hosts]]\nmatch = [\"*\"]\nbecome = { user = \"root\", method = \"su\", password = \"wr0ng-Pa55\" }\n";
    job.home.write("conf/ssh.toml", rules).unwrap();
    job.home.write_remote_plugin("basic", "who", "echo ran\n").unwrap();
    job.expect(1, &["--firstfire"]).unwrap();
    let log = job.node_log("T", KEY);
    assert!(log.contains("did not let us become root"), "{log}");
    assert!(!log.contains("wr0ng") && !log.contains(" ran\n") && !job.console().contains("wr0ng"), "{log}");
}

#[test]
fn a_login_that_is_refused_is_not_repeated_until_the_account_is_locked() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    if sshd.password().is_empty() {
        skipped("root for accounts with passwords");
        return;
    }
    let job = job(&sshd, vec![op("basic/hold", "target", 1)]);
    job.home.write("conf/ssh.toml", "[[hosts]]\nmatch = [\"127.*\"]\ndetached = true\n").unwrap();
    let gate = job.home.path().join("gate");
    job.home.write_remote_plugin("basic", "hold", &holding(&gate)).unwrap();
    let running = job.start(&["--firstfire"]).unwrap();
    until("the script", LONG, || job.node_log("T", KEY).contains(" begun\n").then_some(())).unwrap();
    // The password is not valid any more when the connection has to be made anew.
    let locked = Command::new("usermod").args(["--lock", sshd.user()]).status().unwrap();
    assert!(locked.success());
    sshd.kill_sessions();
    let finished = running.wait().unwrap();
    let unlocked = Command::new("usermod").args(["--unlock", sshd.user()]).status().unwrap();
    let log = job.node_log("T", KEY);
    assert!(unlocked.success());
    assert_eq!(finished.code, Some(1), "{log}");
    assert_eq!(sshd.log().matches("Failed password for ").count(), 2, "{log}\n{}", sshd.log());
    for text in
        ["Trying once more", "It is not tried again: accounts are locked for that", "may still be running"]
    {
        assert_eq!(log.matches(text).count(), 1, "{text}: {log}");
    }
    let directory = directory_of(&log);
    std::fs::write(&gate, "").unwrap();
    until("its end", LONG, || directory.join("detached1/exit").exists().then_some(())).unwrap();
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn a_script_that_cannot_be_started_for_noexec_says_so() {
    if !nix::unistd::geteuid().is_root() {
        skipped("root for a machine with a /tmp of its own");
        return;
    }
    let machine = Scratch::start().unwrap();
    machine.sh("mount -o remount,noexec /tmp").unwrap();
    let node = json!({"resourceId": 71, "nodeName": "n71", "nodeType": "Linux", "host": "127.0.0.1", "protocol": "ssh",
        "protocolPort": machine.port(), "username": "root", "runnerId": 1});
    let mut operation = op("basic/plain", "target", 1);
    operation["interpreter"] = json!("");
    let job = TestJob::new(params([one_shot([phase("T", "target", [operation])])]), &[node]).unwrap();
    let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
    let identity = format!("ssh.identity = {}\n", machine.key_path().display());
    job.home.write("conf/config.ini", config + &identity).unwrap();
    job.home.write_remote_plugin("basic", "plain", "#!/bin/sh\necho ran\n").unwrap();
    job.expect(1, &["--firstfire"]).unwrap();
    let log = job.node_log("T", KEY);
    assert!(log.contains("ERROR: /tmp of the target is mounted noexec: "), "{log}");
    assert!(log.contains("Permission denied") && !log.contains(" ran\n"), "{log}");
    assert_eq!(machine.sh("ls /tmp").unwrap(), "", "nothing is left");
}

//! `autoexec doctor`: finds what is wrong with an installation, and touches nothing.

#![expect(clippy::unwrap_used, clippy::panic, reason = "what the tests share fails as the tests do")]

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use autoexec_test_support::home::TestHome;
use autoexec_test_support::server::{Config, ConsoleDouble};
use serde_json::Value;

/// A home whose configuration names a server.
fn home(base_url: &str) -> TestHome {
    TestHome::new(base_url, "autoexec", "tok-4711").unwrap()
}

/// Nobody listens there any more.
fn nobody() -> String {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    format!("http://{address}")
}

fn doctor(home: &TestHome, arguments: &[&str]) -> (i32, Value) {
    let arguments = ["doctor", "--output", "json"].iter().chain(arguments);
    let output = home.autoexec(arguments).unwrap().output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (output.status.code().unwrap(), value)
}

/// Status and text of a check.
fn check<'a>(report: &'a Value, name: &str) -> (&'a str, &'a str) {
    let checks = report["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    let found = found.unwrap_or_else(|| panic!("no check {name} in {report:#}"));
    (found["status"].as_str().unwrap(), found["text"].as_str().unwrap())
}

fn failed(report: &Value) -> Vec<&str> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks.filter(|check| check["status"] == "failed").map(|check| check["name"].as_str().unwrap()).collect()
}

#[test]
fn a_good_installation_has_no_failed_check_and_stays_as_it_is() {
    let server = ConsoleDouble::start(Config::default()).unwrap();
    let home = TestHome::new(&server.base_url(), &server.config().user, &server.config().key).unwrap();
    let config = home.path().join("conf/config.ini");
    let before = fs::read_to_string(&config).unwrap();
    let (code, report) = doctor(&home, &[]);
    assert_eq!((code, failed(&report)), (0, vec![]), "{report:#}");
    assert_eq!(report["ok"], true);
    for name in ["home", "writable", "guarded", "secrets", "configuration", "policy", "server", "time-zone"] {
        assert_eq!(check(&report, name).0, "ok", "{report:#}");
    }
    assert_eq!(
        check(&report, "signatures").0,
        "warning",
        "nobody checks where tools come from, and it says so"
    );
    assert!(check(&report, "landlock").1.contains("andlock"));
    // A run would have encrypted its secrets.
    assert_eq!(fs::read_to_string(&config).unwrap(), before);
    assert!(!home.path().join("data/wasm-cache").exists());
    let table = home.autoexec(["doctor"]).unwrap().output().unwrap();
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("ok       policy") && table.contains("0 failed"), "{table}");
    assert!(!table.contains("tok-4711"), "{table}");
}

#[test]
fn what_others_can_change_or_read_is_named() {
    let home = home("http://127.0.0.1:9");
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(home.path().join(path), Permissions::from_mode(mode)).unwrap();
    };
    home.write_local_plugin("basic", "tool", "#!/bin/sh\n").unwrap();
    mode("plugins/local/basic/tool", 0o777);
    mode("conf", 0o777);
    mode("conf/config.ini", 0o644);
    let cache = home.path().join("data/wasm-cache");
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, Permissions::from_mode(0o755)).unwrap();
    let (code, report) = doctor(&home, &["--offline"]);
    assert_eq!((code, failed(&report)), (74, vec!["guarded"]), "{report:#}");
    let guarded = check(&report, "guarded").1;
    assert!(guarded.contains("plugins/local/basic/tool: everybody") && guarded.contains("/conf: everybody"));
    assert!(matches!(check(&report, "secrets"), ("warning", text) if text.contains("0644")));
    assert!(matches!(check(&report, "compiled"), ("warning", text) if text.contains("is not used")));
    assert_eq!(fs::metadata(&cache).unwrap().mode() & 0o777, 0o755, "it only looks");
}

#[test]
fn what_keeps_jobs_from_running_is_named_with_what_to_do() {
    let home = home("http://127.0.0.1:9");
    home.write("conf/policy/site.toml", "mode = 1\n").unwrap();
    home.write("plugins.lock", "nonsense").unwrap();
    home.write("conf/trust/x.pub", "nonsense").unwrap();
    home.write("plugins/wasm/demo/broken.wasm", "nonsense").unwrap();
    let (code, report) = doctor(&home, &["--offline"]);
    assert_eq!(code, 65, "{report:#}");
    assert_eq!(failed(&report), ["policy", "signatures", "lock"], "{report:#}");
    for check in report["checks"].as_array().unwrap().iter().filter(|check| check["status"] == "failed") {
        assert!(!check["advice"].as_str().unwrap().is_empty(), "{check}");
    }
    fs::remove_file(home.path().join("plugins.lock")).unwrap();
    let (_, report) = doctor(&home, &["--offline"]);
    assert!(
        matches!(check(&report, "tools"), ("failed", text) if text.contains("broken.wasm")),
        "{report:#}"
    );
    home.write("conf/config.ini", "[autoexec]\nrexec.readTimeout = soon\n").unwrap();
    let (_, report) = doctor(&home, &["--offline"]);
    assert!(
        matches!(check(&report, "configuration"), ("failed", text) if text.contains("rexec.readTimeout"))
    );
}

#[test]
fn a_misspelled_key_is_a_warning() {
    let home = home("http://127.0.0.1:9");
    home.write("conf/config.ini", "[autoexec]\nssh.hostKeys = strict\nother.key = 1\n").unwrap();
    let (_, report) = doctor(&home, &["--offline"]);
    let (status, text) = check(&report, "configuration");
    assert_eq!(status, "warning", "{report:#}");
    assert!(text.contains("did you mean `ssh.hostkeys`?") && !text.contains("other.key"), "{text}");
}

#[test]
fn required_signatures_without_a_key_are_a_failure() {
    let home = home("http://127.0.0.1:9");
    home.write("conf/config.ini", "[autoexec]\nplugins.signatures = require\nssh.hostkeys = strict\n")
        .unwrap();
    let (code, report) = doctor(&home, &["--offline"]);
    assert_eq!((code, failed(&report)), (65, vec!["signatures", "ssh"]), "{report:#}");
}

#[test]
fn a_server_that_is_away_is_a_failure_of_its_own() {
    let home = home(&nobody());
    let (code, report) = doctor(&home, &["--timeout", "2"]);
    assert_eq!((code, failed(&report)), (69, vec!["server"]), "{report:#}");
    // A port that takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let home = TestHome::new(&format!("http://{}", silent.local_addr().unwrap()), "u", "k").unwrap();
    let (code, report) = doctor(&home, &["--timeout", "1"]);
    assert_eq!(code, 69, "{report:#}");
    assert!(check(&report, "server").1.contains("did not answer within 1 s"), "{report:#}");
}

#[test]
fn a_directory_that_is_no_home_is_said_to_be_none() {
    let home = home("http://127.0.0.1:9");
    let empty = tempfile::tempdir().unwrap();
    let (code, report) = doctor(&home, &["--offline", "--home", empty.path().to_str().unwrap()]);
    assert_eq!(code, 74);
    assert!(matches!(check(&report, "home"), ("failed", text) if text.contains("does not look like a home")));
    let output = home.autoexec(["doctor", "--home", "/no/such/home"]).unwrap().output().unwrap();
    assert_eq!(output.status.code(), Some(65));
}

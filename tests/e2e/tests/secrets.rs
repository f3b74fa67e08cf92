//! No secret is written anywhere but where the contract wants it.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as the tests do")]

use std::path::{Path, PathBuf};

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{key, node, one_shot, op, params, phase, with_argument, with_option, with_output};
use autoexec_test_support::home::PASSWORD_KEY;
use serde_json::{Value, json};

/// What vector 2 of `spec/cli.md` §1.9 decrypts to.
const PLAIN: &str = "s3cret-Pa55";
const ENCRYPTED: &str = "{RC4}d94cf101ca62a06c8680c8";
const NODE_PASSWORD: &str = "n0de-Passw0rd";
const TOKEN: &str = "t0ken-of-the-user";
const OUTPUT_SECRET: &str = "0utput-Secret";
const SERVER_KEY: &str = "tok-4711";

/// Files that hold secrets by contract: parameters and nodes as the server sent them, outputs for later operations.
fn holds_secrets(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name == "params.json"
        || name.starts_with("nodes")
        || name.starts_with("output/")
        || name.starts_with("output-op/")
}

fn operations() -> Vec<Value> {
    let login = with_option(op("basic/login", "runner_target", 1), "pw", "password", ENCRYPTED);
    let login = with_option(login, "who", "account", "app/5/ssh");
    let login = with_option(login, "note", "textarea", &format!("a\npassword={PLAIN}\nb"));
    let login = with_argument(login, "password", ENCRYPTED);
    let login = with_output(login, "made", "password");
    // What an operation puts out as a password stays one where it is referred to.
    let later = with_option(op("basic/later", "runner_target", 2), "made", "text", "${A.basic/login_1.made}");
    let set = with_option(op("native/setenv", "native", 3), "name", "text", "PIN");
    let set = with_option(set, "value", "text", "${dbpw}");
    let set = with_option(set, "hidden", "text", "1");
    let show = with_argument(op("basic/later", "runner_target", 4), "text", "${PIN}");
    let fail = with_option(op("basic/nosuch", "runner_target", 5), "pw", "password", ENCRYPTED);
    vec![login, later, set, show, fail]
}

fn job() -> TestJob {
    let mut params = params([one_shot([phase("A", "runner_target", operations())])]);
    params["opt"]["dbpw"] = json!(ENCRYPTED);
    let mut target = node(71);
    target["password"] = json!(NODE_PASSWORD);
    let job = TestJob::new(params, &[target]).unwrap();
    job.server.set_account("5", ENCRYPTED);
    let login = format!(
        "#!/bin/sh\necho \"$# words\"\nprintf '{{\"made\": \"{OUTPUT_SECRET}\"}}' > \"$OUTPUT_PATH\"\n"
    );
    job.home.write_local_plugin("basic", "login", &login).unwrap();
    job.home.write_local_plugin("basic", "later", "#!/bin/sh\necho \"$# words\"\n").unwrap();
    job
}

fn all_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { all_files(&path, found) } else { found.push(path) }
    }
}

fn assert_no_secret(text: &str, place: &str) {
    for secret in [PLAIN, NODE_PASSWORD, TOKEN, OUTPUT_SECRET, SERVER_KEY, PASSWORD_KEY] {
        assert!(!text.contains(secret), "{place} holds {secret}:\n{text}");
    }
}

#[test]
fn in_no_log_journal_outbox_or_error() {
    let job = job();
    let pass_through = json!({"runnerId": 1, "tenant": "demo", "EXECUSER_TOKEN": TOKEN}).to_string();
    let flags = ["--jobid", job.id(), "--execuser", "u-77", "--passthroughenv", &pass_through, "--firstfire"];
    let running = job.start_command(job.home.autoexec(flags).unwrap()).unwrap();
    let finished = running.wait().unwrap();
    assert_eq!(finished.code, Some(1), "the last operation has no tool: {}", job.console());
    let log = job.node_log("A", &key(71));
    assert_eq!(log.matches("7 words").count(), 1, "the first tool got its words:\n{log}");
    assert!(
        log.contains("The tool basic/nosuch is not installed"),
        "the job came to its last operation:\n{log}"
    );

    assert_no_secret(&finished.stderr, "standard error");
    let mut files = Vec::new();
    for directory in [job.dir(), job.home.path().join("logs"), job.home.path().join("data")] {
        all_files(&directory, &mut files);
    }
    let mut scanned = 0;
    for file in files {
        let relative = file.strip_prefix(job.dir()).unwrap_or(&file);
        if holds_secrets(relative) {
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&file).unwrap()).into_owned();
        assert_no_secret(&text, &relative.display().to_string());
        scanned += 1;
    }
    assert!(scanned >= 6, "console, node log, two history links, input, status, journal, outbox: {scanned}");
}

#[test]
fn configuration_is_rewritten_without_plain_secrets() {
    let job = job();
    job.run(&["--firstfire"]).unwrap();
    let config = std::fs::read_to_string(job.home.path().join("conf/config.ini")).unwrap();
    assert!(!config.contains(SERVER_KEY) && !config.contains(PASSWORD_KEY), "{config}");
    assert!(config.contains("{ENCRYPTED}"), "{config}");
}

#[test]
fn files_and_directories_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let job = job();
    job.run(&["--firstfire"]).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&job.dir()), 0o700);
    for name in ["params.json", "nodes.json", "log/console.txt"] {
        assert_eq!(mode(&job.dir().join(name)) & 0o077, 0, "{name}");
    }
}

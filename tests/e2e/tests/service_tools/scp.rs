//! The native tools `fileops/scpget` and `scpput` over sshd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{one_shot, op, params, phase, with_option, with_output};
use autoexec_test_support::sshd::{Sshd, SshdOptions};
use serde_json::{Value, json};

/// Copies the tools as an installation has them.
fn install(job: &TestJob) {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins-native/local");
    for directory in ["fileops", "lib"] {
        let to = job.home.path().join("plugins/local").join(directory);
        fs::create_dir_all(&to).unwrap();
        for entry in fs::read_dir(source.join(directory)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

fn operation(name: &str, number: u32, options: &[(&str, &str)]) -> Value {
    let operation = with_output(op(name, "runner", number), "filePath", "text");
    options.iter().fold(operation, |op, (option, value)| {
        with_option(op, option, if *option == "pass" { "password" } else { "text" }, value)
    })
}

fn run(operations: Vec<Value>, code: i32) -> (String, Value) {
    let unused = json!({"resourceId": 71, "host": "127.0.0.1", "runnerId": 1});
    let job = TestJob::new(params([one_shot([phase("A", "runner", operations)])]), &[unused]).unwrap();
    install(&job);
    let finished = job.run(&["--firstfire"]).unwrap();
    let log = job.node_log("A", "local-0-0");
    assert_eq!(finished.code, Some(code), "{log}\n{}\n{}", finished.stderr, job.console());
    let outputs = serde_json::from_str(&job.file("output/local-0-0.json")).unwrap_or_default();
    (log, outputs)
}

#[test]
fn any_ssh_host_gives_and_takes_files() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    if sshd.password().is_empty() {
        // Without root only a key can log in.
        return;
    }
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::set_permissions(there.path(), fs::Permissions::from_mode(0o777)).unwrap();
    fs::create_dir_all(here.path().join("app/conf")).unwrap();
    fs::write(here.path().join("app/conf/a b"), "one").unwrap();
    fs::create_dir(here.path().join("back")).unwrap();
    let addr = format!("127.0.0.1:{}", sshd.port());
    let (remote, local) = (there.path().to_str().unwrap(), here.path().to_str().unwrap());
    let (app, back, copied) = (format!("{local}/app"), format!("{local}/back"), format!("{remote}/app"));
    let with = |password: &str, remotedir: &str, dir: &str| {
        [
            ("addr", addr.as_str()),
            ("user", sshd.user()),
            ("pass", password),
            ("remotedir", remotedir),
            ("dir", dir),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let step = |name: &str, number: u32, options: [(String, String); 5]| {
        let options = options.each_ref().map(|(name, value)| (name.as_str(), value.as_str()));
        operation(name, number, &options)
    };
    let steps = vec![
        step("fileops/scpput", 1, with(sshd.password(), remote, &app)),
        step("fileops/scpget", 2, with(sshd.password(), &copied, &back)),
    ];
    let (log, outputs) = run(steps, 0);
    assert_eq!(fs::read_to_string(there.path().join("app/conf/a b")).unwrap(), "one");
    assert_eq!(fs::read_to_string(here.path().join("back/app/conf/a b")).unwrap(), "one");
    let user = sshd.user();
    assert!(log.contains(&format!("INFO: Download {user}@127.0.0.1:{copied} to {back} success.")), "{log}");
    assert!(!log.contains(sshd.password()), "{log}");
    assert_eq!(outputs["fileops/scpget_2"]["filePath"], json!(format!("{back}/app")));
    assert_eq!(outputs["fileops/scpput_1"]["filePath"], json!(copied));

    let wrong = vec![step("fileops/scpget", 1, with("wrong", &copied, &back))];
    let (log, _) = run(wrong, 1);
    assert!(
        log.contains(&format!("ERROR: {user}@127.0.0.1 login failed check username and password.")),
        "{log}"
    );
    let parent = vec![step("fileops/scpget", 1, with(sshd.password(), "/tmp/../etc", &back))];
    let (log, _) = run(parent, 1);
    assert!(log.contains("has a part .."), "{log}");
}

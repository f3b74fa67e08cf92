//! The native tools that log in to a host of their own: `fileops/scpget`, `scpput`, `basic/rexecscript`.

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
    for directory in ["basic", "fileops", "lib"] {
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
        let kind = match *option {
            "pass" | "password" => "password",
            "script" => "textarea",
            _ => "text",
        };
        with_option(op, option, kind, value)
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

#[test]
fn a_script_runs_on_any_ssh_host_and_nothing_of_it_stays() {
    let sshd = Sshd::start(SshdOptions::default()).unwrap();
    if sshd.password().is_empty() {
        return;
    }
    let port = sshd.port().to_string();
    let step = |number: u32, options: &[(&str, &str)]| {
        let all = [("ip", "127.0.0.1"), ("port", port.as_str()), ("username", sshd.user())];
        let mut step = operation("basic/rexecscript", number, &[&all, options].concat());
        step["arg"] = json!([{"type": "text", "value": "it's `id`"}, {"type": "text", "value": "b"}]);
        step
    };
    let password = ("password", sshd.password());
    let script = "echo \"$# <$1> <$2>\"\npwd >&2\nls -a\necho \"$AUTOEXEC_JOBID $AUTOEXEC_NODE\"";
    let (log, _) = run(vec![step(1, &[password, ("interpreter", "sh"), ("script", script)])], 0);
    let user = sshd.user();
    for expected in [
        "INFO: Begin to upload remote script...",
        "INFO: Upload script success, begin to execute remote operation...",
        "INFO: Try to execute script command:sh -l script.sh 'it'\\''s `id`' 'b'",
        "2 <it's `id`> <b>",
        &format!("\"protocol\": \"ssh\", \"username\": \"{user}\"}}"),
        "INFO: Execute remote script by ssh succeed:",
        "INFO:: Exec remote script success .",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
    assert!(!log.contains(sshd.password()), "{log}");
    let begin = "/tmp/autoexec-620011223344-";
    let rest = log.lines().find_map(|line| Some(line.split_once(begin)?.1)).unwrap();
    assert!(!Path::new(&format!("{begin}{rest}")).exists(), "{begin}{rest} is left");

    let failing = ("script", "import sys\nprint('it broke')\nsys.exit(9)");
    let (log, _) = run(vec![step(1, &[password, ("interpreter", "python"), failing])], 1);
    assert!(log.contains("it broke") && log.contains("ERROR:: Exec remote script failed . reason:"), "{log}");

    let wrong = [("password", "wrong"), ("interpreter", "sh"), ("script", "echo ran")];
    let (log, _) = run(vec![step(1, &wrong)], 1);
    let refused = format!("ERROR: {user}@127.0.0.1 login failed check username and password.");
    assert!(log.contains(&refused) && !log.lines().any(|line| line.ends_with(" ran")), "{log}");

    let agent = [password, ("interpreter", "sh"), ("script", "x"), ("protocol", "tagent")];
    let (log, _) = run(vec![step(1, &agent)], 1);
    assert!(log.contains("make the host a node of the job"), "{log}");
}

//! The site's policy: what the program does with it, and what it tells people.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{node, one_shot, op, params, phase, with_option};
use serde_json::Value;

const PROBER: &str = "fixture/prober";

/// A component that `cargo xtask guests` built.
fn guest(name: &str) -> Vec<u8> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
    let directories = match std::env::var_os("AUTOEXEC_GUESTS") {
        Some(directory) => vec![PathBuf::from(directory)],
        None => vec![target.join("plugins/wasm"), target.join("guests/wasm")],
    };
    let found =
        directories.iter().find_map(|directory| std::fs::read(directory.join(format!("{name}.wasm"))).ok());
    found.unwrap_or_else(|| {
        panic!("guest {name} is not built: run `cargo xtask guests` (looked in {directories:?})")
    })
}

/// A job that probes each of the hosts at the listener's port, on the node 127.0.0.1.
struct Probing {
    job: TestJob,
    listener: TcpListener,
    port: u16,
}

impl Probing {
    fn new(hosts: &[&str]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let probe = |(number, host): (u32, &&str)| {
            let options =
                [("host", (*host).to_owned()), ("port", port.to_string()), ("timeout_ms", "5000".to_owned())];
            options.iter().fold(op(PROBER, "runner_target", number), |op, (name, value)| {
                with_option(op, name, "text", value)
            })
        };
        let operations: Vec<Value> = (1..).zip(hosts).map(probe).collect();
        let mut node = node(71);
        node["host"] = "127.0.0.1".into();
        let job =
            TestJob::new(params([one_shot([phase("A", "runner_target", operations)])]), &[node]).unwrap();
        job.install_component(PROBER, &guest(PROBER)).unwrap();
        Self { job, listener, port }
    }

    fn with_policy(hosts: &[&str], policy: &str) -> Self {
        let probing = Self::new(hosts);
        probing.job.home.write("conf/policy/10-site.toml", policy).unwrap();
        probing
    }

    fn run(&self, code: i32) -> String {
        self.job.expect(code, &["--firstfire"]).unwrap();
        self.job.node_log("A", "127.0.0.1--71")
    }

    /// Connections that arrived.
    fn connections(&self) -> usize {
        let mut count = 0;
        loop {
            match self.listener.accept() {
                Ok(_) => count += 1,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return count,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Decision, argument and rule of each line of the audit log.
    fn audit(&self) -> Vec<(String, Option<String>, Option<String>)> {
        let path = self.job.home.path().join("logs/policy-audit.jsonl");
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let fields = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |value: &Value| value.as_str().map(str::to_owned);
            assert_eq!(line["tool"], PROBER, "{line}");
            assert_eq!(line["job"], self.job.id(), "{line}");
            (text(&line["decision"]).unwrap(), text(&line["argument"]), text(&line["rule"]["text"]))
        };
        text.lines().map(fields).collect()
    }
}

#[test]
fn without_a_policy_a_tool_reaches_its_own_node_and_nothing_else() {
    let probing = Probing::new(&["127.0.0.1", "127.0.0.2"]);
    let (log, port) = (probing.run(0), probing.port);
    assert_eq!(probing.connections(), 1);
    let denial = format!("Policy denies {PROBER} `net-probe` on 127.0.0.2:{port}: no rule allows it.");
    assert!(log.contains(&denial), "{log}");
    let file = probing.job.home.path().join("conf/policy/site.toml");
    assert!(log.contains(&format!("To allow it, add to {}", file.display())), "{log}");
    assert!(log.contains(&format!("net-probe = {{ hosts = [\"127.0.0.2:{port}\"] }}")), "{log}");
    let rule = || Some("net-probe hosts \"${node.host}\"".to_owned());
    let own = format!("127.0.0.1:{port}");
    let expected = [
        ("allowed".to_owned(), None, rule()),
        ("allowed".to_owned(), Some(own.clone()), rule()),
        ("allowed".to_owned(), Some(format!("{own} (127.0.0.1)")), rule()),
        ("allowed".to_owned(), None, rule()),
        ("denied".to_owned(), Some(format!("127.0.0.2:{port}")), None),
    ];
    assert_eq!(probing.audit(), expected);
}

#[test]
fn a_name_that_leads_inside_is_refused_by_its_address() {
    let policy = format!("[[grant]]\ntools = [\"{PROBER}\"]\nnet-probe = {{ hosts = [\"*\"] }}\n");
    let probing = Probing::with_policy(&["localhost"], &policy);
    let log = probing.run(0);
    assert_eq!(probing.connections(), 0, "it was connected to");
    assert!(log.contains("is a loopback address"), "{log}");
    let audit = probing.audit();
    assert_eq!(audit[1].0, "allowed", "by name: {audit:?}");
    assert_eq!(audit[2].0, "denied", "by address: {audit:?}");
}

#[test]
fn an_interface_that_is_not_granted_is_not_linked() {
    let policy = "[[grant]]\ntools = [\"*\"]\nstep-outputs = true\n";
    let probing = Probing::with_policy(&["127.0.0.1"], policy);
    let log = probing.run(1);
    assert_eq!(probing.connections(), 0);
    assert!(log.contains("`autoexec:tool/net-probe@1.0.0` is not granted"), "{log}");
    assert!(log.contains("To allow it, add to") && log.contains("conf/policy/10-site.toml"), "{log}");
    let audit = probing.audit();
    assert!(
        audit.iter().all(|line| *line == ("denied".to_owned(), None, None)) && !audit.is_empty(),
        "{audit:?}"
    );
}

#[test]
fn a_policy_that_monitors_warns_and_lets_go_on() {
    let policy = "mode = \"monitor\"\n";
    let probing = Probing::with_policy(&["127.0.0.2"], policy);
    let log = probing.run(0);
    assert_eq!(probing.connections(), 1);
    assert!(log.contains("WARN: Policy (mode monitor) would deny"), "{log}");
    let audit = probing.audit();
    assert!(audit.len() >= 2 && audit.iter().all(|(decision, ..)| decision == "would-deny"), "{audit:?}");
}

#[test]
fn a_broken_policy_stops_the_run_before_it_begins() {
    let probing = Probing::with_policy(&["127.0.0.1"], "[[grant]]\ntools = [\"a/b\"]\nnet-prob = {}\n");
    probing.job.expect(65, &["--firstfire"]).unwrap();
    let console = probing.job.console();
    assert!(console.contains("10-site.toml, line 3, column 1") && console.contains("net-prob"), "{console}");
    assert_eq!((probing.connections(), probing.job.node_log("A", "127.0.0.1--71").as_str()), (0, ""));
}

#[test]
fn limits_of_the_policy_bind() {
    let probing = Probing::with_policy(
        &["127.0.0.1"],
        &format!(
            "[[grant]]\ntools = [\"*\"]\nnet-probe = {{ hosts = [\"${{node.host}}\"] }}\n[[limits]]\ntools = [\"{PROBER}\"]\nmemory-mib = 1\n"
        ),
    );
    let log = probing.run(1);
    assert!(log.contains("limit of 1 MiB"), "{log}");
}

/// Runs `autoexec policy …`; exit code and standard output.
fn command(probing: &Probing, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = probing.job.home.autoexec(["policy"].iter().chain(arguments)).unwrap();
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), format!("{}{errors}", String::from_utf8_lossy(&output.stdout)))
}

#[test]
fn explain_decides_as_a_run_does_and_its_advice_helps() {
    let probing = Probing::new(&[]);
    let ask = ["explain", PROBER, "--node", "10.0.0.7", "net-probe:10.0.0.8:22"];
    let (code, text) = command(&probing, &ask);
    assert_eq!(code, Some(77), "{text}");
    let grant = text.split_once("[[grant]]").unwrap().1;
    let (code, built_in) = command(&probing, &["default"]);
    assert_eq!(code, Some(0));
    probing.job.home.write("conf/policy/site.toml", format!("{built_in}\n[[grant]]{grant}")).unwrap();
    let (code, text) = command(&probing, &ask);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Policy allows") && text.contains("conf/policy/site.toml line"), "{text}");
    let (code, text) = command(&probing, &["explain", PROBER, "--output", "json"]);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &value["capabilities"][0]["decision"]), (Some(0), &"allowed".into()), "{value}");
    let (code, text) = command(&probing, &["explain", PROBER, "step-outputs"]);
    assert!(code == Some(77) && text.contains("does not ask for `step-outputs`"), "{text}");
    assert_eq!(command(&probing, &["explain", PROBER, "nonsense"]).0, Some(64));
}

#[test]
fn check_and_diff_say_what_a_reviewer_needs() {
    let probing =
        Probing::with_policy(&[], "[[grant]]\ntools = [\"a/b\"]\nnet-probe = { hosts = [\"10.0.0.0/8\"] }\n");
    let (code, text) = command(&probing, &["check"]);
    assert!(code == Some(0) && text.contains("10-site.toml"), "{text}");
    let old = probing.job.home.path().join("conf/policy");
    let new = probing
        .job
        .home
        .write("new.toml", "[[grant]]\ntools = [\"a/*\"]\nnet-probe = { hosts = [\"10.0.0.0/8\"] }\n")
        .unwrap();
    let (old, new) = (old.to_str().unwrap(), new.to_str().unwrap());
    let (code, text) = command(&probing, &["diff", old, new]);
    assert!(
        code == Some(0) && text.contains("WIDEN    added for a/*") && text.contains("new.toml line 3"),
        "{text}"
    );
    let (_, text) = command(&probing, &["diff", new, old, "--output", "sarif"]);
    let sarif: Value = serde_json::from_str(&text).unwrap();
    let kinds: Vec<&Value> =
        sarif["runs"][0]["results"].as_array().unwrap().iter().map(|r| &r["ruleId"]).collect();
    assert_eq!(kinds, ["policy-neutral", "policy-narrow"], "{sarif}");
    probing.job.home.write("conf/policy/10-site.toml", "mode = 1\n").unwrap();
    let (code, text) = command(&probing, &["check"]);
    assert!(code == Some(65) && text.contains("10-site.toml, line 1"), "{text}");
    let (code, text) = command(&probing, &["check", "--output", "sarif"]);
    let region = r#""startLine": 1"#;
    assert!(code == Some(65) && text.contains("policy-error") && text.contains(region), "{text}");
}

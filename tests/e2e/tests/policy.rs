//! The site's policy: what the program does with it, and what it tells people.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

use autoexec_e2e::TestJob;
use autoexec_e2e::build::{node, one_shot, op, params, phase, with_option};
use autoexec_e2e::guests::guest;
use autoexec_supply::{SigningKey, sign, signature_path};
use serde_json::Value;

const PROBER: &str = "fixture/prober";

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
        job.install_component(PROBER, &guest(PROBER).unwrap()).unwrap();
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

#[test]
fn what_was_learned_from_a_run_allows_it_and_no_more() {
    let probing = Probing::with_policy(&["127.0.0.1", "127.0.0.2"], "mode = \"learn\"\n");
    probing.run(0);
    assert_eq!(probing.connections(), 2);
    let (code, text) = command(&probing, &["learn", "no-such-job"]);
    assert!(code == Some(64) || code == Some(65), "{code:?}: {text}");
    let (code, text) = command(&probing, &["learn", "4711"]);
    assert!(code == Some(65) && text.contains("has nothing of job 4711"), "{text}");
    let (code, learned) = command(&probing, &["learn", probing.job.id()]);
    let port = probing.port;
    assert_eq!(code, Some(0), "{learned}");
    for part in [PROBER, &format!("${{node.host}}:{port}"), &format!("127.0.0.2:{port}")] {
        assert!(learned.contains(part), "{part}: {learned}");
    }
    let (code, text) = command(&probing, &["learn", probing.job.id(), "--output", "json"]);
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, value["policy"].as_str()), (Some(0), Some(learned.as_str())), "{value}");
    // What is printed is a policy, comments and all.
    let enforced = learned.replace("mode = \"monitor\"", "mode = \"enforce\"");
    assert!(enforced.contains("mode = \"enforce\""), "{learned}");
    probing.job.home.write("conf/policy/10-site.toml", enforced).unwrap();
    probing.job.expect(0, &["--firstfire", "--force"]).unwrap();
    assert_eq!(probing.connections(), 2, "the same run is allowed");
    let other = format!("net-probe:127.0.0.3:{port}");
    assert_eq!(command(&probing, &["explain", PROBER, "--node", "127.0.0.1", &other]).0, Some(77));
}

/// Signature of the tool, and the kinds of findings about signatures.
fn audited(probing: &Probing) -> (Value, Vec<String>) {
    let (_, text) = command(probing, &["audit", "--output", "json", "--fail-on", "never"]);
    let audit: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let kinds = audit["findings"].as_array().unwrap().iter();
    let kinds = kinds.map(|finding| finding["kind"].as_str().unwrap().to_owned());
    let kinds = kinds.filter(|kind| kind.contains("sign") || kind.contains("trusted"));
    (audit["tools"][0]["signature"].clone(), kinds.collect())
}

#[test]
fn an_audit_says_what_fits_and_who_signed_it() {
    let grants = "[ceiling]\nnet-probe = { hosts = [\"10.0.0.0/8\"] }\nstep-outputs = true\n\
                  [[grant]]\ntools = [\"fixture/prober\"]\nnet-probe = { hosts = [\"10.0.0.0/8\"] }\n";
    let probing = Probing::with_policy(&[], grants);
    let (signature, kinds) = audited(&probing);
    assert_eq!((&signature["state"], kinds), (&"missing".into(), vec!["no-trusted-key".to_owned()]));
    let (code, text) = command(&probing, &["audit"]);
    assert!(code == Some(0) && text.contains("unsigned") && text.contains("net-probe"), "{code:?}: {text}");

    let key = SigningKey::generate().unwrap();
    probing.job.home.write("conf/trust/build-2026.pub", key.public().unwrap()).unwrap();
    assert_eq!(audited(&probing).1, ["unsigned"]);
    assert_eq!(command(&probing, &["audit", "--fail-on", "warning"]).0, Some(77));

    let tool = probing.job.home.path().join("plugins/wasm/fixture/prober.wasm");
    let component = std::fs::read(&tool).unwrap();
    std::fs::write(signature_path(&tool), sign(&component, &key).unwrap()).unwrap();
    let (signature, kinds) = audited(&probing);
    assert_eq!((&signature["state"], &signature["keyName"]), (&"holds".into(), &"build-2026".into()));
    assert_eq!(kinds, [""; 0]);
    assert!(command(&probing, &["audit"]).1.contains("by build-2026"));

    let stranger = SigningKey::generate().unwrap();
    std::fs::write(signature_path(&tool), sign(&component, &stranger).unwrap()).unwrap();
    let (signature, kinds) = audited(&probing);
    assert_eq!((&signature["state"], kinds), (&"broken".into(), vec!["wrong-signature".to_owned()]));
    assert!(signature["problem"].as_str().unwrap().contains("not trusted here"), "{signature}");
    let config = probing.job.home.path().join("conf/config.ini");
    let text = std::fs::read_to_string(&config).unwrap() + "plugins.signatures = require\n";
    std::fs::write(config, text).unwrap();
    let (code, text) = command(&probing, &["audit"]);
    assert!(code == Some(77) && text.contains("so it does not run"), "{code:?}: {text}");
    let (code, text) = command(&probing, &["audit", "--output", "sarif"]);
    assert!(code == Some(77) && text.contains("\"ruleId\": \"wrong-signature\""), "{text}");
}

#[test]
fn an_audit_finds_tools_that_ask_for_more_or_less_than_they_use() {
    let probing = Probing::with_policy(&[], "mode = \"monitor\"\n");
    let manifest = |change: fn(&mut autoexec_manifest::Manifest)| {
        autoexec_e2e::guests::with_manifest(&guest(PROBER).unwrap(), change).unwrap()
    };
    let less = manifest(|manifest| manifest.capabilities.clear());
    let more = manifest(|manifest| {
        let request = autoexec_manifest::CapabilityRequest { interface: "lock".into(), reason: "x".into() };
        manifest.capabilities.push(request);
    });
    probing.job.install_component("own/less", &less).unwrap();
    probing.job.install_component("own/more", &more).unwrap();
    probing.job.install_component("own/none", b"nonsense").unwrap();
    let (code, text) = command(&probing, &["audit"]);
    assert_eq!(code, Some(77), "{text}");
    for (kind, about) in [
        ("mode", "the mode denies nothing"),
        ("import-exceeds", "own/less: it imports `net-probe`"),
        ("request-unused", "own/more: it asks for `lock`"),
        ("broken-tool", "own/none: not a readable WebAssembly component"),
    ] {
        let found = text.lines().any(|line| line.contains(kind) && line.contains(about));
        assert!(found, "{kind} {about}: {text}");
    }
}

/// The file that a site copies, `docs/examples/built-in-tools.toml`: what it leaves to the site stands in it by name.
#[test]
fn the_shipped_policy_gives_each_built_in_tool_what_it_asks_for() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/built-in-tools.toml");
    let text = std::fs::read_to_string(shipped).unwrap();
    let probing = Probing::with_policy(&[], &text);
    let tools = autoexec_e2e::guests::tools().unwrap();
    for name in &tools {
        probing.job.install_component(name, &guest(name).unwrap()).unwrap();
    }
    let (code, checked) = command(&probing, &["check"]);
    assert_eq!(code, Some(0), "{checked}");
    let (_, text_of_audit) = command(&probing, &["audit", "--output", "json", "--fail-on", "never"]);
    let audit: Value = serde_json::from_str(&text_of_audit).unwrap();
    let audited = audit["tools"].as_array().unwrap();
    assert!(audited.len() >= tools.len(), "{text_of_audit}");
    let left_to_the_site: String =
        text.split("\n\n").filter(|part| part.starts_with("# Needs the site's hosts:")).collect();
    let mut missing = Vec::new();
    for tool in audited.iter().filter(|tool| tool["tool"] != PROBER) {
        let name = tool["tool"].as_str().unwrap();
        for asked in tool["capabilities"].as_array().unwrap() {
            if asked["decision"] != "allowed" && !left_to_the_site.contains(name) {
                missing.push(format!("{name}: {}", asked["capability"]));
            }
        }
    }
    assert!(missing.is_empty(), "docs/examples/built-in-tools.toml does not name them: {missing:?}");
}

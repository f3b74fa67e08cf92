//! Policies learned from decisions: they allow what was seen, and little else.

use autoexec_grants::{
    Access, Capability, DataDirection, Facts, Learned, ParsedAccess, Policy, Request, SecretDestination,
    Seen, TargetUse, learn,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const JOB: &str = "/opt/ax/data/job/1";

fn seen(access: Access<'_>, node: &str) -> Seen {
    Seen {
        tool: "a/b".to_owned(),
        capability: access.capability(),
        argument: access.argument(),
        node: Some(node.to_owned()),
        place: "a/b_1 of phase p".to_owned(),
        refused: None,
    }
}

fn learned(seen: &[Seen]) -> Learned {
    let current = Policy::parse(&[(
        "c",
        "[[grant]]\ntools = [\"x/y\"]\nprogram = { kubectl = \"/usr/bin/kubectl\", date = \"/bin/date\" }\n",
    )]);
    learn(seen, Some(JOB), &current.unwrap(), "Learned from job 1.\nReview it.")
}

fn policy(learned: &Learned) -> Policy {
    Policy::parse(&[("learned", &learned.text)]).unwrap_or_else(|error| panic!("{error}\n{}", learned.text))
}

fn allows(policy: &Policy, access: Access<'_>, node: &str) -> bool {
    let facts = Facts { node_host: Some(node), job_dir: Some(JOB), home: None };
    policy.decide(&Request { tool: "a/b", digest: None, access }, &facts).allowed()
}

fn file(path: &str) -> Access<'_> {
    Access::Filesystem { path, direction: DataDirection::Read }
}

#[test]
fn hosts_of_the_node_become_the_variable_and_others_stay() {
    let probe = |host, port| Access::NetProbe { host, port, address: None };
    let learned = learned(&[
        seen(Access::Interface(Capability::NetProbe), "10.0.0.7"),
        seen(probe("10.0.0.7", 22), "10.0.0.7"),
        seen(probe("10.0.0.8", 22), "10.0.0.8"),
        seen(probe("10.0.0.8", 22), "10.0.0.7"),
        seen(probe("[2001:db8::1]", 443), "10.0.0.7"),
    ]);
    assert!(learned.left_out.is_empty() && learned.wider.is_empty(), "{learned:?}");
    let policy = policy(&learned);
    assert!(allows(&policy, probe("10.0.0.9", 22), "10.0.0.9"), "another node of its own");
    assert!(
        allows(&policy, probe("10.0.0.8", 22), "10.0.0.9") && allows(&policy, probe("2001:db8::1", 443), "x")
    );
    assert!(
        !allows(&policy, probe("10.0.0.7", 22), "10.0.0.9")
            && !allows(&policy, probe("10.0.0.7", 23), "10.0.0.7")
    );
    let line = "    \"${node.host}:22\", # 2 times, for 10.0.0.7, 10.0.0.8, in a/b_1 of phase p";
    assert!(learned.text.contains(line), "{}", learned.text);
    assert!(learned.text.starts_with("# Learned from job 1.\n# Review it.\n"), "{}", learned.text);
}

#[test]
fn requests_keep_their_methods_and_schemes() {
    let http = |method, scheme, host| Access::Http { method, scheme, host, port: 443, address: None };
    let learned = learned(&[
        seen(http("GET", "https", "a.example"), "n"),
        seen(http("POST", "https", "a.example"), "n"),
        seen(http("GET", "https", "b.example"), "n"),
        seen(http("GET", "http", "c.example"), "n"),
    ]);
    let policy = policy(&learned);
    assert!(allows(&policy, http("POST", "https", "a.example"), "n"));
    assert!(!allows(&policy, http("POST", "https", "b.example"), "n"));
    assert!(allows(&policy, http("GET", "http", "c.example"), "n"));
    assert!(!allows(&policy, http("GET", "https", "c.example"), "n"));
    assert!(learned.wider.is_empty(), "{learned:?}");
}

#[test]
fn what_is_wider_than_seen_says_so() {
    let many: Vec<String> = (0..20).map(|n| format!("/data/in/{n}")).collect();
    let mut all: Vec<Seen> = many.iter().map(|path| seen(file(path), "n")).collect();
    all.push(seen(file("/opt/ax/data/job/1/file/a"), "n"));
    all.push(seen(file("/opt/ax/data/job/1/file/b"), "n"));
    all.push(seen(file("/opt/ax/data/job/1/log/p/x.txt"), "n"));
    all.push(seen(Access::IcmpEcho { host: "h", address: None }, "n"));
    all.push(seen(Access::Lock { name: "l*" }, "n"));
    let learned = learned(&all);
    assert!(learned.left_out.is_empty(), "{learned:?}");
    let wider = learned.wider.join("\n");
    for part in ["/data/in", "${job.dir}/file", "an echo has no port", "the star"] {
        assert!(wider.contains(part), "{part}: {wider}");
    }
    assert!(!wider.contains("log/p"), "{wider}");
    let policy = policy(&learned);
    assert!(allows(&policy, file("/data/in/other"), "n") && !allows(&policy, file("/data/x"), "n"));
    assert!(!allows(&policy, file("/opt/ax/data/job/1/log/p/y.txt"), "n"));
}

#[test]
fn a_name_that_was_only_looked_up_is_granted_with_all_ports_and_that_is_told() {
    let socket = |port| learned(&[seen(Access::Socket { host: "db.example", port, address: None }, "n")]);
    let looked_up = socket(0);
    assert!(
        looked_up.text.contains("\"db.example\",") && looked_up.wider[0].contains("was looked up"),
        "{looked_up:?}"
    );
    let connected = socket(1);
    assert!(connected.text.contains("\"db.example:1\",") && connected.wider.is_empty(), "{connected:?}");
}

#[test]
fn variables_of_a_program_are_learned_and_told_where_they_mix() {
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let wider = |runs: &[(&str, &str)]| {
        let run = |(arguments, environment): &(&str, &str)| {
            let (arguments, environment) = (words(arguments), words(environment));
            seen(Access::Program { name: "date", arguments: &arguments, environment: &environment }, "n")
        };
        let learned = learned(&runs.iter().map(run).collect::<Vec<_>>());
        assert!(learned.left_out.is_empty(), "{learned:?}");
        (learned.text, learned.wider)
    };
    let (text, told) = wider(&[("-u", "TZ LC_ALL"), ("-u", "LC_ALL TZ")]);
    assert!(text.contains("environment = [\n    \"LC_ALL\", # 2 times"), "{text}");
    assert!(
        text.contains("\n[grant.program.date]\npath = \"/bin/date\"\n"),
        "a plain name needs no quotes: {text}"
    );
    assert_eq!(told, [""; 0]);
    assert_eq!(wider(&[("-u", ""), ("-u", "TZ")]).1, [""; 0], "with it or without");
    for mixed in [[("-u", ""), ("-R", "TZ")], [("-u", "TZ"), ("-u", "LC_ALL")]] {
        assert_eq!(wider(&mixed).1, ["a/b: program date: every variable with all arguments"]);
    }
}

#[test]
fn what_can_not_be_written_is_told_and_not_guessed() {
    let mut refused = seen(file("/opt/ax/conf/config.ini"), "n");
    refused.refused = Some("it is the executor's own".to_owned());
    let long = "x".repeat(1000);
    let arguments = ["a".to_owned()];
    let learned = learned(&[
        refused,
        seen(Access::Target(TargetUse::Command { line: &long }), "n"),
        seen(Access::Target(TargetUse::Command { line: "a\nb" }), "n"),
        seen(Access::Program { name: "unheard-of", arguments: &arguments, environment: &[] }, "n"),
        seen(Access::NetProbe { host: "0x7f.1", port: 1, address: None }, "n"),
    ]);
    assert_eq!(learned.left_out.len(), 5, "{learned:?}");
    for part in ["executor's own", "not whole", "path of this program", "number that may be read"] {
        assert!(learned.left_out.iter().any(|line| line.contains(part)), "{part}: {learned:?}");
    }
    assert_eq!(policy(&learned).grant_count(), 0);
}

#[test]
fn an_interface_that_is_linked_and_not_used_stays_linked() {
    for capability in Capability::ALL {
        let learned = learned(&[seen(Access::Interface(capability), "n")]);
        assert!(learned.left_out.is_empty(), "{learned:?}");
        assert!(allows(&policy(&learned), Access::Interface(capability), "n"), "{capability}");
    }
}

/// Uses of every capability.
fn uses() -> Vec<Seen> {
    let words = ["get".to_owned(), "pods".to_owned()];
    let variables = ["KUBECONFIG".to_owned(), "LC_ALL".to_owned()];
    let https = SecretDestination::Http { scheme: "https", host: "api.example", port: 443 };
    let accesses = [
        Access::NetProbe { host: "n1", port: 22, address: None },
        Access::NetProbe { host: "x.example", port: 22, address: Some("10.0.0.1".parse().unwrap()) },
        Access::IcmpEcho { host: "::1", address: None },
        Access::Socket { host: "db.example", port: 0, address: None },
        Access::Socket { host: "10.0.0.1", port: 5432, address: Some("10.0.0.1".parse().unwrap()) },
        Access::Snmp { host: "n2", port: 161, address: None },
        Access::Http { method: "GET", scheme: "http", host: "a.example", port: 80, address: None },
        Access::Http { method: "PUT", scheme: "https", host: "a.example", port: 443, address: None },
        Access::StepOutputs { phase: "p", operation: "o", output: "x" },
        Access::JobNodes { phase: "p" },
        Access::Secret { name: "option:x y", destination: Some(https) },
        Access::Secret { name: "node", destination: Some(SecretDestination::Target) },
        Access::Secret { name: "node", destination: Some(SecretDestination::Program("kubectl")) },
        Access::Secret { name: "node", destination: Some(SecretDestination::Snmp { host: "n1", port: 161 }) },
        Access::Target(TargetUse::Command { line: "systemctl status sshd | head -5" }),
        Access::Target(TargetUse::Session),
        Access::Target(TargetUse::File { path: "/etc/hosts", direction: DataDirection::Read }),
        Access::Target(TargetUse::File { path: "C:\\x", direction: DataDirection::Write }),
        file("/data/x"),
        Access::Filesystem { path: "/opt/ax/data/job/1/output-op/n/y", direction: DataDirection::Write },
        Access::Server { call: "cmdb/save" },
        Access::Documents { collection: "_x", direction: DataDirection::Read },
        Access::Lock { name: "a \"quoted\" lock" },
        Access::Interact { title: "Go on?" },
        Access::Program { name: "kubectl", arguments: &words, environment: &[] },
        Access::Program { name: "kubectl", arguments: &words, environment: &variables },
        Access::Program { name: "date", arguments: &[], environment: &variables[..1] },
    ];
    accesses.iter().map(|access| seen(*access, "n1")).collect()
}

#[test]
fn every_capability_is_learned() {
    let learned = learned(&uses());
    assert!(learned.left_out.is_empty(), "{learned:?}");
}

proptest! {
    #![proptest_config(super::config(60))]

    /// Whatever was seen is allowed afterwards, and what was not seen of the same list is not, unless it is told.
    #[test]
    fn what_was_seen_is_allowed(picked in vec((select(uses()), select(vec!["n1", "n2", "10.0.0.1"])), 1..12)) {
        let seen: Vec<Seen> = picked
            .into_iter()
            .map(|(seen, node)| Seen { node: Some(node.to_owned()), ..seen })
            .collect();
        let learned = learned(&seen);
        prop_assert!(learned.left_out.is_empty(), "{:?}", learned);
        let policy = policy(&learned);
        for one in uses() {
            if seen.iter().any(|other| other.capability == one.capability) {
                continue;
            }
            let parsed = ParsedAccess::parse(one.capability, one.argument.as_deref(), None).unwrap();
            prop_assert!(!allows(&policy, parsed.access(), "n1"), "{:?}\n{}", one, learned.text);
        }
    }
}

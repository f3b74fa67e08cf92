//! Advice: what a denial says to write is the least that allows it.

use autoexec_grants::{
    Access, Advice, DataDirection, Decision, Facts, Limit, Policy, Request, SecretDestination, TargetUse,
    ToolLimits,
};

const FACTS: Facts<'static> =
    Facts { node_host: Some("10.0.0.7"), job_dir: Some("/opt/ax/data/job/1"), home: Some("/opt/ax") };

fn policy(text: &str) -> Policy {
    Policy::parse(&[("p.toml", text)]).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

fn decide(policy: &Policy, access: Access<'_>) -> Decision {
    policy.decide(&Request { tool: "a/b", digest: None, access }, &FACTS)
}

#[test]
fn advice_of_every_capability_is_the_line_that_allows_it() {
    let words = ["get".to_owned(), "pods".to_owned()];
    let spaced = ["a b".to_owned()];
    let variables = ["KUBECONFIG".to_owned(), "LC_ALL".to_owned()];
    let https = SecretDestination::Http { scheme: "https", host: "x.example", port: 443 };
    for (access, line) in [
        (
            Access::Http { method: "GET", scheme: "https", host: "x.example", port: 443, address: None },
            "http = { hosts = [\"x.example:443\"], methods = [\"GET\"] }",
        ),
        (
            Access::Http { method: "PUT", scheme: "http", host: "::1", port: 80, address: None },
            "http = { hosts = [\"[::1]:80\"], methods = [\"PUT\"], schemes = [\"http\"] }",
        ),
        (
            Access::Socket { host: "x.example", port: 0, address: None },
            "sockets = { hosts = [\"x.example\"] }",
        ),
        (
            Access::Socket { host: "x.example", port: 25, address: None },
            "sockets = { hosts = [\"x.example:25\"] }",
        ),
        (
            Access::Snmp { host: "x.example", port: 161, address: None },
            "snmp = { hosts = [\"x.example:161\"] }",
        ),
        (Access::IcmpEcho { host: "::1", address: None }, "net-probe = { hosts = [\"::1\"] }"),
        (Access::StepOutputs { phase: "p", operation: "o", output: "x" }, "step-outputs = true"),
        (Access::JobNodes { phase: "p" }, "job-nodes = true"),
        (Access::Interact { title: "t" }, "interact = true"),
        (
            Access::Secret { name: "option:x", destination: Some(https) },
            "secret = { \"option:x\" = { https = [\"x.example:443\"] } }",
        ),
        (
            Access::Secret {
                name: "node",
                destination: Some(SecretDestination::Connection { host: "x.example", port: 23 }),
            },
            "secret = { \"node\" = { connections = [\"x.example:23\"] } }",
        ),
        (
            Access::Secret {
                name: "node",
                destination: Some(SecretDestination::Snmp { host: "x.example", port: 161 }),
            },
            "secret = { \"node\" = { snmp = [\"x.example:161\"] } }",
        ),
        (
            Access::Secret { name: "node", destination: Some(SecretDestination::Target) },
            "secret = { \"node\" = { target = true } }",
        ),
        (
            Access::Secret { name: "node", destination: Some(SecretDestination::Program("k")) },
            "secret = { \"node\" = { programs = [\"k\"] } }",
        ),
        (
            Access::Target(TargetUse::Command { line: "ls -l | wc" }),
            "target = { commands = [\"ls -l | wc\"] }",
        ),
        (Access::Target(TargetUse::Command { line: "a\nb" }), "target = { commands = true }"),
        (Access::Target(TargetUse::Session), "target = { session = true }"),
        (
            Access::Target(TargetUse::File { path: "/etc/x", direction: DataDirection::Read }),
            "target = { read = [\"/etc/x\"] }",
        ),
        (
            Access::Target(TargetUse::File { path: "x", direction: DataDirection::Write }),
            "target = { write = true }",
        ),
        (
            Access::Filesystem { path: "/data//x/", direction: DataDirection::Read },
            "filesystem = { read = [\"/data/x\"] }",
        ),
        (
            Access::Filesystem { path: "/opt/ax/data/job/1/file/x", direction: DataDirection::Write },
            "filesystem = { write = [\"${job.dir}/file/x\"] }",
        ),
        (Access::Server { call: "a/b" }, "server = { calls = [\"a/b\"] }"),
        (
            Access::Documents { collection: "_c", direction: DataDirection::Read },
            "documents = { read = [\"_c\"] }",
        ),
        (Access::Lock { name: "l" }, "lock = { names = [\"l\"] }"),
        (
            Access::Program { name: "k", arguments: &words, environment: &[] },
            "program = { \"k\" = { path = \"/usr/bin/k\", arguments = [\"get pods\"] } }",
        ),
        (
            Access::Program { name: "k", arguments: &words, environment: &variables },
            "program = { \"k\" = { path = \"/usr/bin/k\", arguments = [\"get pods\"], environment = [\"KUBECONFIG\", \"LC_ALL\"] } }",
        ),
        (
            Access::Program { name: "k", arguments: &spaced, environment: &[] },
            "program = { \"k\" = { path = \"/usr/bin/k\" } }",
        ),
        (
            Access::Program { name: "k", arguments: &[], environment: &[] },
            "program = { \"k\" = { path = \"/usr/bin/k\" } }",
        ),
    ] {
        let text = "[[grant]]\ntools = [\"o/o\"]\nstep-outputs = true\n";
        let Some(Advice::AddGrant { text: advice, file, replaces_built_in }) =
            decide(&policy(text), access).advice
        else {
            panic!("{access:?}")
        };
        assert_eq!(advice, format!("[[grant]]\ntools = [\"a/b\"]\n{line}"));
        assert_eq!((file.as_str(), replaces_built_in), ("p.toml", false));
        assert!(decide(&policy(&format!("{text}{advice}\n")), access).allowed(), "{advice}");
        // The same line widens a ceiling that is in the way.
        let bounded = format!("[ceiling]\n[[grant]]\ntools = [\"a/b\"]\n{line}\n");
        let Some(Advice::AddToCeiling { text, .. }) = decide(&policy(&bounded), access).advice else {
            panic!("{access:?}")
        };
        let widened = bounded.replace("[ceiling]", &format!("[ceiling]\n{text}"));
        assert!(decide(&policy(&widened), access).allowed(), "{widened}");
    }
}

#[test]
fn a_program_that_the_policy_knows_keeps_its_path() {
    let text = "[[grant]]\ntools = [\"o/o\"]\nprogram = { k = \"/opt/k\" }\n";
    let decision = decide(&policy(text), Access::Program { name: "k", arguments: &[], environment: &[] });
    assert!(decision.advice.unwrap().to_string().contains("path = \"/opt/k\""));
    for name in ["a b", ".x", "a/b"] {
        let access = Access::Program { name, arguments: &[], environment: &[] };
        assert_eq!(decide(&policy(text), access).advice, None, "{name}");
    }
}

#[test]
fn a_deny_is_to_be_narrowed_and_nothing_is_advised_where_nothing_helps() {
    let policy = policy("[[grant]]\ntools = [\"a/b\"]\nlock = { names = [\"*\"], deny = [\"l\"] }\n");
    let refused = decide(&policy, Access::Lock { name: "l" });
    let Some(Advice::RemoveDeny { at }) = refused.advice else { panic!("{refused}") };
    assert_eq!(at.line, 3);
    for access in [
        Access::Lock { name: "" },
        Access::Server { call: "../x" },
        Access::NetProbe { host: "127.1", port: 1, address: None },
        Access::Http { method: "GET", scheme: "ftp", host: "x", port: 1, address: None },
        Access::Filesystem { path: "x", direction: DataDirection::Read },
        Access::Filesystem { path: "/opt/ax/conf", direction: DataDirection::Read },
    ] {
        assert_eq!(decide(&policy, access).advice, None, "{access:?}");
    }
}

#[test]
fn limits_without_an_entry_are_the_documented_ones() {
    let values: Vec<(&str, u32)> =
        Limit::ALL.into_iter().map(|limit| (limit.key(), limit.default_value())).collect();
    let expected = [
        ("memory-mib", 64),
        ("time-seconds", 600),
        ("cpu-seconds", 600),
        ("log-kib", 16384),
        ("output-kib", 16384),
        ("host-call-kib", 8192),
        ("response-kib", 16384),
        ("files", 64),
        ("sockets", 64),
        ("handles", 1024),
        ("concurrent-calls", 1024),
    ];
    assert_eq!(values, expected);
    let text = Limit::ALL.into_iter().fold(String::new(), |text, limit| text + limit.key() + " = 3\n");
    let limits = policy(&format!("[[limits]]\ntools = [\"a/b\"]\n{text}")).limits("a/b");
    let ToolLimits {
        memory,
        time,
        cpu,
        log,
        output,
        host_call,
        response,
        files,
        sockets,
        handles,
        concurrent_calls,
    } = limits;
    assert_eq!((memory, log, output, host_call, response), (3 << 20, 3 << 10, 3 << 10, 3 << 10, 3 << 10));
    assert_eq!((time.as_secs(), cpu.as_secs()), (3, 3));
    assert_eq!([files, sockets, handles, concurrent_calls], [3; 4]);
    assert_eq!(policy("mode = \"enforce\"\n").limits("a/b"), ToolLimits::default());
}

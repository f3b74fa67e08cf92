//! Audits, and what a tool gets as a whole.

use autoexec_grants::{AuditedTool, DataDirection, Facts, Policy, Severity};

fn tool(name: &str, requested: &[&str], imported: &[&str]) -> AuditedTool {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    AuditedTool { name: name.to_owned(), requested: owned(requested), imported: owned(imported) }
}

fn policy(text: &str) -> Policy {
    Policy::parse(&[("p.toml", text)]).unwrap()
}

/// Kind, severity and line of what is found, but for the notes that every policy without a ceiling gets.
fn found(policy: &Policy, tools: &[AuditedTool]) -> Vec<(&'static str, Severity, Option<usize>)> {
    let findings = policy.audit(tools).findings.into_iter();
    let of = findings.map(|finding| (finding.kind, finding.severity, finding.rule.map(|rule| rule.line)));
    of.filter(|(kind, ..)| *kind != "no-ceiling").collect()
}

#[test]
fn the_built_in_policy_has_nothing_to_remark() {
    let policy = Policy::built_in("site.toml").unwrap();
    let tools = [tool("a/b", &["net-probe", "step-outputs"], &["net-probe", "step-outputs"])];
    assert_eq!(found(&policy, &tools), []);
    assert_eq!(policy.audit(&tools).findings, [], "not even that it has no ceiling");
}

#[test]
fn tools_that_do_not_fit_are_found() {
    let policy =
        policy("[ceiling]\nhttp = true\n[[grant]]\ntools = [\"a/*\"]\nhttp = { hosts = [\"x.example\"] }\n");
    for (tool, expected) in [
        (tool("a/good", &["http"], &["http"]), vec![]),
        (tool("a/x", &[], &["http"]), vec![("import-exceeds", Severity::Error)]),
        (tool("a/x", &["http"], &[]), vec![("request-unused", Severity::Warning)]),
        (tool("a/x", &["http", "magic"], &["http", "magic"]), vec![("unknown-capability", Severity::Error)]),
        (tool("a/x", &["http", "lock"], &["http", "lock"]), vec![("not-granted", Severity::Note)]),
        // References come in options, and files go to nodes and programs by their paths.
        (tool("a/x", &["http", "secret"], &["http"]), vec![("not-granted", Severity::Note)]),
        (
            tool("a/x", &["http", "filesystem", "target"], &["http", "target"]),
            vec![("not-granted", Severity::Note), ("not-granted", Severity::Note)],
        ),
        (
            tool("a/x", &["http", "filesystem"], &["http"]),
            vec![("request-unused", Severity::Warning), ("not-granted", Severity::Note)],
        ),
    ] {
        let good = self::tool("a/good", &["http"], &["http"]);
        let findings = policy.audit(&[good, tool.clone()]).findings;
        let found: Vec<_> = findings.iter().map(|finding| (finding.kind, finding.severity)).collect();
        assert_eq!(found, expected, "{tool:?}");
        assert!(findings.iter().all(|finding| finding.tool.as_deref() == Some("a/x")), "{findings:?}");
    }
}

#[test]
fn rules_that_nobody_uses_are_found() {
    let tools = [tool("a/b", &["lock"], &["lock"])];
    let unused = |line: &str, tools_of_rule: &str| {
        let text = format!("[[grant]]\ntools = [\"{tools_of_rule}\"]\n{line}\n");
        found(&policy(&text), &tools).iter().any(|(kind, ..)| *kind == "unused-grant")
    };
    assert!(!unused("lock = { names = [\"l\"] }", "a/b"));
    assert!(
        unused("lock = { names = [\"l\"] }", "a/c") && unused("http = { hosts = [\"x.example\"] }", "a/b")
    );
    assert!(!unused("http = { deny = [\"x.example\"] }", "a/c"), "a deny is no grant");
}

#[test]
fn broad_rules_are_found() {
    use Severity::{Error, Note, Warning};
    for (line, expected) in [
        ("http = { hosts = [\"x.example\"] }", None),
        ("http = { hosts = [\"*:443\"] }", Some(("wildcard-hosts", Warning))),
        ("sockets = { hosts = [\"*\"] }", Some(("wildcard-hosts", Warning))),
        ("http = { hosts = [\"*.example\"] }", None),
        ("http = { hosts = [\"x.example\"], schemes = [\"http\"] }", Some(("clear-text", Note))),
        ("http = { unverified-tls = [\"x.example\"] }", Some(("unverified-tls", Warning))),
        ("http = { unverified-tls = [\"*\"] }", Some(("unverified-tls", Error))),
        ("sockets = { hosts = [\"10.0.0.0/8\"] }", Some(("special-range", Note))),
        ("sockets = { hosts = [\"10.1.2.3\"] }", None),
        ("sockets = { hosts = [\"93.184.0.0/16\"] }", None),
        ("sockets = { hosts = [\"127.0.0.1\"] }", Some(("special-range", Warning))),
        ("sockets = { hosts = [\"169.254.169.254\"] }", Some(("special-range", Warning))),
        ("secret = { x = { https = [\"x.example\"] } }", None),
        ("secret = { x = { https = [\"*\"] } }", Some(("secret-anywhere", Error))),
        ("secret = { x = { snmp = [\"*:161\"] } }", Some(("secret-anywhere", Error))),
        ("secret = { x = { http = [\"x.example\"] } }", Some(("secret-in-clear", Warning))),
        ("secret = { \"*\" = { target = true } }", Some(("wildcard-names", Warning))),
        ("target = { commands = true }", Some(("any-command", Note))),
        ("target = { commands = [\"* x\"] }", Some(("any-command", Warning))),
        ("target = { commands = [\"**\"] }", Some(("any-command", Warning))),
        ("target = { commands = [\"x **\"] }", None),
        ("target = { read = true }", Some(("any-file", Note))),
        ("target = { read = [\"/\"] }", None),
        ("filesystem = { read = [\"/etc\"] }", Some(("wide-directory", Warning))),
        ("filesystem = { read = [\"/etc/x\"] }", None),
        ("filesystem = { read = [\"${job.dir}/file\"] }", None),
        ("server = { calls = [\"*\"] }", Some(("wildcard-names", Warning))),
        ("server = { calls = [\"a*\"] }", None),
        ("documents = { write = [\"*\"] }", Some(("wildcard-names", Warning))),
        ("lock = { names = [\"*\"] }", Some(("wildcard-names", Warning))),
        ("program = { x = \"/usr/bin/x\" }", Some(("any-arguments", Note))),
        ("program = { x = { path = \"/usr/bin/x\", arguments = [\"a\"] } }", None),
        ("program = { x = { path = \"/bin/sh\", arguments = [\"a\"] } }", Some(("interpreter", Warning))),
        (
            "program = { x = { path = \"/x\", arguments = [\"a\"], environment = [\"GIT_*\"] } }",
            Some(("program-variable", Warning)),
        ),
        (
            "program = { x = { path = \"/x\", arguments = [\"a\"], environment = [\"LC_ALL\", \"PAGER\"] } }",
            Some(("program-variable", Warning)),
        ),
        ("program = { x = { path = \"/x\", arguments = [\"a\"], environment = [\"LC_*\"] } }", None),
        ("http = { deny = [\"*\"] }", None),
    ] {
        let capability = line.split(' ').next().unwrap();
        let policy = policy(&format!("[[grant]]\ntools = [\"a/b\"]\n{line}\n"));
        let found = found(&policy, &[tool("a/b", &[capability], &[capability])]);
        let found: Vec<_> = found.into_iter().filter(|(kind, ..)| *kind != "not-granted").collect();
        assert_eq!(
            found,
            expected.map(|(kind, severity)| (kind, severity, Some(3))).into_iter().collect::<Vec<_>>(),
            "{line}"
        );
    }
}

#[test]
fn a_grant_to_all_tools_is_found_unless_it_can_do_no_harm() {
    let kinds = |line: &str| {
        let policy = policy(&format!("[[grant]]\ntools = [\"*\"]\n{line}\n"));
        let capability = line.split(' ').next().unwrap();
        let found = found(&policy, &[tool("a/b", &[capability], &[capability])]);
        found.into_iter().map(|(kind, ..)| kind).collect::<Vec<_>>()
    };
    assert_eq!(kinds("lock = { names = [\"l\"] }"), ["wildcard-tools"]);
    assert_eq!(kinds("net-probe = { hosts = [\"x.example\"] }"), ["wildcard-tools"]);
    assert_eq!(kinds("net-probe = { hosts = [\"${node.host}\"] }"), [""; 0]);
    assert_eq!(kinds("sockets = { hosts = [\"${node.host}\"] }"), ["wildcard-tools"]);
    assert_eq!(kinds("interact = true"), [""; 0]);
}

#[test]
fn modes_and_a_missing_ceiling_are_found() {
    let kinds = |text: &str| {
        let findings = policy(text).audit(&[]).findings;
        findings.into_iter().map(|finding| (finding.kind, finding.severity)).collect::<Vec<_>>()
    };
    assert_eq!(kinds("mode = \"learn\"\n[ceiling]\n"), [("mode", Severity::Error)]);
    assert_eq!(kinds("mode = \"monitor\"\n[ceiling]\n"), [("mode", Severity::Error)]);
    assert_eq!(kinds("mode = \"enforce\"\n"), [("no-ceiling", Severity::Note)]);
    assert_eq!(kinds("[ceiling]\n"), []);
}

#[test]
fn the_worst_comes_first() {
    let policy = policy(
        "[[grant]]\ntools = [\"a/b\"]\nprogram = { x = \"/x\" }\nlock = { names = [\"*\"] }\nhttp = { unverified-tls = [\"*\"] }\n",
    );
    let severities: Vec<Severity> =
        policy.audit(&[]).findings.iter().map(|finding| finding.severity).collect();
    assert!(severities.is_sorted_by(|one, other| one >= other), "{severities:?}");
    assert_eq!(severities.first(), Some(&Severity::Error));
}

#[test]
fn a_tools_directories_are_those_within_the_ceiling() {
    let text = "[ceiling]\nfilesystem = { read = [\"/data/a\", \"${job.dir}/file\", \"/opt/ax/conf\"], write = [\"/out\"] }\n\
        [[grant]]\ntools = [\"a/b\"]\nfilesystem = { read = [\"/data\", \"${job.dir}/file\", \"/srv/x\", \"/opt/ax/conf\"], write = [\"/out/x\", \"/data/a\"] }\n";
    let facts = Facts { node_host: None, job_dir: Some("/opt/ax/data/job/1"), home: Some("/opt/ax") };
    let policy = policy(text);
    let read = policy.directories("a/b", &facts, DataDirection::Read);
    assert_eq!(read, ["/data/a", "/opt/ax/data/job/1/file"]);
    assert_eq!(policy.directories("a/b", &facts, DataDirection::Write), ["/out/x"]);
    assert!(policy.directories("a/c", &facts, DataDirection::Read).is_empty());
}

#[test]
fn certificates_are_checked_unless_all_who_give_the_host_say_no() {
    let verifies = |text: &str, host: &str, port: u16| {
        let policy = policy(&format!("[[grant]]\ntools = [\"a/b\"]\n{text}\n"));
        policy.verifies_certificate("a/b", &Facts::default(), host, port)
    };
    let lifted = "http = { hosts = [\"x.example\"], unverified-tls = [\"x.example:443\"] }";
    assert!(!verifies(lifted, "x.example", 443));
    assert!(verifies(lifted, "x.example", 8443) && verifies(lifted, "y.example", 443));
    assert!(verifies(&format!("{lifted}\nsockets = {{ hosts = [\"x.example\"] }}"), "x.example", 443));
    assert!(!verifies(&format!("{lifted}\nsockets = {{ hosts = [\"y.example\"] }}"), "x.example", 443));
    assert!(verifies("http = { hosts = [\"*\"] }", "x.example", 443));
    assert!(verifies(lifted, "x@example", 443));
}

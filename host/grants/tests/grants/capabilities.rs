//! Every capability with a scope: what a rule gives, what it does not, and what the executor is told.

use DataDirection::{Read, Write};
use autoexec_grants::{
    Access, Capability, DataDirection, Decision, DecisionOutcome, Facts, Policy, Reason, Request,
    SecretDestination, TargetUse, Terms,
};

const FACTS: Facts<'static> =
    Facts { node_host: Some("10.0.0.7"), job_dir: Some("/opt/ax/data/job/1"), home: Some("/opt/ax") };

fn policy(text: &str) -> Policy {
    Policy::parse(&[("p.toml", text)]).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A policy that grants the line to every tool.
fn granting(line: &str) -> Policy {
    policy(&format!("[[grant]]\ntools = [\"*\"]\n{line}\n"))
}

fn decide(policy: &Policy, access: Access<'_>) -> Decision {
    policy.decide(&Request { tool: "a/b", digest: None, access }, &FACTS)
}

fn allows(policy: &Policy, access: Access<'_>) -> bool {
    decide(policy, access).allowed()
}

fn http<'a>(method: &'a str, scheme: &'a str, host: &'a str, port: u16) -> Access<'a> {
    Access::Http { method, scheme, host, port, address: None }
}

#[test]
fn http_is_bound_by_host_method_and_scheme() {
    let policy = granting(
        "http = { hosts = [\"api.example\", \"10.1.0.0/16:8443\"], methods = [\"GET\", \"HEAD\"], deny = [\"10.1.9.0/24\"] }",
    );
    for (access, expected) in [
        (http("GET", "https", "api.example", 443), true),
        (http("HEAD", "https", "API.example.", 8080), true),
        (http("POST", "https", "api.example", 443), false),
        (http("get", "https", "api.example", 443), false),
        (http("GET", "http", "api.example", 80), false),
        (http("GET", "ftp", "api.example", 21), false),
        (http("GET", "https", "evil.example", 443), false),
        (http("GET", "https", "user@api.example", 443), false),
        (http("GET", "https", "10.1.2.3", 8443), true),
        (http("GET", "https", "10.1.2.3", 443), false),
        (http("POST", "https", "10.1.2.3", 8443), false),
        (http("GET", "https", "10.1.9.3", 8443), false),
        (http("GET", "https", "169.254.169.254", 80), false),
    ] {
        assert_eq!(allows(&policy, access), expected, "{access:?}");
    }
    let both = granting("http = { hosts = [\"*:80\"], schemes = [\"http\", \"https\"] }");
    assert!(allows(&both, http("PUT", "http", "a.example", 80)));
    assert!(allows(&both, http("PUT", "https", "a.example", 80)));
    assert_eq!(decide(&both, http("PUT", "gopher", "a.example", 80)).reason, Reason::Scheme);
    // A method that is not granted does not open the private network for one that is granted to others.
    let split = granting(
        "http = { hosts = [\"*\"] }\n[[grant]]\ntools = [\"*\"]\nhttp = { hosts = [\"10.0.0.0/8\"], methods = [\"GET\"] }",
    );
    let to = |method, address: &str| {
        let address = Some(address.parse().unwrap());
        Access::Http { method, scheme: "https", host: "a.example", port: 443, address }
    };
    assert!(allows(&split, to("GET", "10.0.0.1")) && allows(&split, to("POST", "93.184.216.34")));
    assert!(matches!(decide(&split, to("POST", "10.0.0.1")).reason, Reason::SpecialAddress { .. }));
}

#[test]
fn certificates_are_checked_unless_a_rule_says_no() {
    let verified = |policy: &Policy, access: Access<'_>| match decide(policy, access).terms {
        Terms::Connection { verify_certificate } => verify_certificate,
        other => panic!("{other:?}"),
    };
    let line =
        "http = { hosts = [\"*\", \"10.0.0.0/8\"], unverified-tls = [\"10.0.0.0/8:8443\", \"old.example\"] }";
    let policy = granting(line);
    assert!(verified(&policy, http("GET", "https", "a.example", 443)));
    assert!(!verified(&policy, http("GET", "https", "old.example", 443)));
    assert!(!verified(&policy, http("GET", "https", "10.0.0.1", 8443)));
    assert!(verified(&policy, http("GET", "https", "10.0.0.1", 443)));
    // A name that leads there has a certificate for its name.
    let address = Some("10.0.0.1".parse().unwrap());
    let by_name = Access::Http { method: "GET", scheme: "https", host: "a.example", port: 8443, address };
    assert!(verified(&policy, by_name));
    assert!(!allows(
        &granting("http = { unverified-tls = [\"a.example\"] }"),
        http("GET", "https", "a.example", 1)
    ));
    assert!(!allows(
        &granting("http = { unverified-tls = [\"a.example\"] }"),
        Access::Interface(Capability::Http)
    ));
    let socket = Access::Socket { host: "10.0.0.1", port: 636, address: Some("10.0.0.1".parse().unwrap()) };
    assert!(!verified(
        &granting("sockets = { hosts = [\"10.0.0.1\"], unverified-tls = [\"10.0.0.1\"] }"),
        socket
    ));
    assert!(verified(&granting("sockets = { hosts = [\"10.0.0.1\"] }"), socket));
    // The ceiling bounds that too.
    let bounded =
        |ceiling: &str| self::policy(&format!("[ceiling]\n{ceiling}\n[[grant]]\ntools = [\"*\"]\n{line}\n"));
    let access = http("GET", "https", "old.example", 443);
    assert!(verified(&bounded("http = { hosts = [\"*\"] }"), access));
    assert!(!verified(&bounded("http = { hosts = [\"*\"], unverified-tls = [\"*\"] }"), access));
    assert!(!verified(&bounded("http = true"), access));
    // No mode lifts it.
    assert!(verified(&self::policy("mode = \"learn\"\n"), access));
}

#[test]
fn a_name_is_looked_up_when_any_port_is_granted_and_an_echo_needs_the_host() {
    let policy = granting(
        "sockets = { hosts = [\"db.example:5432\"], deny = [\"db.example:1\"] }\nnet-probe = { hosts = [\"db.example:5432\", \"web.example\"], deny = [\"web.example:1\"] }",
    );
    let lookup = |host| Access::Socket { host, port: 0, address: None };
    assert!(allows(&policy, lookup("db.example")) && !allows(&policy, lookup("web.example")));
    assert!(allows(&policy, Access::Socket { host: "db.example", port: 5432, address: None }));
    assert!(!allows(&policy, Access::Socket { host: "db.example", port: 5433, address: None }));
    let address = Some("93.184.216.34".parse().unwrap());
    assert!(
        !allows(&policy, Access::Socket { host: "db.example", port: 0, address }),
        "no port is no wildcard"
    );
    let echo = |host| Access::IcmpEcho { host, address: None };
    assert!(allows(&policy, echo("web.example")) && !allows(&policy, echo("db.example")));
    let denied = granting("sockets = { hosts = [\"db.example\"], deny = [\"*\"] }");
    assert!(!allows(&denied, lookup("db.example")));
    assert!(!allows(
        &granting("net-probe = { hosts = [\"*\"], deny = [\"web.example\"] }"),
        echo("web.example")
    ));
}

#[test]
fn snmp_is_bound_by_host_and_port() {
    let policy = granting("snmp = { hosts = [\"${node.host}:161\"] }");
    let ask = |host, port| Access::Snmp { host, port, address: None };
    assert!(allows(&policy, ask("10.0.0.7", 161)));
    assert!(!allows(&policy, ask("10.0.0.7", 162)) && !allows(&policy, ask("10.0.0.8", 161)));
    assert_eq!(decide(&policy, ask("10.0.0.7", 161)).terms, Terms::Plain);
}

#[test]
fn secrets_go_where_their_rule_says_and_nowhere_else() {
    let policy = granting(
        "secret = { \"option:api*\" = { https = [\"api.example:443\"], programs = [\"kubectl\"] }, node = { target = true, connections = [\"${node.host}\"], snmp = [\"${node.host}:161\"] }, \"option:api_root\" = false }",
    );
    let goes = |name, destination| allows(&policy, Access::Secret { name, destination: Some(destination) });
    let over = |scheme, host, port| SecretDestination::Http { scheme, host, port };
    assert!(goes("option:api_key", over("https", "api.example", 443)));
    assert!(!goes("option:api_key", over("http", "api.example", 443)), "in the clear");
    assert!(!goes("option:api_key", over("https", "api.example", 8443)));
    assert!(!goes("option:api_key", over("https", "evil.example", 443)));
    assert!(!goes("option:api_key", SecretDestination::Connection { host: "api.example", port: 443 }));
    assert!(!goes("option:api_key", SecretDestination::Target));
    assert!(goes("option:api_key", SecretDestination::Program("kubectl")));
    assert!(!goes("option:api_key", SecretDestination::Program("sh")));
    assert!(!goes("option:api_root", over("https", "api.example", 443)), "denied by name");
    assert!(goes("node", SecretDestination::Target));
    assert!(goes("node", SecretDestination::Connection { host: "10.0.0.7", port: 23 }));
    assert!(goes("node", SecretDestination::Snmp { host: "10.0.0.7", port: 161 }));
    assert!(!goes("node", SecretDestination::Snmp { host: "10.0.0.8", port: 161 }));
    assert!(!goes("node", over("https", "api.example", 443)));
    let reference = |name| allows(&policy, Access::Secret { name, destination: None });
    assert!(reference("option:api_key") && reference("node"));
    assert!(!reference("option:api_root") && !reference("option:other"));
    // A place that is denied is no denial of the reference.
    let some = granting("secret = { x = { https = [\"a.example\"], target = false } }");
    assert!(allows(&some, Access::Secret { name: "x", destination: None }));
    assert!(!allows(&some, Access::Secret { name: "x", destination: Some(SecretDestination::Target) }));
    // A broad rule gives no private address, as for connections.
    let broad = granting("secret = { x = { https = [\"*\"], http = [\"*\"] } }");
    let to = |scheme, host| Access::Secret { name: "x", destination: Some(over(scheme, host, 443)) };
    assert!(allows(&broad, to("http", "a.example")) && allows(&broad, to("https", "93.184.216.34")));
    assert!(!allows(&broad, to("https", "169.254.169.254")) && !allows(&broad, to("https", "10.0.0.1")));
    assert_eq!(decide(&broad, to("ftp", "a.example")).reason, Reason::Scheme);
}

#[test]
fn the_node_gives_commands_sessions_and_files_one_by_one() {
    let run = |line| Access::Target(TargetUse::Command { line });
    let file = |path, direction| Access::Target(TargetUse::File { path, direction });
    let session = Access::Target(TargetUse::Session);
    let policy = granting(
        "target = { commands = [\"uptime\", \"systemctl status *\"], read = [\"/etc\", \"C:\\\\Logs\"], write = [\"/tmp/ax\"], deny = [\"/etc/shadow\"] }",
    );
    for (access, expected) in [
        (run("uptime"), true),
        (run("systemctl status sshd"), true),
        (run("systemctl status sshd; id"), false),
        (run("id"), false),
        (session, false),
        (file("/etc/hosts", Read), true),
        (file("/etc//./hosts", Read), true),
        (file("/etc/hosts", Write), false),
        (file("/etc/shadow", Read), false),
        (file("/etc/../root/x", Read), false),
        (file("etc/hosts", Read), false),
        (file("c:/logs/a.txt", Read), true),
        (file("C:\\LOGS\\a.txt", Read), true),
        (file("C:\\other", Read), false),
        (file("/tmp/ax/x", Write), true),
        (file("/tmp/ax/x", Read), false),
        (file("/tmp/axe", Write), false),
    ] {
        assert_eq!(allows(&policy, access), expected, "{access:?}");
    }
    let all = granting("target = { commands = true, session = true, read = true, write = true }");
    assert!(
        [run("id; reboot\n"), session, file("~/x", Read), file("/x", Write)].iter().all(|a| allows(&all, *a))
    );
    assert!(!allows(&all, file("/a/../x", Read)), "leads who knows where");
    // What can not be compared with a denied directory could lie in it.
    let guarded = granting("target = { read = true, write = true, deny = [\"/etc\"] }");
    assert!(allows(&guarded, file("/x", Read)) && !allows(&guarded, file("x", Read)));
    assert!(!allows(&guarded, file("/etc/x", Write)));
    let none = granting(
        "target = { commands = true, session = true, read = true }\n[[grant]]\ntools = [\"*\"]\ntarget = { commands = false, session = false, read = false }",
    );
    assert!(![run("id"), session, file("/x", Read)].iter().any(|access| allows(&none, *access)));
}

#[test]
fn files_are_given_below_directories_with_the_root_to_stay_in() {
    let root = |policy: &Policy, path, direction| {
        let decision = decide(policy, Access::Filesystem { path, direction });
        match decision.terms {
            Terms::Directory { root } if decision.outcome == DecisionOutcome::Allowed => Ok(root),
            _ => Err(decision.reason),
        }
    };
    let policy = granting(
        "filesystem = { read = [\"/data/in\", \"/data\", \"${job.dir}/file\"], write = [\"/data/out/\", \"${job.dir}/output-op\"], deny = [\"/data/in/private\"] }",
    );
    for (path, direction, expected) in [
        ("/data/in/x", Read, Ok("/data")),
        ("/data", Read, Ok("/data")),
        ("/data/out/x", Write, Ok("/data/out")),
        ("/data/in/x", Write, Err(Reason::NoRule)),
        ("/data/in/private/x", Read, Err(Reason::Forbidden)),
        ("/data/in/./private", Read, Err(Reason::Forbidden)),
        ("/database", Read, Err(Reason::NoRule)),
        ("/opt/ax/data/job/1/file/a", Read, Ok("/opt/ax/data/job/1/file")),
        ("/opt/ax/data/job/1/output-op/n/x", Write, Ok("/opt/ax/data/job/1/output-op")),
        ("/opt/ax/data/job/1/output-op/n/x", Read, Err(Reason::NoRule)),
        ("/opt/ax/data/job/2/file/a", Read, Err(Reason::OwnFile)),
    ] {
        assert_eq!(root(&policy, path, direction), expected.map(str::to_owned), "{path} {direction}");
    }
    // Rules that lie around the executor's own directories do not give them out, in no mode.
    for mode in ["learn", "monitor", "enforce"] {
        let wide = self::policy(&format!(
            "mode = \"{mode}\"\n[[grant]]\ntools = [\"*\"]\nfilesystem = {{ read = [\"/opt\"], write = [\"/opt\"] }}\n"
        ));
        for path in
            ["/opt/ax/conf/config.ini", "/opt/ax/data/job/1/params.json", "/opt/ax/data/job/1/input/n.json"]
        {
            let decision = decide(&wide, Access::Filesystem { path, direction: Read });
            assert_eq!(
                (decision.outcome, decision.reason),
                (DecisionOutcome::Denied, Reason::OwnFile),
                "{path}"
            );
            assert_eq!(decision.advice, None);
        }
        assert!(!allows(&wide, Access::Filesystem { path: "/opt/x/../ax/conf/x", direction: Read }));
        assert!(
            !allows(&wide, Access::Filesystem { path: "/opt", direction: Write }),
            "moves the installation"
        );
        assert_eq!(root(&wide, "/opt/x", Read), Ok("/opt".to_owned()));
    }
    let learning = self::policy("mode = \"learn\"\n");
    let decision = decide(&learning, Access::Filesystem { path: "/srv/x/y", direction: Read });
    assert_eq!(decision.outcome, DecisionOutcome::Learned);
    assert_eq!(decision.terms, Terms::Directory { root: "/srv/x".to_owned() });
    let bounded = self::policy(
        "[ceiling]\nfilesystem = { read = [\"/data/in/a\", \"/data/in\"] }\n[[grant]]\ntools = [\"*\"]\nfilesystem = { read = [\"/data\"] }\n",
    );
    assert_eq!(root(&bounded, "/data/in/a/b", Read), Ok("/data/in".to_owned()), "no wider than the ceiling");
    assert_eq!(root(&bounded, "/data/x", Read), Err(Reason::Ceiling));
    let unbounded = self::policy(
        "[ceiling]\nfilesystem = true\n[[grant]]\ntools = [\"*\"]\nfilesystem = { read = [\"/data\"] }\n",
    );
    assert_eq!(root(&unbounded, "/data/x", Read), Ok("/data".to_owned()));
}

#[test]
fn calls_collections_and_locks_go_by_name() {
    let policy = granting(
        "server = { calls = [\"cmdb/*\", \"job/status\"], deny = [\"cmdb/admin/*\"] }\ndocuments = { read = [\"COLLECT_*\", \"*\"], write = [\"COLLECT_OS\"], deny = [\"COLLECT_X\"] }\nlock = { names = [\"build-*\"], deny = [\"build-0\"] }",
    );
    let call = |call| allows(&policy, Access::Server { call });
    assert!(call("cmdb/ci/save") && call("job/status"));
    for refused in [
        "job/status2",
        "cmdb/admin/x",
        "cmdb/../admin",
        "cmdb/x?y",
        "cmdb/%2e",
        "/cmdb/x",
        "cmdb//x",
        "cmdb/",
        "",
    ] {
        assert!(!call(refused), "{refused}");
    }
    let documents = |collection, direction| allows(&policy, Access::Documents { collection, direction });
    assert!(documents("COLLECT_OS", Read) && documents("COLLECT_OS", Write) && documents("other", Read));
    assert!(!documents("COLLECT_X", Read) && !documents("COLLECT_DB", Write));
    assert!(!documents("_autoexec_env", Read), "a star gives nothing of the executor's own");
    assert!(!documents("system.users", Read) && !documents("a$cmd", Read));
    let own = granting("documents = { read = [\"_node_*\"] }");
    assert!(allows(&own, Access::Documents { collection: "_node_output", direction: Read }));
    let all_denied = granting("documents = { read = [\"_x\"], deny = [\"*\"] }");
    assert!(!allows(&all_denied, Access::Documents { collection: "_x", direction: Read }));
    let lock = |name| allows(&policy, Access::Lock { name });
    assert!(lock("build-1") && !lock("build-0") && !lock("deploy") && !lock("build-\n"));
}

#[test]
fn a_program_has_one_path_and_may_be_bound_by_its_arguments() {
    let policy = granting(
        "program = { kubectl = { path = \"/usr/bin/kubectl\", arguments = [\"get **\", \"version\"] }, nmap = \"/usr//bin/nmap\" }",
    );
    let run = |policy: &Policy, name: &str, words: &[&str]| {
        let arguments: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        decide(policy, Access::Program { name, arguments: &arguments, environment: &[] })
    };
    let allowed = run(&policy, "kubectl", &["get", "pods", "a b"]);
    assert_eq!(
        (allowed.outcome, allowed.terms),
        (DecisionOutcome::Allowed, Terms::Program { path: "/usr/bin/kubectl".to_owned() })
    );
    assert_eq!(run(&policy, "nmap", &["-sS"]).terms, Terms::Program { path: "/usr/bin/nmap".to_owned() });
    assert_eq!(run(&policy, "kubectl", &["delete", "pods"]).reason, Reason::NoRule);
    assert_eq!(run(&policy, "sh", &[]).reason, Reason::NoProgram);
    // Without a path there is nothing to run, whatever the mode.
    let learning = self::policy("mode = \"learn\"\n");
    assert!(!run(&learning, "sh", &[]).allowed());
    let monitoring = self::policy(
        "mode = \"monitor\"\n[[grant]]\ntools = [\"*\"]\nprogram = { k = { path = \"/k\", arguments = [\"a\"] } }\n",
    );
    let other = run(&monitoring, "k", &["b"]);
    assert_eq!(
        (other.outcome, other.terms),
        (DecisionOutcome::WouldDeny, Terms::Program { path: "/k".to_owned() })
    );
    let denied = granting("program = { k = \"/k\" }\n[[grant]]\ntools = [\"*\"]\nprogram = { k = false }");
    assert_eq!(run(&denied, "k", &[]).reason, Reason::Forbidden);
    let error = Policy::parse(&[
        ("a.toml", "[[grant]]\ntools = [\"a/b\"]\nprogram = { k = \"/k\" }\n"),
        ("b.toml", "[ceiling]\nprogram = { k = { path = \"/other\" } }\n"),
    ]);
    let error = error.unwrap_err();
    assert_eq!((error.file.as_str(), error.line), ("b.toml", 2));
    assert!(error.to_string().contains("the path /k already in a.toml line 3"), "{error}");
}

#[test]
fn a_ceiling_may_leave_a_capability_unbounded_and_a_grant_may_not() {
    let text = |line: &str| {
        format!("[ceiling]\n{line} = true\n[[grant]]\ntools = [\"*\"]\nhttp = {{ hosts = [\"10.0.0.1\"] }}\n")
    };
    assert!(allows(&policy(&text("http")), http("GET", "https", "10.0.0.1", 1)));
    assert_eq!(
        decide(&policy(&text("sockets")), http("GET", "https", "10.0.0.1", 1)).reason,
        Reason::Ceiling
    );
    for capability in Capability::ALL {
        let grant = format!("[[grant]]\ntools = [\"*\"]\n{capability} = true\n");
        let plain =
            matches!(capability, Capability::StepOutputs | Capability::JobNodes | Capability::Interact);
        match Policy::parse(&[("p", &grant)]) {
            Ok(policy) => assert!(plain && allows(&policy, Access::Interface(capability)), "{capability}"),
            Err(error) => assert!(!plain && error.to_string().contains("only a ceiling"), "{error}"),
        }
        let never = policy(&format!("[[grant]]\ntools = [\"*\"]\n{capability} = false\n"));
        assert_eq!(decide(&never, Access::Interface(capability)).reason, Reason::Forbidden);
    }
}

#[test]
fn uses_without_a_scope_are_switched() {
    let policy = granting("job-nodes = true\ninteract = true");
    assert!(
        allows(&policy, Access::JobNodes { phase: "p" }) && allows(&policy, Access::Interact { title: "t" })
    );
    assert!(!allows(&granting("step-outputs = true"), Access::JobNodes { phase: "p" }));
}

//! Grants, ceiling, modes and advice together.

use autoexec_grants::{
    Access, BUILT_IN, Capability, CapabilityGrant, Decision, DecisionOutcome, Direction, Facts, Policy,
    Reason, Request, ToolLimits, diff,
};

fn policy(text: &str) -> Policy {
    Policy::parse(&[("/c/10-site.toml", text)]).unwrap_or_else(|error| panic!("{error}"))
}

fn probe(policy: &Policy, tool: &str, host: &str, port: u16) -> Decision {
    let facts = Facts { node_host: Some("10.0.0.7"), ..Facts::default() };
    let access = Access::NetProbe { host, port, address: None };
    policy.decide(&Request { tool, digest: Some("d1"), access }, &facts)
}

fn interface(policy: &Policy, tool: &str, capability: Capability) -> Decision {
    policy.decide(&Request { tool, digest: None, access: Access::Interface(capability) }, &Facts::default())
}

#[test]
fn the_built_in_policy_gives_the_own_job_and_the_own_node() {
    let policy = Policy::built_in("/c/site.toml").unwrap();
    assert!(probe(&policy, "any/tool", "10.0.0.7", 1).allowed());
    let refused = probe(&policy, "any/tool", "10.0.0.8", 22);
    assert_eq!((refused.outcome, refused.reason), (DecisionOutcome::Denied, Reason::NoRule));
    let advice = refused.advice.unwrap().to_string();
    assert!(advice.contains("/c/site.toml") && advice.contains("autoexec policy default"), "{advice}");
    let outputs = Access::StepOutputs { phase: "p", operation: "a/b_1", output: "x" };
    let request = Request { tool: "any/tool", digest: None, access: outputs };
    let decision = policy.decide(&request, &Facts::default());
    assert!(decision.allowed());
    assert_eq!(decision.argument.as_deref(), Some("p.a/b_1.x"));
    for capability in Capability::ALL {
        let expected = matches!(capability, Capability::NetProbe | Capability::StepOutputs);
        assert_eq!(interface(&policy, "any/tool", capability).allowed(), expected, "{capability}");
    }
    assert!(policy.is_built_in() && policy.limits("any/tool") == ToolLimits::default());
}

#[test]
fn a_decision_names_the_rule_with_its_line() {
    let policy = policy(
        "[[grant]]\ntools = [\"a/b\"]\nnet-probe = { hosts = [\n  \"x.example\",\n  \"y.example:1\",\n] }\n",
    );
    let rule = probe(&policy, "a/b", "y.example", 1).rule.unwrap();
    assert_eq!((rule.file.as_str(), rule.line), ("/c/10-site.toml", 5));
    assert_eq!(rule.text, "net-probe hosts \"y.example:1\"");
    assert_eq!(probe(&policy, "a/c", "y.example", 1).reason, Reason::NoRule, "another tool");
}

#[test]
fn advice_that_is_followed_allows_the_request() {
    let mut text = String::from("[[grant]]\ntools = [\"o/o\"]\nstep-outputs = true\n");
    for (host, port) in [("x.example", 1), ("10.1.2.3", 22), ("2001:DB8::1", 443), ("::ffff:10.0.0.9", 5)] {
        let refused = probe(&policy(&text), "a/b", host, port);
        let advice = refused.advice.unwrap().to_string();
        let (first, grant) = advice.split_once('\n').unwrap();
        assert_eq!(first, "To allow it, add to /c/10-site.toml:");
        text = format!("{text}\n{grant}\n");
        assert!(probe(&policy(&text), "a/b", host, port).allowed(), "{text}");
    }
    let address = Some("192.168.1.1".parse().unwrap());
    let access = Access::NetProbe { host: "x.example", port: 1, address };
    let broad = format!("{text}\n[[grant]]\ntools = [\"a/c\"]\nnet-probe = {{ hosts = [\"*\"] }}\n");
    let request = Request { tool: "a/c", digest: None, access };
    let refused = policy(&broad).decide(&request, &Facts::default());
    assert!(matches!(refused.reason, Reason::SpecialAddress { .. }), "{refused}");
    let grant = refused.advice.unwrap().to_string().split_once('\n').unwrap().1.to_owned();
    assert!(policy(&format!("{broad}\n{grant}\n")).decide(&request, &Facts::default()).allowed(), "{grant}");
}

#[test]
fn the_ceiling_bounds_every_grant_and_names_itself() {
    let ceiling =
        "[ceiling]\nnet-probe = { hosts = [\"*:443\", \"10.0.0.0/8\"], deny = [\"10.9.0.0/16\"] }\n";
    let policy = policy(&format!(
        "{ceiling}[[grant]]\ntools = [\"*\"]\nnet-probe = {{ hosts = [\"x.example\", \"${{node.host}}\", \"10.0.0.0/8\"] }}\nstep-outputs = true\n"
    ));
    assert!(probe(&policy, "a/b", "x.example", 443).allowed());
    assert!(probe(&policy, "a/b", "10.0.0.7", 1).allowed());
    let refused = probe(&policy, "a/b", "x.example", 80);
    assert_eq!((refused.reason, refused.rule.map(|rule| rule.line)), (Reason::Ceiling, Some(1)));
    assert!(refused.advice.unwrap().to_string().contains("the ceiling in /c/10-site.toml line 1"));
    let refused = probe(&policy, "a/b", "10.9.0.1", 443);
    assert_eq!((refused.reason, refused.rule.map(|rule| rule.line)), (Reason::Forbidden, Some(2)));
    // What a ceiling does not name it gives to nobody.
    assert_eq!(interface(&policy, "a/b", Capability::StepOutputs).reason, Reason::Ceiling);
}

#[test]
fn deny_beats_allow_across_grants_and_false_is_a_deny() {
    let text = "[[grant]]\ntools = [\"a/*\"]\nnet-probe = { hosts = [\"*\"] }\nstep-outputs = true\n\
                [[grant]]\ntools = [\"a/b\"]\nnet-probe = { deny = [\"x.example\"] }\nstep-outputs = false\n";
    let policy = policy(text);
    assert!(probe(&policy, "a/c", "x.example", 1).allowed());
    assert_eq!(probe(&policy, "a/b", "x.example", 1).reason, Reason::Forbidden);
    assert!(interface(&policy, "a/b", Capability::NetProbe).allowed());
    assert_eq!(interface(&policy, "a/b", Capability::StepOutputs).reason, Reason::Forbidden);
    assert!(interface(&policy, "a/c", Capability::StepOutputs).allowed());
}

#[test]
fn modes_decide_what_becomes_of_a_refusal() {
    for (mode, outcome, allowed) in [
        ("learn", DecisionOutcome::Learned, true),
        ("monitor", DecisionOutcome::WouldDeny, true),
        ("enforce", DecisionOutcome::Denied, false),
    ] {
        let policy = policy(&format!("mode = \"{mode}\"\n"));
        let decision = probe(&policy, "a/b", "x.example", 1);
        assert_eq!((decision.outcome, decision.allowed()), (outcome, allowed));
        let odd = probe(&policy, "a/b", "2130706433", 1);
        assert_eq!((odd.outcome, odd.advice), (outcome, None));
    }
}

#[test]
fn a_manifest_gets_what_it_asks_for_and_the_policy_grants() {
    let policy = policy("[[grant]]\ntools = [\"*\"]\nstep-outputs = true\nnet-probe = { deny = [\"*\"] }\n");
    let effective = policy.effective("a/b", None, ["net-probe", "step-outputs", "time-travel"]);
    assert_eq!(effective.linked().collect::<Vec<_>>(), [Capability::StepOutputs]);
    let reasons: Vec<String> = effective
        .capabilities
        .iter()
        .map(|grant| match grant {
            CapabilityGrant::Known(decision) => decision.reason.to_string(),
            CapabilityGrant::Unknown { interface } => format!("no {interface}"),
        })
        .collect();
    assert_eq!(reasons, ["no rule allows it", "a rule allows it", "no time-travel"]);
}

#[test]
fn an_argument_of_a_guests_choice_is_harmless_in_logs() {
    let policy = policy("mode = \"enforce\"\n");
    let host = format!("a\n\u{1b}[31m\u{202e}{}", "x".repeat(10_000));
    let decision = probe(&policy, "a/b", &host, 1);
    let text = decision.to_string();
    assert!(!decision.allowed() && text.len() < 1000, "{}", text.len());
    assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}'), "{text}");
}

#[test]
fn an_audit_record_has_every_field() {
    let policy = policy("[[grant]]\ntools = [\"*\"]\nnet-probe = { hosts = [\"x.example\"] }\n");
    let value = serde_json::to_value(probe(&policy, "a/b", "x.example", 1)).unwrap();
    let expected = serde_json::json!({
        "tool": "a/b", "digest": "d1", "capability": "net-probe", "argument": "x.example:1",
        "decision": "allowed", "reason": "a rule allows it",
        "rule": {"file": "/c/10-site.toml", "line": 3, "text": "net-probe hosts \"x.example\""},
    });
    assert_eq!(value, expected);
}

#[test]
fn errors_name_file_line_and_what_is_wrong() {
    for (text, line, expected) in [
        ("mode = \"enforced\"", 1, "enforced"),
        ("\n[[grant]]\ntools = [\"a/b\"]\nnet-prob = {}", 4, "net-prob"),
        ("[[grant]]\ntools = [\"a/b\"]\nnet-probe = { host = [] }", 3, "host"),
        ("[[grant]]\nnet-probe = { hosts = [\"x\"] }", 1, "tools"),
        (
            "[[grant]]\ntools = [\"a/b\"]\nnet-probe = { hosts = [\n\"x\",\n\"y:z\"] }",
            5,
            "`y:z` is no host pattern",
        ),
        ("[[grant]]\ntools = [\"a/b\",\n\"b\"]\nstep-outputs = true", 3, "`b` is no tool pattern"),
        ("[[grant]]\ntools = []\nstep-outputs = true", 2, "empty"),
        ("[[grant]]\ntools = [\"a/b\"]", 2, "says for which tools"),
        ("[[grant]]\ntools = [\"a/b\"]\nstep-outputs = \"yes\"", 3, "must be `true` or `false`"),
        ("[[limits]]\ntools = [\"*\"]\nmemory-mib = 0", 3, "`memory-mib` is 0"),
        ("[[limits]]\ntools = [\"*\"]", 2, "says for which tools"),
        ("[[limits]]\ntools = [\"*\"]\ntime-seconds = -1", 3, "-1"),
        ("[ceiling]\nhttps = true", 2, "did you mean `http`?"),
        ("[[grnat]]\ntools = [\"*\"]", 1, "there is no key `grnat` in a policy; did you mean `grant`?"),
        ("[[limits]]\ntools = [\"*\"]\ntime-secnds = 5", 3, "did you mean `time-seconds`?"),
        ("x = 1", 1, "which has: mode, ceiling, grant, limits"),
        ("mode = 5", 1, "`mode` is 5"),
        ("grant = 5", 1, "list of tables"),
        ("ceiling = 5", 1, "a table"),
        ("[[grant]]\ntools = \"*\"", 2, "a list of tools"),
        ("[[grant]]\ntools = [\"*\"]\nhttp = { methods = [\"get\"] }", 3, "capital letters"),
        ("[[grant]]\ntools = [\"*\"]\nhttp = { schemes = [\"ftp\"] }", 3, "`https` and `http`"),
        ("[[grant]]\ntools = [\"*\"]\nhttp = { host = [\"x\"] }", 3, "did you mean `hosts`?"),
        ("[[grant]]\ntools = [\"*\"]\nhttp = [\"x\"]", 3, "`http` is a list"),
        ("[[grant]]\ntools = [\"*\"]\nhttp = { hosts = \"x\" }", 3, "a list of texts"),
        ("[[grant]]\ntools = [\"*\"]\nfilesystem = { read = [\"x\"] }", 3, "not absolute"),
        ("[[grant]]\ntools = [\"*\"]\nfilesystem = { read = [\"${job.dir}\"] }", 3, "`${job.dir}/file`"),
        ("[[grant]]\ntools = [\"*\"]\nfilesystem = { read = true }", 3, "`read` is true"),
        ("[[grant]]\ntools = [\"*\"]\ntarget = { read = [\"x\"] }", 3, "not absolute"),
        ("[[grant]]\ntools = [\"*\"]\ntarget = { command = true }", 3, "did you mean `commands`?"),
        ("[[grant]]\ntools = [\"*\"]\ntarget = { commands = [\"a**\"] }", 3, "no pattern for words"),
        ("[[grant]]\ntools = [\"*\"]\ntarget = { deny = true }", 3, "must be a list of texts"),
        ("[[grant]]\ntools = [\"*\"]\ntarget = { read = \"/x\" }", 3, "a list of texts, `true` or `false`"),
        ("[[grant]]\ntools = [\"*\"]\nsecret = { x = { ftp = [] } }", 3, "which has: https, http"),
        ("[[grant]]\ntools = [\"*\"]\nsecret = { x = true }", 3, "a table of places"),
        ("[[grant]]\ntools = [\"*\"]\nsecret = { \"\" = false }", 3, "no name pattern"),
        ("[[grant]]\ntools = [\"*\"]\nprogram = { \"a b\" = \"/x\" }", 3, "no name for a program"),
        ("[[grant]]\ntools = [\"*\"]\nprogram = { \"-a\" = \"/x\" }", 3, "no name for a program"),
        ("[[grant]]\ntools = [\"*\"]\nprogram = { a = \"x\" }", 3, "not absolute"),
        ("[[grant]]\ntools = [\"*\"]\nprogram = { a = { arguments = [] } }", 3, "has no `path`"),
        ("[[grant]]\ntools = [\"*\"]\nprogram = { a = true }", 3, "a path, a table"),
        (
            "[[grant]]\ntools = [\"*\"]\nprogram = { a = { path = \"/a\", env = [\"A\"] } }",
            3,
            "which has: path, arguments, environment",
        ),
        (
            "[[grant]]\ntools = [\"*\"]\n[grant.program.a]\npath = \"/a\"\nenvironment = [\"A\",\n\"LD_PRELOAD\"]",
            6,
            "`LD_PRELOAD` can not be given to a program",
        ),
        (
            "[[grant]]\ntools = [\"*\"]\nprogram = { a = { path = \"/a\", environment = [\"LD_*\"] } }",
            3,
            "decides which code",
        ),
        (
            "[[grant]]\ntools = [\"*\"]\nprogram = { a = { path = \"/a\", environment = [\"A=b\"] } }",
            3,
            "no name of a variable",
        ),
        (
            "[[grant]]\ntools = [\"*\"]\nprogram = { a = { path = \"/a\", environment = [\"A\\nB\"] } }",
            3,
            "control characters",
        ),
        ("[[grant]]\ntools = [\"*\"]\nserver = { calls = [\"a\\u0007\"] }", 3, "control characters"),
        ("a = [", 1, ""),
    ] {
        let error = Policy::parse(&[("dir/a.toml", text)]).unwrap_err();
        let shown = error.to_string();
        assert_eq!(error.line, line, "{text}: {shown}");
        assert!(shown.starts_with("dir/a.toml, line ") && shown.contains(expected), "{text}: {shown}");
    }
}

#[test]
fn there_is_one_mode_and_one_ceiling() {
    for text in ["mode = \"learn\"\n", "[ceiling]\nstep-outputs = true\n"] {
        let error = Policy::parse(&[("b.toml", text), ("a.toml", text)]).unwrap_err();
        assert_eq!(error.file, "b.toml");
        assert!(error.to_string().contains("stands already in a.toml line 1"), "{error}");
    }
}

#[test]
fn the_smallest_limit_that_names_a_tool_holds() {
    let policy = policy(
        "[[limits]]\ntools = [\"a/*\"]\nmemory-mib = 32\ntime-seconds = 3600\n\
         [[limits]]\ntools = [\"a/b\"]\nmemory-mib = 16\nlog-kib = 1\n",
    );
    let limits = policy.limits("a/b");
    assert_eq!((limits.memory, limits.time.as_secs(), limits.log), (16 << 20, 3600, 1024));
    assert_eq!(policy.limits("c/d"), ToolLimits::default());
}

#[test]
fn changes_are_marked_by_what_they_do() {
    use Direction::{Narrow, Neutral, Widen};
    let base =
        "[[grant]]\ntools = [\"a/*\"]\nnet-probe = { hosts = [\"10.0.0.0/8\"], deny = [\"10.9.0.0/16\"] }\n";
    let directions = |new: &str| {
        let changes = diff(&policy(base), &policy(new));
        changes.into_iter().map(|change| change.direction).collect::<Vec<_>>()
    };
    assert_eq!(directions(base), []);
    assert_eq!(directions(&base.replace("\"10.0.0.0/8\"", "\"10.0.0.0/8\", \"x.example\"")), [Widen]);
    assert_eq!(directions(&base.replace("\"10.0.0.0/8\"", "\"10.0.0.0/8\", \"10.1.0.0/16\"")), [Neutral]);
    assert_eq!(directions(&base.replace("10.0.0.0/8", "10.1.0.0/16")), [Neutral, Narrow]);
    assert_eq!(directions(&base.replace("10.9.0.0/16", "10.8.0.0/15")), [Narrow, Neutral]);
    assert_eq!(directions(&base.replace("\"10.9.0.0/16\"", "")), [Widen]);
    assert_eq!(directions(&base.replace("a/*", "*")), [Widen, Narrow, Neutral, Neutral]);
    assert_eq!(directions(&format!("mode = \"monitor\"\n{base}")), [Widen]);
    assert_eq!(directions(&format!("{base}[ceiling]\nstep-outputs = true\n")), [Narrow]);
    assert_eq!(directions(&format!("{base}[[limits]]\ntools = [\"*\"]\ntime-seconds = 10\n")), [Narrow]);
    assert_eq!(directions(&format!("{base}[[limits]]\ntools = [\"*\"]\ntime-seconds = 6000\n")), [Widen]);
    let added = &diff(&policy(base), &policy(&base.replace("10.0.0.0/8", "x.example")))[0];
    assert_eq!(added.text, "added for a/*: net-probe hosts \"x.example\"");
    assert_eq!(added.rule.as_ref().map(|rule| rule.line), Some(3));
}

#[test]
fn the_built_in_text_can_be_a_sites_own() {
    let built_in = Policy::built_in("x").unwrap();
    assert_eq!(diff(&built_in, &policy(BUILT_IN)), []);
}

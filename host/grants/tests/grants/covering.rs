//! What `policy diff` takes for the same: a rule beside one that does all of it changes nothing.

use autoexec_grants::{Direction, Policy, diff};

fn policy(lines: &[&str]) -> Policy {
    let grants = lines
        .iter()
        .fold(String::new(), |grants, line| grants + "[[grant]]\ntools = [\"a/b\"]\n" + line + "\n");
    Policy::parse(&[("p.toml", &grants)]).unwrap_or_else(|error| panic!("{error}\n{grants}"))
}

/// What adding the second line to the first does.
fn adding(first: &str, second: &str) -> Vec<Direction> {
    let changes = diff(&policy(&[first]), &policy(&[first, second]));
    changes.into_iter().map(|change| change.direction).collect()
}

#[test]
fn a_rule_within_another_is_neutral_and_one_that_is_not_is_marked() {
    use Direction::{Narrow, Neutral, Widen};
    for (wide, narrow, back) in [
        ("net-probe = { hosts = [\"a:1-9\"] }", "net-probe = { hosts = [\"a:2-9\"] }", Widen),
        ("net-probe = { hosts = [\"a:1-9\"] }", "net-probe = { hosts = [\"a:1-8\"] }", Widen),
        ("net-probe = { hosts = [\"*\"] }", "net-probe = { hosts = [\"93.184.0.0/16\"] }", Widen),
        ("net-probe = { deny = [\"*\"] }", "net-probe = { deny = [\"10.0.0.0/8\"] }", Narrow),
        ("net-probe = { deny = [\"*\"] }", "net-probe = { deny = [\"a.example\"] }", Narrow),
        ("net-probe = { hosts = [\"*.example\"] }", "net-probe = { hosts = [\"*.a.example\"] }", Widen),
        ("http = { hosts = [\"a\"] }", "http = { hosts = [\"a:1\"], methods = [\"GET\"] }", Widen),
        (
            "http = { hosts = [\"a\"], methods = [\"GET\", \"PUT\"] }",
            "http = { hosts = [\"a\"], methods = [\"GET\"] }",
            Widen,
        ),
        (
            "http = { hosts = [\"a\"], schemes = [\"http\", \"https\"] }",
            "http = { hosts = [\"a\"], schemes = [\"http\"] }",
            Widen,
        ),
        ("http = { unverified-tls = [\"a\"] }", "http = { unverified-tls = [\"a:1\"] }", Widen),
        ("secret = { \"*\" = { https = [\"a\"] } }", "secret = { x = { https = [\"a:1\"] } }", Widen),
        ("secret = { x = { connections = [\"a\"] } }", "secret = { x = { connections = [\"a:1\"] } }", Widen),
        ("secret = { x = { snmp = [\"a\"] } }", "secret = { x = { snmp = [\"a:1\"] } }", Widen),
        ("secret = { \"*\" = { target = true } }", "secret = { x = { target = true } }", Widen),
        ("secret = { x = { programs = [\"k*\"] } }", "secret = { x = { programs = [\"k1\"] } }", Widen),
        ("secret = { x = false }", "secret = { x = { target = false } }", Narrow),
        ("target = { commands = true }", "target = { commands = [\"a *\"] }", Widen),
        ("target = { commands = [\"a **\"] }", "target = { commands = [\"a b\"] }", Widen),
        ("target = { read = true }", "target = { read = [\"/etc\"] }", Widen),
        ("target = { read = [\"/etc\"] }", "target = { read = [\"/etc/x\"] }", Widen),
        ("filesystem = { write = [\"/a\"] }", "filesystem = { write = [\"/a/b\"] }", Widen),
        ("server = { calls = [\"a*\"] }", "server = { calls = [\"ab\"] }", Widen),
        ("documents = { read = [\"*\"] }", "documents = { read = [\"a\"] }", Widen),
        ("documents = { read = [\"_*\"] }", "documents = { read = [\"_a\"] }", Widen),
        ("documents = { deny = [\"*\"] }", "documents = { deny = [\"_a\"] }", Narrow),
        ("program = { k = \"/k\" }", "program = { k = { path = \"/k\", arguments = [\"a\"] } }", Widen),
        (
            "program = { k = { path = \"/k\", environment = [\"A*\", \"B\"] } }",
            "program = { k = { path = \"/k\", environment = [\"B\", \"AB\"] } }",
            Widen,
        ),
        (
            "program = { k = { path = \"/k\", environment = [\"A\"] } }",
            "program = { k = { path = \"/k\", arguments = [\"a\"] } }",
            Widen,
        ),
        ("program = false", "program = { k = false }", Narrow),
        ("lock = false", "lock = { deny = [\"a\"] }", Narrow),
    ] {
        assert_eq!(adding(wide, narrow), [Neutral], "{wide} {narrow}");
        assert_eq!(adding(narrow, wide), [back], "{narrow} {wide}");
    }
    for (first, second) in [
        ("documents = { read = [\"*\"] }", "documents = { read = [\"_a\"] }"),
        ("filesystem = { read = [\"/a\"] }", "filesystem = { write = [\"/a\"] }"),
        ("target = { session = true }", "target = { commands = [\"a\"] }"),
        ("secret = { x = { https = [\"a\"] } }", "secret = { x = { http = [\"a\"] } }"),
        ("net-probe = { hosts = [\"*\"] }", "net-probe = { hosts = [\"10.0.0.0/8\"] }"),
        ("sockets = { hosts = [\"a\"] }", "snmp = { hosts = [\"a\"] }"),
        // The name itself may lead to a private address; a name below a suffix may not.
        ("net-probe = { hosts = [\"*.example\"] }", "net-probe = { hosts = [\"a.example\"] }"),
        (
            "program = { k = { path = \"/k\", environment = [\"A\"] } }",
            "program = { k = { path = \"/k\", arguments = [\"a\"], environment = [\"B\"] } }",
        ),
        (
            "program = { k = { path = \"/k\", arguments = [\"a\"] } }",
            "program = { l = { path = \"/k\", arguments = [\"a\"] } }",
        ),
    ] {
        assert_eq!(adding(first, second), [Widen], "{first} {second}");
    }
    let deny = |host: &str| format!("net-probe = {{ deny = [\"{host}\"] }}");
    for (host, expected) in [("a.example", Neutral), ("example", Narrow), ("a.other", Narrow)] {
        assert_eq!(adding(&deny("*.example"), &deny(host)), [expected], "{host}");
    }
}

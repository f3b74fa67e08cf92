//! `cmdbcollect/switchcollector` and `firewallcollector` against the agent of Net-SNMP.

use autoexec_test_support::snmpd::Snmpd;
use serde_json::{Value, json};

use crate::{Bench, operation};

const CONFIG: &str = "rocommunity s3cret 127.0.0.1\ncreateUser monitor SHA-256 longpassphrase AES longpassphrase2\n\
                      rouser monitor priv\nsysName core-1\nsysContact -\nsysDescr H3C Comware Platform Software\n";

/// The node; its password is the community.
fn node(agent: &Snmpd) -> Value {
    json!({"protocol": "snmp", "protocolPort": agent.port(), "username": "none", "password": "s3cret"})
}

fn policy(agent: &Snmpd) -> String {
    let port = agent.port();
    let place = format!("{{ snmp = [\"127.0.0.1:{port}\"] }}");
    format!(
        "snmp = {{ hosts = [\"127.0.0.1:{port}\"] }}\n[grant.secret]\n\"option:*\" = {place}\nnode = {place}\n"
    )
}

/// What is true of the machine's own interfaces.
fn check_ports(record: &Value, name: &str) {
    assert_eq!(record["DEV_NAME"], "core-1", "{record}");
    let ports = record["PORTS"].as_array().unwrap();
    let loopback =
        ports.iter().find(|port| port[name] == "lo").unwrap_or_else(|| panic!("no `lo` in {record}"));
    assert_eq!((&loopback["TYPE"], &loopback["OPER_STATUS"]), (&json!("softwareLoopback(24)"), &json!("up")));
    let addresses = record["IP_ADDRS"].as_array().unwrap();
    assert!(addresses.iter().any(|address| address["IP"] == "127.0.0.1"), "{record}");
}

#[test]
fn a_community_and_a_user_of_version_3_are_asked_with() {
    let agent = Snmpd::start(CONFIG).unwrap();
    let community =
        [("community", "s3cret"), ("inspect", "1"), ("timeout", "5")].map(|(name, value)| (name, value));
    let user = [
        ("user", "monitor"),
        ("authProtocol", "sha256"),
        ("authPassword", "longpassphrase"),
        ("privProtocol", "aes"),
        ("privPassword", "longpassphrase2"),
        ("timeout", "5"),
    ];
    let mut by_community = operation("cmdbcollect/switchcollector", 1, &community);
    by_community["desc"]["community"] = json!("password");
    let bench = Bench::new(
        &node(&agent),
        vec![
            by_community,
            operation("cmdbcollect/switchcollector", 2, &user),
            operation("cmdbcollect/firewallcollector", 3, &user),
        ],
        &policy(&agent),
    );
    let log = bench.run(0);
    assert!(log.contains("INFO: Switch brand: H3C."), "{log}");
    for secret in ["s3cret", "longpassphrase"] {
        assert!(!log.contains(secret), "{log}");
    }
    let outputs = bench.outputs();
    let [first, second] = ["cmdbcollect/switchcollector_1", "cmdbcollect/switchcollector_2"]
        .map(|step| &outputs[step]["DATA"][0]);
    check_ports(first, "NAME");
    check_ports(second, "NAME");
    assert!(
        first["PORTS"][0]["IN_OCTETS"].is_u64() && second["PORTS"][0].get("IN_OCTETS").is_none(),
        "{outputs}"
    );
    check_ports(&outputs["cmdbcollect/firewallcollector_3"]["DATA"][0], "NAME");
}

#[test]
fn a_wrong_passphrase_is_told_and_ends_with_the_old_status() {
    let agent = Snmpd::start(CONFIG).unwrap();
    let options = [
        ("user", "monitor"),
        ("authProtocol", "sha256"),
        ("authPassword", "another passphrase"),
        ("timeout", "1"),
    ];
    let bench = Bench::new(
        &node(&agent),
        vec![operation("cmdbcollect/switchcollector", 1, &options)],
        &policy(&agent),
    );
    let log = bench.run(1);
    assert!(log.contains("snmp failed, exit.") && !log.contains("another passphrase"), "{log}");
}

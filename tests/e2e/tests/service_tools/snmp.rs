//! The collectors of `cmdbcollect` against the agent of Net-SNMP, which shows a recorded load balancer to one of them.

use std::fs;
use std::path::Path;

use autoexec_test_support::snmpd::Snmpd;
use serde_json::{Value, json};

use crate::{Bench, operation};

const CONFIG: &str = "rocommunity s3cret 127.0.0.1\ncreateUser monitor SHA-256 longpassphrase AES longpassphrase2\n\
                      rouser monitor priv\nsysName core-1\nsysContact -\nsysDescr H3C Comware Platform Software\n";

/// Shows the lines of a walk below the agent's own objects, as `pass_persist` of snmpd asks for them.
const RECORDED: &str = r#"
import bisect, sys
TYPES = {"STRING": "string", "INTEGER": "integer", "Hex-STRING": "octet", "Gauge32": "gauge", "Counter32": "counter",
         "Timeticks": "timeticks", "IpAddress": "ipaddress", "OID": "objectid"}
number = lambda text: tuple(int(part) for part in text.strip().strip(".").split("."))
objects = {}
for line in open(sys.argv[1]):
    name, value = line.rstrip("\n").split(" = ", 1)
    kind, _, rest = value.partition(": ")
    objects[number(name)] = (TYPES[kind], rest.strip('"'))
names = sorted(objects)
while command := sys.stdin.readline().strip():
    if command == "PING":
        print("PONG", flush=True)
        continue
    asked = number(sys.stdin.readline())
    if command == "getnext":
        at = bisect.bisect_right(names, asked)
        asked = names[at] if at < len(names) else None
    found = objects.get(asked)
    answer = ["NONE"] if found is None else ["." + ".".join(map(str, asked)), *found]
    print("\n".join(answer), flush=True)
"#;

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

#[test]
fn a_load_balancer_is_walked_over_the_wire() {
    let walk =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins-wasm/cmdbcollect/f5collector/walks/f5.txt");
    let place = tempfile::tempdir().unwrap();
    let script = place.path().join("recorded.py");
    fs::write(&script, RECORDED).unwrap();
    let agent = Snmpd::start(&format!(
        "rocommunity s3cret 127.0.0.1\nsysName lb-1\npass_persist .1.3.6.1.4.1.3375 /usr/bin/python3 {} {}\n",
        script.display(),
        walk.canonicalize().unwrap().display()
    ))
    .unwrap();
    let bench = Bench::new(
        &node(&agent),
        vec![operation("cmdbcollect/f5collector", 1, &[("timeout", "5")])],
        &policy(&agent),
    );
    let log = bench.run(0);
    let data = &bench.outputs()["cmdbcollect/f5collector_1"]["DATA"];
    assert_eq!((&data[0]["DEV_NAME"], &data[0]["SN"]), (&json!("lb-1"), &json!("chs123")), "{data}\n{log}");
    assert_eq!(data[0]["VIRTUAL_SERVERS"][0]["POOL"]["MEMBERS"][0]["PORT"], 8080, "{data}");
    assert_eq!(data[1]["UNIQUE_NAME"], "F5:10.1.1.1:443", "{data}");
}

use autoexec_sdk::secret::SecretError;
use autoexec_sdk::testing::Host;
use serde_json::{Value, json};

use super::*;

/// Recorded walks, one for each maker whose devices differ.
const H3C: &str = include_str!("../walks/h3c.txt");
const CISCO: &str = include_str!("../walks/cisco.txt");
const HUAWEI: &str = include_str!("../walks/huawei.txt");

fn collect(walk: &str, options: Value) -> (Value, Host) {
    let host = Host::new();
    host.set_node(|node| {
        node.host = "192.0.2.1".into();
        node.resource_id = 7;
        node.protocol = "snmp".into();
        node.protocol_port = Some(161);
    });
    host.secrets().value("node").always_answers(Err(SecretError::NotFound));
    host.snmp().recorded("192.0.2.1", walk);
    host.run::<SwitchCollector>(options).unwrap();
    let mut data = host.output("DATA").unwrap();
    (data[0].take(), host)
}

#[test]
fn a_switch_of_h3c() {
    let (record, host) = collect(H3C, json!({"inspect": "1"}));
    assert_eq!(host.log_lines()[0], "INFO: Switch brand: H3C.");
    for (name, value) in [
        ("_OBJ_CATEGORY", json!("SWITCH")),
        ("_OBJ_TYPE", json!("Switch")),
        ("_APP_TYPE", json!("H3C")),
        ("PK", json!(["MGMT_IP", "SN"])),
        ("RESOURCE_ID", json!(7)),
        ("MGMT_IP", json!("192.0.2.1")),
        ("DEV_NAME", json!("core-1")),
        ("UPTIME", json!("41 days, 17:12:05.00")),
        ("VENDOR", json!("H3C")),
        ("BRAND", json!("H3C")),
        ("SN", json!("210235A04BH098000017")),
        ("PORTS_COUNT", json!(3)),
        ("IP_ADDRS", json!([{"INDEX": "192.0.2.1", "IP": "192.0.2.1", "NETMASK": "255.255.255.0"}])),
        ("MAC_TABLE", json!([{"PORT": "Ethernet0/9", "MAC_COUNT": 1, "MACS": ["64:51:06:3c:4a:0c"]}])),
    ] {
        assert_eq!(record[name], value, "{name}");
    }
    let ports = record["PORTS"].as_array().unwrap();
    // The ports of the bridge come first, by their number.
    let numbers: Vec<(&Value, &Value)> = ports.iter().map(|port| (&port["NO"], &port["NAME"])).collect();
    assert_eq!(
        numbers,
        [
            (&json!(1), &json!("Ethernet0/1")),
            (&json!(9), &json!("Ethernet0/9")),
            (&Value::Null, &json!("Vlan-interface1"))
        ]
    );
    assert_eq!(ports[0]["MAC"], "00:0f:e2:55:d9:30");
    assert_eq!((&ports[0]["ADMIN_STATUS"], &ports[0]["OPER_STATUS"]), (&json!("up"), &json!("down")));
    assert_eq!((&ports[0]["SPEED"], &ports[1]["SPEED"]), (&json!(100), &json!(10_000)));
    assert_eq!(ports[0]["TYPE"], "ethernet-csmacd(6)");
    assert_eq!(ports[0]["IN_OCTETS"], json!(0), "the recorded counter stands still");
    let neighbour = json!([{"DEV_NAME": "acc-2", "DEV_NAME_1": "acc-2", "PORT": "Ethernet0/24"}]);
    assert_eq!((&ports[1]["NEIGHBORS"], &ports[0]["NEIGHBORS"]), (&neighbour, &json!([])));
}

#[test]
fn a_switch_of_cisco_is_asked_for_each_network() {
    let (record, host) = collect(CISCO, json!({"objtype": "Router"}));
    assert_eq!((&record["_OBJ_TYPE"], &record["BRAND"]), (&json!("Router"), &json!("Cisco")));
    assert_eq!(record["MODEL"], "IOS Software");
    assert_eq!(record["SN"], "FOC1010X104", "the second place has it");
    assert_eq!(record["PORTS"][0]["NEIGHBORS"][0]["DEV_NAME"], "dist-1(FOC1)");
    assert_eq!(record["PORTS"][0]["NEIGHBORS"][0]["DEV_NAME_1"], "dist-1");
    assert_eq!(record["PORTS"][0]["NAME"], "GigabitEthernet0/1");
    assert_eq!(record["MAC_TABLE"][0]["MAC_COUNT"], 1);
    drop(host);
}

#[test]
fn a_switch_of_huawei_has_tables_for_virtual_networks() {
    let (record, _host) = collect(HUAWEI, json!({"verbose": "1"}));
    assert_eq!((&record["MODEL"], &record["SN"]), (&json!("S5720"), &json!("21023575")));
    assert_eq!(record["IOS_INFO"], "Huawei Versatile Routing Platform Software");
    assert_eq!(
        record["MAC_TABLE"],
        json!([{"PORT": "GigabitEthernet0/0/1", "MAC_COUNT": 1, "MACS": ["00:1b:21:00:00:07"]}])
    );
    assert_eq!(record["PORTS"][0]["IN_OCTETS"], Value::Null, "only with `inspect`");
}

#[test]
fn a_device_that_does_not_answer_fails_with_the_old_status() {
    let host = Host::new();
    host.set_node(|node| node.host = "192.0.2.1".into());
    host.secrets().value("node").answers(Ok("ref".into()));
    host.snmp()
        .get("192.0.2.1", &["1.3.6.1.2.1.1.1.0"])
        .answers(Err(autoexec_sdk::snmp::SnmpError::TimedOut));
    let failure = host.run::<SwitchCollector>(json!({})).unwrap_err();
    assert_eq!(failure.exit_code(), 255);
    assert!(failure.message().ends_with("snmp failed, exit."), "{failure}");
    assert_eq!(host.output("DATA"), None);
}

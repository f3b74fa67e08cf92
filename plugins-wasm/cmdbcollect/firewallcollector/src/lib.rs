//! Tool `cmdbcollect/firewallcollector`: inventories a firewall by SNMP (spec/tools-behaviour/10-snmp-devices.md).

use autoexec_sdk::{
    Call, Choice, Options, Outcome, Outputs, Tool, ToolResult, job, log, output::Outputs as _,
};
use serde_json::{Value, json};
use snmp_device::{Access, Asking, Device, Form, Version3, addresses, identify};

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    #[option(flatten)]
    asking: Asking,
    /// Maker of the device
    #[option(name = "type", label = "Maker", default = "auto", required = true)]
    maker: Maker,
    /// Show the records
    #[option(choices = "0=No, 1=Yes", default = "0", required = true)]
    verbose: bool,
    #[option(flatten)]
    version_3: Version3,
}

/// Makers of firewalls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Choice)]
enum Maker {
    #[choice(value = "auto")]
    Auto,
    #[choice(value = "Huawei")]
    Huawei,
    #[choice(value = "CheckPoint")]
    CheckPoint,
    #[choice(value = "Juniper")]
    Juniper,
    #[choice(value = "HillStone")]
    HillStone,
    #[choice(value = "TopSec")]
    TopSec,
}

impl Maker {
    /// The name by which its definitions are found; none when the device is to say it.
    fn name(self) -> Option<&'static str> {
        match self {
            Self::Auto => None,
            Self::Huawei => Some("Huawei"),
            Self::CheckPoint => Some("CheckPoint"),
            Self::Juniper => Some("Juniper"),
            Self::HillStone => Some("HillStone"),
            Self::TopSec => Some("TopSec"),
        }
    }
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Collected {
    /// The record of the device
    #[output(name = "DATA", label = "Records")]
    data: Vec<Value>,
}

/// What is put out of each interface.
const PORTS: [(&str, &str, Form); 7] = [
    ("NAME", "1.3.6.1.2.1.2.2.1.2", Form::Plain),
    ("TYPE", "1.3.6.1.2.1.2.2.1.3", Form::InterfaceType),
    ("WWN", "1.3.6.1.2.1.2.2.1.6", Form::Mac),
    ("ADMIN_STATUS", "1.3.6.1.2.1.2.2.1.7", Form::Status),
    ("OPER_STATUS", "1.3.6.1.2.1.2.2.1.8", Form::Status),
    ("SPEED", "1.3.6.1.2.1.2.2.1.5", Form::Megabits),
    ("MTU", "1.3.6.1.2.1.2.2.1.4", Form::Plain),
];

struct FirewallCollector;

impl Tool for FirewallCollector {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let options = call.options;
        let node = job::node();
        let access = Access { asking: options.asking, version_3: options.version_3 };
        let device = Device::new(access.agent(&node)?);
        let (brand, identity) = identify(&device, options.maker.name())?;
        let ports: Vec<Value> = device.table(&PORTS)?.into_iter().map(Value::from).collect();
        let mut record = json!({
            "_OBJ_CATEGORY": "SECDEV",
            "_OBJ_TYPE": "FireWall",
            "_APP_TYPE": brand.map(|brand| brand.brand),
            "PK": ["MGMT_IP", "SN"],
            "RESOURCE_ID": node.resource_id,
            "MGMT_IP": node.host,
        });
        log::info(format_args!("{} port(s).", ports.len()));
        if let Some(record) = record.as_object_mut() {
            record.extend(identity);
            record.insert("IP_ADDRS".into(), addresses(&device)?.into());
            record.insert("PORTS".into(), ports.into());
        }
        if options.verbose {
            log::plain(serde_json::to_string_pretty(&record)?);
        }
        Collected { data: vec![record] }.put();
        Ok(Outcome::default())
    }
}

autoexec_sdk::export_tool!(FirewallCollector);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::secret::SecretError;
    use autoexec_sdk::testing::Host;

    const HILLSTONE: &str = include_str!("../walks/hillstone.txt");

    fn collect(options: Value) -> Value {
        let host = Host::new();
        host.set_node(|node| node.host = "fw".into());
        host.secrets().value("node").answers(Err(SecretError::NotFound));
        host.snmp().recorded("fw", HILLSTONE);
        host.run::<FirewallCollector>(options).unwrap();
        let mut data = host.output("DATA").unwrap();
        data[0].take()
    }

    #[test]
    fn a_firewall_of_hillstone() {
        // Its description does not name the maker, its number does.
        for options in [json!({}), json!({"type": "HillStone"})] {
            let record = collect(options);
            assert_eq!(
                (&record["_OBJ_CATEGORY"], &record["_APP_TYPE"]),
                (&json!("SECDEV"), &json!("HillStone"))
            );
            assert_eq!((&record["SN"], &record["IOS_INFO"]), (&json!("2509"), &json!("5.5R8")));
            assert_eq!(record["PORTS"][0]["WWN"], "00:1c:54:00:00:01");
            assert_eq!(
                (&record["PORTS"][0]["SPEED"], &record["PORTS"][0]["NAME"]),
                (&json!(1000), &json!("ethernet0/0"))
            );
        }
    }

    #[test]
    fn the_job_may_say_the_maker() {
        assert_eq!(collect(json!({"type": "Juniper"}))["BRAND"], "Juniper");
    }
}

//! Tool `cmdbcollect/f5collector`: inventories an F5 load balancer by SNMP (spec/tools-behaviour/10-snmp-devices.md).

use autoexec_sdk::{Call, Options, Outcome, Outputs, Tool, ToolResult, job, log, output::Outputs as _};
use serde_json::Value;
use snmp_device::{Access, Asking, Device, Version3};

mod servers;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    #[option(flatten)]
    asking: Asking,
    /// Show the records
    #[option(choices = "0=No, 1=Yes", default = "0", required = true)]
    verbose: bool,
    #[option(flatten)]
    version_3: Version3,
}

/// What it puts out.
#[derive(Debug, Outputs)]
struct Collected {
    /// The records of the device and of its virtual servers
    #[output(name = "DATA", label = "Records")]
    data: Vec<Value>,
}

struct F5Collector;

impl Tool for F5Collector {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let options = call.options;
        let node = job::node();
        let access = Access { asking: options.asking, version_3: options.version_3 };
        let device = Device::new(access.agent(&node)?);
        let found = load_balancer::Device {
            product: "F5",
            identity: servers::identity(&device)?,
            servers: servers::read(&device)?,
        };
        log::info(format_args!("{} virtual server(s).", found.servers.len()));
        let data = found.records(&node);
        if options.verbose {
            log::plain(serde_json::to_string_pretty(&data)?);
        }
        Collected { data }.put();
        Ok(Outcome::default())
    }
}

autoexec_sdk::export_tool!(F5Collector);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::secret::SecretError;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    const WALK: &str = include_str!("../walks/f5.txt");

    #[test]
    fn virtual_servers_pools_and_members() {
        let host = Host::new();
        host.set_node(|node| node.host = "lb".into());
        host.secrets().value("node").answers(Err(SecretError::NotFound));
        host.snmp().recorded("lb", WALK);
        host.run::<F5Collector>(json!({})).unwrap();
        let data = host.output("DATA").unwrap();
        assert_eq!((&data[0]["SN"], &data[0]["VERSION"]), (&json!("chs123"), &json!("13.1.1")));
        let server = json!({"NAME": "/Common/vs1", "IP": "10.1.1.1", "PORT": 443, "POOL": {
            "NAME": "/Common/web", "LB_MODE": "0", "MONITOR_RULE": "/Common/http",
            "MEMBERS": [{"NAME": "/Common/web-1", "IP": "10.0.0.1", "PORT": 8080}]}});
        assert_eq!(data[0]["VIRTUAL_SERVERS"], json!([server]));
        assert_eq!(data[0]["SNAT_IPS"], json!([{"IP": "10.0.0.254"}]));
        assert_eq!(
            (&data[1]["UNIQUE_NAME"], &data[1]["NAME"]),
            (&json!("F5:10.1.1.1:443"), &json!("/Common/vs1"))
        );
        assert_eq!(data[1]["MEMBER_PEER"], json!(["10.0.0.1:8080"]));
    }
}

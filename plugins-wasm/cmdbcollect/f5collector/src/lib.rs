//! Tool `cmdbcollect/f5collector`: inventories an F5 load balancer by SNMP (spec/tools-behaviour/10-snmp-devices.md).

use std::time::Duration;

use autoexec_sdk::options::Secret;
use autoexec_sdk::{Call, Options, Outcome, Outputs, Tool, ToolResult, job, log, output::Outputs as _};
use serde_json::Value;
use snmp_device::{Access, AuthProtocol, Device, PrivProtocol};

mod servers;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// Community of SNMP version 2c, where the node has no password
    #[option(default = "public")]
    community: Secret,
    /// Seconds to wait for one answer
    #[option(default = 10, required = true)]
    timeout: Duration,
    /// Show the records
    #[option(choices = "0=No, 1=Yes", default = "0", required = true)]
    verbose: bool,
    /// User of SNMP version 3; with it the community is not used
    user: Option<String>,
    /// How messages of version 3 are signed
    #[option(name = "authProtocol", label = "Signature", default = "sha")]
    auth_protocol: AuthProtocol,
    /// Passphrase for the signature
    #[option(name = "authPassword", label = "Signature passphrase")]
    auth_password: Option<Secret>,
    /// How messages of version 3 are encrypted
    #[option(name = "privProtocol", label = "Encryption", default = "aes")]
    priv_protocol: PrivProtocol,
    /// Passphrase for the encryption
    #[option(name = "privPassword", label = "Encryption passphrase")]
    priv_password: Option<Secret>,
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
        let access = Access {
            community: options.community,
            user: options.user,
            auth_protocol: options.auth_protocol,
            auth_password: options.auth_password,
            priv_protocol: options.priv_protocol,
            priv_password: options.priv_password,
            timeout: options.timeout,
        };
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

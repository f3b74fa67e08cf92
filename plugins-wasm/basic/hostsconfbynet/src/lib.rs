//! Tool `basic/hostsconfbynet`: hosts file text and a map from address to name, from the addresses of nodes that are in one
//! network (spec/tools-behaviour/01-values-and-control.md).

use std::net::IpAddr;

use autoexec_sdk::{Call, Failure, Outcome, Tool, ToolResult, log, options, output};
use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Begin of the text: the loopback addresses.
const LOOPBACK: &str = "127.0.0.1\tlocalhost localhost.localdomain localhost4 localhost4.localdomain4\n\
                        ::1\tlocalhost localhost.localdomain localhost6 localhost6.localdomain6\n";

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Addresses of each node, as `basic/aggoutput` makes it of what `osbasic/getallnicip` puts out.
    #[serde(deserialize_with = "options::json")]
    nodesipinfo: Value,
    /// The network, such as `10.0.0.0/8`.
    net: String,
    /// What names begin with.
    nameprefix: String,
}

struct HostsConfByNet;

impl Tool for HostsConfByNet {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let Options { nodesipinfo, net, nameprefix } = call.options;
        let network: IpNet = net.trim().parse().map_err(|_| {
            Failure::invalid_option("net", format!("`net` is \"{net}\": give a network such as 10.0.0.0/8"))
        })?;
        let Value::Object(nodes) = nodesipinfo else {
            return Err(Failure::invalid_option("nodesipinfo", "`nodesipinfo` is no map of nodes"));
        };
        let (mut names, mut text, mut missing) = (Map::new(), LOOPBACK.to_owned(), Vec::new());
        for (index, (node, addresses)) in in_order(nodes).into_iter().enumerate() {
            let Some(address) = within(&network, &addresses) else {
                log::error(format_args!("Node:{node} does not config network:{net} ip"));
                missing.push(node);
                continue;
            };
            let name = format!("{nameprefix}{}", index + 1);
            text.extend([&address.to_string(), "\t", &name, "\n"]);
            names.insert(address.to_string(), Value::from(name));
        }
        // The second is the name that the old program wrote, and that jobs may refer to.
        output::set("ip2HostName", &names);
        output::set("hostNames", &names);
        output::set("hostsConfTxt", &text);
        if missing.is_empty() {
            return Ok(Outcome::default());
        }
        let message = format!("{} node(s) have no address in {net}: {}", missing.len(), missing.join(", "));
        Err(Failure::not_found(message))
    }
}

/// Nodes by the numbers of their addresses; those that are none come last, by their texts.
fn in_order(nodes: Map<String, Value>) -> Vec<(String, Value)> {
    let mut nodes: Vec<(String, Value)> = nodes.into_iter().collect();
    let place = |node: &str| {
        // A key of aggoutput may end with the service port.
        let address = node.parse::<IpAddr>().ok().or_else(|| node.rsplit_once(':')?.0.parse().ok());
        (address.is_none(), address, node.to_owned())
    };
    nodes.sort_by_cached_key(|(node, _)| place(node));
    nodes
}

/// The first address inside the network of a list of `{ip, netmask, nic}`.
fn within(network: &IpNet, addresses: &Value) -> Option<IpAddr> {
    let addresses = addresses.as_array()?.iter().filter_map(|entry| entry.get("ip")?.as_str());
    addresses.filter_map(|address| address.trim().parse().ok()).find(|address| network.contains(address))
}

autoexec_sdk::export_tool!(HostsConfByNet);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    #[test]
    fn each_node_gets_its_address_in_the_network() {
        let host = Host::new();
        let nodes = json!({
            "10.0.0.10": [{"ip": "192.168.1.10", "netmask": "24", "nic": "eth0"}, {"ip": "10.0.0.10"}],
            "10.0.0.9:80": [{"ip": "192.168.1.9"}, {"ip": "192.168.1.99"}],
        });
        host.run::<HostsConfByNet>(
            json!({"nodesipinfo": nodes.to_string(), "net": "192.168.1.0/24", "nameprefix": "n"}),
        )
        .unwrap();
        let names = json!({"192.168.1.9": "n1", "192.168.1.10": "n2"});
        assert_eq!(host.output("ip2HostName"), Some(names.clone()));
        assert_eq!(host.output("hostNames"), Some(names));
        let text = host.output("hostsConfTxt").unwrap();
        assert_eq!(text, json!(format!("{LOOPBACK}192.168.1.9\tn1\n192.168.1.10\tn2\n")));
    }

    #[test]
    fn a_node_without_a_match_fails_the_tool_after_its_outputs() {
        let host = Host::new();
        let nodes = json!({"10.0.0.1": [{"ip": "10.0.0.1"}], "10.0.0.2": []});
        let failure = host
            .run::<HostsConfByNet>(json!({"nodesipinfo": nodes, "net": "10.0.0.0/8", "nameprefix": "n"}))
            .unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        assert_eq!(host.log_lines(), ["ERROR: Node:10.0.0.2 does not config network:10.0.0.0/8 ip"]);
        assert_eq!(host.output("ip2HostName"), Some(json!({"10.0.0.1": "n1"})));
    }

    #[test]
    fn a_network_that_is_none_is_named() {
        let host = Host::new();
        let failure = host
            .run::<HostsConfByNet>(json!({"nodesipinfo": {}, "net": "10.0.0.0", "nameprefix": "n"}))
            .unwrap_err();
        assert!(failure.message().contains("\"10.0.0.0\""), "{failure}");
    }
}

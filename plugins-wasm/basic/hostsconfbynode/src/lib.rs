//! Tool `basic/hostsconfbynode`: hosts file text and a map from address to name, from a list of nodes
//! (spec/tools-behaviour/01-values-and-control.md).

use std::collections::BTreeSet;
use std::net::IpAddr;

use autoexec_sdk::{Call, Failure, Outcome, Tool, ToolResult, options, output};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// The nodes: a list, or a single one.
    #[serde(deserialize_with = "options::json")]
    nodes: Value,
    /// What names begin with.
    nameprefix: String,
}

struct HostsConfByNode;

impl Tool for HostsConfByNode {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let Options { nodes, nameprefix } = call.options;
        let (mut names, mut text) = (Map::new(), String::new());
        for (index, address) in addresses(nodes)?.into_iter().enumerate() {
            let name = format!("{nameprefix}{}", index + 1);
            text.extend([&address.to_string(), "\t", &name, "\n"]);
            names.insert(address.to_string(), Value::from(name));
        }
        output::set("nodeIp2Hostname", &names);
        output::set("hostsConfTxt", &text);
        Ok(Outcome::default())
    }
}

/// The distinct addresses in the order of their numbers: as texts, 10.0.0.10 would come before 10.0.0.9.
fn addresses(nodes: Value) -> Result<BTreeSet<IpAddr>, Failure> {
    let nodes = match nodes {
        Value::Array(nodes) => nodes,
        node @ Value::Object(_) => vec![node],
        _ => return Err(Failure::invalid_option("nodes", "`nodes` is no list of nodes")),
    };
    nodes.iter().enumerate().map(|(index, node)| address(index, node)).collect()
}

fn address(index: usize, node: &Value) -> Result<IpAddr, Failure> {
    // Nodes that a person chose have `ip`, those of a node file `host`.
    let text = node.get("ip").or_else(|| node.get("host")).and_then(Value::as_str).unwrap_or_default();
    text.trim().parse().map_err(|_| {
        let message = format!("node {} of `nodes` has no IP address: its `ip` is \"{text}\"", index + 1);
        Failure::invalid_option("nodes", message)
    })
}

autoexec_sdk::export_tool!(HostsConfByNode);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    #[test]
    fn addresses_are_distinct_and_in_the_order_of_numbers() {
        let host = Host::new();
        let nodes =
            json!([{"ip": "10.0.0.10"}, {"ip": "10.0.0.9"}, {"ip": "10.0.0.10"}, {"host": "10.0.0.1"}]);
        host.run::<HostsConfByNode>(json!({"nodes": nodes.to_string(), "nameprefix": "db"})).unwrap();
        assert_eq!(
            host.output("nodeIp2Hostname"),
            Some(json!({"10.0.0.1": "db1", "10.0.0.9": "db2", "10.0.0.10": "db3"}))
        );
        assert_eq!(
            host.output("hostsConfTxt"),
            Some(json!("10.0.0.1\tdb1\n10.0.0.9\tdb2\n10.0.0.10\tdb3\n"))
        );
    }

    #[test]
    fn a_node_without_an_address_is_named() {
        let host = Host::new();
        let failure = host
            .run::<HostsConfByNode>(
                json!({"nodes": [{"ip": "10.0.0.1"}, {"ip": "db.example"}], "nameprefix": "a"}),
            )
            .unwrap_err();
        assert_eq!(failure.message(), "node 2 of `nodes` has no IP address: its `ip` is \"db.example\"");
    }
}

//! Tool `demo/nodefacts`: puts out what a tool knows about the node it is called for, and how long it took to ask.

use std::time::Duration;

use autoexec_sdk::job::Node;
use autoexec_sdk::{Call, Outcome, Tool, ToolResult, clock, job, log, options, output};
use serde::Deserialize;
use serde_json::{Value, json};

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Milliseconds to wait before answering.
    #[serde(default, deserialize_with = "options::number")]
    pausems: u64,
}

struct NodeFacts;

impl Tool for NodeFacts {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let begin = clock::Instant::now();
        if call.options.pausems > 0 {
            clock::sleep(Duration::from_millis(call.options.pausems));
        }
        let node = job::node();
        let variables: Vec<String> = job::variables().into_iter().map(|variable| variable.name).collect();
        let elapsed = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let facts = facts(&node);
        log::info(format_args!("node {} is a {} reached by {}", node.host, node.node_type, node.protocol));
        output::set("facts", &facts);
        output::set("variableNames", &variables);
        output::set("elapsedMs", &elapsed);
        Ok(Outcome::with_message(format!("facts of {} in {elapsed} ms", node.host)))
    }
}

/// The node with the names that node files use (spec/nodes.md).
fn facts(node: &Node) -> Value {
    json!({
        "resourceId": node.resource_id,
        "host": node.host,
        "port": node.port,
        "nodeName": node.name,
        "nodeType": node.node_type,
        "protocol": node.protocol,
        "protocolPort": node.protocol_port,
        "username": node.username,
    })
}

autoexec_sdk::export_tool!(NodeFacts);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_have_the_names_of_node_files() {
        let node = Node {
            resource_id: 7,
            host: "10.1.0.7".into(),
            port: None,
            name: "db-7".into(),
            node_type: "Linux".into(),
            protocol: "ssh".into(),
            protocol_port: Some(22),
            username: "app".into(),
        };
        let expected = json!({"resourceId": 7, "host": "10.1.0.7", "port": null, "nodeName": "db-7",
            "nodeType": "Linux", "protocol": "ssh", "protocolPort": 22, "username": "app"});
        assert_eq!(facts(&node), expected);
    }
}

//! Tool `basic/getnodes`: the nodes of a phase of this job as an output (spec/tools-behaviour/01-values-and-control.md).

use autoexec_sdk::job::Node;
use autoexec_sdk::{Call, Failure, Outcome, Tool, ToolResult, job_nodes, output};
use serde::Deserialize;
use serde_json::{Value, json};

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Name of the phase.
    phasename: String,
}

struct GetNodes;

impl Tool for GetNodes {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let nodes = job_nodes::all(&call.options.phasename);
        let nodes = nodes.map(|node| Ok(document(&node?))).collect::<Result<Vec<Value>, Failure>>()?;
        let count = nodes.len();
        output::set("nodes", &nodes);
        Ok(Outcome::with_message(format!("{count} node(s) of phase {}", call.options.phasename)))
    }
}

/// A node with the keys of the node files, without secrets.
fn document(node: &Node) -> Value {
    json!({
        "resourceId": node.resource_id,
        "nodeName": node.name,
        "nodeType": node.node_type,
        "host": node.host,
        "port": node.port,
        "protocol": node.protocol,
        "protocolPort": node.protocol_port,
        "username": node.username,
    })
}

autoexec_sdk::export_tool!(GetNodes);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;

    fn node(resource_id: i64) -> Node {
        Node {
            resource_id,
            host: "10.0.0.7".into(),
            port: Some(3306),
            name: "db".into(),
            node_type: "Mysql".into(),
            protocol: "ssh".into(),
            protocol_port: Some(22),
            username: "app".into(),
        }
    }

    #[test]
    fn nodes_have_the_keys_of_node_files() {
        let host = Host::new();
        host.job_nodes().list("deploy", 0).answers(Ok(vec![node(71)]));
        host.run::<GetNodes>(json!({"phasename": "deploy"})).unwrap();
        let expected = json!([{"resourceId": 71, "nodeName": "db", "nodeType": "Mysql", "host": "10.0.0.7", "port": 3306,
            "protocol": "ssh", "protocolPort": 22, "username": "app"}]);
        assert_eq!(host.output("nodes"), Some(expected));
    }

    #[test]
    fn long_lists_are_read_piece_by_piece() {
        let host = Host::new();
        host.job_nodes().list("deploy", 0).answers(Ok((0..500).map(node).collect()));
        host.job_nodes().list("deploy", 500).answers(Ok((500..700).map(node).collect()));
        host.run::<GetNodes>(json!({"phasename": "deploy"})).unwrap();
        assert_eq!(host.output("nodes").and_then(|nodes| nodes.as_array().map(Vec::len)), Some(700));
    }

    #[test]
    fn without_a_phase_and_with_an_unknown_one_it_fails() {
        let host = Host::new();
        assert_eq!(host.run::<GetNodes>(json!({})).unwrap_err().exit_code(), 2);
        host.job_nodes().list("nowhere", 0).answers(Err(job_nodes::NodesError::NotFound));
        let failure = host.run::<GetNodes>(json!({"phasename": "nowhere"})).unwrap_err();
        assert!(failure.message().contains("nowhere"), "{failure}");
    }
}

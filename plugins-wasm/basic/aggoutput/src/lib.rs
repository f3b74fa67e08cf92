//! Tool `basic/aggoutput`: one output of an earlier step from all nodes, as a map from node address to value
//! (spec/tools-behaviour/01-values-and-control.md).

use autoexec_sdk::step_outputs::NodeValue;
use autoexec_sdk::{Call, Outcome, Tool, ToolResult, output};
use serde::Deserialize;
use serde_json::{Map, Value};

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Reference to the output.
    outputkey: String,
}

struct AggOutput;

impl Tool for AggOutput {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let (_, found) = output_query::on_targets("outputkey", &call.options.outputkey)?;
        output::set("aggData", &by_address(found));
        Ok(Outcome::default())
    }
}

fn by_address(found: Vec<NodeValue>) -> Map<String, Value> {
    found.into_iter().map(|value| (value.address(), value.value)).collect()
}

autoexec_sdk::export_tool!(AggOutput);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn value(host: &str, port: Option<u16>, value: Value) -> NodeValue {
        NodeValue { resource_id: 1, host: host.into(), port, value }
    }

    #[test]
    fn the_map_has_the_addresses_of_the_targets() {
        let host = Host::new();
        host.step_outputs("#{p.a/b_1.out}").answers(Ok(vec![
            value("b", Some(22), json!([1])),
            value("local", None, json!(0)),
            value("a", None, json!("x")),
        ]));
        host.run::<AggOutput>(json!({"outputkey": "#{p.a/b_1.out}"})).unwrap();
        assert_eq!(host.output("aggData"), Some(json!({"b:22": [1], "a": "x"})));
    }

    #[test]
    fn nothing_found_is_an_empty_map() {
        let host = Host::new();
        host.step_outputs("p.a/b_1.out").answers(Ok(vec![]));
        host.run::<AggOutput>(json!({"outputkey": "p.a/b_1.out"})).unwrap();
        assert_eq!(host.output("aggData"), Some(json!({})));
    }

    #[test]
    fn without_the_option_the_exit_status_is_2() {
        let host = Host::new();
        assert_eq!(host.run::<AggOutput>(json!({})).unwrap_err().exit_code(), 2);
    }
}

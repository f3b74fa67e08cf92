//! Tool `basic/aggoutput`: one output of an earlier step from all nodes, as a map from node address to value
//! (spec/tools-behaviour/01-values-and-control.md).

use autoexec_sdk::step_outputs::{self, MalformedRef, NodeValue, OutputRef};
use autoexec_sdk::{Call, Failure, FailureKind, Outcome, Tool, ToolResult, log, output};
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
        let key = call.options.outputkey;
        let wanted: OutputRef = key.parse().map_err(|error: MalformedRef| {
            Failure::new(FailureKind::InvalidOption("outputkey".into()), error.to_string()).with_exit_code(3)
        })?;
        log::info(format_args!(
            "Try to query output for operation id:{} output:{}.",
            wanted.operation_id, wanted.name
        ));
        let found = step_outputs::find(&wanted)?;
        let map = by_address(found);
        if map.is_empty() {
            log::warn(format_args!("Can not find any output for:{key}."));
        } else {
            log::fine(format_args!("Aggregate output for:{key} success."));
        }
        output::set("aggData", &map);
        Ok(Outcome::default())
    }
}

fn by_address(found: Vec<NodeValue>) -> Map<String, Value> {
    found.into_iter().filter(|value| !value.is_runner()).map(|value| (value.address(), value.value)).collect()
}

autoexec_sdk::export_tool!(AggOutput);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_runners_own_value_is_left_out() {
        let value = |host: &str, port, value| NodeValue { resource_id: 1, host: host.into(), port, value };
        let found = vec![
            value("b", Some(22), json!([1])),
            value("local", None, json!(0)),
            value("a", None, json!("x")),
        ];
        assert_eq!(Value::Object(by_address(found)), json!({"b:22": [1], "a": "x"}));
    }
}

//! Tool `basic/mergeoutput`: one list or map output of an earlier step from all nodes, united
//! (spec/tools-behaviour/01-values-and-control.md).

use autoexec_sdk::step_outputs::NodeValue;
use autoexec_sdk::{Call, Outcome, Tool, ToolResult, log, output};
use serde::Deserialize;
use serde_json::Value;

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Reference to the output.
    outputkey: String,
}

struct MergeOutput;

impl Tool for MergeOutput {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let (_, found) = output_query::on_targets("outputkey", &call.options.outputkey)?;
        output::set("mergedData", &merge(found));
        Ok(Outcome::default())
    }
}

/// Lists are appended, maps united with the later one winning. What is neither, or of the other kind than the first, is
/// told and left out.
fn merge(found: Vec<NodeValue>) -> Value {
    let mut merged = Value::Null;
    for node in found {
        let address = node.address();
        match (&mut merged, node.value) {
            (Value::Array(all), Value::Array(members)) => all.extend(members),
            (Value::Object(all), Value::Object(entries)) => all.extend(entries),
            (Value::Null, value @ (Value::Array(_) | Value::Object(_))) => merged = value,
            (_, other) => log::error(format_args!(
                "The value of {address} is {}, which can not be merged with the others; it is left out.",
                kind(&other)
            )),
        }
    }
    merged
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

autoexec_sdk::export_tool!(MergeOutput);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn run(values: &[Value]) -> (Value, Vec<String>) {
        let host = Host::new();
        let node = |value: &Value| NodeValue {
            resource_id: 7,
            host: "h".into(),
            port: Some(80),
            value: value.clone(),
        };
        host.step_outputs("p.a/b_1.out").answers(Ok(values.iter().map(node).collect()));
        host.run::<MergeOutput>(json!({"outputkey": "p.a/b_1.out"})).unwrap();
        (host.output("mergedData").unwrap(), host.log_lines())
    }

    #[test]
    fn lists_are_appended_and_of_maps_the_later_wins() {
        assert_eq!(run(&[json!([1]), json!([2, 1])]).0, json!([1, 2, 1]));
        assert_eq!(run(&[json!({"a": 1, "b": 1}), json!({"b": 2})]).0, json!({"a": 1, "b": 2}));
    }

    #[test]
    fn what_does_not_fit_is_told_and_left_out() {
        let (merged, lines) = run(&[json!([1]), json!("x"), json!({"a": 1})]);
        assert_eq!(merged, json!([1]));
        let errors: Vec<&String> = lines.iter().filter(|line| line.starts_with("ERROR: ")).collect();
        assert_eq!(errors.len(), 2);
        assert!(errors[0].contains("h:80 is a text"), "{errors:?}");
    }

    #[test]
    fn nothing_found_is_null() {
        assert_eq!(run(&[]).0, Value::Null);
    }
}

//! Tool `basic/convout2local`: outputs of a single target as outputs of the runner, so that later steps can refer to them
//! (spec/tools-behaviour/01-values-and-control.md).

use autoexec_sdk::{Call, Failure, Outcome, Tool, ToolResult, log, output};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

/// Exit status when an output was not found.
const NOT_FOUND: u8 = 2;

struct ConvOut2Local;

impl Tool for ConvOut2Local {
    type Options = IgnoredAny;

    fn run(call: Call<IgnoredAny>) -> ToolResult {
        let references: Vec<String> = call.text_arguments().filter(|text| !text.trim().is_empty()).collect();
        if references.is_empty() {
            let message =
                "no output is named: give references such as #{phase.bundle/tool_id.name} as arguments";
            return Err(Failure::invalid_option("arguments", message).with_exit_code(NOT_FOUND));
        }
        let (mut converted, mut missing) = (Map::new(), Vec::new());
        for reference in references {
            match first_value(&reference)? {
                Some((step, name, value)) => {
                    let entry = converted.entry(step).or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(values) = entry {
                        values.insert(name, value);
                    }
                }
                None => missing.push(reference),
            }
        }
        output::set("dataConverted", &converted);
        if missing.is_empty() {
            return Ok(Outcome::default());
        }
        let message = format!("no target has put out {}", missing.join(", "));
        Err(Failure::not_found(message).with_exit_code(NOT_FOUND))
    }
}

/// Step, name and value of the output on the first target that has it.
fn first_value(reference: &str) -> Result<Option<(String, String, Value)>, Failure> {
    let wanted = output_query::parse("arguments", reference)?;
    let mut found = output_query::find(&wanted)?.into_iter().filter(|value| value.resource_id != 0);
    let first = found.next();
    if found.next().is_some() {
        log::warn("More than one remote node output found, suggest to use aggoutput.");
    }
    if first.is_none() {
        log::warn(format_args!("Can not find any output for:{reference}."));
    }
    Ok(first.map(|node| (wanted.operation_id, wanted.name, node.value)))
}

autoexec_sdk::export_tool!(ConvOut2Local);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::step_outputs::NodeValue;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn node(resource_id: i64, value: Value) -> NodeValue {
        NodeValue { resource_id, host: "h".into(), port: None, value }
    }

    #[test]
    fn values_of_the_first_target_are_put_out_by_step_and_name() {
        let host = Host::new();
        host.step_outputs("p.a/b_1.x").answers(Ok(vec![node(0, json!("runner")), node(7, json!("one"))]));
        host.step_outputs("p.a/b_1.y").answers(Ok(vec![node(7, json!(1)), node(8, json!(2))]));
        host.run_with_arguments::<ConvOut2Local>(json!({}), [json!("#{p.a/b_1.x}"), json!("p.a/b_1.y")])
            .unwrap();
        assert_eq!(host.output("dataConverted"), Some(json!({"a/b_1": {"x": "one", "y": 1}})));
        let more = "WARN: More than one remote node output found, suggest to use aggoutput.";
        assert_eq!(host.log_lines().iter().filter(|line| *line == more).count(), 1);
    }

    #[test]
    fn what_was_found_is_put_out_even_if_another_is_missing() {
        let host = Host::new();
        host.step_outputs("p.a/b_1.x").answers(Ok(vec![node(7, json!(1))]));
        host.step_outputs("p.a/b_1.y").answers(Ok(vec![node(0, json!(1))]));
        let failure = host
            .run_with_arguments::<ConvOut2Local>(json!({}), [json!("p.a/b_1.x"), json!("p.a/b_1.y")])
            .unwrap_err();
        assert_eq!((failure.exit_code(), failure.message()), (2, "no target has put out p.a/b_1.y"));
        assert_eq!(host.output("dataConverted"), Some(json!({"a/b_1": {"x": 1}})));
    }

    #[test]
    fn without_references_nothing_is_asked() {
        let host = Host::new();
        let failure = host.run_with_arguments::<ConvOut2Local>(json!({}), [json!(" ")]).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
    }
}

//! Tool `native/extractoutval`: one value out of an earlier output of this node, by path or by pattern
//! (spec/tools-behaviour/01-values-and-control.md).

use autoexec_sdk::{Call, Failure, FailureContext, Outcome, Tool, ToolResult, job, log, output};
use serde::Deserialize;
use serde_json::Value;
use value_selector::{Found, Path, PathError, first_match};

/// Exit status when the data does not have the value.
const NOT_FOUND: u8 = 2;

/// Exit status when data or selector can not be used.
const UNUSABLE: u8 = 3;

/// Exit status when this node has no such output.
const NO_OUTPUT: u8 = 4;

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Reference to an output (`#{phase.bundle/tool_id.name}`), or the data itself.
    outputkey: Value,
    /// Where in it the value is.
    selector: String,
    /// How the selector is to be read.
    #[serde(default)]
    selectortype: SelectorType,
}

/// Kinds of selectors.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
enum SelectorType {
    /// A regular expression.
    RegExp,
    /// A path, `data[key][0]`.
    #[default]
    JsonObject,
}

struct ExtractOutVal;

impl Tool for ExtractOutVal {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let Options { outputkey, selector, selectortype } = call.options;
        let data = match outputkey {
            Value::String(text) if text.trim_start().starts_with("#{") => output_of_this_node(&text)?,
            data => data,
        };
        let value = match selectortype {
            SelectorType::RegExp => by_pattern(&data, &selector)?,
            SelectorType::JsonObject => by_path(data, &selector)?,
        };
        log::plain(format_args!("Extrace value:{value}"));
        output::set("extractTxtVal", &value);
        Ok(Outcome::default())
    }
}

fn output_of_this_node(reference: &str) -> Result<Value, Failure> {
    let wanted = output_query::parse("outputkey", reference)?;
    let node = job::node().resource_id;
    let found = output_query::find(&wanted)?.into_iter().find(|value| value.resource_id == node);
    found.map(|value| value.value).ok_or_else(|| {
        let message = format!(
            "Can not find node output for operation id:{} output:{}",
            wanted.operation_id, wanted.name
        );
        Failure::not_found(message).with_exit_code(NO_OUTPUT)
    })
}

fn by_pattern(data: &Value, selector: &str) -> Result<String, Failure> {
    let text = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
    let found = first_match(&text, selector).map_err(|error| unusable("selector", error.to_string()))?;
    found.map(str::to_owned).ok_or_else(|| {
        let message = format!("nothing in the output matches the selector \"{selector}\"");
        Failure::not_found(message).with_exit_code(NOT_FOUND)
    })
}

fn by_path(data: Value, selector: &str) -> Result<String, Failure> {
    let data = match data {
        Value::String(text) => {
            serde_json::from_str(&text).context("the output is no JSON document").exit_code(UNUSABLE)?
        }
        data => data,
    };
    let path: Path = selector.parse().map_err(|error: PathError| unusable("selector", error.to_string()))?;
    match path.follow(&data) {
        Found::Value { text, trace } => {
            log::plain(trace);
            Ok(text)
        }
        Found::Missing { step, trace } => {
            log::plain(trace);
            Err(Failure::not_found(format!("There is no data key:{step}")).with_exit_code(NOT_FOUND))
        }
    }
}

fn unusable(option: &str, reason: String) -> Failure {
    Failure::invalid_option(option, reason).with_exit_code(UNUSABLE)
}

autoexec_sdk::export_tool!(ExtractOutVal);

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
    fn it_takes_the_output_of_its_own_node() {
        let host = Host::new();
        host.set_node(|node| node.resource_id = 8);
        host.step_outputs("p.a/b_1.out")
            .answers(Ok(vec![node(7, json!({"ports": ["1"]})), node(8, json!({"ports": ["2", "3"]}))]));
        let options = json!({"outputkey": "#{p.a/b_1.out}", "selector": "data[ports]"});
        host.run::<ExtractOutVal>(options).unwrap();
        assert_eq!(host.output("extractTxtVal"), Some(json!("2,3")));
        assert!(host.lines().contains(&"Extrace value:2,3".to_owned()), "{:?}", host.lines());
    }

    #[test]
    fn data_may_stand_in_the_option_itself() {
        let host = Host::new();
        host.run::<ExtractOutVal>(json!({"outputkey": "{\"a\": 1}", "selector": "data[a]"})).unwrap();
        assert_eq!(host.output("extractTxtVal"), Some(json!("1")));
        let options = json!({"outputkey": "port=8080", "selector": "\\d+", "selectortype": "RegExp"});
        host.run::<ExtractOutVal>(options).unwrap();
        assert_eq!(host.output("extractTxtVal"), Some(json!("8080")));
    }

    #[test]
    fn exit_statuses_are_the_old_ones() {
        let host = Host::new();
        let run = |outputkey: &str, selector: &str, kind: &str| {
            let options = json!({"outputkey": outputkey, "selector": selector, "selectortype": kind});
            host.run::<ExtractOutVal>(options).unwrap_err().exit_code()
        };
        host.step_outputs("p.a/b_1.out").answers(Ok(vec![node(7, json!(1))]));
        assert_eq!(run("#{p.a/b_1.out}", "data[a]", "JsonObject"), 4);
        assert_eq!(run("#{p.out}", "data[a]", "JsonObject"), 3);
        assert_eq!(run("{", "data[a]", "JsonObject"), 3);
        assert_eq!(run("{}", "a", "JsonObject"), 3);
        assert_eq!(run("{}", "data[a]", "JsonObject"), 2);
        assert_eq!(run("text", "(", "RegExp"), 3);
        assert_eq!(run("text", "x{9}", "RegExp"), 2);
        assert_eq!(host.run::<ExtractOutVal>(json!({})).unwrap_err().exit_code(), 2);
    }
}

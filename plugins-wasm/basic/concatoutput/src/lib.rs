//! Tool `basic/concatoutput`: one output of an earlier step from all nodes, as one text or one list
//! (spec/tools-behaviour/01-values-and-control.md).

use autoexec_sdk::{Call, Failure, Outcome, Tool, ToolResult, output};
use serde::Deserialize;
use serde_json::{Value, json};

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Reference to the output.
    outputkey: String,
    /// Stands between texts.
    #[serde(default = "comma")]
    delimiter: String,
}

fn comma() -> String {
    ",".into()
}

struct ConcatOutput;

impl Tool for ConcatOutput {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let Options { outputkey, delimiter } = call.options;
        let (wanted, found) = output_query::on_targets("outputkey", &outputkey)?;
        let values = found.into_iter().map(|value| value.value);
        match concatenate(values, &delimiter)? {
            Joined::Text(text) => {
                output::set("aggTxtData", &text);
                output::set("aggJsonData", &json!({ wanted.name: text }));
            }
            Joined::List(list) => {
                output::set("aggTxtData", &Value::from(list.clone()).to_string());
                output::set("aggJsonData", &list);
            }
        }
        Ok(Outcome::default())
    }
}

/// What came together.
#[derive(Debug, PartialEq)]
enum Joined {
    Text(String),
    List(Vec<Value>),
}

/// Texts are joined, members of lists and other values become one list. Texts beside anything else have no common form.
fn concatenate(values: impl Iterator<Item = Value>, delimiter: &str) -> Result<Joined, Failure> {
    let (mut texts, mut list, mut is_list) = (Vec::new(), Vec::new(), false);
    for value in values {
        match value {
            Value::String(text) => texts.push(text),
            Value::Array(members) => {
                is_list = true;
                list.extend(members);
            }
            other => {
                is_list = true;
                list.push(other);
            }
        }
    }
    match (texts.is_empty(), is_list) {
        (false, true) => Err(Failure::other(
            "mixed-values",
            "some nodes put out a text and others do not: they can not be concatenated; make the step put out one kind",
        )),
        (_, true) => Ok(Joined::List(list)),
        (_, false) => Ok(Joined::Text(texts.join(delimiter))),
    }
}

autoexec_sdk::export_tool!(ConcatOutput);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::step_outputs::NodeValue;
    use autoexec_sdk::testing::Host;

    fn run(values: &[Value], delimiter: &str) -> Result<(Option<Value>, Option<Value>), Failure> {
        let host = Host::new();
        let node =
            |value: &Value| NodeValue { resource_id: 7, host: "h".into(), port: None, value: value.clone() };
        host.step_outputs("p.a/b_1.ip").answers(Ok(values.iter().map(node).collect()));
        host.run::<ConcatOutput>(json!({"outputkey": "p.a/b_1.ip", "delimiter": delimiter}))?;
        Ok((host.output("aggTxtData"), host.output("aggJsonData")))
    }

    #[test]
    fn texts_are_joined_in_the_order_of_the_nodes() {
        let (text, document) = run(&[json!("b"), json!("a")], ";").unwrap();
        assert_eq!((text, document), (Some(json!("b;a")), Some(json!({"ip": "b;a"}))));
        assert_eq!(run(&[json!("b"), json!("a")], "").unwrap().0, Some(json!("b,a")));
    }

    #[test]
    fn lists_are_appended_and_other_values_pushed() {
        let (text, document) = run(&[json!([1, 2]), json!({"a": 1}), json!(3)], ",").unwrap();
        assert_eq!(document, Some(json!([1, 2, {"a": 1}, 3])));
        assert_eq!(text, Some(json!("[1,2,{\"a\":1},3]")));
    }

    #[test]
    fn texts_beside_lists_fail() {
        assert_eq!(run(&[json!("a"), json!([1])], ",").unwrap_err().exit_code(), 1);
        assert_eq!(run(&[json!([1]), json!("a")], ",").unwrap_err().exit_code(), 1);
    }

    #[test]
    fn nothing_found_is_an_empty_text() {
        assert_eq!(run(&[], ",").unwrap().0, Some(json!("")));
    }
}

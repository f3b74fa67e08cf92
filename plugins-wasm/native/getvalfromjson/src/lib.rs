//! Tool `native/getvalfromjson`: one value out of a JSON text by a path selector
//! (spec/tools-behaviour/01-values-and-control.md).

use autoexec_sdk::{Call, Failure, FailureKind, Outcome, Tool, ToolResult, log, output};
use serde::Deserialize;
use serde_json::Value;
use value_selector::{Found, Path};

/// Exit status when the data does not have the value.
const NOT_FOUND: u8 = 2;

/// Exit status when data or selector can not be used.
const UNUSABLE: u8 = 3;

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// The data; jobs give it as a document or as a text that holds one.
    jsontxt: Value,
    /// Where in it the value is.
    selector: String,
}

struct GetValFromJson;

impl Tool for GetValFromJson {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        match select(call.options)? {
            Found::Value { text, trace } => {
                log::plain(trace);
                output::set("extractTxtVal", &text);
                Ok(Outcome::default())
            }
            Found::Missing { step, trace } => {
                log::plain(trace);
                let message = format!("There is no data key:{step}");
                Err(Failure::new(FailureKind::NotFound, message).with_exit_code(NOT_FOUND))
            }
        }
    }
}

fn select(options: Options) -> Result<Found, Failure> {
    let unusable = |option: &str, reason: String| {
        Failure::new(FailureKind::InvalidOption(option.into()), reason).with_exit_code(UNUSABLE)
    };
    let data = match options.jsontxt {
        Value::String(text) => serde_json::from_str(&text)
            .map_err(|error| unusable("jsontxt", format!("`jsontxt` is not JSON: {error}")))?,
        data => data,
    };
    let path: Path = options
        .selector
        .parse()
        .map_err(|error: value_selector::PathError| unusable("selector", error.to_string()))?;
    Ok(path.follow(&data))
}

autoexec_sdk::export_tool!(GetValFromJson);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn run(jsontxt: Value, selector: &str) -> Result<Found, Failure> {
        select(Options { jsontxt, selector: selector.into() })
    }

    #[test]
    fn documents_and_texts_are_the_same() {
        let document = run(json!({"a": ["x"]}), "data[a][0]").unwrap();
        assert_eq!(document, run(json!("{\"a\": [\"x\"]}"), "data[a][0]").unwrap());
        assert!(matches!(document, Found::Value { text, .. } if text == "x"));
    }

    #[test]
    fn what_can_not_be_used_has_the_old_exit_status() {
        let broken = run(json!("{"), "data[a]").unwrap_err();
        assert_eq!((broken.exit_code(), broken.kind()), (3, &FailureKind::InvalidOption("jsontxt".into())));
        let wrong = run(json!({}), "a.b").unwrap_err();
        assert_eq!((wrong.exit_code(), wrong.kind()), (3, &FailureKind::InvalidOption("selector".into())));
    }
}

//! Tool `native/getvalfromtxt`: one value out of a text by a regular expression
//! (spec/tools-behaviour/01-values-and-control.md).

use autoexec_sdk::{Call, Failure, FailureKind, Outcome, Tool, ToolResult, log, output};
use serde::Deserialize;
use value_selector::first_match;

/// Exit status when nothing matches.
const NOT_FOUND: u8 = 2;

/// Exit status when the selector can not be used.
const UNUSABLE: u8 = 3;

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// The text.
    txtval: String,
    /// The regular expression.
    selector: String,
}

struct GetValFromTxt;

impl Tool for GetValFromTxt {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let found = select(&call.options)?;
        log::plain(format_args!("Extrace value:{found}"));
        output::set("extractTxtVal", &found);
        Ok(Outcome::default())
    }
}

fn select(options: &Options) -> Result<&str, Failure> {
    let found = first_match(&options.txtval, &options.selector).map_err(|error| {
        Failure::new(FailureKind::InvalidOption("selector".into()), error.to_string())
            .with_exit_code(UNUSABLE)
    })?;
    found.ok_or_else(|| {
        let message = format!("nothing in the text matches the selector \"{}\"", options.selector);
        Failure::new(FailureKind::NotFound, message).with_exit_code(NOT_FOUND)
    })
}

autoexec_sdk::export_tool!(GetValFromTxt);

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str, selector: &str) -> Result<String, u8> {
        let options = Options { txtval: text.into(), selector: selector.into() };
        select(&options).map(str::to_owned).map_err(|failure| failure.exit_code())
    }

    #[test]
    fn exit_statuses_are_the_old_ones() {
        assert_eq!(run("port=8080", r"\d+"), Ok("8080".into()));
        assert_eq!(run("port=", r"\d+"), Err(2));
        assert_eq!(run("port=", "("), Err(3));
    }
}

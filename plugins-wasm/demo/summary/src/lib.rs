//! Tool `demo/summary`: puts outputs of many nodes, or data of its own options, together into one table.

use autoexec_sdk::step_outputs::{self, OutputRef};
use autoexec_sdk::{Call, Failure, FailureKind, Outcome, Tool, ToolResult, log, options, output};
use serde::Deserialize;
use serde_json::Value;

mod table;

use table::Table;

/// Options of tool.toml.
#[derive(Debug, Deserialize)]
pub struct Options {
    /// Line above the table.
    #[serde(default = "summary")]
    title: String,
    /// Rows given directly.
    #[serde(default, deserialize_with = "options::json")]
    data: Value,
}

fn summary() -> String {
    "Summary".into()
}

struct Summary;

impl Tool for Summary {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let mut table = Table::default();
        table.add_data(&call.options.data);
        for reference in call.text_arguments() {
            add_outputs(&mut table, &reference)?;
        }
        let text = format!("## {}\n\n{}", call.options.title, table.to_markdown());
        text.lines().for_each(log::plain);
        output::set("table", &text);
        output::set("data", &table.to_json());
        output::set("rows", &table.rows());
        Ok(Outcome::with_message(format!("{} row(s)", table.rows())))
    }
}

/// One column, or one per member when the values are objects.
fn add_outputs(table: &mut Table, reference: &str) -> Result<(), Failure> {
    let wanted: OutputRef = reference.parse().map_err(|error: step_outputs::MalformedRef| {
        Failure::new(FailureKind::InvalidOption("arguments".into()), error.to_string()).with_exit_code(3)
    })?;
    let values = step_outputs::find(&wanted)?;
    if values.is_empty() {
        log::warn(format_args!("Can not find any output for:{reference}."));
    }
    for found in values {
        table.add(&found.address(), &wanted.name, found.value);
    }
    Ok(())
}

autoexec_sdk::export_tool!(Summary);

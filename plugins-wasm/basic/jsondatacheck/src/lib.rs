//! Tool `basic/jsondatacheck`: JSON as a table, whose rows are filtered and checked
//! (spec/tools-behaviour/01-values-and-control.md).

use std::collections::BTreeSet;

use autoexec_sdk::{Call, Failure, Options, Outcome, Tool, ToolResult, log};
use serde_json::Value;

mod evaluate;
mod expression;
mod rows;
mod token;

use expression::Expression;
use rows::{Row, cell, rows};

/// Exit status when nothing was checked.
const NOTHING: u8 = 2;

/// What a job may set.
#[derive(Debug, Options)]
pub struct Options {
    /// An object or a list of objects
    data: Value,
    /// Kept for existing jobs and not used
    #[option(
        name = "charset",
        label = "Character set",
        choices = "UTF-8, GB18030",
        default = "UTF-8",
        required = true
    )]
    _charset: String,
    /// Names of the columns to show, separated by commas; all without it
    #[option(label = "Columns")]
    disfields: Option<String>,
    /// Expression that is true for the rows that count
    filter: Option<String>,
    /// Expression that must be true for all of them
    #[option(label = "Check")]
    chkdsl: Option<String>,
}

struct JsonDataCheck;

impl Tool for JsonDataCheck {
    type Options = Options;

    fn run(call: Call<Options>) -> ToolResult {
        let Options { data, disfields, filter, chkdsl, .. } = call.options;
        let read = |option: &str, text: Option<&String>| match text.map(|text| text.parse::<Expression>()) {
            None => Ok(None),
            Some(Ok(expression)) => Ok(Some(expression)),
            Some(Err(error)) => {
                Err(Failure::invalid_option(option, format!("{option}: {error}")).with_exit_code(NOTHING))
            }
        };
        let filter_by = read("filter", filter.as_ref())?;
        let check = read("chkdsl", chkdsl.as_ref())?;
        let rows = rows(&data)
            .map_err(|error| Failure::invalid_option("data", error.to_string()).with_exit_code(NOTHING))?;
        if rows.is_empty() {
            return Err(Failure::not_found("No data return from api.").with_exit_code(NOTHING));
        }
        let names = names(disfields.as_deref().unwrap_or_default(), &rows);
        for expression in [&filter_by, &check].into_iter().flatten() {
            warn_of_unknown(expression, &rows);
        }

        log::plain(names.join("\t"));
        let (mut shown, mut broken) = (0_usize, 0_usize);
        for row in &rows {
            if filter_by.as_ref().is_some_and(|filter| !filter.holds(row)) {
                continue;
            }
            shown += 1;
            let line = names.iter().map(|name| cell(row.get(name))).collect::<Vec<_>>().join("\t");
            match &check {
                None => log::plain(line),
                Some(check) if check.holds(row) => log::fine(line),
                Some(_) => {
                    broken += 1;
                    log::error(line);
                }
            }
        }
        if shown == 0 {
            let message = format!("No data matched filter:{}", filter.unwrap_or_default());
            return Err(Failure::not_found(message).with_exit_code(NOTHING));
        }
        if broken > 0 {
            let check = chkdsl.unwrap_or_default();
            return Err(Failure::check_failed(format!("{broken} of {shown} row(s) do not fulfil {check}")));
        }
        Ok(Outcome::default())
    }
}

/// The columns: those that are wanted, or all by name.
fn names(wanted: &str, rows: &[Row]) -> Vec<String> {
    let wanted: Vec<String> =
        wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if !wanted.is_empty() {
        return wanted;
    }
    rows.iter().flat_map(|row| row.keys()).collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

fn warn_of_unknown(expression: &Expression, rows: &[Row]) {
    for path in expression.paths() {
        if !rows.iter().any(|row| row.contains_key(path)) {
            log::warn(format_args!("No row has a value [{path}]."));
        }
    }
}

autoexec_sdk::export_tool!(JsonDataCheck);

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_sdk::testing::Host;
    use serde_json::json;

    fn data() -> Value {
        json!([{"name": "db1", "size": 20, "disks": [{"used": 1}, {"used": 9}]}, {"name": "web", "size": "5", "disks": []}])
    }

    #[test]
    fn rows_are_shown_filtered_and_checked() {
        let host = Host::new();
        host.run::<JsonDataCheck>(json!({"data": data().to_string()})).unwrap();
        assert_eq!(host.log_lines(), ["disks.used\tname\tsize", "1\tdb1\t20", "9\tdb1\t20", "\tweb\t5"]);

        let host = {
            drop(host);
            Host::new()
        };
        let options = json!({"data": data(), "disfields": "name, disks.used", "filter": "[name] =~ /^DB/i", "chkdsl": "[disks.used] < 5"});
        let failure = host.run::<JsonDataCheck>(options).unwrap_err();
        assert_eq!(
            (failure.exit_code(), failure.message()),
            (1, "1 of 2 row(s) do not fulfil [disks.used] < 5")
        );
        assert_eq!(host.log_lines(), ["name\tdisks.used", "FINE: db1\t1", "ERROR: db1\t9"]);
    }

    #[test]
    fn nothing_to_check_is_a_failure_of_its_own() {
        let host = Host::new();
        let failure = host.run::<JsonDataCheck>(json!({"data": [], "chkdsl": "[a] > 1"})).unwrap_err();
        assert_eq!((failure.exit_code(), failure.message()), (2, "No data return from api."));
        let failure =
            host.run::<JsonDataCheck>(json!({"data": data(), "filter": "[size] > 99"})).unwrap_err();
        assert_eq!((failure.exit_code(), failure.message()), (2, "No data matched filter:[size] > 99"));
    }

    #[test]
    fn a_misspelt_name_is_told() {
        let host = Host::new();
        let _ = host.run::<JsonDataCheck>(json!({"data": data(), "chkdsl": "[sizes] > 1"}));
        assert_eq!(host.log_lines()[0], "WARN: No row has a value [sizes].");
    }

    #[test]
    fn what_is_no_expression_or_no_data_fails_before_anything_is_shown() {
        let host = Host::new();
        for options in [
            json!({"data": data(), "chkdsl": "[size] >"}),
            json!({"data": data(), "filter": "system('id')"}),
            json!({"data": "[1, 2]"}),
            json!({"data": "{"}),
        ] {
            assert_eq!(host.run::<JsonDataCheck>(options).unwrap_err().exit_code(), 2);
        }
        assert!(host.log_lines().is_empty());
    }
}

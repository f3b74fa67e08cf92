//! `policy check` and `policy diff`: for whoever writes or reviews a policy.

use autoexec_events::ExitCode;
use autoexec_grants::{Change, Direction, Policy, diff};
use autoexec_store::Home;
use serde_json::{Value, json};

use super::args::{CheckArgs, DiffArgs, ReviewFormat};
use super::load::{self, LoadError};
use super::sarif::{Finding, document};
use crate::{CliError, print};

pub(super) fn check(home: &Home, arguments: &CheckArgs) -> Result<ExitCode, CliError> {
    let found = load::of_home(home);
    match (&found, arguments.output) {
        (Ok(policy), ReviewFormat::Table) => print(&summary(home, policy))?,
        // The error goes the way of all errors.
        (Err(_), ReviewFormat::Table) => {}
        (Ok(policy), ReviewFormat::Json) => print_json(&json!({
            "ok": true, "mode": policy.mode(), "builtIn": policy.is_built_in(), "files": policy.files(),
            "grants": policy.grant_count()}))?,
        (Err(error), ReviewFormat::Json) => print_json(&error_json(error))?,
        (Ok(_), ReviewFormat::Sarif) => print_json(&document(&[]))?,
        (Err(error), ReviewFormat::Sarif) => print_json(&document(&[error_finding(error)]))?,
    }
    found?;
    Ok(ExitCode::Success)
}

fn summary(home: &Home, policy: &Policy) -> String {
    let mode = mode_name(policy);
    if policy.is_built_in() {
        let directory = home.policy();
        return format!(
            "The built-in policy holds: there is no *.toml in {}. Mode {mode}. `autoexec policy default` prints it.\n",
            directory.display()
        );
    }
    let files = policy.files().join("\n  ");
    format!("The policy can be used. Mode {mode}, {} grant(s), from\n  {files}\n", policy.grant_count())
}

/// As policies spell it.
pub(super) fn mode_name(policy: &Policy) -> String {
    format!("{:?}", policy.mode()).to_lowercase()
}

fn error_json(error: &LoadError) -> Value {
    let mut value = json!({"ok": false, "message": error.to_string()});
    if let LoadError::Policy(error) = error {
        value["file"] = error.file.as_str().into();
        value["line"] = error.line.into();
        value["column"] = error.column.into();
        value["message"] = error.problem.to_string().into();
    }
    value
}

fn error_finding(error: &LoadError) -> Finding<'_> {
    let (text, place) = match error {
        LoadError::Policy(error) => (error.problem.to_string(), Some((error.file.as_str(), error.line))),
        LoadError::Read { .. } | LoadError::Nothing { .. } => (error.to_string(), None),
    };
    Finding { kind: "policy-error", level: "error", text, place }
}

pub(super) fn compare(arguments: &DiffArgs) -> Result<ExitCode, CliError> {
    let changes = diff(&load::at(&arguments.old)?, &load::at(&arguments.new)?);
    match arguments.output {
        ReviewFormat::Table if changes.is_empty() => print("No difference.\n")?,
        ReviewFormat::Table => print(&changes.iter().map(change_line).collect::<String>())?,
        ReviewFormat::Json => print_json(&json!({"changes": changes}))?,
        ReviewFormat::Sarif => {
            let findings: Vec<Finding<'_>> = changes.iter().map(change_finding).collect();
            print_json(&document(&findings))?;
        }
    }
    Ok(ExitCode::Success)
}

fn change_line(change: &Change) -> String {
    let place =
        change.rule.as_ref().map(|rule| format!(" ({} line {})", rule.file, rule.line)).unwrap_or_default();
    let direction = match change.direction {
        Direction::Widen => "WIDEN  ",
        Direction::Narrow => "narrow ",
        Direction::Neutral => "neutral",
    };
    format!("{direction}  {}{place}\n", change.text)
}

fn change_finding(change: &Change) -> Finding<'_> {
    let (kind, level) = match change.direction {
        Direction::Widen => ("policy-widen", "warning"),
        Direction::Narrow => ("policy-narrow", "note"),
        Direction::Neutral => ("policy-neutral", "note"),
    };
    let place = change.rule.as_ref().map(|rule| (rule.file.as_str(), rule.line));
    Finding { kind, level, text: change.text.clone(), place }
}

pub(super) fn print_json(value: &Value) -> Result<(), CliError> {
    print(&format!("{value:#}\n"))
}

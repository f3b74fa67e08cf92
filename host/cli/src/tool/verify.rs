//! `tool verify`: would a run load them?

use autoexec_events::ExitCode;
use autoexec_supply::{SignatureState, Standing, Strictness};
use serde_json::{Value, json};

use super::args::{Format, VerifyArgs};
use super::installed::{self, Installed};
use super::list::tool_object;
use super::show::change_line;
use super::{home_of, print_json, rules, strictness};
use crate::{CliError, print};

/// What is wrong with a tool, and how bad that is.
struct Finding {
    code: ExitCode,
    text: String,
}

pub(super) fn run(arguments: &VerifyArgs) -> Result<ExitCode, CliError> {
    let home = home_of(&arguments.shared)?;
    let strictness = if arguments.lenient { strictness(&home)? } else { Strictness::Require };
    let rules = rules(&home, strictness)?;
    let mut code = ExitCode::Success;
    let (mut text, mut objects) = (String::new(), Vec::new());
    for place in installed::chosen(&home, &arguments.tools)? {
        let name = place.name.clone();
        let findings = match installed::look_at(place, &rules) {
            Ok(tool) => {
                let findings = judge(&tool, strictness);
                objects.push(with_verdict(tool_object(&tool), &findings));
                findings
            }
            Err(problem) => {
                let finding = Finding { code: ExitCode::BadInput, text: problem.to_string() };
                objects.push(with_verdict(json!({"name": name}), std::slice::from_ref(&finding)));
                vec![finding]
            }
        };
        // What can not be read weighs most, then the signature, then the lock: in the order of their codes.
        for finding in &findings {
            if code == ExitCode::Success || finding.code.code() < code.code() {
                code = finding.code;
            }
        }
        text.push_str(&line(&name, &findings));
    }
    match arguments.shared.output {
        Format::Json => print_json(&json!({"ok": code == ExitCode::Success, "tools": objects}))?,
        Format::Table if text.is_empty() => print("No tool is installed that could be verified.\n")?,
        Format::Table => print(&text)?,
    }
    Ok(code)
}

fn judge(tool: &Installed, strictness: Strictness) -> Vec<Finding> {
    let mut findings = Vec::new();
    let signature = match &tool.signature {
        Some(SignatureState::Missing) => Some("it has no signature".to_owned()),
        Some(SignatureState::Broken(problem)) => Some(problem.to_string()),
        None | Some(SignatureState::Holds(_)) => None,
    };
    if let Some(text) = signature.filter(|_| strictness == Strictness::Require) {
        findings.push(Finding { code: ExitCode::BadSignature, text });
    }
    let name = &tool.place.name;
    let lock = match &tool.standing {
        None | Some(Standing::Approved) => None,
        Some(Standing::New) => Some("it is not in plugins.lock".to_owned()),
        Some(Standing::Changed(changes)) => {
            let lines: String = changes.iter().map(change_line).collect();
            Some(format!("it is not what plugins.lock has:\n{}", lines.trim_end()))
        }
    };
    if let Some(text) = lock {
        let text = format!("{text}\n    approve it with `autoexec tool lock {name}`");
        findings.push(Finding { code: ExitCode::Denied, text });
    }
    findings
}

fn with_verdict(mut object: Value, findings: &[Finding]) -> Value {
    let problems: Vec<Value> = findings
        .iter()
        .map(|finding| json!({"exitCode": finding.code.code(), "text": finding.text}))
        .collect();
    object["ok"] = problems.is_empty().into();
    object["problems"] = problems.into();
    object
}

fn line(name: &str, findings: &[Finding]) -> String {
    if findings.is_empty() {
        return format!("ok      {name}\n");
    }
    findings
        .iter()
        .fold(String::new(), |text, finding| text + "FAILED  " + name + ": " + &finding.text + "\n")
}

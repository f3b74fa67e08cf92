//! `tool list`: one line for each tool.

use autoexec_events::ExitCode;
use autoexec_supply::{Change, SignatureState, Standing};
use comfy_table::Table;
use serde_json::{Value, json};

use super::args::{Format, ListArgs};
use super::installed::{self, Installed, Place, ToolProblem};
use super::{home_of, print_json, rules, strictness};
use crate::{CliError, print};

pub(super) fn run(arguments: &ListArgs) -> Result<ExitCode, CliError> {
    let home = home_of(&arguments.shared)?;
    let rules = rules(&home, strictness(&home)?)?;
    let look = |place: Place| (place.clone(), installed::look_at(place, &rules));
    let tools: Vec<(Place, Result<Installed, ToolProblem>)> =
        installed::find_all(&home)?.into_iter().map(look).collect();
    match arguments.shared.output {
        Format::Json => print_json(&json!({
            "signatures": rules.strictness, "trustedKeys": rules.trusted.iter().count(),
            "lock": rules.lock.is_some(),
            "tools": tools.iter().map(|(place, tool)| object(place, tool)).collect::<Vec<_>>()}))?,
        Format::Table if tools.is_empty() => print(&format!(
            "No component is installed in {}, and no native tool with a manifest in {}.\n",
            home.wasm_plugins().display(),
            home.local_plugins().display()
        ))?,
        Format::Table => print(&format!("{}\n", table(&tools)))?,
    }
    let broken = tools.iter().any(|(_, tool)| tool.is_err());
    Ok(if broken { ExitCode::BadInput } else { ExitCode::Success })
}

fn table(tools: &[(Place, Result<Installed, ToolProblem>)]) -> Table {
    let mut table = Table::new();
    table.set_header(["tool", "kind", "version", "signature", "approved", "asks for"]);
    for (place, tool) in tools {
        let row = match tool {
            Err(problem) => [
                place.name.clone(),
                place.kind.to_string(),
                String::new(),
                String::new(),
                String::new(),
                format!("can not be used: {problem}"),
            ],
            Ok(tool) => [
                place.name.clone(),
                place.kind.to_string(),
                tool.pinned.version.to_string(),
                signature(tool),
                standing(tool),
                tool.pinned.capabilities.iter().cloned().collect::<Vec<_>>().join(", "),
            ],
        };
        table.add_row(row);
    }
    table
}

fn object(place: &Place, tool: &Result<Installed, ToolProblem>) -> Value {
    match tool {
        Ok(tool) => tool_object(tool),
        Err(problem) => json!({"name": place.name, "kind": place.kind, "path": place.path,
            "error": problem.to_string()}),
    }
}

/// A signature for programs.
pub(crate) fn signature_object(state: &SignatureState) -> Value {
    match state {
        SignatureState::Holds(signer) => {
            json!({"state": "holds", "key": signer.key, "keyName": signer.key_name})
        }
        SignatureState::Missing => json!({"state": "missing"}),
        SignatureState::Broken(problem) => json!({"state": "broken", "problem": problem.to_string()}),
    }
}

/// A tool for programs.
pub(super) fn tool_object(tool: &Installed) -> Value {
    let signature = tool.signature.as_ref().map(signature_object);
    let (approved, changes): (Option<bool>, &[Change]) = match &tool.standing {
        None => (None, &[]),
        Some(Standing::Approved) => (Some(true), &[]),
        Some(Standing::New) => (Some(false), &[]),
        Some(Standing::Changed(changes)) => (Some(false), changes),
    };
    let changes: Vec<Value> = changes
        .iter()
        .map(|change| json!({"text": change.to_string(), "widens": change.widens(), "what": change}))
        .collect();
    json!({
        "name": tool.place.name, "kind": tool.place.kind, "path": tool.place.path,
        "version": tool.pinned.version.to_string(), "sha256": tool.pinned.sha256,
        "description": tool.description.text(), "capabilities": tool.pinned.capabilities,
        "signature": signature, "approved": approved, "changes": changes,
    })
}

/// The signature in a few words.
pub(super) fn signature(tool: &Installed) -> String {
    match &tool.signature {
        None => "-".to_owned(),
        Some(SignatureState::Holds(signer)) => format!("by {}", signer.key_name),
        Some(SignatureState::Missing) => "none".to_owned(),
        Some(SignatureState::Broken(_)) => "does not hold".to_owned(),
    }
}

/// The standing to the lock in a few words.
pub(super) fn standing(tool: &Installed) -> String {
    match &tool.standing {
        None => "no lock",
        Some(Standing::Approved) => "yes",
        Some(Standing::New) => "no: new",
        Some(Standing::Changed(changes)) if changes.iter().any(Change::widens) => "no: widened",
        Some(Standing::Changed(_)) => "no: changed",
    }
    .to_owned()
}

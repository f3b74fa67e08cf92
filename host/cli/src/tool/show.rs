//! `tool show`: everything about one tool.

use std::fmt::Write;

use autoexec_events::ExitCode;
use autoexec_supply::{Change, SignatureState, Standing};
use serde_json::{Value, json};

use super::args::{Format, ShowArgs};
use super::installed::{self, Description, Installed};
use super::list::tool_object;
use super::{home_of, print_json, rules, strictness};
use crate::{CliError, print};

pub(super) fn run(arguments: &ShowArgs) -> Result<ExitCode, CliError> {
    let home = home_of(&arguments.shared)?;
    let rules = rules(&home, strictness(&home)?)?;
    let tool = installed::look_at(installed::find(&home, &arguments.tool)?, &rules)?;
    match arguments.shared.output {
        Format::Json => print_json(&object(&tool))?,
        Format::Table => print(&text(&tool))?,
    }
    Ok(ExitCode::Success)
}

fn object(tool: &Installed) -> Value {
    let mut object = tool_object(tool);
    let requests = tool.description.requests();
    object["requests"] =
        requests.into_iter().map(|(what, reason)| json!({"what": what, "reason": reason})).collect();
    match &tool.description {
        Description::Component(manifest) => {
            object["wit"] = manifest.wit.to_string().into();
            object["rerun"] = json!(manifest.rerun);
            object["limits"] = json!(manifest.limits);
        }
        Description::Native(manifest) => object["limits"] = json!(manifest.limits),
    }
    object
}

fn text(tool: &Installed) -> String {
    let mut text = format!(
        "{} {} ({})\n  {}\n  file      {}\n  sha256    {}\n",
        tool.place.name,
        tool.pinned.version,
        tool.pinned.kind,
        tool.description.text(),
        tool.place.path.display(),
        tool.pinned.sha256
    );
    if let Description::Component(manifest) = &tool.description {
        let rerun = format!("{:?}", manifest.rerun).to_lowercase();
        let _ = writeln!(text, "  interface autoexec:tool {}, rerun {rerun}", manifest.wit);
    }
    let _ = writeln!(text, "  signature {}", signature(tool));
    text.push_str(&standing(tool));
    let requests = tool.description.requests();
    if requests.is_empty() {
        text.push_str("It asks for no capability.\n");
    } else {
        text.push_str("It asks for\n");
        for (what, reason) in requests {
            let _ = writeln!(text, "  {what}\n    because: {reason}");
        }
    }
    text
}

fn signature(tool: &Installed) -> String {
    match &tool.signature {
        None => "none: a native tool is held to the lock, not to a signature".to_owned(),
        Some(SignatureState::Holds(signer)) => {
            format!("holds, by {} (key {}): {}", signer.key_name, signer.key, signer.statement)
        }
        Some(SignatureState::Missing) => "none".to_owned(),
        Some(SignatureState::Broken(problem)) => problem.to_string(),
    }
}

fn standing(tool: &Installed) -> String {
    match &tool.standing {
        None => "  approved  this home keeps no plugins.lock; `autoexec tool lock` begins one\n".to_owned(),
        Some(Standing::Approved) => "  approved  as it is\n".to_owned(),
        Some(Standing::New) => "  approved  no, it is not in plugins.lock\n".to_owned(),
        Some(Standing::Changed(changes)) => {
            let mut text = "  approved  no, it is not what plugins.lock has:\n".to_owned();
            text.push_str(&changes.iter().map(change_line).collect::<String>());
            text
        }
    }
}

/// A change as people review it.
pub(super) fn change_line(change: &Change) -> String {
    format!("    {}  {change}\n", if change.widens() { "WIDEN" } else { "     " })
}

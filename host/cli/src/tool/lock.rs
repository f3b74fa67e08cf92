//! `tool lock`: a person approves what is installed.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write as _};

use autoexec_events::ExitCode;
use autoexec_store::{Home, atomic};
use autoexec_supply::{Lock, Rules, Standing};
use serde_json::{Value, json};

use super::args::{Format, LockArgs};
use super::installed::{self, Installed};
use super::list::tool_object;
use super::show::change_line;
use super::{home_of, print_json, rules, strictness};
use crate::{CliError, print};

/// The lock holds no secrets and is kept under version control.
const PUBLIC: u32 = 0o644;

/// What would be written.
struct Plan {
    lock: Lock,
    /// Tools that are not as they were approved.
    changed: Vec<Installed>,
    /// Tools that are forgotten.
    pruned: Vec<String>,
}

pub(super) fn run(arguments: &LockArgs) -> Result<ExitCode, CliError> {
    let home = home_of(&arguments.shared)?;
    let mut rules = rules(&home, strictness(&home)?)?;
    // Without a lock everything is new.
    let begun = rules.lock.is_none();
    rules.lock.get_or_insert_default();
    let plan = plan(&home, &rules, arguments)?;
    if plan.changed.is_empty() && plan.pruned.is_empty() && !begun {
        return nothing(arguments);
    }
    let to_approve: Vec<&Installed> = plan.changed.iter().filter(|tool| needs_approval(tool)).collect();
    if arguments.shared.output == Format::Table {
        print(&shown(&plan))?;
    }
    let approved = to_approve.is_empty() || arguments.yes || asked(arguments, to_approve.len())?;
    if arguments.shared.output == Format::Json {
        print_json(&object(&plan, approved))?;
    }
    if !approved {
        let names: Vec<&str> = to_approve.iter().map(|tool| tool.place.name.as_str()).collect();
        return Err(CliError::new(
            ExitCode::Denied,
            format!("nothing was written: a person has to approve {}", names.join(", ")),
        )
        .hint("look at what changed, then repeat with --yes, or run it on a terminal to be asked"));
    }
    atomic::write_synced(&home.plugins_lock(), plan.lock.to_text().as_bytes(), PUBLIC)
        .map_err(CliError::files)?;
    if arguments.shared.output == Format::Table {
        print(&format!("Wrote {}.\n", home.plugins_lock().display()))?;
    }
    Ok(ExitCode::Success)
}

fn plan(home: &Home, rules: &Rules, arguments: &LockArgs) -> Result<Plan, CliError> {
    let mut lock = rules.lock.clone().unwrap_or_default();
    let places = installed::chosen(home, &arguments.tools)?;
    let there: BTreeSet<String> = installed::find_all(home)?.into_iter().map(|place| place.name).collect();
    let mut changed = Vec::new();
    for place in places {
        let tool = installed::look_at(place, rules)?;
        if tool.standing != Some(Standing::Approved) {
            lock.insert(tool.place.name.clone(), tool.pinned.clone());
            changed.push(tool);
        }
    }
    let gone = lock.iter().map(|(name, _)| name).filter(|name| arguments.prune && !there.contains(*name));
    let pruned: Vec<String> = gone.map(str::to_owned).collect();
    for name in &pruned {
        lock.remove(name);
    }
    Ok(Plan { lock, changed, pruned })
}

fn needs_approval(tool: &Installed) -> bool {
    match &tool.standing {
        Some(Standing::Changed(changes)) => changes.iter().any(autoexec_supply::Change::widens),
        Some(Standing::Approved) => false,
        Some(Standing::New) | None => true,
    }
}

fn nothing(arguments: &LockArgs) -> Result<ExitCode, CliError> {
    match arguments.shared.output {
        Format::Json => print_json(&json!({"written": false, "changed": [], "pruned": []}))?,
        Format::Table => print("Everything is as it was approved; nothing to write.\n")?,
    }
    Ok(ExitCode::Success)
}

fn shown(plan: &Plan) -> String {
    let mut text = String::new();
    for tool in &plan.changed {
        let (name, version) = (&tool.place.name, &tool.pinned.version);
        if let Some(Standing::Changed(changes)) = &tool.standing {
            let _ = writeln!(text, "{name} {version}");
            text.push_str(&changes.iter().map(change_line).collect::<String>());
            continue;
        }
        let _ = writeln!(text, "{name} {version}\n    WIDEN  new tool ({})", tool.pinned.kind);
        for (what, reason) in tool.description.requests() {
            let _ = writeln!(text, "    WIDEN  asks for `{what}`: {reason}");
        }
        if tool.signature.is_some() && tool.pinned.key.is_none() {
            text.push_str("           without a signature that holds\n");
        }
    }
    for name in &plan.pruned {
        let _ = writeln!(text, "{name}\n           no longer installed, is forgotten");
    }
    text
}

fn object(plan: &Plan, written: bool) -> Value {
    json!({"written": written, "changed": plan.changed.iter().map(tool_object).collect::<Vec<_>>(),
        "pruned": plan.pruned})
}

/// Asks on the terminal. Elsewhere nobody can answer.
fn asked(arguments: &LockArgs, count: usize) -> Result<bool, CliError> {
    if arguments.shared.output == Format::Json || !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    let failed = |error: std::io::Error| CliError::files(format!("can not ask on the terminal: {error}"));
    let mut terminal = std::io::stderr().lock();
    write!(terminal, "Approve what is marked WIDEN for {count} tool(s)? [y/N] ").map_err(failed)?;
    terminal.flush().map_err(failed)?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

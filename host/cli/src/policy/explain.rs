//! `policy explain`: what a tool may do, by the code that enforces it.

use std::fmt::Write;

use autoexec_events::ExitCode;
use autoexec_grants::{Capability, CapabilityGrant, Decision, DecisionOutcome, Facts, Policy, Request};
use autoexec_manifest::{Manifest, read_outline};
use autoexec_model::JobId;
use autoexec_store::Home;
use serde_json::{Map, Value, json};

use super::args::{ExplainArgs, ReviewFormat};
use super::load;
use super::request;
use super::review::{mode_name, print_json};
use super::sarif::{Finding, document};
use crate::{CliError, print};

pub(super) fn run(home: &Home, arguments: &ExplainArgs) -> Result<ExitCode, CliError> {
    let policy = load::of_home(home)?;
    let manifest = installed(home, &arguments.tool)?;
    match &arguments.request {
        Some(text) => one(home, &policy, manifest.as_ref(), text, arguments),
        None => all(&policy, manifest.as_ref(), arguments),
    }
}

/// The manifest of the component; none when there is no such component here.
fn installed(home: &Home, tool: &str) -> Result<Option<Manifest>, CliError> {
    let escapes = tool.split('/').any(|part| matches!(part, "" | "." | ".."));
    if escapes || !tool.contains('/') {
        return Err(CliError::new(ExitCode::Usage, format!("`{tool}` is no tool; a tool is `bundle/name`")));
    }
    let path = home.wasm_plugins().join(format!("{tool}.wasm"));
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CliError::files(format!("tool {}: {error}", path.display()))),
    };
    let outline = read_outline(&bytes)
        .map_err(|error| CliError::bad_input(format!("tool {}: {error}", path.display())))?;
    Ok(Some(outline.manifest))
}

/// Decides one request.
fn one(
    home: &Home,
    policy: &Policy,
    manifest: Option<&Manifest>,
    text: &str,
    arguments: &ExplainArgs,
) -> Result<ExitCode, CliError> {
    let parsed =
        request::parse(text, arguments.address).map_err(|error| CliError::new(ExitCode::Usage, error))?;
    let access = parsed.access();
    let job_dir = arguments.job.as_deref().map(|job| job_directory(home, job)).transpose()?;
    let root = home.root().display().to_string();
    let facts =
        Facts { node_host: arguments.node.as_deref(), job_dir: job_dir.as_deref(), home: Some(&root) };
    let decision = policy.decide(&Request { tool: &arguments.tool, digest: None, access }, &facts);
    let interface = access.capability().interface();
    let not_asked = manifest.is_some_and(|manifest| manifest.requests(interface).is_none());
    match arguments.output {
        ReviewFormat::Json => print_json(&decision_json(&decision, !not_asked))?,
        ReviewFormat::Sarif => print_json(&document(&[decision_finding(&decision)]))?,
        ReviewFormat::Table => {
            let mut shown = decision_text(&decision);
            if not_asked {
                let _ = writeln!(
                    shown,
                    "The manifest of {} does not ask for `{interface}`, so it never gets it.",
                    decision.tool
                );
            }
            if arguments.node.is_none() && !decision.allowed() {
                shown.push_str("Without --node, rules with ${node.host} fit no host.\n");
            }
            if arguments.job.is_none() && access.capability() == Capability::Filesystem && !decision.allowed()
            {
                shown.push_str("Without --job, rules with ${job.dir} fit no path.\n");
            }
            print(&shown)?;
        }
    }
    Ok(exit_code(decision.allowed() && !not_asked))
}

/// What the tool is linked with, and all rules that bear on it.
fn all(policy: &Policy, manifest: Option<&Manifest>, arguments: &ExplainArgs) -> Result<ExitCode, CliError> {
    let tool = arguments.tool.as_str();
    let asked: Vec<&str> = match manifest {
        Some(manifest) => manifest.capabilities.iter().map(|request| request.interface.as_str()).collect(),
        None => Capability::ALL.map(Capability::interface).to_vec(),
    };
    let effective = policy.effective(tool, None, asked);
    let linked = effective.linked().count() == effective.capabilities.len();
    match arguments.output {
        ReviewFormat::Sarif => {
            let known = effective.capabilities.iter().filter_map(|grant| match grant {
                CapabilityGrant::Known(decision) => Some(decision_finding(decision)),
                CapabilityGrant::Unknown { .. } => None,
            });
            print_json(&document(&known.collect::<Vec<_>>()))?;
        }
        ReviewFormat::Json => {
            let limits: Map<String, Value> = policy
                .limit_values(tool)
                .map(|(limit, value)| (limit.key().to_owned(), value.into()))
                .collect();
            print_json(&json!({
                "tool": tool, "installed": manifest.is_some(), "mode": policy.mode(),
                "capabilities": effective.capabilities, "rules": policy.rules_for(tool),
                "limits": limits,
            }))?;
        }
        ReviewFormat::Table => print(&all_text(policy, manifest, tool, &effective.capabilities))?,
    }
    Ok(exit_code(linked))
}

fn all_text(policy: &Policy, manifest: Option<&Manifest>, tool: &str, grants: &[CapabilityGrant]) -> String {
    let mut text = match manifest {
        Some(manifest) => format!("{tool} {}, policy in mode {}.\n", manifest.version, mode_name(policy)),
        None => format!(
            "{tool} is not installed as a component; shown as if it asked for everything. Policy in mode {}.\n",
            mode_name(policy)
        ),
    };
    if grants.is_empty() {
        text.push_str("It asks for no capability.\n");
    }
    for grant in grants {
        let why = |interface: &str| manifest.and_then(|manifest| manifest.requests(interface));
        match grant {
            CapabilityGrant::Known(decision) => {
                text.push_str(&decision_text(decision));
                if let Some(request) = why(decision.capability.interface()) {
                    let _ = writeln!(text, "  The tool asks for it because: {}", request.reason);
                }
            }
            CapabilityGrant::Unknown { interface } => {
                let _ = writeln!(
                    text,
                    "This autoexec has no interface `{interface}`, so the tool can not be run."
                );
            }
        }
    }
    let limits: Vec<String> =
        policy.limit_values(tool).map(|(limit, value)| format!("{} {value}", limit.key())).collect();
    let _ = writeln!(text, "Limits of one call: {}.", limits.join(", "));
    text.push_str("Rules that bear on it:\n");
    for rule in policy.rules_for(tool) {
        let _ = writeln!(text, "  {rule}");
    }
    text
}

fn decision_text(decision: &Decision) -> String {
    match &decision.advice {
        Some(advice) => format!("{decision}\n{advice}\n"),
        None => format!("{decision}\n"),
    }
}

fn decision_json(decision: &Decision, requested: bool) -> Value {
    // A plain struct of texts has no failing case.
    let mut value = serde_json::to_value(decision).unwrap_or_default();
    value["requested"] = requested.into();
    value["terms"] = serde_json::to_value(&decision.terms).unwrap_or_default();
    value["advice"] = decision.advice.as_ref().map(ToString::to_string).into();
    value
}

/// The directory of a job, for `${job.dir}`.
fn job_directory(home: &Home, job: &str) -> Result<String, CliError> {
    let job = JobId::new(job).map_err(|error| CliError::new(ExitCode::Usage, error.to_string()))?;
    Ok(home.job(&job).root().display().to_string())
}

fn decision_finding(decision: &Decision) -> Finding<'_> {
    let (kind, level) = match decision.outcome {
        DecisionOutcome::Allowed => ("policy-allowed", "note"),
        DecisionOutcome::Denied => ("policy-denied", "error"),
        DecisionOutcome::WouldDeny | DecisionOutcome::Learned => ("policy-would-deny", "warning"),
    };
    let place = decision.rule.as_ref().map(|rule| (rule.file.as_str(), rule.line));
    Finding { kind, level, text: decision.to_string(), place }
}

fn exit_code(allowed: bool) -> ExitCode {
    if allowed { ExitCode::Success } else { ExitCode::Denied }
}

//! `policy audit`: installed tools and the policy, looked at together.

use std::fs;
use std::io;
use std::path::Path;

use autoexec_events::ExitCode;
use autoexec_grants::{Audit, AuditFinding, AuditedTool, CapabilityGrant, DecisionOutcome, Severity};
use autoexec_manifest::{capability_of, read_outline};
use autoexec_store::Home;
use comfy_table::Table;
use serde_json::json;

use super::args::{AuditArgs, FailOn, ReviewFormat};
use super::load;
use super::review::print_json;
use super::sarif::{Finding, document};
use crate::{CliError, print};

pub(super) fn run(home: &Home, arguments: &AuditArgs) -> Result<ExitCode, CliError> {
    let policy = load::of_home(home)?;
    let (tools, broken) = installed(home)?;
    let mut audit = policy.audit(&tools);
    audit.findings.splice(0..0, broken);
    match arguments.output {
        ReviewFormat::Table => print(&table(&audit))?,
        ReviewFormat::Json => print_json(&json!({
            "mode": policy.mode(), "builtIn": policy.is_built_in(),
            "tools": audit.tools.iter().map(|(tool, grant)| json!({"tool": tool, "capabilities": grant.capabilities})).collect::<Vec<_>>(),
            "findings": audit.findings,
        }))?,
        ReviewFormat::Sarif => {
            let findings: Vec<Finding<'_>> = audit.findings.iter().map(finding).collect();
            print_json(&document(&findings))?;
        }
    }
    let fails = |finding: &AuditFinding| match arguments.fail_on {
        FailOn::Never => false,
        FailOn::Error => finding.severity >= Severity::Error,
        FailOn::Warning => finding.severity >= Severity::Warning,
        FailOn::Note => true,
    };
    Ok(if audit.findings.iter().any(fails) { ExitCode::Denied } else { ExitCode::Success })
}

fn finding(finding: &AuditFinding) -> Finding<'_> {
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    let place = finding.rule.as_ref().map(|rule| (rule.file.as_str(), rule.line));
    Finding { kind: finding.kind, level, text: sentence(finding), place }
}

/// What the finding is about, and what it is.
fn sentence(finding: &AuditFinding) -> String {
    let about = finding.tool.as_deref().or_else(|| finding.rule.as_ref().map(|rule| rule.text.as_str()));
    match about {
        Some(about) => format!("{about}: {}", finding.text),
        None => finding.text.clone(),
    }
}

fn table(audit: &Audit) -> String {
    let mut table = Table::new();
    table.set_header(["tool", "capability", "may", "rule or reason"]);
    for (tool, grant) in &audit.tools {
        if grant.capabilities.is_empty() {
            table.add_row([tool.as_str(), "(none asked for)", "", ""]);
        }
        for capability in &grant.capabilities {
            let (name, may, why) = match capability {
                CapabilityGrant::Unknown { interface } => {
                    (interface.clone(), "no", "this autoexec has no such interface".to_owned())
                }
                CapabilityGrant::Known(decision) => {
                    let may = match decision.outcome {
                        DecisionOutcome::Allowed => "yes",
                        DecisionOutcome::Denied => "no",
                        DecisionOutcome::WouldDeny | DecisionOutcome::Learned => "for now",
                    };
                    let why = decision
                        .rule
                        .as_ref()
                        .map_or_else(|| decision.reason.to_string(), ToString::to_string);
                    (decision.capability.to_string(), may, why)
                }
            };
            table.add_row([tool.as_str(), &name, may, &why]);
        }
    }
    let mut text = if audit.tools.is_empty() {
        "No tool is installed as a component.\n".to_owned()
    } else {
        format!("{table}\n")
    };
    for finding in &audit.findings {
        let severity = match finding.severity {
            Severity::Error => "ERROR  ",
            Severity::Warning => "WARNING",
            Severity::Note => "note   ",
        };
        let place = finding
            .rule
            .as_ref()
            .map(|rule| format!(" ({} line {})", rule.file, rule.line))
            .unwrap_or_default();
        let kind = finding.kind.to_string();
        text.extend([severity, "  ", &kind, "  ", &sentence(finding), &place, "\n"]);
    }
    if audit.findings.is_empty() {
        text.push_str("Nothing to remark.\n");
    }
    text
}

/// The components of the home, and those that are none.
fn installed(home: &Home) -> Result<(Vec<AuditedTool>, Vec<AuditFinding>), CliError> {
    let (mut tools, mut broken) = (Vec::new(), Vec::new());
    let mut take = |name: String, path: &Path| -> Result<(), CliError> {
        let bytes =
            fs::read(path).map_err(|error| CliError::files(format!("tool {}: {error}", path.display())))?;
        match read_outline(&bytes) {
            Ok(outline) => {
                let mut imported: Vec<String> =
                    outline.imports.iter().filter_map(capability_of).map(str::to_owned).collect();
                imported.sort();
                imported.dedup();
                let asked = outline.manifest.capabilities.iter();
                let requested = asked.map(|request| request.interface.clone()).collect();
                tools.push(AuditedTool { name, requested, imported });
            }
            Err(error) => broken.push(AuditFinding {
                kind: "broken-tool",
                severity: Severity::Error,
                text: format!("{error}: it can not be loaded"),
                tool: Some(name),
                rule: None,
            }),
        }
        Ok(())
    };
    walk(&home.wasm_plugins(), "", &mut take)?;
    tools.sort_by(|one, other| one.name.cmp(&other.name));
    Ok((tools, broken))
}

/// Every `bundle/name.wasm`, bundles having any number of levels. Links to directories are not followed.
fn walk(
    directory: &Path,
    bundle: &str,
    take: &mut dyn FnMut(String, &Path) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let unreadable = |error: io::Error| CliError::files(format!("{}: {error}", directory.display()));
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(error)),
    };
    for entry in entries {
        let entry = entry.map_err(unreadable)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') {
            continue;
        }
        let path = entry.path();
        if entry.file_type().map_err(unreadable)?.is_dir() {
            walk(&path, &format!("{bundle}{name}/"), take)?;
        } else if let Some(name) = name.strip_suffix(".wasm")
            && !bundle.is_empty()
        {
            take(format!("{bundle}{name}"), &path)?;
        }
    }
    Ok(())
}

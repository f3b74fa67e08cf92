//! `policy audit`: installed tools and the policy, looked at together.

use std::cmp::Reverse;

use autoexec_events::ExitCode;
use autoexec_grants::{Audit, AuditFinding, AuditedTool, CapabilityGrant, DecisionOutcome, Severity};
use autoexec_manifest::capability_of;
use autoexec_store::Home;
use autoexec_supply::{Kind, Rules, SignatureState, Strictness};
use comfy_table::Table;
use serde_json::json;

use super::args::{AuditArgs, FailOn, ReviewFormat};
use super::load;
use super::review::print_json;
use super::sarif::{Finding, document};
use crate::tool::installed::{self, ToolProblem};
use crate::{CliError, print, tool};

pub(super) fn run(home: &Home, arguments: &AuditArgs) -> Result<ExitCode, CliError> {
    let policy = load::of_home(home)?;
    let Components { tools, signatures, findings } = components(home, &tool::rules_of(home)?)?;
    let mut audit = policy.audit(&tools);
    audit.findings.splice(0..0, findings);
    audit.findings.sort_by_key(|finding| Reverse(finding.severity));
    match arguments.output {
        ReviewFormat::Table => print(&table(&audit, &signatures))?,
        ReviewFormat::Json => print_json(&json!({
            "mode": policy.mode(), "builtIn": policy.is_built_in(),
            "tools": audit.tools.iter().zip(&signatures).map(|((tool, grant), signature)| json!({
                "tool": tool, "signature": tool::signature_object(signature), "capabilities": grant.capabilities,
            })).collect::<Vec<_>>(),
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

fn table(audit: &Audit, signatures: &[SignatureState]) -> String {
    let mut table = Table::new();
    table.set_header(["tool", "signature", "capability", "may", "rule or reason"]);
    for ((tool, grant), signature) in audit.tools.iter().zip(signatures) {
        let signature = signature_words(signature);
        if grant.capabilities.is_empty() {
            table.add_row([tool.as_str(), &signature, "(none asked for)", "", ""]);
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
            table.add_row([tool.as_str(), &signature, &name, may, &why]);
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

/// The components of a home.
#[derive(Default)]
struct Components {
    /// Those that can be looked at, sorted by name.
    tools: Vec<AuditedTool>,
    /// The signature of each, in the same order.
    signatures: Vec<SignatureState>,
    /// Those that are none, and signatures that are worth a remark.
    findings: Vec<AuditFinding>,
}

/// Looks at all components with the code that judges them in a run.
fn components(home: &Home, rules: &Rules) -> Result<Components, CliError> {
    let mut found = Components::default();
    for place in installed::find_all(home)?.into_iter().filter(|place| place.kind == Kind::Component) {
        let name = place.name.clone();
        let tool = match installed::look_at(place, rules) {
            Ok(tool) => tool,
            Err(ToolProblem::Component { problem, .. }) => {
                let text = format!("{problem}: it can not be loaded");
                found.findings.push(remark("broken-tool", Severity::Error, text, Some(name)));
                continue;
            }
            Err(problem) => return Err(problem.into()),
        };
        let state = tool.signature.unwrap_or(SignatureState::Missing);
        found.findings.extend(signature_finding(&name, &state, rules));
        found.signatures.push(state);
        let mut imported: Vec<String> =
            tool.imports.iter().filter_map(capability_of).map(str::to_owned).collect();
        imported.sort();
        imported.dedup();
        let requested = tool.description.requests().into_iter().map(|(interface, _)| interface).collect();
        found.tools.push(AuditedTool { name, requested, imported });
    }
    if !found.tools.is_empty() && rules.trusted.is_empty() && rules.strictness != Strictness::Require {
        let text =
            "conf/trust has no key, so nobody checks where tools come from: `autoexec tool trust add FILE`";
        found.findings.push(remark("no-trusted-key", Severity::Note, text.to_owned(), None));
    }
    Ok(found)
}

fn remark(kind: &'static str, severity: Severity, text: String, tool: Option<String>) -> AuditFinding {
    AuditFinding { kind, severity, text, tool, rule: None }
}

/// What is to be said of a signature that does not hold. Without a trusted key none can: that is said once.
fn signature_finding(name: &str, state: &SignatureState, rules: &Rules) -> Option<AuditFinding> {
    let (severity, consequence) = match rules.strictness {
        Strictness::Require => (Severity::Error, "this site requires one, so it does not run"),
        _ if rules.trusted.is_empty() => return None,
        Strictness::Warn => (Severity::Warning, "it runs all the same (`plugins.signatures = warn`)"),
        Strictness::Off => (Severity::Warning, "nobody looks at it (`plugins.signatures = off`)"),
    };
    let (kind, text) = match state {
        SignatureState::Holds(_) => return None,
        SignatureState::Missing => ("unsigned", format!("it has no signature; {consequence}")),
        SignatureState::Broken(problem) => ("wrong-signature", format!("{problem}; {consequence}")),
    };
    Some(remark(kind, severity, text, Some(name.to_owned())))
}

fn signature_words(state: &SignatureState) -> String {
    match state {
        SignatureState::Holds(signer) => format!("by {}", signer.key_name),
        SignatureState::Missing => "unsigned".to_owned(),
        SignatureState::Broken(_) => "wrong".to_owned(),
    }
}

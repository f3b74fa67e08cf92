//! What a site's tools may do, looked at as a whole: what is broader than it need be, and what does not fit together.

use serde::Serialize;

use crate::address::AddressClass;
use crate::capability::Capability;
use crate::decision::DecisionOutcome;
use crate::effective::{CapabilityGrant, EffectiveGrant};
use crate::policy::{Mode, Policy};
use crate::rule::{CommandMatcher, Effect, Matcher, Rule, RuleRef, Scheme, SecretPlace};
use crate::text::NamePattern;
use crate::tools::ToolPattern;

/// An installed tool, as far as an audit looks at it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditedTool {
    /// As it is installed, `bundle/name`.
    pub name: String,
    /// Capabilities that its manifest asks for, as it spells them.
    pub requested: Vec<String>,
    /// Capabilities behind its imports.
    pub imported: Vec<String>,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Note,
    /// Broader than it need be, or of no use.
    Warning,
    /// Can not work, or takes away what the policy is for.
    Error,
}

/// One thing that an audit found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AuditFinding {
    /// What kind, such as `wildcard-hosts`.
    pub kind: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// What it is and what to do.
    pub text: String,
    /// The tool it is about, where it is one.
    pub tool: Option<String>,
    /// The rule it is about, where it is one.
    pub rule: Option<RuleRef>,
}

/// An audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// What each tool is linked with, in the order given.
    pub tools: Vec<(String, EffectiveGrant)>,
    /// What was found, the worst first.
    pub findings: Vec<AuditFinding>,
}

impl Policy {
    /// Looks at all tools and all rules.
    pub fn audit(&self, tools: &[AuditedTool]) -> Audit {
        let mut findings = Vec::new();
        self.audit_mode(&mut findings);
        let mut effective = Vec::new();
        for tool in tools {
            let grant = self.effective(&tool.name, None, tool.requested.iter().map(String::as_str));
            audit_tool(tool, &grant, &mut findings);
            effective.push((tool.name.clone(), grant));
        }
        for grant in &self.grants {
            for rule in &grant.rules {
                audit_rule(rule, &grant.tools, &mut findings);
                audit_use(rule, &grant.tools, tools, &mut findings);
            }
        }
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Audit { tools: effective, findings }
    }

    fn audit_mode(&self, findings: &mut Vec<AuditFinding>) {
        let about = |kind, severity, text: &str, rule: Option<&RuleRef>| AuditFinding {
            kind,
            severity,
            text: text.to_owned(),
            tool: None,
            rule: rule.cloned(),
        };
        if self.mode != Mode::Enforce {
            let text = "the mode denies nothing: use `enforce` in production";
            findings.push(about("mode", Severity::Error, text, self.mode_at.as_ref()));
        }
        if self.ceiling.is_none() && !self.is_built_in() {
            let text = "there is no [ceiling]: a grant in any file can give anything";
            findings.push(about("no-ceiling", Severity::Note, text, None));
        }
    }
}

/// What the manifest asks for against what the component imports and the policy gives.
fn audit_tool(tool: &AuditedTool, grant: &EffectiveGrant, findings: &mut Vec<AuditFinding>) {
    let mut add = |kind, severity, text: String| {
        findings.push(AuditFinding { kind, severity, text, tool: Some(tool.name.clone()), rule: None });
    };
    for imported in &tool.imported {
        if !tool.requested.contains(imported) {
            let text =
                format!("it imports `{imported}`, for which its manifest does not ask: it can not be loaded");
            add("import-exceeds", Severity::Error, text);
        }
    }
    for requested in &tool.requested {
        if !tool.imported.contains(requested) && !used_without_import(requested, tool) {
            let text =
                format!("it asks for `{requested}` and never imports it: ask its author to leave it out");
            add("request-unused", Severity::Warning, text);
        }
    }
    for capability in &grant.capabilities {
        match capability {
            CapabilityGrant::Unknown { interface } => {
                let text = format!(
                    "it asks for `{interface}`, which this autoexec does not have: it gets nothing for it"
                );
                add("unknown-capability", Severity::Error, text);
            }
            CapabilityGrant::Known(decision) if decision.outcome != DecisionOutcome::Allowed => {
                let text = format!(
                    "it asks for `{}`, which it does not get: {}",
                    decision.capability, decision.reason
                );
                add("not-granted", Severity::Note, text);
            }
            CapabilityGrant::Known(_) => {}
        }
    }
}

/// Secrets come as references in options, and files are handed to commands' nodes and to programs by their paths.
fn used_without_import(capability: &str, tool: &AuditedTool) -> bool {
    let imports = |name: &str| tool.imported.iter().any(|imported| imported == name);
    match Capability::from_interface(capability) {
        Some(Capability::Secret) => true,
        Some(Capability::Filesystem) => imports("target") || imports("program"),
        _ => false,
    }
}

/// A rule that no installed tool can use.
fn audit_use(rule: &Rule, patterns: &[ToolPattern], tools: &[AuditedTool], findings: &mut Vec<AuditFinding>) {
    if rule.effect == Effect::Deny {
        return;
    }
    let mut meant =
        tools.iter().filter(|tool| patterns.iter().any(|pattern| pattern.matches(&tool.name))).peekable();
    let text = if meant.peek().is_none() {
        "no installed tool is meant by it".to_owned()
    } else if !meant.any(|tool| tool.requested.iter().any(|asked| asked == rule.capability.interface())) {
        format!("no installed tool that it is for asks for `{}`", rule.capability)
    } else {
        return;
    };
    findings.push(AuditFinding {
        kind: "unused-grant",
        severity: Severity::Note,
        text,
        tool: None,
        rule: Some(rule.at.clone()),
    });
}

/// A rule that gives more than most tools need.
fn audit_rule(rule: &Rule, patterns: &[ToolPattern], findings: &mut Vec<AuditFinding>) {
    if rule.effect == Effect::Deny {
        return;
    }
    let mut add = |kind, severity, text: &str| {
        let finding =
            AuditFinding { kind, severity, text: text.to_owned(), tool: None, rule: Some(rule.at.clone()) };
        findings.push(finding);
    };
    let harmless = matches!(
        (&rule.matcher, rule.capability),
        (_, Capability::StepOutputs | Capability::JobNodes | Capability::Interact)
    ) || matches!(&rule.matcher, Matcher::Host(pattern) if rule.capability == Capability::NetProbe && pattern.is_node());
    if !harmless && patterns.iter().any(ToolPattern::is_all) {
        add(
            "wildcard-tools",
            Severity::Warning,
            "it is for all tools, also for those that are installed later",
        );
    }
    if let Some((kind, severity, text)) = breadth(&rule.matcher) {
        add(kind, severity, &text);
    }
    if let Matcher::Http { schemes, .. } = &rule.matcher
        && schemes.contains(&Scheme::Http)
    {
        add(
            "clear-text",
            Severity::Note,
            "requests go in the clear; anybody between can read and change them",
        );
    }
    if let Matcher::Program { environment: Some(names), .. } = &rule.matcher
        && let Some(variable) = starts_another(names)
    {
        let text = format!("it may set `{variable}`, with which programs are told to start another one");
        add("program-variable", Severity::Warning, &text);
    }
    if let Some((class, exact)) = rule.hosts().and_then(crate::pattern::HostPattern::special)
        && (class == AddressClass::Metadata || class == AddressClass::Loopback || !exact)
    {
        let severity = match class {
            AddressClass::Metadata | AddressClass::Loopback => Severity::Warning,
            _ => Severity::Note,
        };
        add("special-range", severity, &format!("it gives addresses that are {class}"));
    }
}

/// What is broad about a matcher.
fn breadth(matcher: &Matcher) -> Option<(&'static str, Severity, String)> {
    let (kind, severity, text) = match matcher {
        Matcher::Secret { place, .. }
            if place.hosts().is_some_and(crate::pattern::HostPattern::is_any_host) =>
        {
            ("secret-anywhere", Severity::Error, "the secret may go to any host")
        }
        Matcher::Secret { place: SecretPlace::Http(Scheme::Http, _), .. } => {
            ("secret-in-clear", Severity::Warning, "the secret goes in the clear")
        }
        Matcher::Secret { name, .. } if name.is_any() => {
            ("wildcard-names", Severity::Warning, "it is for every secret")
        }
        Matcher::UnverifiedTls(pattern) if pattern.is_any_host() => {
            ("unverified-tls", Severity::Error, "no certificate is checked, whoever answers")
        }
        Matcher::UnverifiedTls(_) => (
            "unverified-tls",
            Severity::Warning,
            "the certificate is not checked: anybody between can answer",
        ),
        Matcher::Host(pattern) | Matcher::Http { host: pattern, .. } if pattern.is_any_host() => {
            ("wildcard-hosts", Severity::Warning, "it reaches every public host; name hosts")
        }
        Matcher::Command(CommandMatcher::Any) => {
            ("any-command", Severity::Note, "any command with the rights of the account on the node")
        }
        Matcher::Command(CommandMatcher::Line(pattern)) if pattern.is_open() => {
            ("any-command", Severity::Warning, "it begins with a star, so nearly any command fits")
        }
        Matcher::NodeFile { path: None, .. } => ("any-file", Severity::Note, "any file of the node"),
        Matcher::File { path, .. } if path.is_first_level() => (
            "wide-directory",
            Severity::Warning,
            "a directory right below the root; name one that is for this",
        ),
        Matcher::Name(name) | Matcher::Collection { name, .. } if name.is_any() => {
            ("wildcard-names", Severity::Warning, "it is for every name")
        }
        Matcher::Program { path: Some(path), .. } if is_interpreter(path) => {
            ("interpreter", Severity::Warning, "the program runs whatever it is told: name the real one")
        }
        Matcher::Program { arguments: None, .. } => {
            ("any-arguments", Severity::Note, "the program may get any arguments")
        }
        _ => return None,
    };
    Some((kind, severity, text.to_owned()))
}

/// A variable of these names in which some programs look for a command.
fn starts_another(names: &[NamePattern]) -> Option<&'static str> {
    const VARIABLES: [&str; 16] = [
        "PAGER",
        "MANPAGER",
        "EDITOR",
        "VISUAL",
        "BROWSER",
        "LESSOPEN",
        "LESSCLOSE",
        "SSH_ASKPASS",
        "GIT_ASKPASS",
        "GIT_EDITOR",
        "GIT_EXTERNAL_DIFF",
        "GIT_PAGER",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "RSYNC_RSH",
        "MAKEFLAGS",
    ];
    VARIABLES.into_iter().find(|variable| names.iter().any(|name| name.matches(variable)))
}

fn is_interpreter(path: &str) -> bool {
    const NAMES: [&str; 13] = [
        "sh", "bash", "dash", "zsh", "ksh", "python", "python3", "perl", "ruby", "node", "env", "sudo", "ssh",
    ];
    path.rsplit('/').next().is_some_and(|name| NAMES.contains(&name))
}

//! From TOML text to a [`Policy`]; every error names file, line and field.

use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::capability::Capability;
use crate::limits::LimitEntry;
use crate::pattern::{HostPattern, PatternError};
use crate::policy::{Ceiling, Grant, Mode, Policy};
use crate::rule::{Effect, Matcher, Rule, RuleRef};
use crate::tools::{ToolPattern, ToolPatternError};

/// A policy that can not be used, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, line {line}, column {column}: {problem}")]
pub struct PolicyError {
    /// The file, as its reader named it.
    pub file: String,
    /// Line from 1.
    pub line: usize,
    /// Column from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub problem: PolicyProblem,
}

/// What is wrong at some place of a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyProblem {
    /// No TOML, a key that does not exist, a value of the wrong kind.
    #[error("{0}; see docs/policy.md for every key")]
    Format(String),
    /// Not a host pattern.
    #[error("`{pattern}` is no host pattern: {problem}")]
    Host {
        /// As written.
        pattern: String,
        /// Why.
        problem: PatternError,
    },
    /// Not a tool pattern.
    #[error("`{pattern}` is no tool pattern: {problem}")]
    Tool {
        /// As written.
        pattern: String,
        /// Why.
        problem: ToolPatternError,
    },
    /// `tools = []`.
    #[error("`tools` is empty, so this is for no tool; name tools, or remove the table")]
    NoTools,
    /// A grant or a limit that says nothing.
    #[error(
        "this table says for which tools, but nothing about them; add a capability or a limit, or remove it"
    )]
    Empty,
    /// Something that one policy can have only once.
    #[error(
        "`{what}` is set a second time; it stands already in {file} line {line}, and a policy has only one"
    )]
    Twice {
        /// The key.
        what: &'static str,
        /// Where the first one stands.
        file: String,
        /// Its line.
        line: usize,
    },
    /// A limit of 0.
    #[error("`{0}` is 0, so the tool could never run")]
    Zero(&'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    mode: Option<Spanned<Mode>>,
    ceiling: Option<Spanned<CeilingTable>>,
    #[serde(default)]
    grant: Vec<GrantTable>,
    #[serde(default)]
    limits: Vec<LimitsTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CeilingTable {
    net_probe: Option<HostsTable>,
    step_outputs: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct GrantTable {
    tools: Spanned<Vec<Spanned<String>>>,
    net_probe: Option<HostsTable>,
    step_outputs: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HostsTable {
    #[serde(default)]
    hosts: Vec<Spanned<String>>,
    #[serde(default)]
    deny: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct LimitsTable {
    tools: Spanned<Vec<Spanned<String>>>,
    memory_mib: Option<Spanned<u32>>,
    time_seconds: Option<Spanned<u32>>,
    log_kib: Option<Spanned<u32>>,
}

/// Reads files in the order given.
pub(crate) fn read(files: &[(&str, &str)]) -> Result<Policy, PolicyError> {
    let mut policy = Policy {
        mode: Mode::default(),
        mode_at: None,
        ceiling: None,
        grants: Vec::new(),
        limits: Vec::new(),
        files: files.iter().map(|(name, _)| (*name).to_owned()).collect(),
        site_file: None,
    };
    for (name, text) in files {
        let file = File { name, text };
        let document: Document = toml::from_str(text).map_err(|error| {
            let at = error.span().unwrap_or_default();
            file.error(&at, PolicyProblem::Format(error.message().trim().replace('\n', ", ")))
        })?;
        file.add(document, &mut policy)?;
    }
    Ok(policy)
}

/// A file being read: turns spans into lines.
struct File<'a> {
    name: &'a str,
    text: &'a str,
}

impl File<'_> {
    fn add(&self, document: Document, policy: &mut Policy) -> Result<(), PolicyError> {
        if let Some(mode) = document.mode {
            self.only_once("mode", &mode.span(), policy.mode_at.as_ref())?;
            policy.mode_at = Some(self.rule_ref(&mode.span(), "mode".to_owned()));
            policy.mode = mode.into_inner();
        }
        if let Some(table) = document.ceiling {
            let at = table.span();
            self.only_once("ceiling", &at, policy.ceiling.as_ref().map(|ceiling| &ceiling.at))?;
            let CeilingTable { net_probe, step_outputs } = table.into_inner();
            let rules = self.rules("ceiling ", net_probe, step_outputs)?;
            policy.ceiling = Some(Ceiling { rules, at: self.rule_ref(&at, "[ceiling]".to_owned()) });
        }
        for GrantTable { tools, net_probe, step_outputs } in document.grant {
            let at = tools.span();
            let tools = self.tools(tools)?;
            let rules = self.rules("", net_probe, step_outputs)?;
            if rules.is_empty() {
                return Err(self.error(&at, PolicyProblem::Empty));
            }
            policy.grants.push(Grant { tools, rules });
        }
        for table in document.limits {
            policy.limits.push(self.limit_entry(table)?);
        }
        Ok(())
    }

    fn rules(
        &self,
        scope: &str,
        net_probe: Option<HostsTable>,
        step_outputs: Option<Spanned<bool>>,
    ) -> Result<Vec<Rule>, PolicyError> {
        let mut rules = Vec::new();
        if let Some(HostsTable { hosts, deny }) = net_probe {
            for (effect, key, patterns) in [(Effect::Allow, "hosts", hosts), (Effect::Deny, "deny", deny)] {
                for pattern in patterns {
                    rules.push(self.host_rule(scope, Capability::NetProbe, effect, key, &pattern)?);
                }
            }
        }
        if let Some(switch) = step_outputs {
            let effect = if *switch.get_ref() { Effect::Allow } else { Effect::Deny };
            let text = format!("{scope}{} = {}", Capability::StepOutputs, switch.get_ref());
            let at = self.rule_ref(&switch.span(), text);
            rules.push(Rule { capability: Capability::StepOutputs, effect, matcher: Matcher::Whole, at });
        }
        Ok(rules)
    }

    fn host_rule(
        &self,
        scope: &str,
        capability: Capability,
        effect: Effect,
        key: &str,
        text: &Spanned<String>,
    ) -> Result<Rule, PolicyError> {
        let pattern = HostPattern::parse(text.get_ref()).map_err(|problem| {
            self.error(&text.span(), PolicyProblem::Host { pattern: text.get_ref().clone(), problem })
        })?;
        let at = self.rule_ref(&text.span(), format!("{scope}{capability} {key} \"{}\"", text.get_ref()));
        Ok(Rule { capability, effect, matcher: Matcher::Host(pattern), at })
    }

    fn tools(&self, tools: Spanned<Vec<Spanned<String>>>) -> Result<Vec<ToolPattern>, PolicyError> {
        let at = tools.span();
        let read = |tool: Spanned<String>| {
            ToolPattern::parse(tool.get_ref()).map_err(|problem| {
                self.error(&tool.span(), PolicyProblem::Tool { pattern: tool.get_ref().clone(), problem })
            })
        };
        let tools: Vec<ToolPattern> = tools.into_inner().into_iter().map(read).collect::<Result<_, _>>()?;
        if tools.is_empty() { Err(self.error(&at, PolicyProblem::NoTools)) } else { Ok(tools) }
    }

    fn limit_entry(&self, table: LimitsTable) -> Result<LimitEntry, PolicyError> {
        let at = table.tools.span();
        let number = |key: &'static str, value: Option<Spanned<u32>>| match value {
            Some(zero) if *zero.get_ref() == 0 => Err(self.error(&zero.span(), PolicyProblem::Zero(key))),
            other => Ok(other.map(|value| u64::from(value.into_inner()))),
        };
        let entry = LimitEntry {
            memory: number("memory-mib", table.memory_mib)?.map(|mib| mib << 20),
            time: number("time-seconds", table.time_seconds)?.map(Duration::from_secs),
            log: number("log-kib", table.log_kib)?.map(|kib| kib << 10),
            tools: self.tools(table.tools)?,
        };
        let says_nothing = entry.memory.is_none() && entry.time.is_none() && entry.log.is_none();
        if says_nothing { Err(self.error(&at, PolicyProblem::Empty)) } else { Ok(entry) }
    }

    fn only_once(
        &self,
        what: &'static str,
        at: &Range<usize>,
        first: Option<&RuleRef>,
    ) -> Result<(), PolicyError> {
        let Some(first) = first else { return Ok(()) };
        Err(self.error(at, PolicyProblem::Twice { what, file: first.file.clone(), line: first.line }))
    }

    fn rule_ref(&self, at: &Range<usize>, text: String) -> RuleRef {
        RuleRef { file: self.name.to_owned(), line: self.position(at).0, text }
    }

    fn error(&self, at: &Range<usize>, problem: PolicyProblem) -> PolicyError {
        let (line, column) = self.position(at);
        PolicyError { file: self.name.to_owned(), line, column, problem }
    }

    /// Line and column of the start of a span, from 1.
    fn position(&self, at: &Range<usize>) -> (usize, usize) {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (
            before.matches('\n').count() + 1,
            before.chars().count() - before.get(..line_start).map_or(0, |b| b.chars().count()) + 1,
        )
    }
}

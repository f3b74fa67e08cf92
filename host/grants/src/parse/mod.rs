//! From TOML text to a [`Policy`]; every error names file, line and field.

mod capabilities;
mod native;
mod problem;
mod reader;

use std::collections::BTreeMap;
use std::ops::Range;

pub use problem::{PolicyError, PolicyProblem};
use reader::{File, Item, Table};

use crate::capability::Capability;
use crate::limits::{Limit, LimitEntry};
use crate::policy::{Ceiling, Grant, Mode, Policy};
use crate::rule::{Rule, RuleRef};
use crate::tools::ToolPattern;

/// Paths of programs by their names, and where they were given.
type Programs = BTreeMap<String, (String, RuleRef)>;

/// Where rules stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Grant,
    Ceiling,
}

impl Scope {
    /// What the text of a rule begins with.
    fn prefix(self) -> &'static str {
        match self {
            Self::Grant => "",
            Self::Ceiling => "ceiling ",
        }
    }
}

/// Reads files in the order given.
pub(crate) fn read(files: &[(&str, &str)]) -> Result<Policy, PolicyError> {
    let mut policy = Policy {
        mode: Mode::default(),
        mode_at: None,
        ceiling: None,
        grants: Vec::new(),
        limits: Vec::new(),
        native: Vec::new(),
        files: files.iter().map(|(name, _)| (*name).to_owned()).collect(),
        site_file: None,
    };
    let mut programs = Programs::new();
    for (name, text) in files {
        File { name, text }.add(&mut policy, &mut programs)?;
    }
    Ok(policy)
}

impl File<'_> {
    fn add(self, policy: &mut Policy, programs: &mut Programs) -> Result<(), PolicyError> {
        let mut document = self.read()?;
        if let Some(item) = document.take("mode") {
            self.only_once("mode", &item.at, policy.mode_at.as_ref())?;
            policy.mode_at = Some(self.rule_ref(&item.at, "mode".to_owned()));
            policy.mode = match item.value.as_str() {
                Some("learn") => Mode::Learn,
                Some("monitor") => Mode::Monitor,
                Some("enforce") => Mode::Enforce,
                _ => return Err(item.wrong("\"learn\", \"monitor\" or \"enforce\"")),
            };
        }
        if let Some(item) = document.take("ceiling") {
            self.only_once("ceiling", &item.at, policy.ceiling.as_ref().map(|ceiling| &ceiling.at))?;
            let at = self.rule_ref(&item.at, "[ceiling]".to_owned());
            let mut table = item.table("[ceiling]", "a table")?;
            let rules = rules(&mut table, Scope::Ceiling, programs)?;
            table.finish()?;
            policy.ceiling = Some(Ceiling { rules, at });
        }
        for mut table in tables(&mut document, "grant", "[[grant]]")? {
            let (at, tools) = self.tools(table.need("tools")?)?;
            let rules = rules(&mut table, Scope::Grant, programs)?;
            table.finish()?;
            if rules.is_empty() {
                return Err(self.error(&at, PolicyProblem::Empty));
            }
            policy.grants.push(Grant { tools, rules });
        }
        for table in tables(&mut document, "limits", "[[limits]]")? {
            policy.limits.push(self.limit_entry(table)?);
        }
        for table in tables(&mut document, "native", "[[native]]")? {
            policy.native.push(self.native_table(table)?);
        }
        document.finish()
    }

    fn tools(self, item: Item<'_>) -> Result<(Range<usize>, Vec<ToolPattern>), PolicyError> {
        let at = item.at.clone();
        let texts = item.texts("a list of tools such as [\"bundle/name\"]")?;
        let tools = texts.into_iter().map(|tool| {
            ToolPattern::parse(&tool.text)
                .map_err(|problem| self.error(&tool.at, PolicyProblem::Tool { pattern: tool.text, problem }))
        });
        let tools: Vec<ToolPattern> = tools.collect::<Result<_, _>>()?;
        if tools.is_empty() { Err(self.error(&at, PolicyProblem::NoTools)) } else { Ok((at, tools)) }
    }

    fn limit_entry(self, mut table: Table<'_>) -> Result<LimitEntry, PolicyError> {
        let (at, tools) = self.tools(table.need("tools")?)?;
        let mut values = [None; Limit::ALL.len()];
        for (limit, value) in Limit::ALL.into_iter().zip(&mut values) {
            *value = table.take(limit.key()).map(|item| item.number(limit.key())).transpose()?;
        }
        table.finish()?;
        let says_nothing = values.iter().all(Option::is_none);
        let entry = LimitEntry { tools, values };
        if says_nothing { Err(self.error(&at, PolicyProblem::Empty)) } else { Ok(entry) }
    }

    fn only_once(
        self,
        what: &'static str,
        at: &Range<usize>,
        first: Option<&RuleRef>,
    ) -> Result<(), PolicyError> {
        let Some(first) = first else { return Ok(()) };
        Err(self.error(at, PolicyProblem::Twice { what, file: first.file.clone(), line: first.line }))
    }
}

fn tables<'a>(
    document: &mut Table<'a>,
    key: &'static str,
    place: &'static str,
) -> Result<Vec<Table<'a>>, PolicyError> {
    document.take(key).map_or_else(|| Ok(Vec::new()), |item| item.tables(place, "a list of tables, `[[…]]`"))
}

/// The rules of a table, capability by capability.
fn rules(table: &mut Table<'_>, scope: Scope, programs: &mut Programs) -> Result<Vec<Rule>, PolicyError> {
    let mut rules = Vec::new();
    for capability in Capability::ALL {
        if let Some(item) = table.take(capability.interface()) {
            capabilities::read(capability, item, scope, programs, &mut rules)?;
        }
    }
    Ok(rules)
}

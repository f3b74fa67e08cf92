//! A site's policy, read and merged.

use crate::capability::Capability;
use crate::limits::{Limit, LimitEntry, ToolLimits, smallest, smallest_values};
use crate::native::NativeTable;
use crate::parse::{self, PolicyError};
use crate::rule::{Matcher, Rule, RuleRef};
use crate::tools::ToolPattern;

use serde::{Deserialize, Serialize};

/// Name of the built-in policy where a file would be named.
pub const BUILT_IN_NAME: &str = "built-in policy";

/// The text of the built-in policy.
pub const BUILT_IN: &str = include_str!("built_in.toml");

/// What becomes of a decision. From lenient to strict, as a site introduces a policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Everything that manifests ask for is allowed; what no rule covers is recorded, to write rules from.
    Learn,
    /// Everything that manifests ask for is allowed; what would be denied is recorded and told in the node's log.
    Monitor,
    /// What the rules do not allow is denied.
    #[default]
    Enforce,
}

/// The rules of a site. Immutable; cheap to ask.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) mode: Mode,
    pub(crate) mode_at: Option<RuleRef>,
    pub(crate) ceiling: Option<Ceiling>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) limits: Vec<LimitEntry>,
    pub(crate) native: Vec<NativeTable>,
    pub(crate) files: Vec<String>,
    /// The site's file to be written, while the built-in policy holds.
    pub(crate) site_file: Option<String>,
}

/// The bound for all tools. What it does not name is allowed to none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ceiling {
    pub(crate) rules: Vec<Rule>,
    pub(crate) at: RuleRef,
}

/// One `[[grant]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) tools: Vec<ToolPattern>,
    pub(crate) rules: Vec<Rule>,
}

impl Policy {
    /// Reads and merges policy files, given as name and text. The order they are given in does not matter: they are
    /// sorted by name, and that order decides only which of several rules that fit is the one named in decisions.
    pub fn parse<N: AsRef<str>, T: AsRef<str>>(files: &[(N, T)]) -> Result<Self, PolicyError> {
        let mut files: Vec<(&str, &str)> =
            files.iter().map(|(name, text)| (name.as_ref(), text.as_ref())).collect();
        files.sort_unstable();
        parse::read(&files)
    }

    /// The policy of a site that has none. `site_file` is the file that denials advise to write.
    pub fn built_in(site_file: impl Into<String>) -> Result<Self, PolicyError> {
        let policy = parse::read(&[(BUILT_IN_NAME, BUILT_IN)])?;
        Ok(Self { site_file: Some(site_file.into()), ..policy })
    }

    /// Whether this is [`Policy::built_in`].
    pub fn is_built_in(&self) -> bool {
        self.site_file.is_some()
    }

    /// The mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Names of the files it was read from, sorted.
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// Number of `[[grant]]` tables.
    pub fn grant_count(&self) -> usize {
        self.grants.len()
    }

    /// The bounds for a tool: the smallest of all entries that name it.
    pub fn limits(&self, tool: &str) -> ToolLimits {
        smallest(&self.limits, |pattern| pattern.matches(tool))
    }

    /// The same, each with its value in the unit of its key, for people.
    pub fn limit_values(&self, tool: &str) -> impl Iterator<Item = (Limit, u32)> {
        let values = smallest_values(&self.limits, |pattern| pattern.matches(tool));
        Limit::ALL.into_iter().zip(values)
    }

    /// Every rule that bears on a tool, in the order they are looked at, as shown to people.
    pub fn rules_for(&self, tool: &str) -> Vec<&RuleRef> {
        let granted = Capability::ALL.into_iter().flat_map(|capability| self.granted(tool, capability));
        let ceiling = self.ceiling.iter().flat_map(|ceiling| &ceiling.rules);
        granted.chain(ceiling).map(|rule| &rule.at).collect()
    }

    /// The path that a program has in this policy, for whichever tool.
    pub(crate) fn program_path(&self, name: &str) -> Option<&str> {
        let granted = self.grants.iter().flat_map(|grant| &grant.rules);
        let mut rules = granted.chain(self.ceiling.iter().flat_map(|ceiling| &ceiling.rules));
        rules.find_map(|rule| match &rule.matcher {
            Matcher::Program { name: own, path: Some(path), .. } if own == name => Some(path.as_str()),
            _ => None,
        })
    }

    /// Rules of the grants for a tool.
    pub(crate) fn granted(&self, tool: &str, capability: Capability) -> Vec<&Rule> {
        let grants =
            self.grants.iter().filter(|grant| grant.tools.iter().any(|pattern| pattern.matches(tool)));
        grants.flat_map(|grant| &grant.rules).filter(|rule| rule.capability == capability).collect()
    }
}

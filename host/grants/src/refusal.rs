//! A refused use as data, for whoever was not there when it was decided.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::advice::Advice;
use crate::capability::Capability;
use crate::decision::{Decision, DecisionOutcome};
use crate::rule::RuleRef;

/// What a policy refused, or would refuse, and what would allow it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The tool as it is installed.
    pub tool: String,
    /// The capability.
    pub capability: Capability,
    /// What it was to be used on; none when the question was whether the interface is linked. Bounded, and without
    /// control characters.
    pub argument: Option<String>,
    /// [`DecisionOutcome::Denied`] or [`DecisionOutcome::WouldDeny`].
    #[serde(rename = "decision")]
    pub outcome: DecisionOutcome,
    /// The rule that decided; none when no rule fits.
    pub rule: Option<RuleRef>,
    /// Why, in words.
    pub reason: String,
    /// What to write where, so that it is allowed; none when nobody can give it.
    pub advice: Option<Advice>,
}

impl Decision {
    /// What people have to hear of; none of what is allowed, or only noted.
    pub fn refusal(&self) -> Option<Refusal> {
        match self.outcome {
            DecisionOutcome::Allowed | DecisionOutcome::Learned => None,
            DecisionOutcome::Denied | DecisionOutcome::WouldDeny => Some(Refusal {
                tool: self.tool.clone(),
                capability: self.capability,
                argument: self.argument.clone(),
                outcome: self.outcome,
                rule: self.rule.clone(),
                reason: self.reason.to_string(),
                advice: self.advice.clone(),
            }),
        }
    }
}

impl Refusal {
    /// Names the policy's files in another way, for readers who know them under other paths.
    pub fn rename_files(&mut self, rename: impl Fn(&mut String)) {
        if let Some(rule) = &mut self.rule {
            rename(&mut rule.file);
        }
        match &mut self.advice {
            Some(Advice::AddGrant { file, .. }) => rename(file),
            Some(Advice::AddToCeiling { at, .. } | Advice::RemoveDeny { at }) => rename(&mut at.file),
            None => {}
        }
    }
}

/// What was refused and why, without the advice.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.capability)?;
        if let Some(argument) = &self.argument {
            write!(f, " on {argument}")?;
        }
        write!(f, ": {}", self.reason)?;
        self.rule.as_ref().map_or(Ok(()), |rule| write!(f, ": {rule}"))
    }
}

//! What a change of a policy does: whether tools may do more or less than before.

use serde::Serialize;

use crate::limits::{Limit, smallest_values};
use crate::policy::Policy;
use crate::rule::{Effect, Rule, RuleRef};
use crate::tools::ToolPattern;

/// One difference between two policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it does to what tools may do.
    pub direction: Direction,
    /// What changed.
    pub text: String,
    /// The rule: in the new policy if it was added, in the old one if it was removed.
    pub rule: Option<RuleRef>,
}

/// The effect of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Tools may do more, or it can not be excluded.
    Widen,
    /// Tools may do less.
    Narrow,
    /// Another rule does the same already.
    Neutral,
}

/// Compares two policies rule by rule. When no change widens, nothing that the old policy refused is allowed by the
/// new one; the reverse need not hold, because a rule may be replaced by others that add up to it.
pub fn diff(old: &Policy, new: &Policy) -> Vec<Change> {
    let mut changes = Vec::new();
    mode(old, new, &mut changes);
    ceiling_presence(old, new, &mut changes);
    let with_ceiling = old.ceiling.is_some() && new.ceiling.is_some();
    let (old_atoms, new_atoms) = (atoms(old, with_ceiling), atoms(new, with_ceiling));
    let one_sided = [
        ("added", &new_atoms, &old_atoms, Direction::Widen, Direction::Narrow),
        ("removed", &old_atoms, &new_atoms, Direction::Narrow, Direction::Widen),
    ];
    for (verb, here, there, allow, deny) in one_sided {
        for atom in here.iter().filter(|atom| !there.iter().any(|other| other.is_same(atom))) {
            let direction = match atom.rule.effect {
                _ if there.iter().any(|other| other.covers(atom)) => Direction::Neutral,
                Effect::Allow => allow,
                Effect::Deny => deny,
            };
            changes.push(Change {
                direction,
                text: format!("{verb} for {}: {}", atom.whom(), atom.rule.at.text),
                rule: Some(atom.rule.at.clone()),
            });
        }
    }
    limits(old, new, &mut changes);
    crate::native::diff(old, new, &mut changes);
    changes
}

/// A rule for one tool pattern, or of the ceiling.
struct Atom<'a> {
    /// None for the ceiling.
    tools: Option<&'a ToolPattern>,
    rule: &'a Rule,
}

impl Atom<'_> {
    fn is_same(&self, other: &Atom<'_>) -> bool {
        let rule = |atom: &Atom<'_>| (atom.rule.capability, atom.rule.effect, atom.rule.matcher.clone());
        self.tools == other.tools && rule(self) == rule(other)
    }

    fn covers(&self, other: &Atom<'_>) -> bool {
        let tools = match (self.tools, other.tools) {
            (Some(own), Some(other)) => own.covers(other),
            // The ceiling forbids to all tools; what it allows, it gives to none.
            (None, _) => other.tools.is_none() || self.rule.effect == Effect::Deny,
            (Some(_), None) => false,
        };
        tools && self.rule.covers(other.rule)
    }

    fn whom(&self) -> String {
        self.tools.map_or_else(|| "all tools".to_owned(), ToString::to_string)
    }
}

fn atoms(policy: &Policy, with_ceiling: bool) -> Vec<Atom<'_>> {
    let granted = policy.grants.iter().flat_map(|grant| {
        grant
            .tools
            .iter()
            .flat_map(|tools| grant.rules.iter().map(move |rule| Atom { tools: Some(tools), rule }))
    });
    let ceiling = policy.ceiling.iter().filter(|_| with_ceiling).flat_map(|ceiling| &ceiling.rules);
    granted.chain(ceiling.map(|rule| Atom { tools: None, rule })).collect()
}

fn mode(old: &Policy, new: &Policy, changes: &mut Vec<Change>) {
    if old.mode == new.mode {
        return;
    }
    let name = |policy: &Policy| format!("{:?}", policy.mode).to_lowercase();
    changes.push(Change {
        direction: if new.mode < old.mode { Direction::Widen } else { Direction::Narrow },
        text: format!("mode {} instead of {}", name(new), name(old)),
        rule: new.mode_at.clone(),
    });
}

fn ceiling_presence(old: &Policy, new: &Policy, changes: &mut Vec<Change>) {
    let (direction, text, ceiling) = match (&old.ceiling, &new.ceiling) {
        (None, Some(ceiling)) => (Direction::Narrow, "added a ceiling for all tools", ceiling),
        (Some(ceiling), None) => (Direction::Widen, "removed the ceiling for all tools", ceiling),
        _ => return,
    };
    changes.push(Change { direction, text: text.to_owned(), rule: Some(ceiling.at.clone()) });
}

fn limits(old: &Policy, new: &Policy, changes: &mut Vec<Change>) {
    let mut named: Vec<&ToolPattern> = Vec::new();
    for tools in old.limits.iter().chain(&new.limits).flat_map(|entry| &entry.tools) {
        if !named.contains(&tools) {
            named.push(tools);
        }
    }
    for tools in named {
        let of = |policy: &Policy| smallest_values(&policy.limits, |pattern| pattern.covers(tools));
        for ((limit, old), new) in Limit::ALL.into_iter().zip(of(old)).zip(of(new)) {
            if old != new {
                changes.push(Change {
                    direction: if new > old { Direction::Widen } else { Direction::Narrow },
                    text: format!("limit of {tools}: {} {new} instead of {old}", limit.key()),
                    rule: None,
                });
            }
        }
    }
}

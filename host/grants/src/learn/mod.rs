//! From decisions of a run to the least policy that would have allowed it.

mod uses;
mod write;

use std::collections::BTreeMap;

use crate::access::Request;
use crate::argument::ParsedAccess;
use crate::capability::Capability;
use crate::decide::Facts;
use crate::policy::Policy;

use uses::{Evidence, ToolUses};

/// One recorded decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The tool as it is installed.
    pub tool: String,
    /// The capability.
    pub capability: Capability,
    /// What it was to be used on; none for the interface.
    pub argument: Option<String>,
    /// Host of the node that the tool was called for.
    pub node: Option<String>,
    /// Where in the job, for the comment.
    pub place: String,
    /// Why it was refused, although the mode was to let it pass.
    pub refused: Option<String>,
}

/// What the decisions lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Learned {
    /// A policy with comments, to be reviewed.
    pub text: String,
    /// What was asked for but is not in it, and why.
    pub left_out: Vec<String>,
    /// Rules that allow more than was seen, and why.
    pub wider: Vec<String>,
}

/// Writes the least policy that would have allowed what was seen. Hosts that were the node's become `${node.host}`, paths in the
/// job's directory `${job.dir}`. `current` is asked only where programs are. The heading becomes the first comment.
pub fn learn(seen: &[Seen], job_dir: Option<&str>, current: &Policy, heading: &str) -> Learned {
    let mut tools: BTreeMap<&str, ToolUses> = BTreeMap::new();
    let mut left_out = Vec::new();
    let mut written = Vec::new();
    for one in seen {
        let shown = || {
            let argument = one.argument.as_deref().unwrap_or_default();
            format!("{} `{}` {argument} ({})", one.tool, one.capability, one.place)
        };
        if let Some(reason) = &one.refused {
            left_out.push(format!("{}: {reason}", shown()));
            continue;
        }
        let parsed = match ParsedAccess::parse(one.capability, one.argument.as_deref(), None) {
            Ok(parsed) => parsed,
            Err(problem) => {
                left_out.push(format!("{}: {problem}", shown()));
                continue;
            }
        };
        let facts = Facts { node_host: one.node.as_deref(), job_dir, home: None };
        let evidence = Evidence::of(one);
        let uses = tools.entry(&one.tool).or_default();
        match uses.add(&parsed.access(), &facts, current, evidence) {
            Ok(()) => written.push((one, parsed)),
            Err(problem) => left_out.push(format!("{}: {problem}", shown())),
        }
    }
    let (text, wider) = write::policy(&tools, heading);
    left_out.extend(not_covered(&written, &text, job_dir));
    left_out.dedup();
    Learned { text, left_out, wider }
}

/// What the policy in `text` would refuse of what it was written for. Asked of the code that enforces it, so that what is
/// written is what holds.
fn not_covered(written: &[(&Seen, ParsedAccess<'_>)], text: &str, job_dir: Option<&str>) -> Vec<String> {
    let policy = match Policy::parse(&[("learned", text)]) {
        Ok(policy) => policy,
        // Whoever reviews it gets to know it here, and at the latest from `policy check`.
        Err(error) => return vec![format!("the policy can not be read: {error}")],
    };
    let refused = |(one, parsed): &(&Seen, ParsedAccess<'_>)| {
        let facts = Facts { node_host: one.node.as_deref(), job_dir, home: None };
        let request = Request { tool: &one.tool, digest: None, access: parsed.access() };
        let decision = policy.decide(&request, &facts);
        (!decision.allowed()).then(|| format!("{decision} ({})", one.place))
    };
    written.iter().filter_map(refused).collect()
}

//! The answer to a request (architecture §7).
//!
//! Effective grant = requested ∩ granted ∩ ceiling; deny beats allow; no match is deny. A connection is decided by
//! name first, and again with each address the name resolved to, before anything is sent there.

use crate::access::{Access, Request};
use crate::address::block_of;
use crate::capability::Capability;
use crate::decision::{Decision, Reason, Terms};
use crate::path::AbsolutePath;
use crate::pattern::Target;
use crate::policy::Policy;
use crate::rule::{Matcher, Rule, RuleRef};
use crate::subject::Subject;

/// Values of the variables, and where the executor keeps what is its own.
#[derive(Debug, Clone, Copy, Default)]
pub struct Facts<'a> {
    /// `${node.host}`.
    pub node_host: Option<&'a str>,
    /// `${job.dir}`, absolute. Of what lies there, no rule gives out more than a few sub-directories.
    pub job_dir: Option<&'a str>,
    /// The installation, absolute. No rule gives out its configuration, tools, logs, or other jobs.
    pub home: Option<&'a str>,
}

/// What rules alone say, whatever the mode.
pub(crate) struct Verdict {
    pub(crate) rule: Option<RuleRef>,
    pub(crate) reason: Reason,
    pub(crate) terms: Terms,
}

impl Verdict {
    fn without_rule(reason: Reason) -> Self {
        Self { rule: None, reason, terms: Terms::Plain }
    }
}

/// The rules that bear on one request.
pub(crate) struct Bearing<'a> {
    pub(crate) granted: Vec<&'a Rule>,
    pub(crate) ceiling: Option<Vec<&'a Rule>>,
}

impl Policy {
    /// Decides. What becomes of a refusal depends on the mode; see [`Decision::allowed`].
    pub fn decide(&self, request: &Request<'_>, facts: &Facts<'_>) -> Decision {
        let verdict = match Subject::new(&request.access, facts) {
            Ok(subject) => self.judge(request, &subject),
            Err(reason) => Verdict::without_rule(reason),
        };
        let advice = self.advice(request, facts, &verdict);
        Decision {
            tool: request.tool.to_owned(),
            digest: request.digest.map(str::to_owned),
            capability: request.access.capability(),
            argument: request.access.argument(),
            outcome: verdict.reason.outcome(self.mode),
            rule: verdict.rule,
            reason: verdict.reason,
            terms: verdict.terms,
            advice,
        }
    }

    fn judge(&self, request: &Request<'_>, subject: &Subject<'_>) -> Verdict {
        let bearing = self.bearing(request.tool, request.access.capability());
        let terms = bearing.terms(&request.access, subject);
        let Some(terms) = terms else { return Verdict::without_rule(Reason::NoProgram) };
        let (rule, reason) = bearing.judge(subject, self.ceiling.as_ref().map(|ceiling| &ceiling.at));
        Verdict { rule, reason, terms }
    }

    pub(crate) fn bearing(&self, tool: &str, capability: Capability) -> Bearing<'_> {
        let ceiling = self.ceiling.as_ref().map(|ceiling| {
            ceiling.rules.iter().filter(|rule| rule.capability == capability).collect::<Vec<_>>()
        });
        Bearing { granted: self.granted(tool, capability), ceiling }
    }
}

impl Bearing<'_> {
    fn judge(&self, subject: &Subject<'_>, ceiling_at: Option<&RuleRef>) -> (Option<RuleRef>, Reason) {
        let mut all = self.granted.iter().chain(self.ceiling.iter().flatten());
        if let Some(rule) = all.find(|rule| rule.forbids(subject)) {
            return (Some(rule.at.clone()), Reason::Forbidden);
        }
        let allowing = match allowing(&self.granted, subject) {
            Ok(rule) => rule,
            Err(reason) => return (None, reason),
        };
        match self.ceiling.as_ref().map(|ceiling| self::allowing(ceiling, subject)) {
            Some(Err(_)) => (ceiling_at.cloned(), Reason::Ceiling),
            Some(Ok(_)) | None => (Some(allowing.at.clone()), Reason::Granted),
        }
    }

    /// What the executor needs to carry it out. None where that is not to be known.
    fn terms(&self, access: &Access<'_>, subject: &Subject<'_>) -> Option<Terms> {
        Some(match (access.capability(), subject) {
            (
                Capability::Http | Capability::Sockets,
                Subject::Http { target, .. } | Subject::Connection(target),
            ) => Terms::Connection { verify_certificate: !self.lifts_verification(target) },
            (_, Subject::File { path, .. }) => {
                Terms::Directory { root: self.root(subject, path).to_string() }
            }
            (_, Subject::Program { name, .. }) => Terms::Program { path: self.program(name)?.to_owned() },
            _ => Terms::Plain,
        })
    }

    pub(crate) fn lifts_verification(&self, target: &Target) -> bool {
        let lifts = |rules: &[&Rule]| rules.iter().any(|rule| rule.lifts_verification(target));
        let unbounded = |rules: &[&Rule]| rules.iter().any(|rule| rule.allows_all());
        lifts(&self.granted)
            && self.ceiling.as_ref().is_none_or(|ceiling| lifts(ceiling) || unbounded(ceiling))
    }

    /// The widest directory of a rule that allows the path, within the widest one of the ceiling. Where no rule allows it
    /// and the mode lets it pass, the directory of the file.
    fn root(&self, subject: &Subject<'_>, path: &AbsolutePath) -> AbsolutePath {
        let Subject::File { job, .. } = subject else { return path.parent() };
        let widest = |rules: &[&Rule]| {
            let allowing = rules.iter().filter(|rule| rule.allows(subject));
            let directories = allowing.filter_map(|rule| match &rule.matcher {
                Matcher::File { path, .. } => path.resolve(job.as_ref()),
                _ => None,
            });
            directories.min_by_key(AbsolutePath::depth)
        };
        let bounds = [widest(&self.granted), self.ceiling.as_ref().and_then(|ceiling| widest(ceiling))];
        // Both hold the path, so one holds the other.
        bounds.into_iter().flatten().max_by_key(AbsolutePath::depth).unwrap_or_else(|| path.parent())
    }

    fn program(&self, name: &str) -> Option<&str> {
        self.granted.iter().find_map(|rule| match &rule.matcher {
            Matcher::Program { name: own, path: Some(path), .. } if own == name => Some(path.as_str()),
            _ => None,
        })
    }
}

/// The rule that allows the subject, addresses included.
fn allowing<'a>(rules: &[&'a Rule], subject: &Subject<'_>) -> Result<&'a Rule, Reason> {
    let by_name: Vec<&Rule> = rules.iter().copied().filter(|rule| rule.allows(subject)).collect();
    let first = *by_name.first().ok_or(Reason::NoRule)?;
    let Some(target) = subject.target() else { return Ok(first) };
    let mut deciding = first;
    for address in &target.addresses {
        let Some(block) = block_of(*address) else { continue };
        let exact = by_name.iter().find(|rule| {
            rule.allows_all() || rule.host_for(subject).is_some_and(|pattern| pattern.names_exactly(target))
        });
        let reaches = |rule: &&&Rule| {
            rule.host_for(subject).is_some_and(|pattern| pattern.reaches_into(block, *address, target.port))
        };
        deciding = exact
            .or_else(|| rules.iter().find(reaches))
            .ok_or(Reason::SpecialAddress { address: *address, class: block.class })?;
    }
    Ok(deciding)
}

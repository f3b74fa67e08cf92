//! What the policy refused in a call, as the events of the run have it, and what would allow it.

use std::path::Path;

use autoexec_events::{ExitCode, Refusal};
use autoexec_grants::{Advice, DecisionOutcome};
use indexmap::IndexSet;
use serde::Deserialize;
use serde_json::Value;

/// The file that an author without a policy is told to begin.
const FIRST_FILE: &str = "policy.toml";

/// The refusals of a run, in their order.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<OnNode>);

#[derive(Debug, Deserialize)]
struct OnNode {
    node: String,
    refusal: Refusal,
}

impl Refusals {
    /// Takes them out of the events of a run whose policy was a copy at `staged` of what its author calls `own`. Without a policy
    /// of their own, authors are told to begin one.
    pub(super) fn of_events(events: &[Value], staged: &Path, own: Option<&Path>) -> Self {
        let staged = staged.display().to_string();
        let own = own.unwrap_or_else(|| Path::new(FIRST_FILE)).display().to_string();
        let refused = events.iter().filter(|event| event["event"] == "operation-refused");
        let mut all: Vec<OnNode> = refused.filter_map(|event| OnNode::deserialize(event).ok()).collect();
        for one in &mut all {
            one.refusal.rename_files(|file| *file = file.replace(&staged, &own));
        }
        Self(all)
    }

    /// The exit code of a call that ended with `code`: "denied" where it failed and something was denied.
    pub(super) fn refine(&self, code: ExitCode) -> ExitCode {
        let denied = self.0.iter().any(|one| one.refusal.outcome == DecisionOutcome::Denied);
        if denied && code == ExitCode::NodeFailed { ExitCode::Denied } else { code }
    }

    /// For people: each use once, then the lines that would allow them.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (heading, outcome) in [
            ("denied:\n", DecisionOutcome::Denied),
            ("would be denied in the mode `enforce`:\n", DecisionOutcome::WouldDeny),
        ] {
            let of_this = self.0.iter().filter(|one| one.refusal.outcome == outcome);
            let uses: IndexSet<String> = of_this.map(|one| one.refusal.to_string()).collect();
            if !uses.is_empty() {
                text.push_str(heading);
            }
            for one in uses {
                text.extend(["  ", &one, "\n"]);
            }
        }
        let advice: IndexSet<String> = self.advice().map(ToString::to_string).collect();
        for one in advice {
            text.extend([&one, "\n"]);
        }
        if self.advice().any(|advice| matches!(advice, Advice::AddGrant { replaces_built_in: true, .. })) {
            text.extend(["Then name the file: --policy ", FIRST_FILE, "\n"]);
        }
        text
    }

    fn advice(&self) -> impl Iterator<Item = &Advice> {
        self.0.iter().filter_map(|one| one.refusal.advice.as_ref())
    }

    /// For programs.
    pub(super) fn document(&self) -> Value {
        let one = |one: &OnNode| {
            // Texts and numbers have no failing case.
            let mut document = serde_json::to_value(&one.refusal).unwrap_or_default();
            document["node"] = one.node.clone().into();
            document
        };
        self.0.iter().map(one).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(node: &str, decision: &str, file: &str, built_in: bool) -> Value {
        json!({"event": "operation-refused", "phase": "call", "node": node, "refusal": {
            "tool": "a/b", "capability": "net-probe", "argument": "10.0.0.8:22", "decision": decision, "rule": null,
            "reason": "no rule allows it", "advice": {"kind": "add-grant", "file": file, "text": "[[grant]]\n…",
            "replaces-built-in": built_in}}})
    }

    #[test]
    fn a_use_is_told_once_with_the_file_as_its_author_calls_it() {
        let staged = Path::new("/t/conf/policy");
        let events = [
            event("n1", "denied", "/t/conf/policy/a.toml", false),
            json!({"event": "node-finished", "node": {"host": "n1"}}),
            event("n2", "denied", "/t/conf/policy/a.toml", false),
        ];
        let refusals = Refusals::of_events(&events, staged, Some(Path::new("site")));
        assert_eq!(
            refusals.text(),
            "denied:\n  `net-probe` on 10.0.0.8:22: no rule allows it\nTo allow it, add to site/a.toml:\n[[grant]]\n…\n"
        );
        let document = refusals.document();
        assert_eq!((document[0]["node"].as_str(), document[1]["node"].as_str()), (Some("n1"), Some("n2")));
        assert_eq!(document[0]["advice"]["file"], "site/a.toml");
    }

    #[test]
    fn without_a_policy_the_author_is_told_to_begin_one() {
        let events = [event("n1", "denied", "/t/conf/policy/site.toml", true)];
        let text = Refusals::of_events(&events, Path::new("/t/conf/policy/site.toml"), None).text();
        assert!(text.contains("add to policy.toml (it replaces the built-in policy"), "{text}");
        assert!(text.ends_with("Then name the file: --policy policy.toml\n"), "{text}");
    }

    #[test]
    fn only_a_failed_call_that_was_denied_something_ends_as_denied() {
        let refusals =
            |decision: &str| Refusals::of_events(&[event("n", decision, "f", false)], Path::new("/t"), None);
        assert_eq!(refusals("denied").refine(ExitCode::NodeFailed), ExitCode::Denied);
        assert_eq!(refusals("denied").refine(ExitCode::Success), ExitCode::Success);
        assert_eq!(refusals("denied").refine(ExitCode::Interrupted), ExitCode::Interrupted);
        assert_eq!(refusals("would-deny").refine(ExitCode::NodeFailed), ExitCode::NodeFailed);
        assert_eq!(Refusals::default().refine(ExitCode::NodeFailed), ExitCode::NodeFailed);
        assert!(
            refusals("would-deny")
                .text()
                .starts_with("would be denied in the mode `enforce`:\n  `net-probe`")
        );
    }
}

//! Native tools: whether they may run at all, and the bounds of what their manifests may ask for.
//!
//! A native program is not in the sandbox; what it can be held to is a matter of the kernel (docs/security.md). So this is a
//! matter of its own beside the capabilities: `[[native]]` tables bound, and of several that name a tool all hold.

use serde::Serialize;

use crate::diff::{Change, Direction};
use crate::policy::Policy;
use crate::rule::RuleRef;
use crate::tools::ToolPattern;

/// How a native tool may run, from lenient to strict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NativeRun {
    /// Confined if it has a manifest and the kernel is able to; else with all rights of the account.
    #[default]
    Allow,
    /// Confined: to what its manifest asks for, or to the least if it has none. Not at all where the kernel is not able to.
    Confined,
    /// Not at all.
    Deny,
}

/// A use of this machine that a manifest asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeUse<'a> {
    /// Read below a path, spelt as in the manifest.
    Read(&'a str),
    /// Start programs below a path.
    Execute(&'a str),
    /// Change files below a path.
    Write(&'a str),
    /// Connect to a TCP port.
    Connect(u16),
    /// Listen on a TCP port.
    Bind(u16),
}

/// What the policy says of one native tool.
#[derive(Debug, Clone)]
pub struct NativeRule<'a> {
    /// How it may run: the strictest of all tables that name it.
    pub run: NativeRun,
    /// The table that says so; none if none does.
    pub at: Option<&'a RuleRef>,
    tables: Vec<&'a NativeTable>,
}

impl<'a> NativeRule<'a> {
    /// The table whose bounds do not hold a use; none if it is within all bounds.
    pub fn refuses(&self, asked: NativeUse<'_>) -> Option<&'a RuleRef> {
        self.tables.iter().find(|table| !table.bounds.hold(asked)).map(|table| &table.at)
    }
}

impl Policy {
    /// What holds for a native tool.
    pub fn native(&self, tool: &str) -> NativeRule<'_> {
        let named = |table: &&NativeTable| table.tools.iter().any(|pattern| pattern.matches(tool));
        let tables: Vec<&NativeTable> = self.native.iter().filter(named).collect();
        // The first of several equals, as everywhere.
        let strictest = tables.iter().rev().max_by_key(|table| table.run);
        NativeRule {
            run: strictest.map_or_else(NativeRun::default, |table| table.run),
            at: strictest.map(|table| &table.at),
            tables,
        }
    }
}

/// One `[[native]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NativeTable {
    pub(crate) tools: Vec<ToolPattern>,
    pub(crate) run: NativeRun,
    pub(crate) bounds: NativeBounds,
    pub(crate) at: RuleRef,
}

impl NativeTable {
    fn is_same(&self, other: &Self) -> bool {
        (&self.tools, self.run, &self.bounds) == (&other.tools, other.run, &other.bounds)
    }
}

/// What manifests may ask for; a kind that is left out is not bounded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NativeBounds {
    pub(crate) read: Option<Vec<String>>,
    pub(crate) execute: Option<Vec<String>>,
    pub(crate) write: Option<Vec<String>>,
    pub(crate) connect: Option<Vec<u16>>,
    pub(crate) bind: Option<Vec<u16>>,
}

impl NativeBounds {
    fn hold(&self, asked: NativeUse<'_>) -> bool {
        let within = |bound: &Option<Vec<String>>, path: &str| {
            bound
                .as_ref()
                .is_none_or(|directories| directories.iter().any(|directory| is_below(path, directory)))
        };
        let listed =
            |bound: &Option<Vec<u16>>, port| bound.as_ref().is_none_or(|ports| ports.contains(&port));
        match asked {
            NativeUse::Read(path) => within(&self.read, path),
            NativeUse::Execute(path) => within(&self.execute, path),
            NativeUse::Write(path) => within(&self.write, path),
            NativeUse::Connect(port) => listed(&self.connect, port),
            NativeUse::Bind(port) => listed(&self.bind, port),
        }
    }
}

fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Paths have one spelling, in the policy as in manifests: absolute, or a variable in front.
pub(crate) fn is_usable_path(path: &str) -> bool {
    let rest =
        ["${job.dir}", "${output.dir}", "${home}"].iter().find_map(|variable| path.strip_prefix(variable));
    let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\0', '$']);
    match rest {
        Some("") => true,
        rest => rest.unwrap_or(path).strip_prefix('/').is_some_and(|parts| parts.split('/').all(is_plain)),
    }
}

/// What a change of the tables does. They only bound, so adding one never widens.
pub(crate) fn diff(old: &Policy, new: &Policy, changes: &mut Vec<Change>) {
    let one_sided = [
        ("added", &new.native, &old.native, Direction::Narrow),
        ("removed", &old.native, &new.native, Direction::Widen),
    ];
    for (verb, here, there, direction) in one_sided {
        for table in here.iter().filter(|table| !there.iter().any(|other| other.is_same(table))) {
            let says_nothing = table.run == NativeRun::Allow && table.bounds == NativeBounds::default();
            let whom: Vec<String> = table.tools.iter().map(ToString::to_string).collect();
            changes.push(Change {
                direction: if says_nothing { Direction::Neutral } else { direction },
                text: format!("{verb} for {}: {}", whom.join(", "), table.at.text),
                rule: Some(table.at.clone()),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff;

    fn policy(text: &str) -> Policy {
        Policy::parse(&[("site.toml", text)]).unwrap_or_else(|error| panic!("{error}"))
    }

    const SITE: &str = r#"
        [[native]]
        tools = ["db/*"]
        run = "confined"
        write = ["/var/backups", "${job.dir}"]
        connect = [5432, 3306]

        [[native]]
        tools = ["*"]
        run = "allow"
        bind = []

        [[native]]
        tools = ["db/old"]
        run = "deny"
    "#;

    #[test]
    fn without_a_table_a_native_tool_runs_as_it_always_did() {
        let policy = policy("mode = \"enforce\"\n");
        let rule = policy.native("a/b");
        assert_eq!((rule.run, rule.at), (NativeRun::Allow, None));
        assert_eq!(rule.refuses(NativeUse::Write("/etc")), None);
    }

    #[test]
    fn the_strictest_table_holds() {
        let policy = policy(SITE);
        for (tool, run, line) in [
            ("db/backup", NativeRun::Confined, 3),
            ("db/old", NativeRun::Deny, 14),
            ("basic/x", NativeRun::Allow, 9),
        ] {
            let rule = policy.native(tool);
            assert_eq!((rule.run, rule.at.map(|at| at.line)), (run, Some(line)), "{tool}");
        }
    }

    #[test]
    fn bounds_hold_what_is_below_them_and_every_table_counts() {
        let policy = policy(SITE);
        let rule = policy.native("db/backup");
        for (asked, refused) in [
            (NativeUse::Write("/var/backups"), false),
            (NativeUse::Write("/var/backups/db"), false),
            (NativeUse::Write("${job.dir}/dump"), false),
            (NativeUse::Write("/var/backups2"), true),
            (NativeUse::Write("/var"), true),
            (NativeUse::Read("/etc/anything"), false),
            (NativeUse::Connect(5432), false),
            (NativeUse::Connect(22), true),
            (NativeUse::Bind(80), true),
        ] {
            assert_eq!(rule.refuses(asked).is_some(), refused, "{asked:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("tools = [\"a/b\"]\nrun = \"sandboxed\"", "confined"),
            ("tools = [\"a/b\"]", "nothing about them"),
            ("tools = [\"a/b\"]\nwrite = [\"var\"]", "`var`"),
            ("tools = [\"a/b\"]\nwrite = [\"/var/../etc\"]", "/var/../etc"),
            ("tools = [\"a/b\"]\nread = [\"/\"]", "`/`"),
            ("tools = [\"a/b\"]\nconnect = [70000]", "port"),
            ("tools = [\"a/b\"]\nconnect = \"22\"", "port"),
            ("tools = [\"a/b\"]\nudp = [1]", "udp"),
            ("run = \"deny\"", "tools"),
        ] {
            let error =
                Policy::parse(&[("site.toml", format!("[[native]]\n{text}\n"))]).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("line "), "{text}: {error}");
        }
    }

    #[test]
    fn a_table_more_narrows_and_one_less_widens() {
        let (with, without) = (policy(SITE), policy("mode = \"enforce\"\n"));
        let directions = |old: &Policy, new: &Policy| {
            diff(old, new).iter().map(|change| change.direction).collect::<Vec<_>>()
        };
        assert_eq!(directions(&without, &with), [Direction::Narrow; 3]);
        assert_eq!(directions(&with, &without), [Direction::Widen; 3]);
        assert_eq!(directions(&with, &with), []);
        let allowed = policy("[[native]]\ntools = [\"*\"]\nrun = \"allow\"\n");
        assert_eq!(directions(&without, &allowed), [Direction::Neutral]);
    }
}

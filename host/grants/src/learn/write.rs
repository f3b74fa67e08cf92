//! The text of a learned policy.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::uses::{Evidence, ListKey, ToolUses};
use crate::advice::quoted;
use crate::capability::Capability;
use crate::path::JOB_DIRECTORIES;

/// Files of one directory that are written one by one; where there are more, the directory is.
const SINGLE_FILES: usize = 8;

/// Nodes that a comment names.
const NAMED_NODES: usize = 3;

/// The policy, and the rules in it that allow more than was seen.
pub(super) fn policy(tools: &BTreeMap<&str, ToolUses>, heading: &str) -> (String, Vec<String>) {
    let mut text = String::new();
    for line in heading.lines() {
        text.push_str("# ");
        text.push_str(line);
        text.push('\n');
    }
    text.push_str("\nmode = \"enforce\"\n");
    let mut wider = Vec::new();
    for (tool, uses) in tools.iter().filter(|(_, uses)| !uses.is_empty()) {
        let mut page = Page { tool, text: &mut text, wider: &mut wider };
        page.grant(uses);
    }
    (text, wider)
}

struct Page<'a> {
    tool: &'a str,
    text: &'a mut String,
    wider: &'a mut Vec<String>,
}

impl Page<'_> {
    fn line(&mut self, line: &str) {
        // Writing to a string has no failing case.
        let _ = writeln!(self.text, "{line}");
    }

    fn begin(&mut self) {
        let tool = quoted(self.tool);
        self.line(&format!("\n[[grant]]\ntools = [{tool}]"));
    }

    fn grant(&mut self, uses: &ToolUses) {
        self.begin();
        for ((capability, _, key), evidence) in &uses.switches {
            if key.is_empty() {
                self.line(&format!("{capability} = true # {}", comment(evidence)));
            }
        }
        for (capability, evidence) in &uses.linked {
            if !uses.is_used(*capability) {
                self.line(&format!(
                    "# Linked ({}), but not used in this run. Without a rule the tool would not be loaded.",
                    comment(evidence)
                ));
                self.line(&format!("{capability} = {}", placeholder(*capability)));
            }
        }
        for capability in Capability::ALL {
            self.tables(capability, uses);
        }
        self.http(uses);
        self.programs(uses);
    }

    /// The tables of a capability, one for each name where it has names.
    fn tables(&mut self, capability: Capability, uses: &ToolUses) {
        let of_capability = |key: &&ListKey| key.0 == capability && !key.2.is_empty();
        let mut names: Vec<&Option<String>> =
            uses.lists.keys().chain(uses.switches.keys()).filter(of_capability).map(|key| &key.1).collect();
        names.sort();
        names.dedup();
        for name in names {
            let below = name.as_ref().map(|name| format!(".{}", quoted_key(name))).unwrap_or_default();
            self.line(&format!("\n[grant.{capability}{below}]"));
            let here = |key: &ListKey| key.0 == capability && key.1 == *name;
            for ((_, _, key), evidence) in uses.switches.iter().filter(|(key, _)| here(key)) {
                self.line(&format!("{key} = true # {}", comment(evidence)));
            }
            for ((_, _, key), values) in uses.lists.iter().filter(|(key, _)| here(key)) {
                let files = matches!(capability, Capability::Filesystem | Capability::Target)
                    && matches!(*key, "read" | "write");
                let values = if files { directories(values) } else { values.clone() };
                self.list(&format!("{capability} {key}"), key, &values);
            }
        }
    }

    fn list(&mut self, what: &str, key: &str, values: &BTreeMap<String, Evidence>) {
        self.line(&format!("{key} = ["));
        for (value, evidence) in values {
            self.line(&format!("    {}, # {}", quoted(value), comment(evidence)));
            if let Some(reason) = &evidence.wider {
                self.wider.push(format!("{}: {what} \"{value}\": {reason}", self.tool));
            }
        }
        self.line("]");
    }

    /// Hosts that were asked in the same ways stand in one table, others in a grant of their own.
    fn http(&mut self, uses: &ToolUses) {
        let mut by_ways: BTreeMap<_, BTreeMap<String, Evidence>> = BTreeMap::new();
        for (host, (ways, evidence)) in &uses.http {
            // Methods over one scheme are not split from those over the other: say so.
            let mut evidence = evidence.clone();
            if ways.0.len() > 1 && ways.1.len() > 1 {
                evidence.wider = Some("every method over each scheme".to_owned());
            }
            by_ways.entry(ways).or_default().insert(host.clone(), evidence);
        }
        for (index, ((methods, schemes), hosts)) in by_ways.into_iter().enumerate() {
            if index > 0 {
                self.begin();
            }
            let list = |values: &mut dyn Iterator<Item = &String>| {
                values.map(|value| quoted(value)).collect::<Vec<_>>().join(", ")
            };
            self.line("\n[grant.http]");
            self.line(&format!("methods = [{}]", list(&mut methods.iter())));
            self.line(&format!("schemes = [{}]", list(&mut schemes.iter())));
            self.list("http hosts", "hosts", &hosts);
        }
    }

    fn programs(&mut self, uses: &ToolUses) {
        for (name, program) in &uses.programs {
            self.line(&format!("\n[grant.program.{}]", quoted_key(name)));
            self.line(&format!("path = {}", quoted(&program.path)));
            if program.arguments.contains_key("") {
                // A run without arguments has no pattern of its own.
                self.wider
                    .push(format!("{}: program {name}: ran without arguments: any are allowed", self.tool));
                self.line("# It ran without arguments, for which there is no pattern: any are allowed.");
            } else {
                self.list("program", "arguments", &program.arguments);
            }
            if !program.environment.is_empty() {
                self.list("program", "environment", &program.environment);
            }
            if program.is_mixed() {
                self.wider.push(format!("{}: program {name}: every variable with all arguments", self.tool));
            }
        }
    }
}

fn quoted_key(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(plain) { name.to_owned() } else { quoted(name) }
}

/// Says how often and where, without anything that could end the comment.
fn comment(evidence: &Evidence) -> String {
    let times = if evidence.times == 1 { "once".to_owned() } else { format!("{} times", evidence.times) };
    let named: Vec<&str> = evidence.nodes.iter().take(NAMED_NODES).map(String::as_str).collect();
    let more = match evidence.nodes.len().saturating_sub(NAMED_NODES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let nodes = if named.is_empty() { String::new() } else { format!(", for {}{more}", named.join(", ")) };
    let wider =
        evidence.wider.as_ref().map(|wider| format!("; wider than seen: {wider}")).unwrap_or_default();
    let text = format!("{times}{nodes}, in {}{wider}", evidence.example);
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Files of the job's directory become its sub-directory where there are several, others their directory where there are many.
fn directories(values: &BTreeMap<String, Evidence>) -> BTreeMap<String, Evidence> {
    let job_directory = |path: &str| {
        let below = path.strip_prefix("${job.dir}/")?;
        let first = below.split('/').next()?;
        (JOB_DIRECTORIES.contains(&first) && below != first).then(|| format!("${{job.dir}}/{first}"))
    };
    let parent = |path: &str| path.rsplit_once('/').map(|(parent, _)| parent.to_owned());
    let mut grouped: BTreeMap<String, Vec<(&String, &Evidence)>> = BTreeMap::new();
    for (path, evidence) in values {
        let directory = job_directory(path).or_else(|| parent(path)).unwrap_or_else(|| path.clone());
        grouped.entry(directory).or_default().push((path, evidence));
    }
    let mut result: BTreeMap<String, Evidence> = BTreeMap::new();
    for (directory, files) in grouped {
        let few = if directory.starts_with("${job.dir}") { 1 } else { SINGLE_FILES };
        // What lies right below the root stays as it is: the root is no directory to give out.
        let together = files.len() > few && !directory.is_empty();
        for (path, evidence) in &files {
            let mut evidence = (*evidence).clone();
            if together {
                evidence.wider = Some(format!("the directory of {} paths", files.len()));
            }
            let value = if together { directory.clone() } else { (*path).clone() };
            result.entry(value).or_default().merge(evidence);
        }
    }
    result
}

/// A rule that links the interface and gives nothing that exists (`.invalid`, RFC 2606).
fn placeholder(capability: Capability) -> &'static str {
    match capability {
        Capability::StepOutputs | Capability::JobNodes | Capability::Interact => "true",
        Capability::Http | Capability::Sockets | Capability::Snmp | Capability::NetProbe => {
            "{ hosts = [\"unused.invalid\"] }"
        }
        Capability::Secret => "{ unused = { https = [\"unused.invalid\"] } }",
        Capability::Target => "{ commands = [\"unused\"] }",
        Capability::Filesystem => "{ read = [\"/unused\"] }",
        Capability::Server => "{ calls = [\"unused\"] }",
        Capability::Documents => "{ read = [\"unused\"] }",
        Capability::Lock => "{ names = [\"unused\"] }",
        Capability::Program => "{ unused = \"/unused\" }",
    }
}

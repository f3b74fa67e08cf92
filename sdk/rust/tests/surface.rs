//! The table in docs/authoring.md is true and complete for Rust: what it names is in the sources, and what they offer is in it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers included")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What is public for the macros, or described with what it belongs to.
const INTERNAL: [&str; 11] = [
    "run_exported",
    "check_exported",
    "probe_exported",
    "take",
    "group",
    "finish",
    "number",
    "json",
    "lines",
    "length",
    "join",
];

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/authoring.md")).unwrap()
}

/// What the column of this language names: all of it, and what stands in braces behind a module or type.
fn named() -> (BTreeSet<String>, BTreeSet<String>) {
    let page = page();
    let (_, section) = page.split_once("## The same in three languages").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let cells =
        section.lines().filter(|line| line.starts_with("| ")).skip(1).filter_map(|row| row.split('|').nth(2));
    let (mut all, mut members) = (BTreeSet::new(), BTreeSet::new());
    for code in cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)) {
        let (owner, inside) = code.split_once("::{").unwrap_or((code, ""));
        let inside = inside.trim_end_matches('}').split(", ").filter(|name| !name.is_empty());
        members.extend(inside.map(str::to_owned));
        all.insert(owner.to_owned());
    }
    all.extend(members.iter().cloned());
    (all, members)
}

/// All sources of the SDK but those for the components alone.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else {
                found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

#[test]
fn what_the_sdk_offers_is_in_the_table() {
    let (named, _) = named();
    assert!(named.len() > 100, "the table has lost its rows");
    let mut missing = Vec::new();
    for (path, source) in sources().iter().filter(|(path, _)| !path.contains("/testing/")) {
        let own = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let functions = own.lines().filter_map(|line| line.trim_start().strip_prefix("pub fn "));
        for function in functions {
            let name = function.split(['(', '<']).next().unwrap_or_default();
            if !named.contains(name) && !INTERNAL.contains(&name) && !path.ends_with("describe.rs") {
                missing.push(format!("{path}: {name}"));
            }
        }
    }
    assert!(missing.is_empty(), "not in the table of docs/authoring.md:\n{}", missing.join("\n"));
}

#[test]
fn what_the_table_names_is_in_the_sdk() {
    let sources = sources();
    let is_there = |name: &&String| {
        let (plain, generic) = (format!("pub fn {name}("), format!("pub fn {name}<"));
        sources.iter().any(|(_, source)| source.contains(&plain) || source.contains(&generic))
    };
    let (_, members) = named();
    let missing: Vec<&String> = members.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "the table of docs/authoring.md names what is not there: {missing:?}");
}

//! Rules about files: what stands at the top, how long a file may be, and names that say nothing.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use super::Finding;

/// All that may stand at the top of the tree.
const TOP: [&str; 19] = [
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".config",
    ".gitignore",
    ".rustfmt.toml",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "deny.toml",
    "docs",
    "host",
    "plugins-native",
    "plugins-wasm",
    "sdk",
    "tests",
    "wit",
    "xtask",
];

/// Lines a source file may have without giving a reason.
const MAX_LINES: usize = 1000;

/// How a longer file gives its reason, within its first lines.
const REASON: &str = "// long: ";

/// Names under which everything can be put, so that nothing can be found.
const FORBIDDEN: [&str; 7] = ["common", "helper", "helpers", "misc", "util", "utilities", "utils"];

/// Checks all files of the tree, given relative to `root`.
pub(super) fn check(root: &Path, files: &[PathBuf]) -> Result<Vec<Finding>> {
    let mut findings = top(files);
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        findings.extend(name(file));
        let text = std::fs::read_to_string(root.join(file))
            .with_context(|| format!("reading {}", file.display()))?;
        findings.extend(length(file, &text));
    }
    Ok(findings)
}

fn top(files: &[PathBuf]) -> Vec<Finding> {
    let entries: BTreeSet<&str> =
        files.iter().filter_map(|file| file.components().next()?.as_os_str().to_str()).collect();
    let foreign = entries.iter().filter(|entry| !TOP.contains(entry));
    foreign
        .map(|entry| {
            Finding::new(entry, "does not belong at the top: see the list in xtask/src/lint/tree.rs")
        })
        .collect()
}

fn name(file: &Path) -> Option<Finding> {
    let words = file.components().filter_map(|component| match component {
        Component::Normal(name) => Path::new(name).file_stem()?.to_str(),
        _ => None,
    });
    let bad = words.into_iter().find(|word| FORBIDDEN.contains(word))?;
    Some(Finding::new(file.display(), format!("`{bad}` says nothing: name the module after what is in it")))
}

fn length(file: &Path, text: &str) -> Option<Finding> {
    let lines = text.lines().count();
    let has_reason = text
        .lines()
        .take(10)
        .any(|line| line.strip_prefix(REASON).is_some_and(|reason| !reason.trim().is_empty()));
    (lines > MAX_LINES && !has_reason).then(|| {
        Finding::new(
            file.display(),
            format!("has {lines} lines, more than {MAX_LINES}: split it by concept, or give the reason in a line `{REASON}…` at its head"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_entries_stand_at_the_top() {
        let files = ["host/model/src/lib.rs", "README.md", "notes.txt", "scripts/x.sh"].map(PathBuf::from);
        let places: Vec<String> = top(&files).into_iter().map(|finding| finding.place).collect();
        assert_eq!(places, ["notes.txt", "scripts"]);
    }

    #[test]
    fn empty_names_are_found_as_file_and_as_directory() {
        for bad in ["host/model/src/utils.rs", "host/model/src/helpers/mod.rs", "tests/common/x.rs"] {
            assert!(name(Path::new(bad)).is_some(), "{bad}");
        }
        assert_eq!(name(Path::new("host/model/src/common_name.rs")), None);
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let file = Path::new("a.rs");
        let long = "\n".repeat(MAX_LINES + 1);
        assert!(length(file, &long).unwrap().problem.contains("has 1001 lines"));
        assert_eq!(length(file, &"\n".repeat(MAX_LINES)), None);
        assert_eq!(length(file, &format!("//! Tables.\n{REASON}generated from the standard\n{long}")), None);
        assert!(length(file, &format!("{REASON}\n{long}")).is_some(), "an empty reason is none");
    }
}

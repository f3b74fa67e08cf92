//! Every key of `conf/config.ini` that the program reads is in `docs/configuration.md`, and no other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Finding;

/// Where the keys are read: a file, or a directory of that name without the extension.
const SOURCE: &str = "host/cli/src/config";
const DOCUMENT: &str = "docs/configuration.md";

/// Compares the program with its document.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let read =
        |path: &Path| std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()));
    let mut source = String::new();
    for file in sources(&root.join(SOURCE)) {
        let text = read(&file)?;
        source.push_str(program_part(&text));
    }
    Ok(compare(&keys_of_source(&source), &keys_of_document(&read(&root.join(DOCUMENT))?)))
}

fn sources(base: &Path) -> Vec<PathBuf> {
    let in_directory = walkdir::WalkDir::new(base).into_iter().filter_map(Result::ok);
    let files = in_directory.map(walkdir::DirEntry::into_path);
    let rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let single = Some(base.with_extension("rs")).filter(|path| path.is_file());
    files.filter(rust).chain(single).collect()
}

/// Tests read keys that do not exist, on purpose.
fn program_part(text: &str) -> &str {
    text.split_once("#[cfg(test)]").map_or(text, |(program, _)| program)
}

/// Text literals of the form of a key. Two crates apart, comparing the source is what cannot be forgotten.
fn keys_of_source(text: &str) -> BTreeSet<&str> {
    text.lines().flat_map(|line| line.split('"').skip(1).step_by(2)).filter(|word| is_key(word)).collect()
}

/// The first column of the tables.
fn keys_of_document(text: &str) -> BTreeSet<&str> {
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    rows.map(|(key, _)| key).filter(|key| is_key(key)).collect()
}

fn is_key(word: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric());
    word.contains('.') && word.starts_with(|c: char| c.is_ascii_lowercase()) && word.split('.').all(is_part)
}

fn compare(read: &BTreeSet<&str>, documented: &BTreeSet<&str>) -> Vec<Finding> {
    let missing = read.difference(documented);
    let stale = documented.difference(read);
    let missing =
        missing.map(|key| Finding::new(DOCUMENT, format!("the key `{key}` is read, but has no row")));
    let stale = stale.map(|key| Finding::new(DOCUMENT, format!("nothing in {SOURCE} reads the key `{key}`")));
    missing.chain(stale).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: &str = r#"
        self.text("server", "server.baseurl"), self.flag("a.b")?; format!("config.ini: {x}.y");
        #[cfg(test)] self.text("no.such");
    "#;

    #[test]
    fn keys_are_recognised_in_both() {
        let read = keys_of_source(program_part(PROGRAM));
        assert_eq!(read, BTreeSet::from(["a.b", "server.baseurl"]));
        let documented = keys_of_document("| key | x |\n|---|---|\n| `a.b` | see `c.d` |\n");
        assert_eq!(documented, BTreeSet::from(["a.b"]));
        assert_eq!(compare(&read, &documented).len(), 1);
        assert_eq!(compare(&BTreeSet::new(), &documented).len(), 1);
    }

    #[test]
    fn the_document_is_complete() {
        let root = crate::workspace::root().unwrap();
        assert!(!sources(&root.join(SOURCE)).is_empty(), "{SOURCE} was moved");
        assert_eq!(check(&root).unwrap(), []);
    }
}

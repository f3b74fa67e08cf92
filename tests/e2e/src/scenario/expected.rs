//! What is expected of a scenario: the files below its `expected/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use similar::TextDiff;

use super::Observed;
use super::stage::read;
use crate::job::files_below;

/// A file whose lines come in any order, because nodes or phases run side by side, is named so.
const UNORDERED: &str = ".unordered";

/// The folder `expected/` of a scenario.
pub struct Expected {
    directory: PathBuf,
}

impl Expected {
    /// That of the scenario in `folder`.
    pub fn at(folder: &Path) -> Self {
        Self { directory: folder.join("expected") }
    }

    fn names(&self) -> Result<BTreeSet<String>> {
        if !self.directory.is_dir() {
            return Ok(BTreeSet::new());
        }
        Ok(files_below(&self.directory)?.iter().map(|path| path.display().to_string()).collect())
    }

    /// A diff of everything that is not as expected; empty when all is.
    pub fn differences(&self, observed: &Observed) -> Result<String> {
        let mut all = String::new();
        let names = self.names()?;
        for name in &names {
            let expected = read(&self.directory.join(name))?;
            let plain = name.replace(UNORDERED, "");
            let found = observed.files().get(&plain).cloned().unwrap_or_default();
            let found = if *name == plain { found } else { sorted(&found) };
            all.push_str(&diff(name, &expected, &found));
        }
        for (name, found) in observed.files() {
            if !names.contains(name) && !names.contains(&unordered(name)) {
                all.push_str(&diff(name, "", found));
            }
        }
        Ok(all)
    }

    /// Writes what was observed as what is expected. Files named `….unordered.txt` stay of that kind.
    pub fn replace(&self, observed: &Observed) -> Result<()> {
        let names = self.names()?;
        for name in &names {
            fs::remove_file(self.directory.join(name))?;
        }
        for (name, found) in observed.files() {
            let (name, found) = match unordered(name) {
                other if names.contains(&other) => (other, sorted(found)),
                _ => (name.clone(), found.clone()),
            };
            let path = self.directory.join(&name);
            let named = || format!("cannot write {}", path.display());
            if let Some(directory) = path.parent() {
                fs::create_dir_all(directory).with_context(named)?;
            }
            fs::write(&path, found).with_context(named)?;
        }
        Ok(())
    }
}

fn unordered(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}{UNORDERED}.{extension}"),
        None => format!("{name}{UNORDERED}"),
    }
}

/// The lines in a fixed order; a comma says only that another line follows.
fn sorted(text: &str) -> String {
    let mut lines: Vec<&str> = text.lines().map(|line| line.trim_end_matches(',')).collect();
    lines.sort_unstable();
    lines.join("\n") + "\n"
}

fn diff(name: &str, expected: &str, found: &str) -> String {
    if expected == found {
        return String::new();
    }
    let diff = TextDiff::from_lines(expected, found);
    let diff = diff.unified_diff().context_radius(3).header(&format!("expected/{name}"), "found").to_string();
    format!("{diff}\n")
}

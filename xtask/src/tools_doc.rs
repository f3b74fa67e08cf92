//! `cargo xtask tools-doc`: writes `docs/tools.md`, the catalogue of all tools, from what is in the tools themselves: the
//! manifests of the built components, and the descriptors beside native tools.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::{guests, step, workspace};

mod collect;
mod render;

use collect::{Place, Tool};

/// The document, relative to the root.
pub(crate) const DOCUMENT: &str = "docs/tools.md";

/// What to do with the document.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Change nothing; fail when the document is not what would be written.
    #[arg(long)]
    check: bool,
}

/// Builds the tools and writes or checks the document.
pub(crate) fn run(options: &Options) -> Result<()> {
    guests::run(&guests::Options::tools_only())?;
    let root = workspace::root()?;
    if options.check {
        return match stale(&root)? {
            None => Ok(()),
            Some(problem) => bail!("{DOCUMENT}: {problem}"),
        };
    }
    let path = root.join(DOCUMENT);
    let tools = collect::all(&root)?;
    fs::write(&path, render::document(&tools)).with_context(|| format!("writing {}", path.display()))?;
    step::say(format_args!("{DOCUMENT}: {} tools", tools.len()));
    Ok(())
}

/// What is wrong with the document, if anything. Builds nothing: tools that were changed and not built are a problem of their
/// own. Sizes are left out, since another compiler makes other sizes.
pub(crate) fn stale(root: &Path) -> Result<Option<String>> {
    let unbuilt: Vec<PathBuf> =
        guests::tools()?.into_iter().filter(|tool| !tool.is_built()).map(|tool| tool.source).collect();
    if let Some(tool) = unbuilt.first() {
        return Ok(Some(format!(
            "can not be compared, because {} was changed since its component was built ({} in all): run `cargo xtask guests`",
            tool.display(),
            unbuilt.len()
        )));
    }
    let expected = render::document(&collect::all(root)?);
    let actual = fs::read_to_string(root.join(DOCUMENT)).unwrap_or_default();
    Ok(difference(&actual, &expected))
}

/// The first line that is another, apart from sizes.
fn difference(actual: &str, expected: &str) -> Option<String> {
    let mut actual = actual.lines().map(render::without_size);
    let mut expected = expected.lines().map(render::without_size);
    for number in 1.. {
        match (actual.next(), expected.next()) {
            (None, None) => return None,
            (actual, expected) if actual == expected => {}
            (actual, expected) => {
                return Some(format!(
                    "line {number} is `{}`, but the tools say `{}`: run `cargo xtask tools-doc`",
                    actual.unwrap_or_default(),
                    expected.unwrap_or_default()
                ));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_another_is_found_and_a_size_is_not() {
        let one = "# Tools\n\n| [a/b](#ab) | sandbox | does | safe | no | 61 KiB |\n";
        assert_eq!(difference(one, &one.replace("61", "64")), None);
        let problem = difference(one, &one.replace("safe", "once")).unwrap();
        assert!(problem.starts_with("line 3 is") && problem.contains("once"), "{problem}");
        assert!(difference(one, &format!("{one}more\n")).unwrap().contains("line 4 is ``"));
        assert!(difference("", one).is_some());
    }
}

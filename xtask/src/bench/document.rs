//! Puts figures into the document between two marks, so that prose and figures live in one file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

const BEGIN: &str = "<!-- figures: written by `cargo xtask bench --write` -->";
const END: &str = "<!-- end of figures -->";

/// Replaces what stands between the marks of `path`.
pub(super) fn update(path: &Path, figures: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let new = replaced(&text, figures)
        .with_context(|| format!("{}: the marks `{BEGIN}` and `{END}` are missing", path.display()))?;
    fs::write(path, new).with_context(|| format!("writing {}", path.display()))
}

fn replaced(text: &str, figures: &str) -> Option<String> {
    let (head, rest) = text.split_once(BEGIN)?;
    let (_, tail) = rest.split_once(END)?;
    Some(format!("{head}{BEGIN}\n\n{figures}\n\n{END}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nz\n");
        assert_eq!(replaced(&text, "new").unwrap(), format!("a\n{BEGIN}\n\nnew\n\n{END}\nz\n"));
        assert_eq!(replaced("a", "new"), None);
    }

    #[test]
    fn the_document_has_the_marks() {
        let path = crate::workspace::root().unwrap().join("docs/performance.md");
        assert!(replaced(&fs::read_to_string(path).unwrap(), "x").is_some());
    }
}

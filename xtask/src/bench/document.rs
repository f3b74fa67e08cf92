//! Puts figures into the document, each topic between two marks of its own: prose and figures live in one file, and a
//! topic that is measured anew leaves the others as they were measured.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Replaces what stands between the marks of a topic in `path`.
pub(super) fn update(path: &Path, topic: &str, figures: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let (begin, end) = marks(topic);
    let new = replaced(&text, topic, figures)
        .with_context(|| format!("{}: the marks `{begin}` and `{end}` are missing", path.display()))?;
    fs::write(path, new).with_context(|| format!("writing {}", path.display()))
}

fn marks(topic: &str) -> (String, String) {
    (
        format!("<!-- figures: cargo xtask bench {topic} --write -->"),
        format!("<!-- end of figures: {topic} -->"),
    )
}

fn replaced(text: &str, topic: &str, figures: &str) -> Option<String> {
    let (begin, end) = marks(topic);
    let (head, rest) = text.split_once(&begin)?;
    let (_, tail) = rest.split_once(&end)?;
    Some(format!("{head}{begin}\n\n{figures}\n\n{end}{tail}"))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;
    use crate::bench::Topic;

    #[test]
    fn only_what_is_between_the_marks_of_the_topic_changes() {
        let section = |topic: &str, figures: &str| {
            let (begin, end) = marks(topic);
            format!("{begin}\n\n{figures}\n\n{end}\n")
        };
        let text = format!("a\n{}b\n{}z\n", section("ssh", "old"), section("wasm", "old"));
        let new = format!("a\n{}b\n{}z\n", section("ssh", "old"), section("wasm", "new"));
        assert_eq!(replaced(&text, "wasm", "new").unwrap(), new);
        assert_eq!(replaced(&text, "native", "new"), None);
    }

    #[test]
    fn the_document_has_the_marks_of_every_topic() {
        let path = crate::workspace::root().unwrap().join("docs/performance.md");
        let text = fs::read_to_string(path).unwrap();
        for topic in Topic::value_variants() {
            assert!(replaced(&text, &topic.to_string(), "x").is_some(), "{topic}");
        }
    }
}

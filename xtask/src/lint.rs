//! `cargo xtask lint`: rules about the shape of the source tree that no compiler checks.

use std::fmt;

use anyhow::{Result, bail};

use crate::{step, tools_doc, workspace};

mod compatibility;
mod documented;
mod fences;
mod frozen;
mod metadata;
mod tree;

/// Something that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    /// File or crate.
    place: String,
    /// What is wrong, and what to do.
    problem: String,
}

impl Finding {
    fn new(place: impl fmt::Display, problem: impl Into<String>) -> Self {
        Self { place: place.to_string(), problem: problem.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// Checks all rules and prints what breaks one.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root()?;
    let files = workspace::files()?;
    let mut findings = fences::check(&metadata::host(&root)?);
    findings.extend(fences::check_guests(&metadata::guests(&root)?, &root));
    findings.extend(tree::check(&root, &files)?);
    findings.extend(documented::check(&root)?);
    findings.extend(compatibility::check(&root)?);
    findings.extend(frozen::check(&root)?);
    let catalogue = tools_doc::stale(&root)?;
    findings.extend(catalogue.map(|problem| Finding::new(tools_doc::DOCUMENT, problem)));
    for finding in &findings {
        step::print(finding);
    }
    match findings.len() {
        0 => {
            step::say(format_args!("the shape of {} files is as agreed", files.len()));
            Ok(())
        }
        number => bail!("{number} finding(s)"),
    }
}

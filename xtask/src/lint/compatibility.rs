//! Every file, folder and test that `docs/compatibility.md` names exists: a table of evidence is worth nothing when the
//! evidence was renamed.

use std::path::Path;

use anyhow::{Context, Result};

use super::Finding;

const DOCUMENT: &str = "docs/compatibility.md";

/// Where scenario folders lie.
const SCENARIOS: &str = "tests/e2e/";

/// Checks the tables of the document.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let path = root.join(DOCUMENT);
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(named(&text).filter_map(|(line, name)| missing(root, line, name)).collect())
}

/// What stands in backquotes in the rows of tables and looks like a path, with its line.
fn named(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let rows = text.lines().enumerate().filter(|(_, line)| line.starts_with("| "));
    rows.flat_map(|(number, line)| line.split('`').skip(1).step_by(2).map(move |name| (number + 1, name)))
        .filter(|(_, name)| {
            ["host/", "tests/", "scenarios/", "xtask/", "plugins"].iter().any(|start| name.starts_with(start))
        })
}

fn missing(root: &Path, line: usize, name: &str) -> Option<Finding> {
    let complain = |problem: String| Some(Finding::new(format!("{DOCUMENT}:{line}"), problem));
    if name.starts_with("scenarios/") {
        let args = root.join(SCENARIOS).join(name).join("args");
        return if args.is_file() { None } else { complain(format!("there is no scenario {name}")) };
    }
    let (file, test) = name.split_once("::").map_or((name, None), |(file, test)| (file, Some(test)));
    let path = root.join(file);
    let Some(test) = test else {
        return if path.exists() { None } else { complain(format!("there is no {file}")) };
    };
    match std::fs::read_to_string(&path) {
        Err(_) => complain(format!("there is no {file}")),
        Ok(text) if text.contains(&format!("fn {test}(")) => None,
        Ok(_) => complain(format!("{file} has no test {test}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_found_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("docs")).unwrap();
        std::fs::create_dir_all(dir.path().join("tests/e2e/scenarios/one")).unwrap();
        std::fs::create_dir_all(dir.path().join("host/a")).unwrap();
        std::fs::write(dir.path().join("tests/e2e/scenarios/one/args"), "").unwrap();
        std::fs::write(dir.path().join("host/a/t.rs"), "#[test]\nfn it_works() {}\n").unwrap();
        let text = "not a row: `host/x.rs`\n| a | `host/a` | `host/a/t.rs::it_works`, `scenarios/one`, `db.url` |\n\
                    | b | `host/b` | `host/a/t.rs::it_fails`, `scenarios/two` |\n";
        std::fs::write(dir.path().join(DOCUMENT), text).unwrap();
        let found: Vec<String> = check(dir.path()).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "docs/compatibility.md:3: there is no host/b",
                "docs/compatibility.md:3: host/a/t.rs has no test it_fails",
                "docs/compatibility.md:3: there is no scenario scenarios/two",
            ]
        );
    }

    #[test]
    fn the_document_names_only_what_exists() {
        let root = crate::workspace::root().unwrap();
        assert_eq!(check(&root).unwrap(), []);
        let text = std::fs::read_to_string(root.join(DOCUMENT)).unwrap();
        assert!(named(&text).count() > 200, "the table was taken for something else");
    }
}

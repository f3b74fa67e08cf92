//! The table in `docs/security.md`: all rows, in the order of the groups.

use std::fmt::Write as _;
use std::path::Path;

use crate::suite::Row;
use crate::{
    documents, files, limits, loading, locks, logs, network, origin, programs, questions, secrets,
    server_calls,
};

const DOCUMENT: &str = "docs/security.md";
const BEGIN: &str = "<!-- escape-suite:begin -->\n";
const END: &str = "<!-- escape-suite:end -->";

/// A group's rows as lines of the table.
struct Group {
    title: &'static str,
    lines: Vec<String>,
}

impl Group {
    fn new<P>(title: &'static str, rows: &[Row<P>]) -> Self {
        Self { title, lines: Vec::new() }.and(rows)
    }

    /// The same with more rows.
    fn and<P>(mut self, rows: &[Row<P>]) -> Self {
        let line = |row: &Row<P>| {
            let says = if row.says.is_empty() { String::new() } else { shown(row.says) };
            format!("| {} | {} | {says} |", row.trick, row.fate.text())
        };
        self.lines.extend(rows.iter().map(line));
        self
    }
}

/// Words of a log as code; those that hold the mark of code themselves get a longer one.
fn shown(words: &str) -> String {
    let words = words.replace('|', "\\|");
    if words.contains('`') { format!("`` {words} ``") } else { format!("`{words}`") }
}

fn groups() -> Vec<Group> {
    vec![
        Group::new("Files", files::ROWS),
        Group::new("Network", network::ROWS),
        Group::new("Time, memory and the border", limits::ROWS),
        Group::new("Server calls", server_calls::ROWS),
        Group::new("Documents", documents::ROWS),
        Group::new("Locks", locks::ROWS).and(locks::WAITING),
        Group::new("Programs of the runner", programs::ROWS).and(programs::ENDLESS),
        Group::new("Questions", questions::ROWS),
        Group::new("Secrets", secrets::ROWS),
        Group::new("Logs and outputs", logs::ROWS),
        Group::new("Files that are no tools", loading::ROWS),
        Group::new("Signatures, where they are required", origin::SIGNATURES),
        Group::new("Approval, where there is a `plugins.lock`", origin::LOCK),
        Group::new("Compiled code, changed between two runs", origin::CACHE),
    ]
}

fn table() -> String {
    let groups = groups();
    let total: usize = groups.iter().map(|group| group.lines.len()).sum();
    let mut text = format!("{total} tricks.\n");
    for group in groups {
        let _ = write!(
            text,
            "\n### {}\n\n| trick | what becomes of it | what the node's log says |\n|---|---|---|\n",
            group.title
        );
        for line in group.lines {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

#[test]
fn the_document_has_the_rows_that_are_run() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(DOCUMENT);
    let document = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = document.split_once(BEGIN).expect("the table's first mark");
    let (old, tail) = rest.split_once(END).expect("the table's last mark");
    let new = table();
    if std::env::var_os("UPDATE_ESCAPE_SUITE").is_some_and(|value| value == "1") {
        std::fs::write(&path, format!("{head}{BEGIN}{new}{END}{tail}")).unwrap();
        return;
    }
    assert!(
        old == new,
        "the table in {DOCUMENT} is not what is run; write it with \
         `UPDATE_ESCAPE_SUITE=1 cargo nextest run -p autoexec-e2e --test escape the_document`"
    );
}

#[test]
fn no_trick_is_told_twice() {
    let mut all: Vec<String> = groups().into_iter().flat_map(|group| group.lines).collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!((all.len(), count >= 60), (count, true));
}

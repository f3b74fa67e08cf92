//! The inputs of a node as people see them: `input/<K>.json` (`spec/workdir.md` §5.5).
//!
//! What is secret is replaced before it gets here, by [`OpInput`], so the file never holds it
//! (`spec/job-params.md` §2.8).

use std::path::Path;

use autoexec_model::{OpId, ValueType};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::atomic::{self, PRIVATE};
use crate::json::Style;
use crate::read::load_object;
use crate::{Loaded, StoreError};

const HIDDEN: &str = "******";

/// Words after which the rest of a line of a text area is taken for a secret, in lower case.
const SECRET_MARKS: [&str; 5] = ["password=", "password:", "pwd=", "pwd:", "identified by "];

/// Resolved inputs of one operation, with secrets replaced by `******`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct OpInput {
    options: Map<String, Value>,
    arguments: Vec<Value>,
}

impl OpInput {
    /// Adds a named option. Passwords, accounts, and options whose name ends in `account` are hidden.
    pub fn option(&mut self, name: &str, kind: ValueType, value: &Value) {
        let kind = if name.ends_with("account") { ValueType::Account } else { kind };
        self.options.insert(name.to_owned(), shown(kind, value));
    }

    /// Adds a free argument.
    pub fn argument(&mut self, kind: ValueType, value: &Value) {
        self.arguments.push(shown(kind, value));
    }
}

fn shown(kind: ValueType, value: &Value) -> Value {
    match (kind, value) {
        (ValueType::Password | ValueType::Account, Value::Null) => Value::Null,
        (ValueType::Password | ValueType::Account, _) => HIDDEN.into(),
        (ValueType::TextArea, Value::String(text)) => mask_lines(text).into(),
        (_, value) => value.clone(),
    }
}

/// Masks each line from the first secret mark on. Line ends are the two characters `\n` on a command line and
/// real ones here.
fn mask_lines(text: &str) -> String {
    let text = text.replace("\\n", "\n");
    let lines: Vec<String> = text.split('\n').map(mask_line).collect();
    lines.join("\n")
}

fn mask_line(line: &str) -> String {
    // ASCII case folding keeps byte positions, so an end found in the folded text is one in the line.
    let folded = line.to_ascii_lowercase();
    let end = SECRET_MARKS.iter().filter_map(|mark| folded.find(mark).map(|at| at + mark.len())).min();
    match end.and_then(|end| line.get(..end)) {
        Some(kept) => format!("{kept}{HIDDEN}"),
        None => line.to_owned(),
    }
}

/// Inputs of all operations of a node.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct NodeInput {
    operations: Map<String, Value>,
}

impl NodeInput {
    /// Reads an input file. Anything but a system error is an answer, see [`Loaded`].
    pub fn load(path: &Path) -> Result<Loaded<Self>, StoreError> {
        Ok(load_object(path)?.and_then(|operations| Ok(Self { operations })))
    }

    /// Replaces the inputs of one operation.
    pub fn set(&mut self, operation: &OpId, input: OpInput) {
        let OpInput { options, arguments } = input;
        let entry = Map::from_iter([
            ("options".to_owned(), Value::Object(options)),
            ("arguments".to_owned(), Value::Array(arguments)),
        ]);
        self.operations.insert(operation.as_str().to_owned(), Value::Object(entry));
    }

    /// Replaces the input file.
    pub fn save(&self, path: &Path) -> Result<(), StoreError> {
        atomic::write_json(path, self, Style::Indented, PRIVATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_do_not_reach_the_file() {
        let mut input = OpInput::default();
        input.option("to", ValueType::Text, &"host".into());
        input.option("pass", ValueType::Password, &"s3cret".into());
        input.option("none", ValueType::Password, &Value::Null);
        input.option("dbaccount", ValueType::Text, &"u/s3cret".into());
        input.option(
            "sql",
            ValueType::TextArea,
            &r"select 1\nCREATE USER x IDENTIFIED BY s3cret;\nend".into(),
        );
        input.argument(ValueType::Account, &"u/s3cret".into());
        input.argument(ValueType::Json, &json!({"a": [1]}));
        let mut node = NodeInput::default();
        node.set(&OpId::new("b/x_1").unwrap(), input);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i.json");
        node.save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains("s3cret"), "{text}");
        assert!(
            text.starts_with("{\n    \"b/x_1\": {\n        \"options\": {\n            \"to\": \"host\"")
        );
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["b/x_1"]["options"]["sql"], "select 1\nCREATE USER x IDENTIFIED BY ******\nend");
        assert_eq!(back["b/x_1"]["arguments"], json!(["******", {"a": [1]}]));
        assert_eq!(NodeInput::load(&path).unwrap(), Loaded::Found(node));
    }

    #[test]
    fn every_mark_hides_the_rest_of_its_line_only() {
        for (line, shown) in [
            ("a password=x y", "a password=******"),
            ("PWD: x", "PWD:******"),
            ("密码 pwd=x", "密码 pwd=******"),
            ("pwd=a password=b", "pwd=******"),
            ("nothing here", "nothing here"),
        ] {
            assert_eq!(mask_lines(&format!("before\n{line}\nafter")), format!("before\n{shown}\nafter"));
        }
    }
}

//! The outputs of a node: `output/<K>.json` (`spec/workdir.md` §5.5, `spec/job-params.md` §2.9).

use std::fmt;
use std::path::Path;

use autoexec_model::OpId;
use indexmap::IndexMap;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Map, Value};

use crate::atomic::{self, PRIVATE};
use crate::json::Style;
use crate::read::load_object;
use crate::{Loaded, StoreError};

const NODE_ENV: &str = "nodeEnv";
const HIDDEN_NODE_ENV: &str = "hiddenNodeEnv";

/// Node variables and the outputs of all operations of a node, over all phases.
///
/// Outputs may be secret, so `Debug` shows names only.
#[derive(Clone, Default, PartialEq)]
pub struct NodeOutput {
    variables: Map<String, Value>,
    /// Name → 1 for variables whose value is not shown. A map because the file holds one.
    hidden: Map<String, Value>,
    operations: IndexMap<OpId, Map<String, Value>>,
    /// Entries we do not know, written back as they were.
    extra: Map<String, Value>,
}

impl NodeOutput {
    /// Reads an output file. Anything but a system error is an answer, see [`Loaded`].
    pub fn load(path: &Path) -> Result<Loaded<Self>, StoreError> {
        Ok(load_object(path)?.and_then(|object| Ok(Self::from_object(object))))
    }

    /// Replaces the output file. Concurrent writers go through [`NodeRecords`](crate::NodeRecords).
    pub fn save(&self, path: &Path) -> Result<(), StoreError> {
        atomic::write_json(path, self, Style::Indented, PRIVATE)
    }

    /// Types the content of an output document (file or database).
    pub fn from_object(object: Map<String, Value>) -> Self {
        let mut output = Self::default();
        for (key, value) in object {
            match (key.as_str(), value) {
                (NODE_ENV, Value::Object(variables)) => output.variables = variables,
                (HIDDEN_NODE_ENV, Value::Object(hidden)) => output.hidden = hidden,
                (NODE_ENV | HIDDEN_NODE_ENV, _) => {}
                (_, value) => output.insert_entry(key, value),
            }
        }
        output
    }

    fn insert_entry(&mut self, key: String, value: Value) {
        match (OpId::new(key.as_str()), value) {
            (Ok(operation), Value::Object(values)) => {
                self.operations.insert(operation, values);
            }
            (_, value) => {
                self.extra.insert(key, value);
            }
        }
    }

    /// Node variables set by operations (`nodeEnv`).
    pub fn variables(&self) -> &Map<String, Value> {
        &self.variables
    }

    /// Whether the value of a node variable must not be shown.
    pub fn is_hidden(&self, variable: &str) -> bool {
        match self.hidden.get(variable) {
            None | Some(Value::Null | Value::Bool(false)) => false,
            Some(Value::Number(number)) => number.as_i64() != Some(0),
            Some(Value::String(text)) => text != "0" && !text.is_empty(),
            Some(_) => true,
        }
    }

    /// Sets a node variable. A variable once hidden stays hidden until it is set openly.
    pub fn set_variable(&mut self, name: &str, value: Value, hidden: bool) {
        self.variables.insert(name.to_owned(), value);
        if hidden {
            self.hidden.insert(name.to_owned(), 1.into());
        } else {
            self.hidden.shift_remove(name);
        }
    }

    /// Removes a node variable (the item of a loop).
    pub fn remove_variable(&mut self, name: &str) {
        self.variables.shift_remove(name);
        self.hidden.shift_remove(name);
    }

    /// Outputs of one operation, if it left any.
    pub fn operation(&self, operation: &OpId) -> Option<&Map<String, Value>> {
        self.operations.get(operation)
    }

    /// All operations with outputs.
    pub fn operations(&self) -> impl Iterator<Item = (&OpId, &Map<String, Value>)> {
        self.operations.iter()
    }

    /// Replaces the outputs of one operation.
    pub fn set_operation(&mut self, operation: OpId, values: Map<String, Value>) {
        self.operations.insert(operation, values);
    }

    /// Drops the outputs of an operation that failed.
    pub fn remove_operation(&mut self, operation: &OpId) {
        self.operations.shift_remove(operation);
    }
}

impl fmt::Debug for NodeOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeOutput")
            .field("variables", &self.variables.keys().collect::<Vec<_>>())
            .field("operations", &self.operations.keys().map(OpId::as_str).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl Serialize for NodeOutput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(NODE_ENV, &self.variables)?;
        map.serialize_entry(HIDDEN_NODE_ENV, &self.hidden)?;
        for (operation, values) in &self.operations {
            map.serialize_entry(operation.as_str(), values)?;
        }
        for (key, value) in &self.extra {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::fs;

    fn op(text: &str) -> OpId {
        OpId::new(text).unwrap()
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_file_of_the_reference_round_trips() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("o.json");
        let text = "{\n    \"nodeEnv\": {\n        \"A\": \"1\"\n    },\n    \"hiddenNodeEnv\": {\n        \"A\": 1\n    },\n    \"b/x_1\": {\n        \"k\": [\n            \"中\"\n        ]\n    },\n    \"b/y_2\": {}\n}";
        fs::write(&path, text).unwrap();
        let output = NodeOutput::load(&path).unwrap().found().unwrap();
        assert!(output.is_hidden("A") && !output.is_hidden("B"));
        assert_eq!(output.operation(&op("b/x_1")).unwrap()["k"], json!(["中"]));
        output.save(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn absent_and_foreign_entries_are_tolerated_and_kept() {
        let output = NodeOutput::from_object(object(json!({"a_1": {"x": null}, "odd": 5, "nodeEnv": null})));
        assert!(output.variables().is_empty());
        let text = crate::json::to_text(&output, Style::Compact).unwrap();
        assert_eq!(text, r#"{"nodeEnv": {}, "hiddenNodeEnv": {}, "a_1": {"x": null}, "odd": 5}"#);
    }

    #[test]
    fn hidden_is_read_as_number_or_text() {
        let output = NodeOutput::from_object(object(
            json!({"hiddenNodeEnv": {"a": 1, "b": "1", "c": 0, "d": "0", "e": true, "f": ""}}),
        ));
        let hidden: Vec<_> = ["a", "b", "c", "d", "e", "f"].map(|n| output.is_hidden(n)).into();
        assert_eq!(hidden, [true, true, false, false, true, false]);
    }

    #[test]
    fn debug_output_shows_no_value() {
        let mut output = NodeOutput::default();
        output.set_variable("TOKEN", "s3cret".into(), true);
        output.set_operation(op("a_1"), object(json!({"password": "s3cret"})));
        let text = format!("{output:?}");
        assert!(text.contains("TOKEN") && text.contains("a_1") && !text.contains("s3cret"), "{text}");
        output.set_variable("TOKEN", "open".into(), false);
        assert!(!output.is_hidden("TOKEN"));
        output.remove_variable("TOKEN");
        output.remove_operation(&op("a_1"));
        assert_eq!(output, NodeOutput::default());
    }
}

//! The inputs of a node as people see them: `input/<K>.json` (`spec/workdir.md` §5.5).
//!
//! What is secret is masked by the model ([`Inputs::to_display_json`](autoexec_model::value::Inputs)) before
//! it gets here, so the file never holds it.

use std::path::Path;

use autoexec_model::{NodeKey, OpId};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::atomic::{self, PRIVATE};
use crate::json::Style;
use crate::read::load_object;
use crate::records::UPDATE_LIMIT;
use crate::{JobDir, JobLock, Loaded, LockScope, StoreError};

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

    /// Replaces the inputs of one operation in the node's file. Phases that run side by side share the file.
    /// A broken file is replaced: it is a display, and the next run of an operation writes its part anew.
    pub fn update(job: &JobDir, node: &NodeKey, operation: &OpId, shown: Value) -> Result<(), StoreError> {
        let path = job.node_input(node);
        let _lock = JobLock::acquire_within(job, LockScope::Output(node), UPDATE_LIMIT)?;
        let mut input = Self::load(&path)?.found().unwrap_or_default();
        input.operations.insert(operation.as_str().to_owned(), shown);
        atomic::write_unsynced(&path, &atomic::encoded(&path, &input, Style::Indented)?, PRIVATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use autoexec_model::PhaseName;
    use serde_json::json;

    #[test]
    fn operations_are_added_and_replaced_one_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let job = JobDir::at(dir.path());
        let node = NodeKey::local();
        job.create().unwrap();
        job.prepare_unit(&PhaseName::new("P").unwrap(), &node).unwrap();
        let write =
            |op: &str, shown: Value| NodeInput::update(&job, &node, &OpId::new(op).unwrap(), shown).unwrap();
        write("b/x_1", json!({"options": {"to": "a"}, "arguments": []}));
        write("b/y_2", json!({"options": {}, "arguments": ["******"]}));
        write("b/x_1", json!({"options": {"to": "b"}, "arguments": []}));
        let text = std::fs::read_to_string(job.node_input(&node)).unwrap();
        assert!(
            text.starts_with("{\n    \"b/x_1\": {\n        \"options\": {\n            \"to\": \"b\""),
            "{text}"
        );
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["b/y_2"]["arguments"], json!(["******"]));
        std::fs::write(job.node_input(&node), "{half").unwrap();
        write("b/z_3", json!({}));
        assert_eq!(std::fs::read_to_string(job.node_input(&node)).unwrap(), "{\n    \"b/z_3\": {}\n}");
    }
}

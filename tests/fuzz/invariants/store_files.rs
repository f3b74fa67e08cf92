//! What must hold for any file where a journal, a status or an output should be. Used by the fuzz target and by the property
//! test of `autoexec-store`.

use std::path::Path;

use autoexec_store::{Loaded, NodeOutput, NodeState, read_journal, read_op_output};
use serde_json::Value;

/// Reading is an answer or an error that quotes nothing; what was read survives writing and reading.
pub(crate) fn files(bytes: &[u8], directory: &Path) {
    let path = directory.join("file");
    std::fs::write(&path, bytes).unwrap();
    let _ = read_journal::<Value>(&path);
    let _ = read_op_output(&path);
    if serde_json::from_slice(bytes).is_ok_and(|value| has_long_fraction(&value)) {
        // The last digit may change.
        return;
    }
    if let Ok(Loaded::Found(state)) = NodeState::load(&path) {
        state.save(&path).unwrap();
        assert_eq!(NodeState::load(&path).unwrap(), Loaded::Found(state));
    }
    std::fs::write(&path, bytes).unwrap();
    if let Ok(Loaded::Found(output)) = NodeOutput::load(&path) {
        output.save(&path).unwrap();
        assert_eq!(NodeOutput::load(&path).unwrap(), Loaded::Found(output));
    }
}

fn has_long_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64() && number.to_string().len() > 12,
        Value::Array(elements) => elements.iter().any(has_long_fraction),
        Value::Object(members) => members.values().any(has_long_fraction),
        _ => false,
    }
}

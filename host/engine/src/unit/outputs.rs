//! Outputs of nodes: loaded at the start of a unit, merged after each operation.

use autoexec_model::OpId;
use autoexec_store::{Loaded, NodeIdentity, NodeOutput};
use serde_json::{Map, Value};

use super::{Teller, Unit, blocking};

/// The outputs of a node so far.
pub(super) fn load(teller: &Teller, node: &NodeIdentity) -> Result<NodeOutput, String> {
    match teller.shared.records.load_output(node).map_err(|error| error.to_string())? {
        Loaded::Found(output) => Ok(output),
        Loaded::Missing => Ok(NodeOutput::default()),
        Loaded::Broken { reason } => Err(format!(
            "the outputs of node {} are broken: {reason}; reset the node or mend the file",
            node.key()
        )),
    }
}

/// The outputs of the job's local node, as references see them.
pub(super) fn local(teller: &Teller) -> Result<Map<String, Value>, String> {
    load(teller, &NodeIdentity::local()).map(|output| as_table(&output))
}

/// Operation id → object.
pub(super) fn as_table(output: &NodeOutput) -> Map<String, Value> {
    output.operations().map(|(id, values)| (id.as_str().to_owned(), Value::Object(values.clone()))).collect()
}

/// Name → 1 for every hidden node variable.
pub(super) fn hidden_names(output: &NodeOutput) -> Map<String, Value> {
    let names = output.variables().keys().filter(|name| output.is_hidden(name));
    names.map(|name| (name.clone(), 1.into())).collect()
}

impl Unit<'_> {
    /// Takes the outputs of an operation into this run, without writing them.
    pub(super) fn remember_output(&mut self, operation: &OpId, values: &Map<String, Value>) {
        self.outputs.insert(operation.as_str().to_owned(), Value::Object(values.clone()));
    }

    /// Saves the outputs of an operation and the node's variables. If the phase has exactly one target in
    /// total, local phases see its outputs too (`spec/execution.md` §6.7, 8).
    pub(super) fn save_output(
        &mut self,
        operation: &OpId,
        values: Option<&Map<String, Value>>,
    ) -> Result<(), String> {
        if let Some(values) = values {
            self.remember_output(operation, values);
        }
        self.update(&self.identity, &mut |output| {
            if let Some(values) = values {
                output.set_operation(operation.clone(), values.clone());
            }
            for name in &self.changed {
                if let Some(found) = self.variables.get(name) {
                    output.set_variable(name, Value::from(found.text), found.secret);
                }
            }
        })?;
        match values {
            Some(values) if self.is_seen_by_local_phases() => {
                self.update(&NodeIdentity::local(), &mut |output| {
                    output.set_operation(operation.clone(), values.clone());
                })
            }
            _ => Ok(()),
        }
    }

    /// Takes the outputs of an operation out of everything that later phases read.
    pub(super) fn forget_output(&self, operation: &OpId) -> Result<(), String> {
        let mut forget = |output: &mut NodeOutput| output.remove_operation(operation);
        self.update(&self.identity, &mut forget)?;
        if self.is_seen_by_local_phases() {
            self.update(&NodeIdentity::local(), &mut forget)?;
        }
        Ok(())
    }

    fn is_seen_by_local_phases(&self) -> bool {
        self.teller.phase.total_nodes == 1 && !self.node.is_local()
    }

    fn update(&self, node: &NodeIdentity, change: &mut dyn FnMut(&mut NodeOutput)) -> Result<(), String> {
        let records = &self.teller.shared.records;
        blocking(|| records.update_output(node, change)).map(drop).map_err(|error| error.to_string())
    }
}

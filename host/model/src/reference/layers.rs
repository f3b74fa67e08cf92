//! The order in which names are looked up.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::{Found, Lookup};
use crate::value::{JobOptions, NodeVariables};

/// The five layers of §2.7, first hit wins, `null` counts as "not there".
#[derive(Debug, Clone, Copy)]
pub struct Layers<'a> {
    /// 1 and 2: job options, then global options.
    pub options: &'a JobOptions,
    /// 3: node variables.
    pub node_variables: &'a NodeVariables,
    /// 4: process environment of the executor.
    pub environment: &'a IndexMap<String, String>,
    /// Names in `environment` whose values must not be shown.
    pub hidden_environment: &'a BTreeSet<String>,
    /// 5: outputs of this node: operation id → object.
    pub node_outputs: &'a Map<String, Value>,
    /// 5, if this node has no entry for the operation: outputs of the local node.
    pub local_outputs: &'a Map<String, Value>,
    /// Operation id and key of outputs that are declared as passwords.
    pub secret_outputs: &'a BTreeSet<(String, String)>,
}

impl<'a> Lookup for Layers<'a> {
    fn variable(&self, name: &str) -> Option<Found<'_>> {
        self.options.get(name).or_else(|| self.node_variables.get(name)).or_else(|| {
            let text = self.environment.get(name)?.as_str().into();
            Some(Found { text, secret: self.hidden_environment.contains(name) })
        })
    }

    fn output(&self, op_id: &str, key: &str) -> Option<Found<'_>> {
        // An entry of this node hides the local one even when the key is missing in it.
        let there = |outputs: &'a Map<String, Value>| outputs.get(op_id).filter(|entry| !entry.is_null());
        let entry = there(self.node_outputs).or_else(|| there(self.local_outputs))?;
        let mut found = Found::json(entry.get(key)?)?;
        found.secret = self.secret_outputs.contains(&(op_id.to_owned(), key.to_owned()));
        Some(found)
    }
}

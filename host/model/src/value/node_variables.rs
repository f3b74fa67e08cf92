//! Node variables: what references and conditions know about a node (`spec/job-params.md` §2.9).

use std::collections::BTreeSet;
use std::fmt;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::Node;
use crate::json_text::plain_text;
use crate::reference::Found;

/// The variables of one node.
#[derive(Clone, Default)]
pub struct NodeVariables {
    fixed: IndexMap<String, String>,
    /// What operations set; it wins within the run and is saved with the node's outputs.
    set: IndexMap<String, String>,
    hidden: BTreeSet<String>,
}

impl NodeVariables {
    /// The variables of `node`. `saved` and `hidden` are `nodeEnv` and `hiddenNodeEnv` of the node's output
    /// file; facts about the node win over saved values of the same name. `name_path` and `id_path` are the
    /// deploy variables `NAME_PATH` and `ID_PATH`, if the job has them.
    pub fn new(
        node: &Node,
        saved: &Map<String, Value>,
        hidden: &Map<String, Value>,
        name_path: Option<&str>,
        id_path: Option<&str>,
    ) -> Self {
        let fixed = facts(node, name_path, id_path);
        let set = saved
            .iter()
            .filter(|(name, value)| !value.is_null() && !fixed.contains_key(*name))
            .map(|(name, value)| (name.clone(), plain_text(value)))
            .collect();
        Self { fixed, set, hidden: hidden.keys().cloned().collect() }
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<Found<'_>> {
        let text = self.set.get(name).or_else(|| self.fixed.get(name))?;
        Some(Found { text: text.as_str().into(), secret: self.hidden.contains(name) })
    }

    /// Sets a variable for the rest of the node's run.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<String>, hidden: bool) {
        let name = name.into();
        if hidden {
            self.hidden.insert(name.clone());
        } else {
            self.hidden.remove(&name);
        }
        self.set.insert(name, value.into());
    }

    /// Removes a variable that was set; used at the end of a loop.
    pub fn remove(&mut self, name: &str) {
        self.set.shift_remove(name);
        self.hidden.remove(name);
    }

    /// What is saved as `nodeEnv`.
    pub fn saved(&self) -> Map<String, Value> {
        self.set.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect()
    }

    /// What is saved as `hiddenNodeEnv`: name → 1.
    pub fn saved_hidden(&self) -> Map<String, Value> {
        self.hidden.iter().map(|name| (name.clone(), 1.into())).collect()
    }

    /// All names and values, as exported to plugins (defect 82).
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let fixed = self.fixed.iter().filter(|(name, _)| !self.set.contains_key(*name));
        fixed.chain(&self.set).map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for NodeVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

fn facts(node: &Node, name_path: Option<&str>, id_path: Option<&str>) -> IndexMap<String, String> {
    let port = node.port.map(|port| port.to_string()).unwrap_or_default();
    let protocol_port = node.protocol_port.to_string();
    let mut facts = IndexMap::new();
    let mut put = |name: &str, value: String| facts.insert(name.to_owned(), value);
    put("RESOURCE_ID", node.resource.to_string());
    put("NODE_NAME", node.name.clone());
    put("NODE_HOST", node.host.clone());
    put("NODE_PORT", port.clone());
    put("NODE_PROTOCOL_PORT", protocol_port.clone());
    put("INS_NAME", node.name.clone());
    put("INS_HOST", node.host.clone());
    put("INS_PORT", port);
    put("INS_PROTOCOL_PORT", protocol_port);
    if let Some(path) = name_path {
        put("INS_PATH", format!("{path}/{}", node.name));
    }
    if let Some(path) = id_path {
        put("INS_ID_PATH", format!("{path}/{}", node.resource));
    }
    facts
}

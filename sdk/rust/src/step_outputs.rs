//! Reads outputs of steps on other nodes of the job. Needs the capability `step-outputs` in `tool.toml`.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

#[cfg(target_arch = "wasm32")]
use crate::bindings::autoexec::tool::step_outputs as host;
use crate::bindings::autoexec::tool::step_outputs as wit;
pub use crate::bindings::autoexec::tool::step_outputs::QueryError;
use crate::failure::{HostError, reasons};
#[cfg(not(target_arch = "wasm32"))]
use crate::testing::step_outputs as host;

/// What the host could not do, and why.
pub type Error = HostError<QueryError>;

reasons!(QueryError {
    QueryError::Denied(why) => crate::FailureKind::Denied, said("not granted", why);
    QueryError::Unavailable(why) => crate::FailureKind::Unreachable, said("can not be read now", why);
    QueryError::Other(why) => crate::FailureKind::Other("outputs".into()), why;
});

/// One step's output: `#{phase.bundle/tool_id.name}`, where hash and braces may be left out
/// (spec/tools-behaviour/01, references to outputs).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputRef {
    /// Phase of the step.
    pub phase: String,
    /// Id of the step, such as `bundle/tool_id`.
    pub operation_id: String,
    /// Name of the output.
    pub name: String,
}

/// As jobs write it.
impl fmt::Display for OutputRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{{{}.{}.{}}}", self.phase, self.operation_id, self.name)
    }
}

/// A text that is no reference; holds the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedRef(pub String);

impl fmt::Display for MalformedRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The spelling that existing jobs and their readers know.
        write!(f, "Malform output key {}.", self.0)
    }
}

impl std::error::Error for MalformedRef {}

impl FromStr for OutputRef {
    type Err = MalformedRef;

    fn from_str(text: &str) -> Result<Self, MalformedRef> {
        let trimmed = text.trim();
        let bare = trimmed.strip_prefix("#{").and_then(|rest| rest.strip_suffix('}')).unwrap_or(trimmed);
        let parts: Vec<&str> = bare.split('.').map(str::trim).collect();
        match parts.as_slice() {
            [phase, operation_id, name] if parts.iter().all(|part| !part.is_empty()) => Ok(Self {
                phase: (*phase).to_owned(),
                operation_id: (*operation_id).to_owned(),
                name: (*name).to_owned(),
            }),
            _ => Err(MalformedRef(text.to_owned())),
        }
    }
}

/// One node's value of an output.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeValue {
    /// Id of the resource; 0 is the runner.
    pub resource_id: i64,
    /// Host; `local` for the runner.
    pub host: String,
    /// Service port.
    pub port: Option<u16>,
    /// The value.
    pub value: Value,
}

impl NodeValue {
    /// `host:port`, or `host` without a port.
    pub fn address(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// Whether it is the runner's own pseudo node.
    pub fn is_runner(&self) -> bool {
        self.host == "local"
    }
}

/// Values on all nodes that have the output, in the order of the nodes.
pub fn find(output: &OutputRef) -> Result<Vec<NodeValue>, Error> {
    let error = |reason| HostError::new(reason, format_args!("reading the outputs {output}"));
    let found = host::find(&output.phase, &output.operation_id, &output.name).map_err(error)?;
    found.into_iter().map(|value| node_value(value).map_err(error)).collect()
}

fn node_value(found: wit::NodeValue) -> Result<NodeValue, QueryError> {
    let value = serde_json::from_str(&found.value).map_err(|error| QueryError::Other(error.to_string()))?;
    Ok(NodeValue { resource_id: found.resource_id, host: found.host, port: found.port, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_three_parts() {
        let expected =
            OutputRef { phase: "p1".into(), operation_id: "demo/nodefacts_2".into(), name: "facts".into() };
        assert_eq!("#{p1.demo/nodefacts_2.facts}".parse(), Ok(expected.clone()));
        assert_eq!(" p1.demo/nodefacts_2.facts ".parse(), Ok(expected));
    }

    #[test]
    fn anything_else_is_named() {
        for text in ["", "a.b", "a.b.c.d", "#{a..c}", "a.b."] {
            assert_eq!(text.parse::<OutputRef>(), Err(MalformedRef(text.into())));
        }
        assert_eq!(MalformedRef("a.b".into()).to_string(), "Malform output key a.b.");
    }

    #[test]
    fn the_address_has_the_port_when_there_is_one() {
        let mut value = NodeValue { resource_id: 7, host: "h".into(), port: Some(22), value: Value::Null };
        assert_eq!(value.address(), "h:22");
        value.port = None;
        assert_eq!(value.address(), "h");
    }
}

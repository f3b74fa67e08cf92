//! Target nodes and the node file: a header line, then one JSON object per line (`spec/nodes.md`).

use std::fmt;

use serde_json::{Map, Value};

use crate::{NodeKey, ResourceId, RunnerId, Secret, SecretKey};

/// Why a line of a node file cannot be used. The line's text is not repeated: it holds a password.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// JSON, but not an object.
    #[error("expected a JSON object, found {0}")]
    NotAnObject(&'static str),
    /// A member with an unusable value.
    #[error("member `{member}`: {problem}")]
    Member {
        /// Name of the member.
        member: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

/// The first line of a node file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeFileHeader {
    /// Targets over all runners.
    pub total_count: u64,
    /// The runner that executes local phases.
    pub local_runner: RunnerId,
    /// All runners of this scope. The reference takes an absent list as zero runners and then never ends a
    /// round (defect 7); ask [`Self::runner_count`] instead.
    pub runners: Vec<RunnerId>,
}

impl NodeFileHeader {
    /// The header that stands for a missing or broken one: one target, run by runner 1.
    pub fn assumed() -> Self {
        Self { total_count: 1, local_runner: RunnerId(1), runners: Vec::new() }
    }

    /// Number of runners, at least 1.
    pub fn runner_count(&self) -> usize {
        self.runners.len().max(1)
    }

    /// Whether `object` has a header's members rather than a node's.
    pub fn matches(object: &Map<String, Value>) -> bool {
        object.contains_key("totalCount") && !object.contains_key("resourceId")
    }

    /// Reads the header members, each one by itself; a missing one gets its default.
    pub fn from_object(object: &Map<String, Value>) -> Result<Self, LineError> {
        let assumed = Self::assumed();
        let runners = match object.get("jobRunnerIds") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(ids)) => ids
                .iter()
                .map(|id| {
                    integer(id).map(RunnerId).ok_or_else(|| wrong("jobRunnerIds", "expected integers", id))
                })
                .collect::<Result<_, _>>()?,
            Some(other) => return Err(wrong("jobRunnerIds", "expected an array", other)),
        };
        let total_count = match optional_integer(object, "totalCount")? {
            None => assumed.total_count,
            Some(count) => u64::try_from(count).map_err(|_| LineError::Member {
                member: "totalCount",
                problem: format!("{count} is negative"),
            })?,
        };
        let local_runner = optional_integer(object, "localRunnerId")?.map_or(assumed.local_runner, RunnerId);
        Ok(Self { total_count, local_runner, runners })
    }

    /// The header as a line of a node file, without newline.
    pub fn to_line(&self) -> String {
        let runners: Vec<i64> = self.runners.iter().map(|runner| runner.0).collect();
        serde_json::json!({"totalCount": self.total_count, "localRunnerId": self.local_runner.0, "jobRunnerIds": runners})
            .to_string()
    }
}

/// How a node is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// The local pseudo node.
    Local,
    /// SSH.
    Ssh,
    /// The target agent.
    Tagent,
    /// A product protocol (`mysql`, `http`, …) or `protocolNotExist`: usable by tools on the runner, not
    /// for running scripts on the target.
    Other(String),
}

impl Protocol {
    /// The word in logs and in `AUTOEXEC_NODE`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Local => "local",
            Self::Ssh => "ssh",
            Self::Tagent => "tagent",
            Self::Other(name) => name,
        }
    }
}

/// One target. `Debug` shows what logs may show.
#[derive(Clone)]
pub struct Node {
    /// Identity; 0 is the local pseudo node.
    pub resource: ResourceId,
    /// Host name or address.
    pub host: String,
    /// Service port, part of file names.
    pub port: Option<u16>,
    /// Display name; empty when the server sent none.
    pub name: String,
    /// Kind of node (`Linux`, …); empty when the server sent none.
    pub kind: String,
    /// Login name; `none` when absent.
    pub user: String,
    /// How the node is reached.
    pub protocol: Protocol,
    /// Port of that protocol, by the rules of `spec/nodes.md` §3.1.
    pub protocol_port: u16,
    /// Runner that executes the node. A node without one is nobody's (defect 23).
    pub runner: Option<RunnerId>,
    password: String,
    object: Map<String, Value>,
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node")
            .field("key", &self.key())
            .field("protocol", &self.protocol)
            .field("protocol_port", &self.protocol_port)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Reads one object of a node file.
    pub fn from_object(object: Map<String, Value>) -> Result<Self, LineError> {
        let resource = optional_integer(&object, "resourceId")?
            .map(ResourceId)
            .ok_or_else(|| LineError::Member { member: "resourceId", problem: "missing".to_owned() })?;
        let host = text(&object, "host")
            .filter(|host| !host.is_empty())
            .ok_or_else(|| LineError::Member { member: "host", problem: "missing or empty".to_owned() })?;
        let port = optional_port(&object, "port")?;
        let (protocol, protocol_port) = protocol_of(&object, port)?;
        Ok(Self {
            resource,
            host,
            port,
            name: text(&object, "nodeName").unwrap_or_default(),
            kind: text(&object, "nodeType").unwrap_or_default(),
            user: text(&object, "username").unwrap_or_else(|| "none".to_owned()),
            protocol,
            protocol_port,
            runner: optional_integer(&object, "runnerId")?.map(RunnerId),
            password: text(&object, "password").unwrap_or_default(),
            object,
        })
    }

    /// The local pseudo node: resource 0, host `local`, files named `local-0-0`.
    pub fn local() -> Self {
        let mut object = Map::new();
        object.insert("resourceId".to_owned(), 0.into());
        object.insert("protocol".to_owned(), "local".into());
        object.insert("host".to_owned(), "local".into());
        object.insert("port".to_owned(), 0.into());
        object.insert("username".to_owned(), "".into());
        object.insert("password".to_owned(), "".into());
        Self {
            resource: ResourceId::LOCAL,
            host: "local".to_owned(),
            port: Some(0),
            name: String::new(),
            kind: String::new(),
            user: String::new(),
            protocol: Protocol::Local,
            protocol_port: 0,
            runner: None,
            password: String::new(),
            object,
        }
    }

    /// Whether this is the local pseudo node.
    pub fn is_local(&self) -> bool {
        self.protocol == Protocol::Local
    }

    /// The part of every file name that tells nodes apart.
    pub fn key(&self) -> NodeKey {
        NodeKey::new(&self.host, self.port, self.resource)
    }

    /// Whether the node file holds a password for this node.
    pub fn has_password(&self) -> bool {
        !self.password.is_empty()
    }

    /// The decrypted password. `None` when there is none or it cannot be decrypted with `key`.
    pub fn password(&self, key: &SecretKey) -> Option<Secret> {
        if self.password.is_empty() {
            return None;
        }
        key.reveal(&self.password).ok()
    }

    /// The node as the object plugins get in `AUTOEXEC_NODE`: everything the server sent, the protocol and its
    /// port as resolved, and the password replaced by `password`.
    pub fn to_plugin_object(&self, password: Option<&Secret>) -> Map<String, Value> {
        let mut object = self.object.clone();
        object.insert("protocol".to_owned(), self.protocol.as_str().into());
        object.insert("protocolPort".to_owned(), self.protocol_port.into());
        object.insert("password".to_owned(), password.map_or("", Secret::expose).into());
        object
    }
}

/// What a line of a node file holds.
#[derive(Debug, Clone)]
pub enum NodeLine {
    /// The header.
    Header(NodeFileHeader),
    /// A target.
    Node(Box<Node>),
}

impl NodeLine {
    /// Reads one line; `None` for a blank one.
    pub fn parse(line: &str) -> Result<Option<Self>, LineError> {
        let line = line.trim_start_matches('\u{feff}').trim();
        if line.is_empty() {
            return Ok(None);
        }
        match serde_json::from_str(line).map_err(|error| LineError::Json(position_only(&error)))? {
            Value::Object(object) if NodeFileHeader::matches(&object) => {
                NodeFileHeader::from_object(&object).map(|header| Some(Self::Header(header)))
            }
            Value::Object(object) => Node::from_object(object).map(|node| Some(Self::Node(Box::new(node)))),
            other => Err(LineError::NotAnObject(kind_of(&other))),
        }
    }
}

/// serde's own text may quote a piece of the line, and the line holds a password.
fn position_only(error: &serde_json::Error) -> String {
    format!("{:?} error at column {}", error.classify(), error.column()).to_lowercase()
}

fn protocol_of(object: &Map<String, Value>, port: Option<u16>) -> Result<(Protocol, u16), LineError> {
    let word = text(object, "protocol").unwrap_or_default();
    let by_service = object
        .get("servicePorts")
        .and_then(Value::as_object)
        .and_then(|ports| ports.get(&word))
        .map_or(Ok(None), |value| port_of(value, "servicePorts"))?;
    let mut chosen = by_service.or(optional_port(object, "protocolPort")?);
    let protocol = match word.as_str() {
        "ssh" => Protocol::Ssh,
        "local" => Protocol::Local,
        "tagent" => Protocol::Tagent,
        other => match other.strip_prefix("tagent.") {
            Some(agent_port) => {
                if !agent_port.is_empty() {
                    chosen = port_of(&Value::from(agent_port), "protocol")?;
                }
                Protocol::Tagent
            }
            None => Protocol::Other(other.to_owned()),
        },
    };
    Ok((protocol, chosen.or(port).unwrap_or(0)))
}

fn optional_port(object: &Map<String, Value>, member: &'static str) -> Result<Option<u16>, LineError> {
    object.get(member).map_or(Ok(None), |value| port_of(value, member))
}

fn port_of(value: &Value, member: &'static str) -> Result<Option<u16>, LineError> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        other => integer(other)
            .and_then(|port| u16::try_from(port).ok())
            .map(Some)
            .ok_or_else(|| wrong(member, "expected a port from 0 to 65535", other)),
    }
}

fn optional_integer(object: &Map<String, Value>, member: &'static str) -> Result<Option<i64>, LineError> {
    match object.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => integer(value).map(Some).ok_or_else(|| wrong(member, "expected an integer", value)),
    }
}

fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn text(object: &Map<String, Value>, member: &str) -> Option<String> {
    match object.get(member)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn wrong(member: &'static str, expected: &str, found: &Value) -> LineError {
    LineError::Member { member, problem: format!("{expected}, found {}", kind_of(found)) }
}

pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(line: &str) -> Node {
        match NodeLine::parse(line).unwrap().unwrap() {
            NodeLine::Node(node) => *node,
            NodeLine::Header(_) => panic!("a header: {line}"),
        }
    }

    #[test]
    fn the_example_of_the_specification() {
        let NodeLine::Header(header) =
            NodeLine::parse(r#"{"totalCount":2,"localRunnerId":1,"jobRunnerIds":[1,2]}"#).unwrap().unwrap()
        else {
            panic!("not a header")
        };
        assert_eq!((header.total_count, header.local_runner, header.runner_count()), (2, RunnerId(1), 2));
        assert_eq!(header.to_line(), r#"{"totalCount":2,"localRunnerId":1,"jobRunnerIds":[1,2]}"#);

        let ssh = node(
            r#"{"protocol":"ssh","password":"{RC4}d94c","protocolPort":22,"username":"app","nodeName":"n1","nodeType":"Linux","resourceId":71,"host":"10.1.0.1","runnerId":1,"servicePorts":{"ssh":2222}}"#,
        );
        assert_eq!(
            (ssh.protocol.clone(), ssh.protocol_port, ssh.key().as_str()),
            (Protocol::Ssh, 2222, "10.1.0.1--71")
        );
        let agent = node(
            r#"{"protocol":"tagent.3940","username":"app","resourceId":72,"host":"10.1.0.2","port":8080,"runnerId":2,"appSystemId":[5]}"#,
        );
        assert_eq!((agent.protocol.clone(), agent.protocol_port), (Protocol::Tagent, 3940));
        assert_eq!(agent.to_plugin_object(None)["appSystemId"], serde_json::json!([5]));
    }

    #[test]
    fn protocol_ports_fall_back_in_order() {
        let port = |members: &str| node(&format!(r#"{{"resourceId":1,"host":"h",{members}}}"#)).protocol_port;
        assert_eq!(port(r#""protocol":"ssh","protocolPort":22,"servicePorts":{"mysql":1}"#), 22);
        assert_eq!(port(r#""protocol":"ssh","protocolPort":22,"servicePorts":{"ssh":""}"#), 22);
        assert_eq!(port(r#""protocol":"tagent.","port":5"#), 5);
        assert_eq!(port(r#""protocol":"mysql""#), 0);
    }

    #[test]
    fn broken_lines_name_the_member_and_never_the_password() {
        for (line, expected) in [
            (r#"{"host":"h"}"#, "member `resourceId`: missing"),
            (r#"{"resourceId":1}"#, "member `host`: missing or empty"),
            (r#"{"resourceId":"x","host":"h"}"#, "member `resourceId`: expected an integer, found text"),
            (
                r#"{"resourceId":1,"host":"h","port":70000}"#,
                "member `port`: expected a port from 0 to 65535, found a number",
            ),
            ("[1]", "expected a JSON object, found an array"),
        ] {
            assert_eq!(NodeLine::parse(line).unwrap_err().to_string(), expected, "{line}");
        }
        let error = NodeLine::parse(r#"{"password":"hunter2" "host""#).unwrap_err().to_string();
        assert!(error.starts_with("not JSON") && !error.contains("hunter2"), "{error}");
        assert!(NodeLine::parse("  \n").unwrap().is_none());
    }

    #[test]
    fn debug_output_has_no_password() {
        let shown = format!("{:?}", node(r#"{"resourceId":1,"host":"h","password":"hunter2"}"#));
        assert!(shown.contains("h--1") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_header_less_file_counts_as_one_target() {
        assert_eq!(NodeFileHeader::assumed().total_count, 1);
        assert_eq!(NodeFileHeader::from_object(&Map::new()).unwrap(), NodeFileHeader::assumed());
    }
}

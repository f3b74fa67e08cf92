//! Identifiers: small types so that a phase name cannot stand where an operation id is meant.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a text is not the identifier it was given as.
#[derive(Debug, thiserror::Error)]
pub enum IdError {
    /// The job id is empty or holds a character that cannot be part of a directory name.
    #[error("job id `{0}` is not usable: expected decimal digits (or letters, `-`, `_`)")]
    Job(String),
    /// A phase name with a character the command line or the file system cannot hold.
    #[error(
        "phase name `{0}` is not usable: it must not be empty, `.`, `..`, or hold `/`, `,` or control characters"
    )]
    Phase(String),
    /// An operation id that would leave its directory.
    #[error("operation id `{0}` is not usable: no empty, `.` or `..` segment, no control characters")]
    Op(String),
}

/// The id of a job: 64-bit decimal text in practice, kept as text (`spec/cli.md` §1.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct JobId(String);

impl JobId {
    /// Checks that `text` can name a directory.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        let usable = !text.is_empty()
            && text.len() <= 64
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if usable { Ok(Self(text)) } else { Err(IdError::Job(text)) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id cut from the left into pieces of three characters joined by `/`: `12345` → `123/45`.
    pub fn split_path(&self) -> String {
        let mut path = String::with_capacity(self.0.len() * 4 / 3 + 1);
        for (position, character) in self.0.chars().enumerate() {
            if position > 0 && position % 3 == 0 {
                path.push('/');
            }
            path.push(character);
        }
        path
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a phase, unique in its job. It names directories and filters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct PhaseName(String);

impl PhaseName {
    /// Checks that `text` can be a directory name and an element of a comma list.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        let refused = text.is_empty()
            || text == "."
            || text == ".."
            || text.chars().any(|c| c == '/' || c == ',' || c.is_control());
        if refused { Err(IdError::Phase(text)) } else { Ok(Self(text)) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of an operation: `<opName>_<number>`. It may hold `/`, so it also names sub-directories.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct OpId(String);

impl OpId {
    /// Checks that every `/`-separated segment is a plain file name.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        if is_relative_name(&text) { Ok(Self(text)) } else { Err(IdError::Op(text)) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number after the last `_`, used as a file name for scripts whose name is not ASCII.
    pub fn number(&self) -> Option<&str> {
        self.0.rsplit_once('_').map(|(_, number)| number)
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an operation: `bundle/name`; the bundle may be empty or nested.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct OpName(String);

impl OpName {
    /// Checks that every `/`-separated segment is a plain file name.
    pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
        let text = text.into();
        if is_relative_name(&text) { Ok(Self(text)) } else { Err(IdError::Op(text)) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Everything before the last `/`; empty for a name without one.
    pub fn bundle(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(bundle, _)| bundle)
    }

    /// The last segment: the file name of the tool.
    pub fn tool(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.0.as_str(), |(_, tool)| tool)
    }
}

impl fmt::Display for OpName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_relative_name(text: &str) -> bool {
    !text.chars().any(char::is_control)
        && text.split('/').all(|segment| !segment.is_empty() && segment != "." && segment != "..")
}

/// The server's identity of a node. 0 is the local pseudo node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ResourceId(pub i64);

impl ResourceId {
    /// The local pseudo node.
    pub const LOCAL: Self = Self(0);
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a runner machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunnerId(pub i64);

impl fmt::Display for RunnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a group, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GroupNo(pub i64);

impl fmt::Display for GroupNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `<host>-<port>-<resourceId>`: the part of every file name that tells nodes apart (`spec/workdir.md` K).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct NodeKey(String);

impl NodeKey {
    /// Builds the key. A host with a character that cannot stand in a file name has it replaced by `_`.
    pub fn new(host: &str, port: Option<u16>, resource: ResourceId) -> Self {
        let host: String = host.chars().map(|c| if c == '/' || c.is_control() { '_' } else { c }).collect();
        let port = port.map(|p| p.to_string()).unwrap_or_default();
        Self(format!("{host}-{port}-{resource}"))
    }

    /// The key of the local pseudo node: `local-0-0`.
    pub fn local() -> Self {
        Self("local-0-0".to_owned())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn job_ids_split_in_threes() {
        for (id, path) in [("620011223344", "620/011/223/344"), ("12345", "123/45"), ("0", "0")] {
            assert_eq!(JobId::new(id).unwrap().split_path(), path);
        }
    }

    #[test]
    fn names_that_would_leave_their_directory_are_refused() {
        for bad in ["", "../x", "a/../b", "a//b", "/etc/passwd", "a/.", "a\nb"] {
            assert!(OpId::new(bad).is_err(), "{bad:?}");
            assert!(OpName::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["", ".", "..", "a/b", "a,b", "a\u{0}"] {
            assert!(PhaseName::new(bad).is_err(), "{bad:?}");
        }
        for bad in ["", "..", "12/3", "12 3"] {
            assert!(JobId::new(bad).is_err(), "{bad:?}");
        }
        assert!(PhaseName::new("检查 1").is_ok());
    }

    #[test]
    fn op_names_have_a_bundle_and_a_tool() {
        let name = OpName::new("a/b/tool").unwrap();
        assert_eq!((name.bundle(), name.tool()), ("a/b", "tool"));
        let bare = OpName::new("脚本").unwrap();
        assert_eq!((bare.bundle(), bare.tool()), ("", "脚本"));
        assert_eq!(OpId::new("脚本_501").unwrap().number(), Some("501"));
    }

    #[test]
    fn node_keys_follow_the_file_name_rule() {
        assert_eq!(NodeKey::new("10.1.0.1", None, ResourceId(71)).as_str(), "10.1.0.1--71");
        assert_eq!(NodeKey::new("10.1.0.2", Some(8080), ResourceId(72)).as_str(), "10.1.0.2-8080-72");
        assert_eq!(NodeKey::new("a/../b", Some(1), ResourceId(1)).as_str(), "a_.._b-1-1");
        assert_eq!(NodeKey::local().as_str(), "local-0-0");
    }
}

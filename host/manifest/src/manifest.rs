//! The manifest itself and the rules it must keep.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::descriptor::{Descriptor, DescriptorError};

/// Who a tool is, what it asks for and how the server registers it. Unknown keys are errors: a misspelt
/// capability must not be dropped in silence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Manifest {
    /// `bundle/name`, the id under which jobs call it.
    pub name: ToolName,
    /// The tool's own version.
    pub version: semver::Version,
    /// The version of `autoexec:tool` it was built against.
    pub wit: semver::Version,
    /// What it does, in a sentence.
    pub description: String,
    /// Whether it may run again after a crash left its effect unknown.
    pub rerun: Rerun,
    /// Limits it asks for; what it leaves out is the host's default.
    #[serde(default)]
    pub limits: RequestedLimits,
    /// Interfaces it needs beyond those that every tool gets.
    #[serde(default, rename = "capability", skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<CapabilityRequest>,
    /// What the server shows and job authors bind (spec/tool-descriptor.md).
    pub descriptor: Descriptor,
}

/// One interface and why the tool needs it, for the person who approves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CapabilityRequest {
    /// The interface's short name, such as `net-probe`.
    pub interface: String,
    /// Why, in a sentence. Must not be empty.
    pub reason: String,
}

/// Limits a tool asks for. The host's own settings are the upper bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RequestedLimits {
    /// Memory in MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mib: Option<u32>,
    /// Wall-clock time of one call, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_seconds: Option<u32>,
    /// Log text of one call, in KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_kib: Option<u32>,
}

impl RequestedLimits {
    /// Memory in bytes.
    pub fn memory_bytes(&self) -> Option<u64> {
        self.memory_mib.map(|mib| u64::from(mib) << 20)
    }

    /// Wall-clock time of one call.
    pub fn time(&self) -> Option<Duration> {
        self.time_seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Log text in bytes.
    pub fn log_bytes(&self) -> Option<u64> {
        self.log_kib.map(|kib| u64::from(kib) << 10)
    }
}

/// What may happen to a call whose executor died in the middle (architecture §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rerun {
    /// Idempotent: run it again.
    Safe,
    /// It can be asked whether it took effect.
    Probe,
    /// Running it twice may do harm: a person decides.
    Once,
}

/// `bundle/name`: letters, digits, `-`, `_` and `.`; the bundle may have several levels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolName(String);

impl ToolName {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Everything before the last slash.
    pub fn bundle(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(bundle, _)| bundle)
    }

    /// The part after the last slash.
    pub fn base(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.as_str(), |(_, base)| base)
    }
}

impl TryFrom<String> for ToolName {
    type Error = ManifestError;

    fn try_from(name: String) -> Result<Self, ManifestError> {
        let part_is_plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        };
        if name.contains('/') && name.split('/').all(part_is_plain) {
            Ok(Self(name))
        } else {
            Err(ManifestError::Name(name))
        }
    }
}

impl From<ToolName> for String {
    fn from(name: ToolName) -> Self {
        name.0
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A manifest that can not be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, a key that does not exist, a value of the wrong kind.
    #[error("the manifest can not be read: {0}")]
    Format(#[from] serde_json::Error),
    /// Not `bundle/name`.
    #[error("`name` is \"{0}\", but must be `bundle/name` of letters, digits, `-`, `_` and `.`")]
    Name(String),
    /// An empty description.
    #[error("`description` is empty: say in a sentence what the tool does")]
    NoDescription,
    /// A capability without a reason.
    #[error("capability `{0}` has no reason: say why the tool needs it, for the person who approves it")]
    NoReason(String),
    /// The same capability twice.
    #[error("capability `{0}` is asked for twice")]
    RepeatedCapability(String),
    /// A limit of 0.
    #[error("limit `{0}` is 0, so the tool could never run; leave it out for the default")]
    ZeroLimit(&'static str),
    /// The descriptor breaks a rule.
    #[error("in the descriptor: {0}")]
    Descriptor(#[from] DescriptorError),
}

impl Manifest {
    /// Reads and checks the JSON form.
    pub fn from_json(json: &[u8]) -> Result<Self, ManifestError> {
        serde_json::from_slice::<Self>(json)?.checked()
    }

    /// The JSON form that goes into the component.
    pub fn to_json(&self) -> String {
        // Serialising plain structs with text keys has no failing case; an empty text would be refused on reading.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The object that is posted to the server at registration (spec/tool-descriptor.md), without `importTime`.
    pub fn registration(&self) -> serde_json::Value {
        let mut object = serde_json::to_value(&self.descriptor).unwrap_or_default();
        if let Some(fields) = object.as_object_mut() {
            fields.insert("opName".into(), self.name.as_str().into());
            fields.insert("description".into(), self.description.as_str().into());
        }
        object
    }

    /// The request for an interface by its short name.
    pub fn requests(&self, interface: &str) -> Option<&CapabilityRequest> {
        self.capabilities.iter().find(|request| request.interface == interface)
    }

    /// Checks the rules that types alone do not express, for what was read from `tool.toml`. The caller parses the
    /// TOML, so that its errors name the line.
    pub fn checked(self) -> Result<Self, ManifestError> {
        if self.description.trim().is_empty() {
            return Err(ManifestError::NoDescription);
        }
        let mut seen = BTreeSet::new();
        for request in &self.capabilities {
            if request.reason.trim().is_empty() {
                return Err(ManifestError::NoReason(request.interface.clone()));
            }
            if !seen.insert(&request.interface) {
                return Err(ManifestError::RepeatedCapability(request.interface.clone()));
            }
        }
        let limits = [
            ("memory-mib", self.limits.memory_mib),
            ("time-seconds", self.limits.time_seconds),
            ("log-kib", self.limits.log_kib),
        ];
        if let Some((name, _)) = limits.iter().find(|(_, value)| *value == Some(0)) {
            return Err(ManifestError::ZeroLimit(name));
        }
        self.descriptor.check()?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = include_str!("../tests/minimal.toml");

    fn read(text: &str) -> Result<Manifest, String> {
        let manifest: Manifest = toml::from_str(text).map_err(|e| e.to_string())?;
        manifest.checked().map_err(|e| e.to_string())
    }

    #[test]
    fn toml_and_json_hold_the_same() {
        let manifest = read(MINIMAL).unwrap();
        assert_eq!(Manifest::from_json(manifest.to_json().as_bytes()).unwrap(), manifest);
        assert_eq!(manifest.name.bundle(), "demo");
        assert_eq!(manifest.name.base(), "probe");
        assert_eq!(manifest.limits.memory_bytes(), Some(16 << 20));
    }

    #[test]
    fn the_registration_has_the_servers_spelling() {
        let object = read(MINIMAL).unwrap().registration();
        assert_eq!(object["opName"], "demo/probe");
        assert_eq!(object["opType"], "runner");
        assert_eq!(object["option"][0]["required"], "true");
        assert_eq!(object["description"], "Tries one port.");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("name = \"demo/probe\"", "name = \"../probe\"", "bundle/name"),
            ("name = \"demo/probe\"", "name = \"probe\"", "bundle/name"),
            ("reason = \"to try it\"", "reason = \" \"", "no reason"),
            ("memory-mib = 16", "memory-mib = 0", "memory-mib"),
            ("memory-mib = 16", "memory = 16", "unknown field `memory`"),
            ("rerun = \"safe\"", "rerun = \"often\"", "often"),
            ("Tries one port.", "", "description"),
            ("wit = \"1.0.0\"", "wit = \"one\"", "wit"),
        ];
        for (from, to, expected) in cases {
            assert!(MINIMAL.contains(from), "{from}");
            let error = read(&MINIMAL.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains(expected), "{to}: {error}");
        }
    }
}
